//! What makes the data of a teacher valid.

use std::collections::BTreeSet;

use jiff::{ToSpan as _, civil::Date};
use proto::roster::v1::teacher::Status;

use super::{
    career::{Career, Event, Stay},
    codes::Codes,
    fault::{Defect, Fault},
    field::{Entry, Field, codes_of},
    identity_number::IdentityNumber,
    status::Leave,
};

/// A teacher on the roster. It holds personal data and so has no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Teacher {
    /// "teachers/…"
    pub name: String,
    /// "organizations/…"
    pub school: String,
    /// All fields but the identity number.
    pub entry: Entry,
    /// The identity number as it is kept.
    pub identity: Sealed,
    /// The year of the identity number's birth date.
    pub birth_year: i16,
    /// When the teacher came onto this roster.
    pub joined_on: Option<Date>,
    /// In service (active), retired, departed or deceased.
    pub standing: Status,
    /// Approved leaves, past and coming.
    pub leaves: Vec<Leave>,
    /// Where he was, the present stay last; none of who never moved.
    pub stays: Vec<Stay>,
    /// Events that wait for their day, in its order.
    pub coming: Vec<Event>,
    /// What the teacher corrected and the school has not confirmed.
    pub pending: Entry,
    /// "accounts/…", empty while there is none.
    pub account: String,
    /// Rises with every write.
    pub version: i64,
    /// The person was erased: nothing of it changes any more.
    pub erased: bool,
}

impl Teacher {
    /// What status events move.
    #[must_use]
    pub fn career(&self) -> Career {
        let always = || vec![Stay { from_on: None, school: self.school.clone(), standing: self.standing }];
        Career {
            stays: if self.stays.is_empty() { always() } else { self.stays.clone() },
            leaves: self.leaves.clone(),
            coming: self.coming.clone(),
            employed_on: self.entry.day(Field::EmployedOn),
        }
    }

    /// Takes what events made of the career.
    pub fn take(&mut self, career: Career) {
        career.school().clone_into(&mut self.school);
        self.standing = career.standing();
        (self.stays, self.leaves, self.coming) = (career.stays, career.leaves, career.coming);
    }

    /// The status on a day.
    #[must_use]
    pub fn status_on(&self, day: Date) -> Status {
        self.career().status_on(day)
    }
}

/// An identity number as it is kept: encrypted, with a blind index for uniqueness.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sealed {
    /// Id of the key.
    pub key: String,
    /// Nonce and ciphertext.
    pub sealed: Vec<u8>,
    /// HMAC of the number, in hex.
    pub index: String,
}

/// The least difference, in years, between birth and employment.
const LEAST_AGE: i16 = 15;
/// How far ahead, in days, an appointment may be entered.
const AHEAD_DAYS: i32 = 366;

/// Every fault of a whole entry, as create and import take it.
#[must_use]
pub fn check(entry: &Entry, codes: &Codes, today: Date) -> Vec<Fault> {
    let mut faults: Vec<Fault> = Field::ALL
        .into_iter()
        .filter_map(|field| defect(field, entry.get(field), codes, today).map(|defect| Fault::of(field.name(), defect)))
        .collect();
    let born =
        IdentityNumber::parse(entry.get(Field::IdentityNumber), today).ok().map(|number| number.born_on().year());
    faults.extend(born.and_then(|year| too_young(entry, year)));
    faults
}

/// Every fault of some changed fields, put over the entry as it is.
#[must_use]
pub fn check_changes(current: &Entry, changes: &Entry, birth_year: i16, codes: &Codes, today: Date) -> Vec<Fault> {
    let mut faults: Vec<Fault> = changes
        .iter()
        .filter_map(|(field, value)| defect(field, value, codes, today).map(|defect| Fault::of(field.name(), defect)))
        .collect();
    if changes.iter().any(|(field, _)| matches!(field, Field::EmployedOn | Field::IdentityNumber)) {
        let born = IdentityNumber::parse(changes.get(Field::IdentityNumber), today)
            .map_or(birth_year, |number| number.born_on().year());
        faults.extend(too_young(&current.with(changes), born));
    }
    faults
}

