//! A policy document, as each service reads it.

use chassis::Policy;

/// Each service takes it or says what is wrong with it.
///
/// # Panics
/// Where a parser does, or its answer is none.
pub fn policy(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let Ok(document) = text.parse::<toml::Table>() else { return };
    read::<roster::policy::Policy>(&document);
    read::<catalog::domain::Policy>(&document);
    read::<enrollment::domain::Policy>(&document);
    read::<credit::domain::policy::Policy>(&document);
}

fn read<P: Policy>(document: &toml::Table) {
    if let Err(faults) = P::parse(document) {
        assert!(!faults.is_empty() && faults.iter().all(|fault| !fault.key.is_empty()), "{faults:?}");
    }
}
