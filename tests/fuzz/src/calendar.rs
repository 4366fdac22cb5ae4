//! A calendar document, as a bureau sends it.

use gateway::calendar::{contacts, parse, validate};
use proto::common::v1::Phase;

/// It is read, and found whole or told what is wrong; every window of a whole one opens before it closes.
///
/// # Panics
/// Where the parser does, or its answer is none.
pub fn calendar(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    drop(contacts(&text));
    match parse(&text) {
        Err(faults) => assert!(!faults.is_empty(), "refused without a word"),
        Ok(calendar) => {
            let whole = validate(&calendar).is_empty();
            if let (true, Ok(windows)) = (whole, calendar.windows()) {
                // Marks allow nothing, at an instant.
                for window in windows.iter().filter(|window| window.phase() != Phase::Unspecified) {
                    let (opens, closes) =
                        (window.opens.as_ref().map(proto::instant), window.closes.as_ref().map(proto::instant));
                    assert!(opens < closes, "{} opens at {opens:?} and closes at {closes:?}", window.id);
                }
            }
        }
    }
}