/// What is wrong with one value, if anything.
fn defect(field: Field, value: &str, codes: &Codes, today: Date) -> Option<Defect> {
    // Who has no title yet has none; a telephone is not everybody's; few are principals.
    let optional = matches!(field, Field::Phone | Field::Title | Field::PrincipalAppointedOn);
    if value.is_empty() {
        return (!optional).then_some(Defect::Required);
    }
    match field {
        Field::DisplayName => (!is_name(value)).then_some(Defect::Malformed),
        Field::IdentityNumber => IdentityNumber::parse(value, today).err(),
        Field::Phone => (!is_phone(value)).then_some(Defect::Malformed),
        Field::TeacherNumber => (!is_teacher_number(value)).then_some(Defect::Malformed),
        Field::EmployedOn => not_after(value, today.saturating_add(AHEAD_DAYS.days())),
        Field::PlatformEnteredOn => not_after(value, today),
        Field::PrincipalAppointedOn => not_after(value, today.saturating_add(AHEAD_DAYS.days())),
        Field::Stages | Field::Subjects => list_defect(field, value, codes),
        Field::Sex
        | Field::Employment
        | Field::Tier
        | Field::Category
        | Field::Title
        | Field::Education
        | Field::Post => (!codes.allows(field, value)).then_some(Defect::UnknownCode),
    }
}

fn list_defect(field: Field, list: &str, codes: &Codes) -> Option<Defect> {
    let mut seen = BTreeSet::new();
    if codes_of(list).any(|code| !codes.allows(field, code)) {
        return Some(Defect::UnknownCode);
    }
    codes_of(list).any(|code| !seen.insert(code)).then_some(Defect::Doubled)
}

fn not_after(value: &str, latest: Date) -> Option<Defect> {
    match value.parse::<Date>() {
        Err(_) => Some(Defect::NotADay),
        Ok(day) if day.year() < 1900 => Some(Defect::TooEarly),
        Ok(day) => (day > latest).then_some(Defect::TooLate),
    }
}

fn too_young(entry: &Entry, birth_year: i16) -> Option<Fault> {
    let employed = entry.day(Field::EmployedOn)?;
    (employed.year().saturating_sub(birth_year) < LEAST_AGE)
        .then(|| Fault::of(Field::EmployedOn.name(), Defect::TooEarly))
}

/// 1 to 64 characters, none that cannot be seen, no space at the ends.
#[must_use]
pub fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.chars().count()) && text.trim() == text && !text.chars().any(is_unseen)
}

/// Whether a character cannot be seen, or turns the text around it: two names that look the same must be the same.
fn is_unseen(character: char) -> bool {
    let unseen = ['\u{AD}', '\u{61C}', '\u{180E}', '\u{3164}', '\u{FEFF}'];
    let ranges = ['\u{200B}'..='\u{200F}', '\u{2028}'..='\u{202E}', '\u{2060}'..='\u{206F}'];
    character.is_control() || unseen.contains(&character) || ranges.iter().any(|range| range.contains(&character))
}

/// 5 to 20 digits, dashes, spaces, a leading plus.
#[must_use]
pub fn is_phone(text: &str) -> bool {
    let rest = text.strip_prefix('+').unwrap_or(text);
    (5..=20).contains(&rest.len()) && rest.bytes().all(|b| b.is_ascii_digit() || b == b'-' || b == b' ')
}

