//! The documents of a term, looked at together before anything is made of them: every fault, where it is, and its remedy.

use chassis::policy::{Policy, PolicyFault};
use gateway::calendar::{self, Calendar, Fault};
use serde::de::DeserializeOwned;
use toml::{Table, Value};

/// The calendar, as the gateway will read it.
pub fn calendar(document: &str, faults: &mut Vec<String>) -> Option<Calendar> {
    let (read, mut found) = calendar::survey(document);
    found.extend(calendar::validate(&read));
    found.extend(read.windows().err().unwrap_or_default());
    let whole = found.is_empty();
    faults.extend(found.into_iter().map(|Fault { field, zh, en }| format!("calendar.toml: {field}: {zh} / {en}")));
    whole.then_some(read)
}

/// The policy, as the services will read their sections of it.
pub fn policy(document: &str, faults: &mut Vec<String>) {
    let table: Table = match document.parse() {
        Ok(table) => table,
        Err(error) => return faults.push(format!("policy.toml: {error}")),
    };
    let mut found: Vec<PolicyFault> = Vec::new();
    for service in [
        read::<roster::policy::Policy>,
        read::<catalog::domain::Policy>,
        read::<enrollment::domain::Policy>,
        read::<credit::domain::policy::Policy>,
    ] {
        found.extend(service(&table));
    }
    let own = calendar::Reminder::read(document).err().unwrap_or_default();
    found.extend(own.into_iter().map(|Fault { field, zh, en }| PolicyFault {
        key: field.trim_start_matches("policy.").to_owned(),
        zh,
        en,
    }));
    for PolicyFault { key, zh, en } in found {
        let told = format!("policy.toml: {key}: {zh} / {en}");
        // Sections that several services read.
        if !faults.contains(&told) {
            faults.push(told);
        }
    }
}

fn read<P: Policy>(document: &Table) -> Vec<PolicyFault> {
    P::parse(document).err().unwrap_or_default()
}

/// A document of settings; `like` is the sample's, of which every part may be left in place while another is tried.
pub fn settings<T: DeserializeOwned>(name: &str, document: &str, like: &str, faults: &mut Vec<String>) -> Option<T> {
    let tables = document.parse::<Table>().and_then(|given| Ok((given, like.parse::<Table>()?)));
    let (given, like) = match tables {
        Ok((given, like)) => (Value::from(given), Value::from(like)),
        Err(error) => {
            faults.push(format!("{name}: {error}"));
            return None;
        }
    };
    let fits = |value: Value| value.try_into::<T>().map(drop).map_err(|error| error.message().to_owned());
    Part { path: String::new(), given: &given, like: &like, fits: &fits }.faults(&mut |path, message| {
        faults.push(format!("{name}: {path}{message}"));
    });
    given.try_into().ok()
}

/// A part of a document, and whether something fits in its place.
struct Part<'a> {
    path: String,
    given: &'a Value,
    like: &'a Value,
    fits: &'a dyn Fn(Value) -> Result<(), String>,
}

impl Part<'_> {
    /// Tells every fault of the part, each with the innermost key that it can be pinned to.
    fn faults(&self, tell: &mut dyn FnMut(&str, &str)) {
        let Err(message) = (self.fits)(self.given.clone()) else { return };
        let mut told = false;
        let mut pinned = |path: &str, message: &str| {
            told = true;
            tell(path, message);
        };
        match (self.given, self.like) {
            (Value::Table(given), Value::Table(like)) => self.keys(given, like, &mut pinned),
            (Value::Array(given), Value::Array(like)) => self.entries(given, like, &mut pinned),
            _ => {}
        }
        if !told {
            tell(&if self.path.is_empty() { String::new() } else { format!("{}: ", self.path) }, &message);
        }
    }

    fn keys(&self, given: &Table, like: &Table, tell: &mut dyn FnMut(&str, &str)) {
        for (key, value) in given {
            let path = if self.path.is_empty() { key.clone() } else { format!("{}.{key}", self.path) };
            let fits = |value: Value| {
                let mut table = like.clone();
                table.insert(key.clone(), value);
                (self.fits)(table.into())
            };
            Part { path, given: value, like: like.get(key).unwrap_or(value), fits: &fits }.faults(tell);
        }
        for key in like.keys().filter(|key| !given.contains_key(*key)) {
            let mut table = like.clone();
            table.remove(key);
            if let Err(message) = (self.fits)(table.into()) {
                tell(&if self.path.is_empty() { String::new() } else { format!("{}: ", self.path) }, &message);
            }
        }
    }

    fn entries(&self, given: &[Value], like: &[Value], tell: &mut dyn FnMut(&str, &str)) {
        // Of tables there may be any number; of numbers in a list as many as there are.
        let Some(like) = like.first().filter(|like| like.is_table()) else { return };
        for (n, value) in given.iter().enumerate() {
            let path = format!("{}[{n}]", self.path);
            Part { path, given: value, like, fits: &|value| (self.fits)(Value::Array(vec![value])) }.faults(tell);
        }
    }
}
