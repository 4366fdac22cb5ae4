//! The sections of a policy, and how one is read: key by key, so that all faults are told at once, each at its key.

use std::collections::BTreeSet;

use figment::error::{Actual, Kind};
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::PolicyFault;

/// How like two names are that are the same but for a slip (Jaro–Winkler, 0 to 1).
const ALIKE: f64 = 0.8;

/// A section of a policy. The list is closed: the gateway takes no document that has another, since nobody would read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// The closed lists of codes: roster; catalog for audiences.
    Codes,
    /// Expert review: catalog.
    Review,
    /// Expansion: catalog.
    Expansion,
    /// Limits of a teacher: enrollment.
    Selection,
    /// Who selects in a later round: enrollment.
    Round2,
    /// How places are given: enrollment.
    Allocation,
    /// When a class is worth opening: enrollment.
    Class,
    /// Whether a project fits a teacher: enrollment, credit.
    Match,
    /// The structure of what is selected: enrollment.
    Structure,
    /// Attendance: enrollment.
    Attendance,
    /// Training notices: enrollment.
    Notice,
    /// Reminders before a close: gateway.
    Reminder,
    /// The credit cycle: credit.
    Cycle,
    /// The regulation's values: credit.
    Requirements,
    /// For how long what is held of persons is kept: every service.
    Retention,
}

impl Section {
    /// All that there are.
    pub const ALL: [Self; 15] = [
        Self::Codes,
        Self::Review,
        Self::Expansion,
        Self::Selection,
        Self::Round2,
        Self::Allocation,
        Self::Class,
        Self::Match,
        Self::Structure,
        Self::Attendance,
        Self::Notice,
        Self::Reminder,
        Self::Cycle,
        Self::Requirements,
        Self::Retention,
    ];

    /// As in the document.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Codes => "codes",
            Self::Review => "review",
            Self::Expansion => "expansion",
            Self::Selection => "selection",
            Self::Round2 => "round2",
            Self::Allocation => "allocation",
            Self::Class => "class",
            Self::Match => "match",
            Self::Structure => "structure",
            Self::Attendance => "attendance",
            Self::Notice => "notice",
            Self::Reminder => "reminder",
            Self::Cycle => "cycle",
            Self::Requirements => "requirements",
            Self::Retention => "retention",
        }
    }
}

/// What nobody reads of a document: sections that there are none of; and a document that says nothing at all. Absent keys have
/// their defaults, but a document without a section is a wrong file rather than a decision: who wants the defaults writes the
/// head of a section.
#[must_use]
pub fn unread(document: &Table) -> Vec<PolicyFault> {
    let names = Section::ALL.map(Section::name);
    if document.is_empty() {
        return vec![PolicyFault {
            key: String::new(),
            zh: format!(
                "政策文件为空：至少写一节；若全部采用默认值，写一行 [selection] 即可。可用的节：{}",
                names.join("、")
            ),
            en: format!(
                "the document says nothing: it needs a section; where all defaults are meant, write [selection]. There are {}",
                names.join(", ")
            ),
        }];
    }
    let strangers = document.keys().filter(|key| !names.contains(&key.as_str()));
    let told = strangers.map(|key| {
        let (zh, en) = match nearest(key, names) {
            Some(meant) => {
                (format!("没有这一节；是否应为 [{meant}]？"), format!("no such section: did you mean [{meant}]?"))
            }
            None => (
                format!("没有这一节；可用 {}", names.join("、")),
                format!("no such section; there are {}", names.join(", ")),
            ),
        };
        PolicyFault { key: key.clone(), zh, en }
    });
    told.collect()
}

/// The name that was meant, if one is like what was written.
pub(crate) fn nearest<'a>(written: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let alike = names.into_iter().map(|name| (strsim::jaro_winkler(written, name), name));
    alike.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(likeness, _)| *likeness >= ALIKE).map(|(_, name)| name)
}

/// Reads one section with serde, noting all that is wrong with it. Of keys that are absent, or wrong, the result has the
/// defaults.
pub fn section<T: DeserializeOwned + Default>(document: &Table, section: Section, faults: &mut Vec<PolicyFault>) -> T {
    let name = section.name();
    let Some(value) = document.get(name) else { return T::default() };
    let Value::Table(table) = value else {
        let (zh, en) = (format!("须为一节：[{name}]"), format!("must be a section: [{name}]"));
        faults.push(PolicyFault { key: name.to_owned(), zh, en });
        return T::default();
    };
    let mut sound = Table::new();
    for (key, value) in table {
        let found = faults_of::<T>(name, key, value);
        if found.is_empty() {
            sound.insert(key.clone(), value.clone());
        }
        faults.extend(found);
    }
    // Each key can be read by itself, and none is needed.
    sound.try_into().unwrap_or_default()
}

