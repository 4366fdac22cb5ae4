//! What the sequencer's steps leave.

use chassis::{
    Failure,
    db::{Queries as _, Tx, args},
};

/// Records where the feed stood when a term's window was closed: whether it was recorded now, and what stands. The same again
/// changes nothing.
///
/// # Errors
/// Those of the database.
pub async fn record_position(
    tx: &mut Tx,
    term: &str,
    window: &str,
    position: i64,
    gate_version: i64,
) -> Result<(bool, i64), Failure> {
    let at = tx.at();
    let inserted = tx
        .execute(
            "INSERT INTO roster_position (term, window_id, position, gate_version, recorded_at)
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
            args![term, window, position, gate_version, at],
        )
        .await?;
    if inserted == 1 {
        return Ok((true, position));
    }
    let sql = "SELECT position FROM roster_position WHERE term = $1 AND window_id = $2";
    let stands = tx.one(sql, args![term, window]).await?;
    Ok((false, stands.map_or(Ok(position), |row| row.get("position"))?))
}
