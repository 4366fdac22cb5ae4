//! A roster file: which rows are new teachers, which are known ones, and what is wrong with each row.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;

use super::{
    codes::Codes,
    fault::{Defect, Fault},
    field::{Entry, Field},
    organization::is_resource_name,
    teacher,
};

/// A row of the file.
#[derive(Clone)]
pub struct Row {
    /// "teachers/…" of the caller's choosing, or empty.
    pub name: String,
    /// "organizations/…"
    pub school: String,
    /// The fields.
    pub entry: Entry,
    /// The blind index of the identity number; empty where the number is faulty.
    pub identity_index: String,
}

impl Row {
    /// Puts another character for each U+0000, which no database takes: so the rest of the row can be looked at.
    pub fn without_zeros(&mut self) {
        let without = |text: &str| text.replace('\0', "\u{fffd}");
        (self.name, self.school) = (without(&self.name), without(&self.school));
        self.entry = self.entry.iter().map(|(field, text)| (field, without(text))).collect();
    }
}

/// What the roster knows of a teacher whom a row may mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// "teachers/…"
    pub name: String,
    /// His school.
    pub school: String,
    /// His staff number there.
    pub teacher_number: String,
    /// The blind index of his identity number.
    pub identity_index: String,
    /// "YYYY-MM-DD": kept through imports.
    pub platform_entered_on: String,
    /// "YYYY-MM-DD", empty for none: kept where a file leaves it out.
    pub principal_appointed_on: String,
    /// Retired, departed or deceased: a file brings nobody back.
    pub left: bool,
}

/// What the roster knows about the file's rows.
#[derive(Debug, Clone, Default)]
pub struct Roster {
    by_name: BTreeMap<String, Known>,
    by_number: BTreeMap<(String, String), String>,
    by_identity: BTreeMap<String, String>,
    /// Schools that the caller keeps.
    pub kept_schools: BTreeSet<String>,
    /// All schools that the file names and that there are.
    pub schools: BTreeSet<String>,
}

impl Roster {
    /// Adds a known teacher.
    pub fn add(&mut self, known: Known) {
        if !known.teacher_number.is_empty() {
            self.by_number.insert((known.school.clone(), known.teacher_number.clone()), known.name.clone());
        }
        self.by_identity.insert(known.identity_index.clone(), known.name.clone());
        self.by_name.insert(known.name.clone(), known);
    }
}

/// What is to be done with a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// A new teacher.
    Create,
    /// A known one: his name.
    Update(String),
}

/// A fault of a row; rows count from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowFault {
    /// The row.
    pub row: usize,
    /// What is wrong.
    pub fault: Fault,
}

/// Fills in what a row may leave out: the platform entry is the known teacher's, or today for a new one; an appointment as a
/// principal stays.
pub fn complete(rows: &mut [Row], roster: &Roster, today: Date) {
    for row in rows {
        if row.entry.get(Field::PrincipalAppointedOn).is_empty()
            && let Some(known) = meant(row, roster)
        {
            row.entry.set(Field::PrincipalAppointedOn, known.principal_appointed_on.clone());
        }
        if row.entry.get(Field::PlatformEnteredOn).is_empty() {
            let day = meant(row, roster).map_or_else(|| today.to_string(), |known| known.platform_entered_on.clone());
            row.entry.set(Field::PlatformEnteredOn, day);
        }
    }
}

/// The plan of each row, and every fault of every row. A row means the teacher of its name; else of its school and
/// number; else of its identity number.
#[must_use]
pub fn plan(rows: &[Row], roster: &Roster, codes: &Codes, today: Date) -> (Vec<Plan>, Vec<RowFault>) {
    let mut plans = Vec::with_capacity(rows.len());
    let mut faults = Vec::new();
    let mut seen = Seen::default();
    for (index, row) in rows.iter().enumerate() {
        let known = meant(row, roster);
        let mut of_row = row_faults(row, known, roster, codes, today);
        of_row.extend(seen.repeated(row, known));
        faults.extend(of_row.into_iter().map(|fault| RowFault { row: index.saturating_add(1), fault }));
        plans.push(known.map_or(Plan::Create, |known| Plan::Update(known.name.clone())));
    }
    (plans, faults)
}

fn meant<'a>(row: &Row, roster: &'a Roster) -> Option<&'a Known> {
    let number = (row.school.clone(), row.entry.get(Field::TeacherNumber).to_owned());
    roster
        .by_name
        .get(&row.name)
        .or_else(|| roster.by_number.get(&number).and_then(|name| roster.by_name.get(name)))
        .or_else(|| roster.by_identity.get(&row.identity_index).and_then(|name| roster.by_name.get(name)))
}

fn row_faults(row: &Row, known: Option<&Known>, roster: &Roster, codes: &Codes, today: Date) -> Vec<Fault> {
    let mut faults = teacher::check(&row.entry, codes, today);
    let mut add = |field: &str, defect| faults.push(Fault::of(field, defect));
    if row.school.is_empty() {
        add("school", Defect::Required);
    } else if !roster.schools.contains(&row.school) {
        add("school", Defect::NotFound);
    } else if !roster.kept_schools.contains(&row.school) {
        add("school", Defect::OutOfScope);
    }
    if !row.name.is_empty() && !is_resource_name("teachers", &row.name) {
        add("name", Defect::Malformed);
    }
    let others = |name: Option<&String>| name.is_some_and(|name| known.is_none_or(|known| known.name != *name));
    let number = (row.school.clone(), row.entry.get(Field::TeacherNumber).to_owned());
    if others(roster.by_number.get(&number)) {
        add(Field::TeacherNumber.name(), Defect::Taken);
    }
    if others(roster.by_identity.get(&row.identity_index)) {
        add(Field::IdentityNumber.name(), Defect::Taken);
    }
    if let Some(known) = known {
        if known.left {
            add("status", Defect::Left);
        }
        if known.school != row.school {
            add("school", Defect::Elsewhere);
        }
        if !row.name.is_empty() && row.name != known.name {
            add("name", Defect::Taken);
        }
        if known.platform_entered_on != row.entry.get(Field::PlatformEnteredOn) {
            add(Field::PlatformEnteredOn.name(), Defect::Fixed);
        }
    }
    faults
}

