//! The organisation tree, as the roster tells it.

use chassis::{
    Failure,
    db::{Queries, Rows, Tx, args},
};
use proto::roster::v1::{OrganizationFacts, organization::Kind};

use super::{from_list, list};

/// The organisations and teachers of a list that stand under one of another list, or are one.
pub const STANDING: &str = "SELECT organization AS name FROM ancestor
     WHERE organization IN (SELECT value ->> 0 FROM json_each($1)) AND ancestor IN (SELECT value ->> 0 FROM json_each($2))
     UNION ALL
     SELECT t.name AS name FROM teacher t JOIN ancestor a ON a.organization = t.school
     WHERE t.name IN (SELECT value ->> 0 FROM json_each($1)) AND a.ancestor IN (SELECT value ->> 0 FROM json_each($2))";

/// Keeps an organisation.
pub async fn put(tx: &mut Tx, facts: &OrganizationFacts) -> Result<(), Failure> {
    let is_school = facts.kinds().any(|kind| matches!(kind, Kind::School | Kind::Kindergarten));
    tx.execute(
        "INSERT INTO organization (name, is_school, path) VALUES ($1, $2, $3)
         ON CONFLICT (name) DO UPDATE SET is_school = excluded.is_school, path = excluded.path",
        args![&facts.name, i64::from(is_school), list(&facts.path)?],
    )
    .await?;
    tx.execute("DELETE FROM ancestor WHERE organization = $1", args![&facts.name]).await?;
    tx.execute(
        "INSERT INTO ancestor (ancestor, organization)
         SELECT value ->> 0, $1 FROM json_each($2) WHERE TRUE ON CONFLICT DO NOTHING",
        args![&facts.name, Rows::texts(&facts.path).json()],
    )
    .await?;
    Ok(())
}

/// Its ancestors and itself, root first; `None`: unknown.
pub async fn path(db: &mut impl Queries, name: &str) -> Result<Option<Vec<String>>, Failure> {
    let row = db.one("SELECT path FROM organization WHERE name = $1", args![name]).await?;
    row.map(|row| from_list(&row, "path")).transpose()
}

/// The schools under an organisation, itself included, by name.
pub async fn schools_under(
    db: &mut impl Queries,
    name: &str,
    after: &str,
    limit: usize,
) -> Result<Vec<String>, Failure> {
    let rows = db
        .all(
            "SELECT o.name AS name FROM organization o JOIN ancestor a ON a.organization = o.name
             WHERE a.ancestor = $1 AND o.is_school = 1 AND o.name > $2 ORDER BY o.name LIMIT $3",
            args![name, after, limit],
        )
        .await?;
    rows.iter().map(|row| row.get("name")).collect()
}

/// For each of `names`, the schools under it: (organisation, school), by organisation.
pub async fn schools_of(db: &mut impl Queries, names: &[String]) -> Result<Vec<(String, String)>, Failure> {
    let rows = db
        .all(
            "SELECT a.ancestor AS ancestor, o.name AS school FROM ancestor a
             JOIN organization o ON o.name = a.organization AND o.is_school = 1
             WHERE a.ancestor IN (SELECT value ->> 0 FROM json_each($1)) ORDER BY a.ancestor, o.name",
            args![Rows::texts(names).json()],
        )
        .await?;
    rows.iter().map(|row| Ok((row.get("ancestor")?, row.get("school")?))).collect()
}
