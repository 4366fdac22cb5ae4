//! A configuration: what nobody reads is told, by its full name, with what was meant.

use chassis::{Config, config::read};

const SOUND: &str = "
    [database]
    url = 'sqlite:/data/roster.db'
    [keys]
    own = '/keys/roster.key'
    trusted = '/keys/trusted'
    [peers]
    roster = 'http://roster:7701'
    [server]
    drain_seconds = 2
";

fn told(text: &str) -> anyhow::Result<Result<Config, String>> {
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), text)?;
    Ok(read::<Config>(Some(file.path())).map_err(|error| error.to_string()))
}

#[test]
fn a_sound_configuration_is_read() -> anyhow::Result<()> {
    let config = told(SOUND)?.map_err(anyhow::Error::msg)?;
    assert_eq!((config.server.drain_seconds, config.database.url.as_str()), (2, "sqlite:/data/roster.db"));
    Ok(())
}

#[test]
fn every_unknown_key_is_told_with_the_nearest_one() -> anyhow::Result<()> {
    let text = SOUND
        // A key of another section, which has it rightly.
        .replace("own =", "url = 'x'\nown =")
        .replace("drain_seconds", "drain_secondss = 1\nmax_conn = 1\ndrain_seconds")
        .replace("roster =", "rooster =");
    let told = told(&(text + "[telemetri]\notlp_endpoint = 'http://collector:4317'"))?.err().unwrap_or_default();
    for expected in [
        "unknown key telemetri (TOML file): did you mean telemetry?",
        "unknown key peers.rooster (TOML file): did you mean peers.roster?",
        "unknown key keys.url (TOML file): there are own, reload_seconds, trusted",
        "unknown key server.drain_secondss (TOML file): did you mean server.drain_seconds?",
        "unknown key server.max_conn (TOML file): did you mean server.max_con",
    ] {
        assert!(told.contains(expected), "{expected} is not in: {told}");
    }
    assert_eq!(told.lines().count(), 5, "{told}");
    Ok(())
}

/// Passwords of digits, keys in the wrong place, a quotation mark that was forgotten: none is repeated.
#[test]
fn no_fault_repeats_what_may_be_secret() -> anyhow::Result<()> {
    let url = "url = 'sqlite:/data/roster.db'";
    for (wrong, expected) in [
        ("url = 74656667", "must be \"sqlite:FILE\""),
        ("url = ['74656667']", "must be \"sqlite:FILE\""),
        ("url = 'mysql://u:74656667@db/x'", "must be \"sqlite:FILE\""),
        ("url = 'sqlite:x'\nmigrate = '74656667'", "must be true or false"),
        ("url = 'postgres://u:74656667@db/x", "line 3"),
    ] {
        let told = told(&SOUND.replace(url, wrong))?.err().unwrap_or_default();
        assert!(told.contains(expected) && !told.contains("74656667"), "{wrong}: {told}");
    }
    let config = told(&SOUND.replace(url, "url = 'postgres://u:74656667@db/x'"))?.map_err(anyhow::Error::msg)?;
    assert!(config.database.url.contains("74656667") && !format!("{config:?}").contains("74656667"));
    Ok(())
}

/// Ranges, formats, kinds, sections and what is missing: all told at once, each by its key and variable.
#[test]
fn every_fault_is_told_at_once_with_what_is_expected() -> anyhow::Result<()> {
    let text = "
        listen = 'foo'
        clock = 'sundial'
        telemetry = 3
        [database]
        url = 'mysql://db/roster'
        readers = 0
        connections = -1
        [keys]
        trusted = '/keys/trusted'
        reload_seconds = 0
        [peers]
        roster = 'roster:7701'
        [server]
        max_connections = 0
        max_message_bytes = 'much'
        plaintext = 'yes'
        probes = ':7709'
        [tls]
        certificate = '/tls.crt'
    ";
    let told = told(text)?.err().unwrap_or_default();
    let address = "must be host:port, e.g. \"0.0.0.0:7701\"";
    let expected = [
        "clock (SHIXUN_CLOCK): must be \"system\" or \"rehearsal\"".to_owned(),
        "database.connections (SHIXUN_DATABASE__CONNECTIONS): must be a whole number from 1 to 1000".to_owned(),
        "database.readers (SHIXUN_DATABASE__READERS): must be a whole number from 1 to 1000".to_owned(),
        "database.url (SHIXUN_DATABASE__URL): must be \"sqlite:FILE\" or \"postgres://…\"".to_owned(),
        format!("keys.reload_seconds (SHIXUN_KEYS__RELOAD_SECONDS): must be a whole number from 1 to {}", u64::MAX),
        "missing key keys.own (SHIXUN_KEYS__OWN): a text".to_owned(),
        format!("listen (SHIXUN_LISTEN): {address}"),
        "peers.roster (SHIXUN_PEERS__ROSTER): must be \"http://host:7701\"".to_owned(),
        format!(
            "server.max_connections (SHIXUN_SERVER__MAX_CONNECTIONS): must be a whole number from 1 to {}",
            u64::MAX
        ),
        "server.max_message_bytes (SHIXUN_SERVER__MAX_MESSAGE_BYTES): must be a whole number from 65536 to 1073741824"
            .to_owned(),
        "server.plaintext (SHIXUN_SERVER__PLAINTEXT): must be true or false".to_owned(),
        format!("server.probes (SHIXUN_SERVER__PROBES): {address}"),
        "telemetry (TOML file): must be a section, [telemetry]".to_owned(),
        "missing key tls.authorities (SHIXUN_TLS__AUTHORITIES): a text".to_owned(),
        "missing key tls.key (SHIXUN_TLS__KEY): a text".to_owned(),
    ];
    for expected in &expected {
        assert!(told.lines().any(|line| line.starts_with(expected)), "{expected} is not in: {told}");
    }
    assert_eq!(told.lines().count(), expected.len(), "{told}");
    Ok(())
}

#[test]
fn what_is_missing_is_told_beside_it() -> anyhow::Result<()> {
    let told = told(&SOUND.replace("[database]", "[databse]"))?.err().unwrap_or_default();
    assert!(told.contains("unknown key databse (TOML file): did you mean database?"), "{told}");
    assert!(told.contains("missing key database.url (SHIXUN_DATABASE__URL)"), "{told}");
    Ok(())
}
