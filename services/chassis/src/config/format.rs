//! The formats that texts of a configuration have: named in its schema, held to when it is read.

use std::str::FromStr as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::tz::TimeZone;
use sqlx::postgres::PgConnectOptions;

use crate::replicas;

/// A format: its name in the schema (`format`), whether a text has it, and what it must be, said so that it can be put right.
type Format = (&'static str, fn(&str) -> bool, &'static str);

const FORMATS: [Format; 6] = [
    ("host:port", is_address, "host:port, e.g. \"0.0.0.0:7701\""),
    ("database URL", is_database, "\"sqlite:FILE\" or \"postgres://…\""),
    (
        "peer",
        replicas::are_addresses,
        "\"http://host:7701\" (with tls \"https://…\"), several separated by commas, or \"dns:///host:7701\"",
    ),
    ("URL", is_url, "a URL, e.g. \"http://collector:4317\""),
    ("32 bytes in base64", is_key, "32 bytes in base64: `openssl rand -base64 32`"),
    ("IANA zone", |text| TimeZone::get(text).is_ok(), "an IANA zone, e.g. \"Asia/Shanghai\""),
];

/// What a text of a format must be, and whether this one is. Formats that say how a number is kept are none of ours.
pub(super) fn wanted(format: &str, text: &str) -> Option<(&'static str, bool)> {
    FORMATS.iter().find(|(name, ..)| *name == format).map(|(_, fits, wanted)| (*wanted, fits(text)))
}

fn is_address(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

fn is_database(text: &str) -> bool {
    match text.split_once(':') {
        Some(("sqlite", path)) => !path.trim_start_matches("//").is_empty(),
        Some(("postgres" | "postgresql", _)) => PgConnectOptions::from_str(text).is_ok(),
        _ => false,
    }
}

fn is_url(text: &str) -> bool {
    let known = text.starts_with("http://") || text.starts_with("https://");
    known && text.parse::<http::Uri>().is_ok_and(|url| url.authority().is_some())
}

fn is_key(text: &str) -> bool {
    STANDARD.decode(text.trim()).is_ok_and(|bytes| bytes.len() == 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_format_tells_its_own_from_others() {
        for (format, right, wrong) in [
            ("host:port", &["0.0.0.0:7701", "[::1]:0", "localhost:80"][..], &["foo", ":80", "host:", "host:70000"][..]),
            ("database URL", &["sqlite:/data/a.db", "postgres://u:p@h/d"], &["mysql://h/d", "sqlite:", "a.db", ""]),
            (
                "peer",
                &["http://a:1, http://b:2", "https://a:1", "dns:///a:1"],
                &["a:1", "http://", "http://a:1,", "ftp://a"],
            ),
            ("URL", &["http://collector:4317"], &["collector:4317", "http://"]),
            ("32 bytes in base64", &["AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="], &["AAAA", "?"]),
            ("IANA zone", &["Asia/Shanghai"], &["Asia/Nowhere"]),
        ] {
            for (texts, fits) in [(right, true), (wrong, false)] {
                for text in texts {
                    assert_eq!(wanted(format, text).map(|(_, fits)| fits), Some(fits), "{format}: {text}");
                }
            }
        }
        assert_eq!(wanted("uint32", "x"), None);
    }
}