/// What is wrong with the value of one key; of a list, with each of its elements.
fn faults_of<T: DeserializeOwned>(section: &str, key: &str, value: &Value) -> Vec<PolicyFault> {
    let mut faults = Vec::new();
    if explain::<T>(key, value).is_none() {
        return faults;
    }
    match value {
        Value::Array(elements) if explain::<T>(key, &Value::Array(Vec::new())).is_none() => {
            for (index, element) in elements.iter().enumerate() {
                let whole = Value::Array(vec![element.clone()]);
                strip::<T>(&format!("{section}.{key}[{index}]"), key, whole, &mut faults);
            }
        }
        _ => strip::<T>(&format!("{section}.{key}"), key, value.clone(), &mut faults),
    }
    faults
}

/// Notes what is wrong with a value, takes it out, and looks again, until what is left is sound.
fn strip<T: DeserializeOwned>(at: &str, key: &str, mut value: Value, faults: &mut Vec<PolicyFault>) {
    let mut taken = BTreeSet::new();
    while let Some((path, kind)) = explain::<T>(key, &value) {
        let below = if value.is_array() { path.get(1..) } else { Some(path.as_slice()) };
        let mut place = below.unwrap_or_default().to_vec();
        if let Some(Kind::MissingField(field)) = &kind {
            place.push(field.to_string());
        }
        // What is missing because it was taken out has been told.
        if !taken.insert(place.clone()) {
            return;
        }
        let (zh, en) = words(kind.as_ref());
        let key = [at.to_owned()].into_iter().chain(place.clone()).collect::<Vec<_>>().join(".");
        faults.push(PolicyFault { key, zh, en });
        let inner = match &mut value {
            Value::Array(elements) => elements.first_mut(),
            other => Some(other),
        };
        if !inner.is_some_and(|inner| take_out(inner, &place)) {
            return;
        }
    }
}

/// Takes out the key of a table that a path leads to; whether there was one.
fn take_out(value: &mut Value, path: &[String]) -> bool {
    let (Value::Table(table), Some((key, rest))) = (value, path.split_first()) else { return false };
    match table.get_mut(key) {
        Some(below @ Value::Table(_)) if !rest.is_empty() => take_out(below, rest),
        _ => table.remove(key).is_some(),
    }
}

/// Why a key cannot be read, and where below it. TOML's own reading decides; figment's knows the place.
fn explain<T: DeserializeOwned>(key: &str, value: &Value) -> Option<(Vec<String>, Option<Kind>)> {
    let table = Table::from_iter([(key.to_owned(), value.clone())]);
    if table.clone().try_into::<T>().is_ok() {
        return None;
    }
    let Ok(again) = figment::value::Value::serialize(table) else { return Some((Vec::new(), None)) };
    Some(match again.deserialize::<T>() {
        Err(error) => (error.path.into_iter().skip(1).collect(), Some(error.kind)),
        Ok(_) => (Vec::new(), None),
    })
}

