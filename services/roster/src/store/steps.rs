//! What the sequencer's steps leave.

use chassis::{
    Failure,
    db::{Tx, args},
};

/// Records where the feed stood when a term's window was closed; the same again changes nothing.
///
/// # Errors
/// Those of the database.
pub async fn record_position(
    tx: &mut Tx,
    term: &str,
    window: &str,
    position: i64,
    gate_version: i64,
) -> Result<bool, Failure> {
    let at = tx.at();
    let inserted = tx
        .execute(
            "INSERT INTO roster_position (term, window_id, position, gate_version, recorded_at)
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
            args![term, window, position, gate_version, at],
        )
        .await?;
    Ok(inserted == 1)
}