/// 1 to 32 ASCII letters, digits, dashes or underscores.
fn is_teacher_number(text: &str) -> bool {
    (1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

#[cfg(test)]
pub(crate) mod tests {
    use jiff::civil::date;

    use super::*;

    pub(crate) const TODAY: Date = date(2019, 6, 17);

    /// A faultless entry.
    pub(crate) fn entry() -> Entry {
        [
            (Field::DisplayName, "示例甲"),
            (Field::Sex, "2"),
            (Field::IdentityNumber, "11010519491231002X"),
            (Field::Phone, "13900000000"),
            (Field::TeacherNumber, "T-001"),
            (Field::Employment, "permanent"),
            (Field::Tier, "competent"),
            (Field::Category, "subject_teacher"),
            (Field::Stages, "primary"),
            (Field::Subjects, "mathematics"),
            (Field::Title, "415"),
            (Field::Education, "21"),
            (Field::Post, "teaching"),
            (Field::EmployedOn, "1975-09-01"),
            (Field::PlatformEnteredOn, "2016-09-01"),
        ]
        .into_iter()
        .collect()
    }

    fn faults_with(field: Field, value: &str) -> Vec<String> {
        let mut entry = entry();
        entry.set(field, value);
        check(&entry, &Codes::default(), TODAY).iter().map(Fault::coded).collect()
    }

    #[test]
    fn a_faultless_entry_has_no_fault() {
        assert_eq!(check(&entry(), &Codes::default(), TODAY), vec![]);
        assert!(faults_with(Field::Phone, "").is_empty());
        assert!(faults_with(Field::Title, "").is_empty());
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let coded: Vec<_> = check(&Entry::default(), &Codes::default(), TODAY).iter().map(Fault::coded).collect();
        assert_eq!(coded.len(), 13, "{coded:?}");
        assert!(coded.iter().all(|fault| fault.ends_with(".required")));
    }

    #[test]
    fn each_field_has_its_rule() {
        assert_eq!(faults_with(Field::DisplayName, " 甲"), ["display_name.malformed"]);
        assert_eq!(faults_with(Field::Sex, "3"), ["sex.unknown_code"]);
        assert_eq!(faults_with(Field::IdentityNumber, "110105194912310021"), ["identity_number.check_digit"]);
        assert_eq!(faults_with(Field::Phone, "call me"), ["phone.malformed"]);
        assert_eq!(faults_with(Field::TeacherNumber, "T 1"), ["teacher_number.malformed"]);
        assert_eq!(faults_with(Field::Stages, "tertiary"), ["stages.unknown_code"]);
        for unknown in ["primary;tertiary", "primary;", ";", "primary junior"] {
            assert_eq!(faults_with(Field::Stages, unknown), ["stages.unknown_code"], "{unknown}");
        }
        assert_eq!(faults_with(Field::Subjects, "mathematics;science;mathematics"), ["subjects.doubled"]);
        assert!(faults_with(Field::Subjects, "mathematics;science").is_empty());
        assert_eq!(faults_with(Field::Subjects, ""), ["subjects.required"]);
        assert_eq!(faults_with(Field::PrincipalAppointedOn, "2021-02-03"), ["principal_appointed_on.too_late"]);
        assert!(faults_with(Field::PrincipalAppointedOn, "2019-08-01").is_empty());
        assert_eq!(faults_with(Field::EmployedOn, "2019-02-30"), ["employed_on.not_a_day"]);
        assert_eq!(faults_with(Field::EmployedOn, "2021-02-03"), ["employed_on.too_late"]);
        assert_eq!(faults_with(Field::EmployedOn, "1955-09-01"), ["employed_on.too_early"]);
        assert_eq!(faults_with(Field::PlatformEnteredOn, "2019-06-18"), ["platform_entered_on.too_late"]);
    }

    #[test]
    fn a_change_is_checked_against_the_rest() {
        let changes: Entry = [(Field::EmployedOn, "1955-09-01")].into_iter().collect();
        let faults = check_changes(&entry(), &changes, 1949, &Codes::default(), TODAY);
        assert_eq!(faults, [Fault::of("employed_on", Defect::TooEarly)]);
        let changes: Entry = [(Field::Tier, "leader")].into_iter().collect();
        assert_eq!(check_changes(&entry(), &changes, 1949, &Codes::default(), TODAY), []);
    }
}