/// A fault's remedy in Chinese and English.
fn words(kind: Option<&Kind>) -> (String, String) {
    let (zh, en) = match kind {
        Some(Kind::UnknownField(_, known)) => {
            return (
                format!("未知的键；可用 {}", known.join("、")),
                format!("unknown; there are {}", known.join(", ")),
            );
        }
        Some(Kind::UnknownVariant(_, known)) => {
            return (format!("须为其中之一：{}", known.join("、")), format!("must be one of {}", known.join(", ")));
        }
        Some(Kind::MissingField(_)) => ("必填", "required"),
        Some(Kind::InvalidValue(Actual::Signed(_) | Actual::Unsigned(_), _)) => ("数值超出范围", "is out of range"),
        Some(Kind::InvalidType(_, expected)) => match expected.as_str() {
            "i8" | "i16" | "i32" | "i64" | "u8" | "u16" | "u32" | "u64" => ("须为整数", "must be a whole number"),
            "a boolean" => ("须为 true 或 false", "must be true or false"),
            "a string" => ("须为文字", "must be a text"),
            "a sequence" => ("须为列表", "must be a list"),
            expected if expected == "a map" || expected.starts_with("struct ") => ("须为表", "must be a table"),
            _ => ("值的形式不对", "has the wrong form"),
        },
        _ => ("值的形式不对", "has the wrong form"),
    };
    (zh.to_owned(), en.to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Sample {
        most: i64,
        years: i16,
        open: bool,
        rounds: BTreeMap<String, Word>,
        words: Vec<Word>,
        lines: Vec<Line>,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Word {
        #[default]
        Warn,
        Block,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Line {
        kind: Word,
        percent: i64,
        #[serde(default)]
        codes: Vec<String>,
    }

    fn read(text: &str) -> (Sample, Vec<(String, String)>) {
        let mut faults = Vec::new();
        let read = section(&text.parse().expect("TOML"), Section::Selection, &mut faults);
        assert!(faults.iter().all(|fault| !fault.zh.is_ascii()), "{faults:?}");
        (read, faults.into_iter().map(|fault| (fault.key, fault.en)).collect())
    }

    fn told(faults: &[(&str, &str)]) -> Vec<(String, String)> {
        faults.iter().map(|(key, en)| (format!("selection.{key}"), (*en).to_owned())).collect()
    }

    #[test]
    fn every_key_tells_its_own_fault_and_the_sound_ones_are_read() {
        let (read, faults) = read(
            "[selection]\nmost = 'x'\nyears = 100000\nopen = 1\nrounds = { 1 = 'block', 2 = 'blok', 3 = 4 }\n\
             words = ['warn', 'wran', 1]\ncolour = 3",
        );
        let expected = [
            ("colour", "unknown; there are most, years, open, rounds, words, lines"),
            ("most", "must be a whole number"),
            ("open", "must be true or false"),
            ("rounds.2", "must be one of warn, block"),
            ("rounds.3", "has the wrong form"),
            ("words[1]", "must be one of warn, block"),
            ("words[2]", "has the wrong form"),
            ("years", "is out of range"),
        ];
        assert_eq!((read, faults), (Sample::default(), told(&expected)));
        let (read, faults) = self::read("[selection]\nmost = 3\nopen = 'yes'");
        assert_eq!((read.most, faults), (3, told(&[("open", "must be true or false")])));
    }

    #[test]
    fn every_line_of_a_table_tells_its_own_faults() {
        let (_, faults) = read(
            "[[selection.lines]]\nkind = 'warn'\npercent = 1\n[[selection.lines]]\nkind = 'x'\npercent = 'y'\nsort = 1\n\
             [[selection.lines]]\nkind = 'warn'\npercent = 1.5\ncodes = ['a', 2]\n[[selection.lines]]\npercent = 1",
        );
        let expected = [
            ("lines[1].kind", "must be one of warn, block"),
            ("lines[1].percent", "must be a whole number"),
            ("lines[1].sort", "unknown; there are kind, percent, codes"),
            ("lines[2].codes.1", "must be a text"),
            ("lines[2].percent", "must be a whole number"),
            ("lines[3].kind", "required"),
        ];
        let mut faults = faults;
        faults.sort();
        assert_eq!(faults, told(&expected));
        assert_eq!(read("[selection]\nlines = 3").1, told(&[("lines", "must be a list")]));
        assert_eq!(read("selection = 3").1, [("selection".to_owned(), "must be a section: [selection]".to_owned())]);
    }

    #[test]
    fn what_nobody_reads_is_told_and_so_is_a_document_that_says_nothing() {
        let keys = |text: &str| -> Vec<_> {
            unread(&text.parse().expect("TOML")).into_iter().map(|fault| (fault.key, fault.en)).collect()
        };
        assert_eq!(keys("[selection]\n[reminder]"), []);
        let found = keys("max_per_round = 1\n[selektion]\nmax_per_round = 1\n[rond2]");
        let meant = |name: &str| format!("no such section: did you mean [{name}]?");
        assert_eq!(found[0].0, "max_per_round");
        assert_eq!(found[1..], [("rond2".to_owned(), meant("round2")), ("selektion".to_owned(), meant("selection"))]);
        assert!(keys("# nothing").iter().all(|(key, en)| key.is_empty() && en.contains("write [selection]")));
        assert_eq!(keys("").len(), 1);
    }
}