/// What earlier rows of the file have used.
#[derive(Default)]
struct Seen<'a> {
    names: BTreeSet<&'a str>,
    numbers: BTreeSet<(&'a str, &'a str)>,
    identities: BTreeSet<&'a str>,
}

impl<'a> Seen<'a> {
    fn repeated(&mut self, row: &'a Row, known: Option<&'a Known>) -> Vec<Fault> {
        let number = row.entry.get(Field::TeacherNumber);
        let name = known.map_or(row.name.as_str(), |known| known.name.as_str());
        let mut faults = Vec::new();
        if !number.is_empty() && !self.numbers.insert((&row.school, number)) {
            faults.push(Fault::of(Field::TeacherNumber.name(), Defect::Repeated));
        }
        if !row.identity_index.is_empty() && !self.identities.insert(&row.identity_index) {
            faults.push(Fault::of(Field::IdentityNumber.name(), Defect::Repeated));
        }
        if !name.is_empty() && !self.names.insert(name) && faults.is_empty() {
            faults.push(Fault::of("name", Defect::Repeated));
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::teacher::tests::{TODAY, entry};

    fn row(number: &str, identity_index: &str) -> Row {
        let mut entry = entry();
        entry.set(Field::TeacherNumber, number);
        Row { name: String::new(), school: "organizations/a".into(), entry, identity_index: identity_index.into() }
    }

    fn roster() -> Roster {
        let mut roster = Roster::default();
        for school in ["organizations/a", "organizations/b"] {
            roster.schools.insert(school.into());
        }
        roster.kept_schools.insert("organizations/a".into());
        for (name, school, number, index) in
            [("teachers/x", "a", "1", "i1"), ("teachers/y", "a", "2", "i2"), ("teachers/z", "b", "3", "i3")]
        {
            roster.add(Known {
                name: name.into(),
                school: format!("organizations/{school}"),
                teacher_number: number.into(),
                identity_index: index.into(),
                platform_entered_on: "2016-09-01".into(),
                principal_appointed_on: "2018-08-01".into(),
                left: false,
            });
        }
        roster
    }

    fn planned(rows: &[Row]) -> (Vec<Plan>, Vec<String>) {
        let (plans, faults) = plan(rows, &roster(), &Codes::default(), TODAY);
        (plans, faults.iter().map(|fault| format!("{} {}", fault.row, fault.fault.coded())).collect())
    }

    #[test]
    fn a_row_means_its_number_or_its_identity_or_a_new_teacher() {
        let (plans, faults) = planned(&[row("1", "i1"), row("8", "i2"), row("9", "i9")]);
        assert_eq!(plans, [Plan::Update("teachers/x".into()), Plan::Update("teachers/y".into()), Plan::Create]);
        assert!(faults.is_empty(), "{faults:?}");
    }

    #[test]
    fn one_teacher_is_not_two() {
        assert_eq!(planned(&[row("1", "i2")]).1, ["1 identity_number.taken"]);
        assert_eq!(planned(&[row("9", "i3")]).1, ["1 school.elsewhere"]);
        assert_eq!(planned(&[row("9", "i9"), row("9", "i8")]).1, ["2 teacher_number.repeated"]);
        assert_eq!(planned(&[row("9", "i9"), row("8", "i9")]).1, ["2 identity_number.repeated"]);
        assert_eq!(
            planned(&[Row { name: "teachers/x".into(), ..row("7", "i7") }, row("1", "i1")]).1,
            ["2 name.repeated"]
        );
    }

    #[test]
    fn faults_of_every_row_at_once() {
        let mut bad = row("9", "");
        bad.entry.set(Field::Stages, "tertiary");
        bad.entry.set(Field::IdentityNumber, "1");
        bad.school = "organizations/b".into();
        bad.name = "teachers/Not OK".into();
        let unknown = Row { school: "organizations/none".into(), ..row("4", "i4") };
        assert_eq!(
            planned(&[bad, unknown]).1,
            [
                "1 identity_number.malformed",
                "1 stages.unknown_code",
                "1 school.out_of_scope",
                "1 name.malformed",
                "2 school.not_found"
            ]
        );
    }

    #[test]
    fn the_platform_entry_and_an_appointment_may_be_left_out() {
        let mut rows = [row("1", "i1"), row("9", "i9")];
        for row in &mut rows {
            row.entry.remove(Field::PlatformEnteredOn);
        }
        complete(&mut rows, &roster(), TODAY);
        let entered = rows.each_ref().map(|row| row.entry.get(Field::PlatformEnteredOn));
        assert_eq!(entered, ["2016-09-01", "2019-06-17"]);
        assert_eq!(rows.each_ref().map(|row| row.entry.get(Field::PrincipalAppointedOn)), ["2018-08-01", ""]);
    }

    #[test]
    fn the_platform_entry_is_kept_through_imports() {
        let mut row = row("1", "i1");
        row.entry.set(Field::PlatformEnteredOn, "2019-01-01");
        assert_eq!(planned(&[row]).1, ["1 platform_entered_on.fixed"]);
    }
}
