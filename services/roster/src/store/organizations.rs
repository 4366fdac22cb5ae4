//! Organisations.

use chassis::{
    Failure,
    db::{Queries, Row, Rows, Tx, args, row},
};
use proto::roster::v1::organization::Kind;

use super::CHUNK;
use crate::domain::organization::Organization;

/// The organisations and teachers of a list that stand under one of another list, or are one.
pub const STANDING: &str = "SELECT o.name AS name FROM organization o JOIN json_each($2) AS root
         ON replace('>' || o.path, '>' || (root.value ->> 0) || '>', '') <> '>' || o.path
     WHERE o.name IN (SELECT value ->> 0 FROM json_each($1))
     UNION ALL
     SELECT t.name AS name FROM teacher t JOIN organization o ON o.name = t.school JOIN json_each($2) AS root
         ON replace('>' || o.path, '>' || (root.value ->> 0) || '>', '') <> '>' || o.path
     WHERE t.name IN (SELECT value ->> 0 FROM json_each($1))";

/// An organisation by name.
///
/// # Errors
/// Those of the database.
pub async fn find(db: &mut impl Queries, name: &str) -> Result<Option<Organization>, Failure> {
    let row = db.one("SELECT * FROM organization WHERE name = $1", args![name]).await?;
    row.as_ref().map(read).transpose()
}

/// Organisations by name; those that there are.
///
/// # Errors
/// Those of the database.
pub async fn find_all(
    db: &mut impl Queries,
    names: impl IntoIterator<Item = &str> + Send,
) -> Result<Vec<Organization>, Failure> {
    let names = Rows::texts(names).json();
    let rows = db
        .all(
            "SELECT * FROM organization WHERE name IN (SELECT value ->> 0 FROM json_each($1)) ORDER BY name",
            args![names],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// The school that has this identifier.
///
/// # Errors
/// Those of the database.
pub async fn by_school_identifier(db: &mut impl Queries, identifier: &str) -> Result<Option<String>, Failure> {
    let sql = "SELECT name FROM organization WHERE school_identifier = $1 AND school_identifier <> ''";
    db.one(sql, args![identifier]).await?.map(|row| row.get("name")).transpose()
}

/// A page of organisations at or under `ancestor` (empty: all), of a kind where one is given, by name.
///
/// # Errors
/// Those of the database.
pub async fn list(
    db: &mut impl Queries,
    ancestor: Option<&[String]>,
    kind: Kind,
    after: &str,
    limit: usize,
) -> Result<Vec<Organization>, Failure> {
    let (low, high) = ancestor.map(range).unwrap_or_default();
    let kind = if kind == Kind::Unspecified { String::new() } else { kinds_text(&[kind]) };
    let rows = db
        .all(
            "SELECT * FROM organization
             WHERE name > $1 AND ($2 = '' OR (path >= $2 AND path < $3)) AND ($4 = '' OR replace(kinds, $4, '') <> kinds)
             ORDER BY name LIMIT $5",
            args![after, low, high, kind, limit],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// An organisation and all that lies under it.
///
/// # Errors
/// Those of the database.
pub async fn at_or_under(db: &mut impl Queries, path: &[String]) -> Result<Vec<Organization>, Failure> {
    let (low, high) = range(path);
    let rows =
        db.all("SELECT * FROM organization WHERE path >= $1 AND path < $2 ORDER BY path", args![low, high]).await?;
    rows.iter().map(read).collect()
}

/// Inserts an organisation; false if its name or school identifier is taken.
///
/// # Errors
/// Those of the database.
pub async fn insert(tx: &mut Tx, organization: &Organization) -> Result<bool, Failure> {
    let inserted = tx
        .execute(
            "INSERT INTO organization (name, display_name, parent, kinds, path, school_identifier, school_type,
                                       contact_office, contact_phone, version)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING",
            args![
                &organization.name,
                &organization.display_name,
                &organization.parent,
                kinds_text(&organization.kinds),
                path_text(&organization.path),
                &organization.school_identifier,
                &organization.school_type,
                &organization.contact_office,
                &organization.contact_phone,
                organization.version
            ],
        )
        .await?;
    Ok(inserted == 1)
}

/// Writes an organisation over its version before; false if that is no longer the current one.
///
/// # Errors
/// Those of the database.
pub async fn update(tx: &mut Tx, organization: &Organization) -> Result<bool, Failure> {
    let updated = tx
        .execute(
            "UPDATE organization SET display_name = $2, parent = $3, kinds = $4, path = $5, school_type = $6,
                                     contact_office = $7, contact_phone = $8, version = $9
             WHERE name = $1 AND version = $9 - 1",
            args![
                &organization.name,
                &organization.display_name,
                &organization.parent,
                kinds_text(&organization.kinds),
                path_text(&organization.path),
                &organization.school_type,
                &organization.contact_office,
                &organization.contact_phone,
                organization.version
            ],
        )
        .await?;
    Ok(updated == 1)
}

/// Writes the paths of organisations that were moved with one above them.
///
/// # Errors
/// Those of the database.
pub async fn update_paths(tx: &mut Tx, moved: &[Organization]) -> Result<(), Failure> {
    for chunk in moved.chunks(CHUNK) {
        let mut rows = Rows::new();
        for organization in chunk {
            rows.push(row![organization.name.as_str(), path_text(&organization.path)]);
        }
        tx.execute(
            "UPDATE organization SET path = given.path
             FROM (SELECT value ->> 0 AS name, value ->> 1 AS path FROM json_each($1)) AS given
             WHERE organization.name = given.name",
            args![rows.json()],
        )
        .await?;
    }
    Ok(())
}

/// The range of `path` in which lies what is at or under an organisation: from its own path to before the next sibling's.
pub(super) fn range(path: &[String]) -> (String, String) {
    let low = path_text(path);
    // '?' is the character after the '>' that ends each name.
    let high = low.strip_suffix('>').map_or_else(String::new, |stem| format!("{stem}?"));
    (low, high)
}

fn path_text(path: &[String]) -> String {
    path.iter().map(|name| format!("{name}>")).collect()
}

fn kinds_text(kinds: &[Kind]) -> String {
    let names: Vec<_> = kinds.iter().map(Kind::as_str_name).collect();
    format!(",{},", names.join(","))
}

fn read(row: &Row) -> Result<Organization, Failure> {
    let names = |text: String, separator| -> Vec<String> {
        text.split(separator).filter(|part: &&str| !part.is_empty()).map(str::to_owned).collect()
    };
    let kinds = names(row.get("kinds")?, ',').iter().filter_map(|kind| Kind::from_str_name(kind)).collect();
    Ok(Organization {
        name: row.get("name")?,
        display_name: row.get("display_name")?,
        parent: row.get("parent")?,
        kinds,
        path: names(row.get("path")?, '>'),
        school_identifier: row.get("school_identifier")?,
        school_type: row.get("school_type")?,
        contact_office: row.get("contact_office")?,
        contact_phone: row.get("contact_phone")?,
        version: row.get("version")?,
    })
}
