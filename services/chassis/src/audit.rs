//! The audit view: who read data of other persons, and who changed what, as one service's database has it. Ids and codes only, as
//! in all that is kept of acts.

use std::{fmt, str::FromStr};

use prost_reflect::{DynamicMessage, Value};
use proto::common::v1::Change;
use serde::Serialize;

use crate::{
    changes::{Moment, period},
    contract,
    db::{Db, Queries, args},
    failure::Failure,
};

/// Readings of one look.
const LOOK: usize = 1000;

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

    fn is_about(&self, names: &[String]) -> bool {
        self.about.as_ref().is_none_or(|wanted| names.iter().any(|name| is_at_or_below(name, wanted)))
    }
}

/// Whether a name is that of a resource, or of something that belongs to it.
pub(crate) fn is_at_or_below(name: &str, resource: &str) -> bool {
    name.strip_prefix(resource).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
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
    /// The instant, in microseconds since the epoch.
    #[serde(skip)]
    pub(crate) instant: i64,
    /// All that the request names, or the resource after the change.
    #[serde(skip)]
    pub(crate) names: Vec<String>,
}

/// Where a look through the acts goes on: the readings come first, by their instants, then the changes, by those of their transactions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Place {
    /// After the reading of this instant and line.
    Readings(i64, i64),
    /// After this change.
    Changes(Moment),
}

impl Place {
    pub const BEGIN: Self = Self::Readings(i64::MIN, 0);
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Readings(at, line) => write!(f, "read {at} {line}"),
            Self::Changes(Moment { at, position, told }) => write!(f, "changed-at {at} {position} {told}"),
        }
    }
}

impl FromStr for Place {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut words = text.split(' ');
        let kind = words.next();
        let mut number = || words.next().and_then(|word| word.parse::<i64>().ok()).ok_or(());
        match kind {
            Some("read") => Ok(Self::Readings(number()?, number()?)),
            Some("changed-at") => Ok(Self::Changes(Moment { at: number()?, position: number()?, told: number()? })),
            _ => Err(()),
        }
    }
}

/// What one look found: each act with its place, and where the next look begins; `None` at the end.
pub(crate) type Part = (Vec<(Act, Place)>, Option<Place>);

/// The acts, in the order of their instants; of one instant readings first.
///
/// # Errors
/// Those of the database.
pub async fn acts(db: &Db, wanted: &Wanted) -> Result<Vec<Act>, Failure> {
    let (mut acts, mut place) = (Vec::new(), Some(Place::BEGIN));
    while let Some(from) = place {
        let (found, next) = part(db, wanted, from).await?;
        acts.extend(found.into_iter().map(|(act, _)| act));
        place = next;
    }
    acts.sort_by_key(|act| act.instant);
    Ok(acts)
}

/// One bounded look from a place on.
///
/// # Errors
/// Those of the database.
pub(crate) async fn part(db: &Db, wanted: &Wanted, from: Place) -> Result<Part, Failure> {
    match from {
        Place::Readings(at, line) => readings(db, wanted, at, line).await,
        Place::Changes(after) => changes(db, wanted, after).await,
    }
}

async fn readings(db: &Db, wanted: &Wanted, at: i64, line: i64) -> Result<Part, Failure> {
    let rows = db
        .reader()
        .all(
            "SELECT line, at, account, roles, method, about FROM reading
             WHERE at >= $1 AND at < $2 AND (at > $1 OR line > $3) ORDER BY at, line LIMIT $4",
            args![at.max(wanted.since), wanted.until, if at < wanted.since { 0 } else { line }, LOOK],
        )
        .await?;
    let (mut acts, mut place) = (Vec::new(), Place::BEGIN);
    for row in &rows {
        let (at, who, about) = (row.get("at")?, row.get::<String>("account")?, row.get::<String>("about")?);
        place = Place::Readings(at, row.get("line")?);
        let names: Vec<_> = about.split(' ').filter_map(|field| Some(field.split_once('=')?.1.to_owned())).collect();
        if wanted.is_who(&who) && wanted.is_about(&names) {
            let (roles, what) = (row.get("roles")?, row.get("method")?);
            let (act, service, reason) = ("read", db.service(), String::new());
            let act = Act { at: text(at), act, service, who, roles, what, about, reason, instant: at, names };
            acts.push((act, place));
        }
    }
    Ok((acts, Some(if rows.len() < LOOK { Place::Changes(Moment::default()) } else { place })))
}

async fn changes(db: &Db, wanted: &Wanted, from: Moment) -> Result<Part, Failure> {
    let (found, next) = period(&mut db.reader(), wanted.since, wanted.until, from).await?;
    let mut acts = Vec::new();
    for (change, after) in found {
        let at = change.at.as_ref().map(proto::instant).unwrap_or_default();
        let actor = change.actor.clone().unwrap_or_default();
        if !wanted.is_when(at) || !wanted.is_who(&actor.account) {
            continue;
        }
        let names = names(&change);
        if !wanted.is_about(&names) {
            continue;
        }
        let roles = match actor.account.as_str() {
            "" => String::new(),
            _ => format!("{} {}", actor.role().as_str_name(), actor.organization),
        };
        let who = if actor.account.is_empty() { actor.service } else { actor.account };
        let (act, service) = ("changed", db.service());
        let (what, about, reason) = (change.verb, change.resource, change.reason);
        let act = Act { at: text(at), act, service, who, roles, what, about, reason, instant: at, names };
        acts.push((act, Place::Changes(after)));
    }
    Ok((acts, next.map(Place::Changes)))
}

/// The resource, and all that the resource after the change names.
fn names(change: &Change) -> Vec<String> {
    let mut names = vec![change.resource.clone()];
    if let Some(after) = &change.after {
        let name = after.type_url.rsplit('/').next().unwrap_or_default();
        let descriptor = contract::pool().get_message_by_name(name);
        let message = descriptor.and_then(|it| DynamicMessage::decode(it, after.value.as_slice()).ok());
        if let Some(message) = message {
            add_names(&Value::Message(message), &mut names);
        }
    }
    names
}

fn add_names(value: &Value, names: &mut Vec<String>) {
    match value {
        Value::String(text) if text.contains('/') => names.push(text.clone()),
        Value::List(values) => values.iter().for_each(|value| add_names(value, names)),
        Value::Message(message) => message.fields().for_each(|(_, value)| add_names(value, names)),
        _ => {}
    }
}

fn text(at: i64) -> String {
    proto::jiff_instant(at).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_was_written() {
        for place in [Place::BEGIN, Place::Readings(5, 7), Place::Changes(Moment { at: 5, position: 3, told: 2 })] {
            assert_eq!(place.to_string().parse(), Ok(place));
        }
        for text in ["", "read", "read 1", "changed-at 1 2", "changed-at a b c", "changed 1 2"] {
            assert_eq!(text.parse::<Place>(), Err(()), "{text}");
        }
    }

    #[test]
    fn what_belongs_to_a_person_is_about_him() {
        assert!(is_at_or_below("teachers/1", "teachers/1") && is_at_or_below("teachers/1/exports/2", "teachers/1"));
        assert!(!is_at_or_below("teachers/12", "teachers/1") && !is_at_or_below("teachers/1", "teachers/1/exports/2"));
    }
}
