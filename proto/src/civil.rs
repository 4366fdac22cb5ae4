//! Dates and instants between the wire (google.type.Date, Timestamp), SQL (ISO text, microseconds) and jiff.

use jiff::{Timestamp, civil::Date};

use crate::google::r#type as wire;

/// A date on the wire that is no day of the calendar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CivilDateError;

impl std::fmt::Display for CivilDateError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("not a day of the calendar")
    }
}

impl std::error::Error for CivilDateError {}

impl From<Date> for wire::Date {
    fn from(date: Date) -> Self {
        Self { year: date.year().into(), month: date.month().into(), day: date.day().into() }
    }
}

impl TryFrom<wire::Date> for Date {
    type Error = CivilDateError;
    fn try_from(date: wire::Date) -> Result<Self, CivilDateError> {
        let narrow = |value: i32| i8::try_from(value).map_err(|_| CivilDateError);
        let year = i16::try_from(date.year).map_err(|_| CivilDateError)?;
        Self::new(year, narrow(date.month)?, narrow(date.day)?).map_err(|_| CivilDateError)
    }
}

/// A wire date as SQL keeps it: "2019-08-26"; an absent one as the empty text.
#[must_use]
pub fn date_text(date: Option<&wire::Date>) -> String {
    date.map(|date| format!("{:04}-{:02}-{:02}", date.year, date.month, date.day)).unwrap_or_default()
}

/// The wire date of SQL's text; empty text, or none of a date, is absent.
#[must_use]
pub fn date_from_text(text: &str) -> Option<wire::Date> {
    text.parse::<Date>().ok().map(Into::into)
}

/// Microseconds since the epoch, as SQL keeps instants, on the wire.
#[must_use]
pub fn timestamp(micros: i64) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: micros.div_euclid(1_000_000),
        // Below a million, hence below a billion after the factor.
        nanos: (micros.rem_euclid(1_000_000) * 1_000) as i32,
    }
}

/// Microseconds since the epoch of a wire instant; sub-microseconds are cut off.
#[must_use]
pub fn instant(timestamp: &prost_types::Timestamp) -> i64 {
    timestamp.seconds.saturating_mul(1_000_000).saturating_add(i64::from(timestamp.nanos / 1_000))
}

/// jiff's instant of SQL's microseconds; an instant outside jiff's range is its nearest bound.
#[must_use]
pub fn jiff_instant(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap_or(if micros < 0 { Timestamp::MIN } else { Timestamp::MAX })
}
