//! `roster.toml` and `projects.toml`, as they are documented there.

#![allow(missing_docs, reason = "each key is documented in the sample term's files")]

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde::Deserialize;

/// Weights by code.
pub type Weights = BTreeMap<String, f64>;

/// `roster.toml`: the county and its people.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RosterSettings {
    /// How many of everything.
    pub size: RosterSize,
    /// What they are called.
    pub names: RosterNames,
    /// What marks them as invented.
    pub marks: Marks,
    /// Kinds of schools.
    pub school: Vec<SchoolKind>,
    /// Distributions of the teachers' facts.
    pub people: People,
    /// Credit from before.
    pub opening: OpeningSettings,
    /// What teachers do in the term.
    pub behaviour: Behaviour,
}

/// `[size]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RosterSize {
    pub teachers_per_school: u32,
    pub min_schools: u32,
    pub schools_per_district: u32,
    pub min_districts: u32,
    pub experts: u32,
    pub bureau_officers: u32,
}

/// `[names]`; `{n}` stands for a serial number.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RosterNames {
    pub city: String,
    pub bureau: String,
    pub district: String,
    pub teacher: String,
    pub officer: String,
    pub expert: String,
    pub operator: String,
    pub contact_office: String,
    pub contact_phone: String,
}

/// `[marks]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Marks {
    pub identity_region: String,
    pub phone_prefix: String,
    pub school_region: String,
    pub password: String,
}

/// `[[school]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SchoolKind {
    pub stage: String,
    pub name: String,
    #[serde(default)]
    pub kindergarten: bool,
    pub type_code: String,
    pub identifier_prefix: String,
    pub weight: f64,
    pub relative_size: f64,
    pub subjects: Weights,
}

/// `[people]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct People {
    pub size_spread: f64,
    pub women: BTreeMap<String, u32>,
    pub service: Vec<(i64, i64, f64)>,
    pub start_age: (i64, i64),
    pub platform_entry: Weights,
    pub employment: Weights,
    pub education: Weights,
    pub head_teachers: u32,
    pub second_subject: u32,
    pub second_stage: u32,
    pub neighbour: BTreeMap<String, String>,
    pub new_principals: u32,
    /// From this completed year of service on: weights of novice, competent, backbone, leader.
    pub tiers: Vec<(i64, f64, f64, f64, f64)>,
}

/// `[opening]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpeningSettings {
    pub percent: u32,
    pub per_year: (i64, i64),
    pub intensive_percent: u32,
    pub school_based_percent: u32,
    pub school_based: (i64, i64),
}

/// `[behaviour]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Behaviour {
    pub abstain: u32,
    pub wishes: Vec<f64>,
    pub matched: u32,
    pub second_round: u32,
}

impl RosterSettings {
    /// What types cannot say: every key that cannot be used.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let digits = |text: &str, length: usize| text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit());
        let mut rules = vec![
            (digits(&self.marks.identity_region, 6), "marks.identity_region: six digits".to_owned()),
            (digits(&self.marks.phone_prefix, 3), "marks.phone_prefix: three digits".to_owned()),
            (digits(&self.marks.school_region, 2), "marks.school_region: two digits".to_owned()),
            (self.size.teachers_per_school > 0, "size.teachers_per_school: at least 1".to_owned()),
            (self.size.schools_per_district > 0, "size.schools_per_district: at least 1".to_owned()),
            (!self.school.is_empty(), "school: at least one kind".to_owned()),
        ];
        for (n, kind) in self.school.iter().enumerate() {
            let weighted = kind.subjects.values().any(|weight| *weight > 0.0);
            rules.push((digits(&kind.identifier_prefix, 2), format!("school[{n}].identifier_prefix: two digits")));
            rules.push((weighted, format!("school[{n}].subjects: at least one with a weight")));
        }
        broken(rules)
    }
}

