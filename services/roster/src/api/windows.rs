//! The organisations that supplementary windows name: those that hold the roles, and not what is over or under them.

use std::collections::{BTreeMap, BTreeSet};

use chassis::{Failure, db::Db, policy::PolicyFault};
use proto::{
    common::v1::{Phase, Window},
    roster::v1::organization::Kind,
};

use super::wire;
use crate::{domain::organization::Organization, store::organizations};

/// Checks them before a calendar is taken.
#[derive(Debug, Clone)]
pub struct NamedInWindows {
    /// The roster's database.
    pub db: Db,
}

#[tonic::async_trait]
impl chassis::WindowCheck for NamedInWindows {
    async fn faults(&self, windows: &[Window]) -> Result<Vec<PolicyFault>, Failure> {
        let named: BTreeSet<&str> =
            windows.iter().flat_map(|window| &window.organizations).map(String::as_str).collect();
        if named.is_empty() {
            return Ok(Vec::new());
        }
        let known = wire::by_name(organizations::find_all(&mut self.db.reader(), named).await?);
        Ok(windows.iter().flat_map(|window| faults(window, &known)).collect())
    }
}

fn faults(window: &Window, known: &BTreeMap<String, Organization>) -> Vec<PolicyFault> {
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
