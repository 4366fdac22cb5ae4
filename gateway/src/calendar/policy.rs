//! What the gateway itself checks of a policy: that each section is somebody's, and its own, `[reminder]`.

use std::collections::BTreeSet;

use chassis::{
    PolicyFault,
    policy::{Section, section, unread},
};
use serde::Deserialize;

use super::Fault;

/// `[reminder]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reminder {
    /// `reminder.days_before_close`: days before a window closes on which people are reminded.
    pub days_before_close: BTreeSet<i64>,
}

impl Default for Reminder {
    fn default() -> Self {
        Self { days_before_close: [1].into() }
    }
}

impl Reminder {
    /// Reads the section.
    ///
    /// # Errors
    /// Every fault of the document that is the gateway's to find. What is no TOML, every service tells.
    pub fn read(policy: &str) -> Result<Self, Vec<Fault>> {
        let Ok(document) = policy.parse::<toml::Table>() else { return Ok(Self::default()) };
        let mut faults = unread(&document);
        let read: Self = section(&document, Section::Reminder, &mut faults);
        let days = &read.days_before_close;
        if days.len() > 10 || days.iter().any(|days| !(1..=60).contains(days)) {
            faults.push(PolicyFault {
                key: "reminder.days_before_close".to_owned(),
                zh: "须为至多 10 个 1–60 的天数".to_owned(),
                en: "must be a list of at most 10 days from 1 to 60".to_owned(),
            });
        }
        if faults.is_empty() { Ok(read) } else { Err(faults.into_iter().map(of_policy).collect()) }
    }
}

/// Faults of a policy stand at "policy.section.key".
fn of_policy(fault: PolicyFault) -> Fault {
    let field = if fault.key.is_empty() { "policy".to_owned() } else { format!("policy.{}", fault.key) };
    Fault::new(field, fault.zh, fault.en)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(policy: &str) -> Vec<String> {
        Reminder::read(policy).err().unwrap_or_default().into_iter().map(|fault| fault.field).collect()
    }

    #[test]
    fn what_no_service_reads_is_refused_here() {
        assert_eq!(fields("[selektion]\nmax_per_round = 1"), ["policy.selektion"]);
        assert_eq!(
            fields("[rond2]\n[reminder]\ndays_befor_close = [1]"),
            ["policy.rond2", "policy.reminder.days_befor_close"]
        );
        assert_eq!((fields("# to do"), fields("")), (vec!["policy".to_owned()], vec!["policy".to_owned()]));
    }

    #[test]
    fn the_days_of_reminders_have_bounds() {
        for wrong in ["[0]", "[61]", "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]"] {
            let policy = format!("[reminder]\ndays_before_close = {wrong}");
            assert_eq!(fields(&policy), ["policy.reminder.days_before_close"], "{wrong}");
        }
        assert_eq!(fields("[reminder]\ndays_before_close = [1, 'two']"), ["policy.reminder.days_before_close[1]"]);
        assert_eq!(Reminder::read("[selection]"), Ok(Reminder::default()));
        let none = Reminder::read("[reminder]\ndays_before_close = []").map(|read| read.days_before_close.len());
        assert_eq!(none, Ok(0));
    }
}