/// The rules that do not hold.
fn broken(rules: Vec<(bool, String)>) -> Vec<String> {
    rules.into_iter().filter(|(holds, _)| !holds).map(|(_, rule)| rule).collect()
}

/// `projects.toml`: the projects of the term.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProjectSettings {
    pub size: ProjectSize,
    pub names: ProjectNames,
    pub popularity: Popularity,
    pub level: Weights,
    pub template: Vec<Template>,
    pub common: Common,
    pub course: CourseSettings,
    pub words: Words,
}

/// `[size]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProjectSize {
    pub teachers_per_project: u32,
    pub min_projects: u32,
    pub projects_per_provider: u32,
    pub min_providers: u32,
    pub places_per_teacher: f64,
    pub least_places: i32,
}

/// `[names]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProjectNames {
    pub provider: String,
    pub staff: String,
}

/// `[popularity]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Popularity {
    pub exponent: f64,
}

/// When a project's sessions lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// Saturdays and Sundays, in the morning.
    Weekend,
    /// Tuesdays and Thursdays, in the evening.
    Evening,
    /// Weekdays in a row, morning and afternoon.
    Block,
}

/// `[[template]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Template {
    pub weight: f64,
    pub title: String,
    pub themes: Vec<String>,
    pub form: String,
    pub credits: Vec<i64>,
    pub places: (i64, i64),
    pub classes: i64,
    pub sessions: (i64, i64),
    pub when: When,
    pub tiers: Vec<String>,
    pub categories: Vec<String>,
    pub subject: bool,
    pub difficulty: Vec<i32>,
    #[serde(default)]
    pub practice_percent: i32,
}

/// `[common]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Common {
    pub restricted_elective_percent: u32,
    pub session_hours: i32,
    pub ethics_percent: i32,
    #[serde(deserialize_with = "day")]
    pub first_day: Date,
    #[serde(deserialize_with = "day")]
    pub last_day: Date,
    pub venue: String,
}

/// A TOML date.
fn day<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Date, D::Error> {
    toml::value::Datetime::deserialize(deserializer)?.to_string().parse().map_err(serde::de::Error::custom)
}

/// `[course]`: percent of projects that fare otherwise than well.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CourseSettings {
    pub returned: u32,
    pub forgotten: u32,
    pub withdrawn: u32,
    pub rejected: u32,
    pub undecided: u32,
}

/// `[words]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Words {
    pub stage: BTreeMap<String, String>,
    pub subject: BTreeMap<String, String>,
}

impl ProjectSettings {
    /// What types cannot say: every key that cannot be used.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let mut rules = vec![
            (self.size.teachers_per_project > 0, "size.teachers_per_project: at least 1".to_owned()),
            (self.size.projects_per_provider > 0, "size.projects_per_provider: at least 1".to_owned()),
            (self.size.min_providers > 0, "size.min_providers: at least 1".to_owned()),
            (self.common.first_day < self.common.last_day, "common.last_day: after common.first_day".to_owned()),
            (!self.template.is_empty(), "template: at least one".to_owned()),
        ];
        for (n, template) in self.template.iter().enumerate() {
            let known = proto::catalog::v1::project::Form::from_str_name(&template.form).is_some();
            rules.push((known, format!("template[{n}].form: {:?} is no form", template.form)));
            let percent = (0..=100).contains(&template.practice_percent);
            rules.push((percent, format!("template[{n}].practice_percent: 0 to 100")));
            for (key, filled) in [
                ("credits", !template.credits.is_empty()),
                ("themes", !template.themes.is_empty()),
                ("difficulty", !template.difficulty.is_empty()),
            ] {
                rules.push((filled, format!("template[{n}].{key}: at least one")));
            }
        }
        for level in self.level.keys() {
            let known = proto::catalog::v1::project::Level::from_str_name(&format!("LEVEL_{level}")).is_some();
            rules.push((known, format!("level: {level:?} is no level")));
        }
        broken(rules)
    }
}
