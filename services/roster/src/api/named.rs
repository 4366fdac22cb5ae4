//! What a calendar and its policy name of the roster's: organisations of supplementary windows (those that hold the roles, and not
//! what is over or under them), organisations of contacts, and the codes that teachers have.

use std::collections::{BTreeMap, BTreeSet};

use chassis::{
    Failure,
    db::Db,
    policy::{PolicyFault, Section, section},
};
use proto::{
    common::v1::{Phase, PutGatesRequest, Window},
    roster::v1::organization::Kind,
};

use super::wire;
use crate::{
    domain::{codes::Codes, organization::Organization},
    store::{organizations, teachers},
};

/// Checks it before a calendar is taken.
#[derive(Debug, Clone)]
pub struct NamedInCalendar {
    /// The roster's database.
    pub db: Db,
}

#[tonic::async_trait]
impl chassis::CalendarCheck for NamedInCalendar {
    async fn faults(&self, calendar: &PutGatesRequest) -> Result<Vec<PolicyFault>, Failure> {
        let (windows, policy) =
            calendar.gates.as_ref().map(|gates| (gates.windows.as_slice(), gates.policy.as_str())).unwrap_or_default();
        let named = windows.iter().flat_map(|window| &window.organizations).chain(&calendar.contacts);
        let named: BTreeSet<&str> = named.map(String::as_str).collect();
        let known = if named.is_empty() {
            BTreeMap::new()
        } else {
            wire::by_name(organizations::find_all(&mut self.db.reader(), named).await?)
        };
        let mut faults: Vec<_> = windows.iter().flat_map(|window| in_window(window, &known)).collect();
        // What is no name of an organisation, the gateway tells.
        let contacts = calendar.contacts.iter().enumerate().filter(|(_, name)| name.starts_with("organizations/"));
        for (index, name) in contacts.filter(|(_, name)| !known.contains_key(*name)) {
            faults.push(PolicyFault {
                key: format!("contact[{index}].organization"),
                zh: format!("没有机构 {name}"),
                en: format!("there is no {name}"),
            });
        }
        faults.extend(self.in_codes(policy).await?);
        Ok(faults)
    }
}

impl NamedInCalendar {
    /// A code that teachers have cannot leave its list: what is addressed to it would reach nobody, and no entry of theirs could
    /// be put right.
    async fn in_codes(&self, policy: &str) -> Result<Vec<PolicyFault>, Failure> {
        let Ok(document) = policy.parse::<toml::Table>() else { return Ok(Vec::new()) };
        let mut unreadable = Vec::new();
        let codes: Codes = section(&document, Section::Codes, &mut unreadable);
        if !unreadable.is_empty() {
            // Told by whoever checks the section's form; what its lists hold is not known yet.
            return Ok(Vec::new());
        }
        let in_use = teachers::codes_in_use(&mut self.db.reader()).await?;
        let told = codes.unlisted(in_use).into_iter().map(|(key, code)| PolicyFault {
            key: format!("policy.{key}"),
            zh: format!("在职教师中仍有“{code}”：请保留该代码，或先更正这些教师"),
            en: format!("teachers in service have {code:?}: keep it in the list, or correct them first"),
        });
        Ok(told.collect())
    }
}

fn in_window(window: &Window, known: &BTreeMap<String, Organization>) -> Vec<PolicyFault> {
    let of_one = |name: &String| {
        let (zh, en) = match (known.get(name), window.phase()) {
            (None, _) => (format!("没有机构 {name}"), format!("there is no {name}")),
            (Some(one), Phase::Selection | Phase::SchoolReview) if !one.is_school() => (
                format!("{name} 不是学校，请逐一列出学校"),
                format!("{name} is no school: name the schools themselves"),
            ),
            (Some(one), Phase::ProviderConfirmation | Phase::ExpansionRequest) if !one.is(Kind::Provider) => {
                (format!("{name} 不是培训机构"), format!("{name} is no provider: name the providers themselves"))
            }
            _ => return None,
        };
        Some(PolicyFault { key: format!("window.{}.organizations", window.id), zh, en })
    };
    window.organizations.iter().filter_map(of_one).collect()
}
