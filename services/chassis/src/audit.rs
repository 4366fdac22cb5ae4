//! The audit view: who read data of other persons, and who changed what, as one service's database has it. Ids and codes only, as
//! in all that is kept of acts.

use prost_reflect::{DynamicMessage, Value};
use proto::common::v1::{Change, Cursor};
use serde::Serialize;

use crate::{
    changes::since,
    contract,
    db::{Db, Queries, args},
    failure::Failure,
};

/// Readings of one look.
const PAGE: usize = 1000;

/// Which acts are wanted.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Whose: "accounts/…"; none: everybody's.
    pub account: Option<String>,
    /// About whom or what: the name of a resource; none: everything.
    pub about: Option<String>,
    /// From this instant on, in microseconds since the epoch.
    pub since: i64,
    /// Before this one.
    pub until: i64,
}

impl Wanted {
    fn is_when(&self, at: i64) -> bool {
        (self.since..self.until).contains(&at)
    }

    fn is_who(&self, account: &str) -> bool {
        self.account.as_ref().is_none_or(|wanted| wanted == account)
    }

    fn is_about(&self, mut names: impl Iterator<Item = String>) -> bool {
        let Some(wanted) = &self.about else { return true };
        let below = format!("{wanted}/");
        names.any(|name| name == *wanted || name.starts_with(&below))
    }
}

/// Something that somebody did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Act {
    /// The instant, UTC.
    pub at: String,
    /// "read" or "changed".
    pub act: &'static str,
    /// In which service.
    pub service: &'static str,
    /// "accounts/…", or the service that acted on its own.
    pub who: String,
    /// The roles that allowed it, each with its scope.
    pub roles: String,
    /// The method that read, or the verb of the change.
    pub what: String,
    /// Of a reading the names in its request, of a change its resource.
    pub about: String,
    /// Coded reason of a change.
    pub reason: String,
    #[serde(skip)]
    order: i64,
}

/// The acts, in the order of their instants; of one instant readings first.
///
/// # Errors
/// Those of the database.
pub async fn acts(db: &Db, wanted: &Wanted) -> Result<Vec<Act>, Failure> {
    let mut acts = readings(db, wanted).await?;
    acts.extend(changes(db, wanted).await?);
    acts.sort_by_key(|act| act.order);
    Ok(acts)
}

async fn readings(db: &Db, wanted: &Wanted) -> Result<Vec<Act>, Failure> {
    let (mut acts, mut after) = (Vec::new(), 0_i64);
    loop {
        let rows = db
            .reader()
            .all(
                "SELECT line, at, account, roles, method, about FROM reading WHERE line > $1 ORDER BY line LIMIT $2",
                args![after, PAGE],
            )
            .await?;
        for row in &rows {
            after = row.get("line")?;
            let (at, who, about) = (row.get("at")?, row.get::<String>("account")?, row.get::<String>("about")?);
            let names = about.split(' ').filter_map(|field| Some(field.split_once('=')?.1.to_owned()));
            if wanted.is_when(at) && wanted.is_who(&who) && wanted.is_about(names) {
                let (roles, what) = (row.get("roles")?, row.get("method")?);
                let (act, service, reason) = ("read", db.service(), String::new());
                acts.push(Act { at: instant(at), act, service, who, roles, what, about, reason, order: at });
            }
        }
        if rows.len() < PAGE {
            return Ok(acts);
        }
    }
}

async fn changes(db: &Db, wanted: &Wanted) -> Result<Vec<Act>, Failure> {
    let (mut acts, mut after) = (Vec::new(), Cursor::default());
    loop {
        let messages = since(db, &after).await?;
        let Some(last) = messages.last() else { return Ok(acts) };
        let taken = last.first.saturating_add(i32::try_from(last.changes.len()).unwrap_or(i32::MAX));
        after = Cursor { position: last.position, index: taken };
        for change in messages.into_iter().flat_map(|message| message.changes) {
            let at = change.at.as_ref().map(proto::instant).unwrap_or_default();
            let actor = change.actor.clone().unwrap_or_default();
            if !wanted.is_when(at) || !wanted.is_who(&actor.account) || !wanted.is_about(names(&change).into_iter()) {
                continue;
            }
            let roles = match actor.account.as_str() {
                "" => String::new(),
                _ => format!("{} {}", actor.role().as_str_name(), actor.organization),
            };
            let who = if actor.account.is_empty() { actor.service } else { actor.account };
            let (act, service) = ("changed", db.service());
            let (what, about, reason) = (change.verb, change.resource, change.reason);
            acts.push(Act { at: instant(at), act, service, who, roles, what, about, reason, order: at });
        }
    }
}

/// The resource, and all that the resource after the change names.
fn names(change: &Change) -> Vec<String> {
    let mut names = vec![change.resource.clone()];
    if let Some(after) = &change.after {
        let name = after.type_url.rsplit('/').next().unwrap_or_default();
        let descriptor = contract::pool().get_message_by_name(name);
        let message = descriptor.and_then(|it| DynamicMessage::decode(it, after.value.as_slice()).ok());
        for (_, value) in message.iter().flat_map(DynamicMessage::fields) {
            let values = match value {
                Value::List(values) => values.as_slice(),
                one => std::slice::from_ref(one),
            };
            names.extend(values.iter().filter_map(Value::as_str).map(str::to_owned));
        }
    }
    names
}

fn instant(at: i64) -> String {
    proto::jiff_instant(at).to_string()
}
