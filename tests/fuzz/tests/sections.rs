//! The closed list of a policy's sections is what the services read: a section that nobody read would be taken in silence.

use chassis::{Policy, policy::Section};

fn told<P: Policy>(document: &toml::Table) -> Vec<String> {
    P::parse(document).err().unwrap_or_default().into_iter().map(|fault| fault.key).collect()
}

#[test]
fn every_section_of_the_list_is_read_by_somebody_and_an_unknown_key_of_it_refused() -> anyhow::Result<()> {
    for section in Section::ALL.map(Section::name) {
        let text = format!("[{section}]\nno_such_key = 1");
        let document: toml::Table = text.parse()?;
        let own = gateway::calendar::Reminder::read(&text)
            .err()
            .unwrap_or_default()
            .into_iter()
            .map(|fault| fault.field.replace("policy.", ""));
        let mut found: Vec<_> = own.collect();
        found.extend(told::<roster::policy::Policy>(&document));
        found.extend(told::<catalog::domain::Policy>(&document));
        found.extend(told::<enrollment::domain::Policy>(&document));
        found.extend(told::<credit::domain::policy::Policy>(&document));
        assert!(found.contains(&format!("{section}.no_such_key")), "nobody reads [{section}]: {found:?}");
    }
    Ok(())
}
