//! Policies that were in force, and the years that terms train in.

use chassis::{
    Failure,
    db::{Queries, Rows, Tx, args, row},
};

/// A version of a term's policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// "terms/…"
    pub term: String,
    /// Rises within the term.
    pub version: i64,
    /// SHA-256 of the document.
    pub digest: Vec<u8>,
    /// When this service first acted under it, in microseconds since the epoch.
    pub in_force_from: i64,
}

/// Keeps a version, unless it is known, and the years of its term.
pub async fn note(tx: &mut Tx, version: &Version, years: &[i16]) -> Result<(), Failure> {
    let fresh = tx
        .execute(
            "INSERT INTO policy_version (term, version, digest, in_force_from) VALUES ($1, $2, $3, $4)
             ON CONFLICT DO NOTHING",
            args![&version.term, version.version, version.digest.clone(), version.in_force_from],
        )
        .await?;
    if fresh > 0 {
        let mut rows = Rows::new();
        for year in years {
            rows.push(row![*year]);
        }
        tx.execute(
            "INSERT INTO term_year (term, year) SELECT $1, CAST(value ->> 0 AS BIGINT) FROM json_each($2)
             WHERE TRUE ON CONFLICT DO NOTHING",
            args![&version.term, rows.json()],
        )
        .await?;
    }
    Ok(())
}

/// All versions, in the order of their coming into force.
pub async fn all(db: &mut impl Queries) -> Result<Vec<Version>, Failure> {
    let rows = db
        .all(
            "SELECT term, version, digest, in_force_from FROM policy_version ORDER BY in_force_from, term, version",
            args![],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Version {
                term: row.get("term")?,
                version: row.get("version")?,
                digest: row.get("digest")?,
                in_force_from: row.get("in_force_from")?,
            })
        })
        .collect()
}

/// The terms whose gates this database has.
pub async fn terms(db: &mut impl Queries) -> Result<Vec<String>, Failure> {
    let rows = db.all("SELECT term FROM fence ORDER BY term", args![]).await?;
    rows.iter().map(|row| row.get("term")).collect()
}
