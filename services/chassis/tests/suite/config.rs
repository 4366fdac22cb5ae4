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
        ("url = 74656667", "a number"),
        ("url = ['74656667']", "a list"),
        ("url = 'sqlite:x'\nmigrate = '74656667'", "a text"),
        ("url = 'postgres://u:74656667@db/x", "line 3"),
    ] {
        let told = told(&SOUND.replace(url, wrong))?.err().unwrap_or_default();
        assert!(told.contains(expected) && !told.contains("74656667"), "{wrong}: {told}");
    }
    let config = told(&SOUND.replace(url, "url = 'postgres://u:74656667@db/x'"))?.map_err(anyhow::Error::msg)?;
    assert!(config.database.url.contains("74656667") && !format!("{config:?}").contains("74656667"));
    Ok(())
}

#[test]
fn what_is_missing_is_told_beside_it() -> anyhow::Result<()> {
    let told = told(&SOUND.replace("[database]", "[databse]"))?.err().unwrap_or_default();
    assert!(told.contains("unknown key databse (TOML file): did you mean database?"), "{told}");
    assert!(told.contains("missing field `database`"), "{told}");
    Ok(())
}
