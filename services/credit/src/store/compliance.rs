//! What was reported when terms ended.

use chassis::{
    Failure,
    db::{Queries, Rows, Tx, args, row},
};
use prost::Message as _;
use proto::credit::v1::{Compliance, compliance::State};

/// Organisations with schools that have no report of this term, year and state yet.
pub async fn missing(
    db: &mut impl Queries,
    term: &str,
    year: i16,
    state: State,
    limit: usize,
) -> Result<Vec<String>, Failure> {
    let rows = db
        .all(
            "SELECT o.name AS name FROM organization o
             WHERE EXISTS (SELECT 1 FROM ancestor a JOIN organization s ON s.name = a.organization AND s.is_school = 1
                           WHERE a.ancestor = o.name)
               AND NOT EXISTS (SELECT 1 FROM compliance c WHERE c.organization = o.name AND c.term = $1
                               AND c.year = $2 AND c.state = $3)
             ORDER BY o.name LIMIT $4",
            args![term, i64::from(year), state as i32, limit],
        )
        .await?;
    rows.iter().map(|row| row.get("name")).collect()
}

/// Keeps reports of a term.
pub async fn put(
    tx: &mut Tx,
    term: &str,
    taken_at: i64,
    policy_version: i64,
    reports: &[Compliance],
) -> Result<(), Failure> {
    let mut rows = Rows::new();
    for report in reports {
        rows.push(row![report.year, report.organization.as_str(), report.state, hex(&report.encode_to_vec())]);
    }
    tx.execute(
        "INSERT INTO compliance (term, year, organization, state, taken_at, policy_version, body)
         SELECT $1, CAST(value ->> 0 AS BIGINT), value ->> 1, CAST(value ->> 2 AS BIGINT), $2, $3, unhex(value ->> 3)
         FROM json_each($4) WHERE TRUE ON CONFLICT DO NOTHING",
        args![term, taken_at, policy_version, rows.json()],
    )
    .await?;
    Ok(())
}

/// The final report of a year: the last one, once every term that trains in that year has made its own.
pub async fn of_year(db: &mut impl Queries, organization: &str, year: i16) -> Result<Option<Compliance>, Failure> {
    let row = db
        .one(
            "SELECT body FROM compliance c
             WHERE organization = $1 AND year = $2 AND state = $3
               AND NOT EXISTS (SELECT 1 FROM term_year t WHERE t.year = c.year
                   AND NOT EXISTS (SELECT 1 FROM compliance f WHERE f.term = t.term AND f.year = c.year
                                   AND f.organization = c.organization AND f.state = $3))
             ORDER BY taken_at DESC, term DESC LIMIT 1",
            args![organization, i64::from(year), State::Final as i32],
        )
        .await?;
    row.map(|row| Compliance::decode(row.get::<Vec<u8>>("body")?.as_slice()).map_err(Failure::internal)).transpose()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
