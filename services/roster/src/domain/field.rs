//! The fields of a teacher that people enter, by name: what update masks, corrections and faults speak of.

use std::collections::BTreeMap;

use jiff::civil::Date;

/// A field of a teacher; its name is the proto's and the column's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// Name (姓名).
    DisplayName,
    /// Sex, GB/T 2261.1.
    Sex,
    /// Identity number, GB 11643.
    IdentityNumber,
    /// Telephone.
    Phone,
    /// The school's own staff number.
    TeacherNumber,
    /// Employment type; policy key `codes.employments`.
    Employment,
    /// Tier (层次); policy key `codes.tiers`.
    Tier,
    /// Category (类别); policy key `codes.categories`.
    Category,
    /// Stages (学段), a list; policy key `codes.stages`.
    Stages,
    /// Subjects (学科), a list; policy key `codes.subjects`.
    Subjects,
    /// Professional title (职称), GB/T 8561; policy key `codes.titles` adds local ones.
    Title,
    /// Education (学历), GB/T 4658.
    Education,
    /// Post (岗位); policy key `codes.posts`.
    Post,
    /// First day of employment.
    EmployedOn,
    /// Entry into the platform: the cycle counts from it.
    PlatformEnteredOn,
    /// First appointment as a principal.
    PrincipalAppointedOn,
}

/// What a teacher may do to a field of his own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnRight {
    /// His update takes effect at once.
    Direct,
    /// His update waits for the school.
    Confirmed,
    /// Only the school or the bureau enters it.
    None,
}

impl Field {
    /// All fields, in the proto's order.
    pub const ALL: [Self; 16] = [
        Self::DisplayName,
        Self::Sex,
        Self::IdentityNumber,
        Self::Phone,
        Self::TeacherNumber,
        Self::Employment,
        Self::Tier,
        Self::Category,
        Self::Stages,
        Self::Subjects,
        Self::Title,
        Self::Education,
        Self::Post,
        Self::EmployedOn,
        Self::PlatformEnteredOn,
        Self::PrincipalAppointedOn,
    ];

    /// The name in proto and SQL.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DisplayName => "display_name",
            Self::Sex => "sex",
            Self::IdentityNumber => "identity_number",
            Self::Phone => "phone",
            Self::TeacherNumber => "teacher_number",
            Self::Employment => "employment",
            Self::Tier => "tier",
            Self::Category => "category",
            Self::Stages => "stages",
            Self::Subjects => "subjects",
            Self::Title => "title",
            Self::Education => "education",
            Self::Post => "post",
            Self::EmployedOn => "employed_on",
            Self::PlatformEnteredOn => "platform_entered_on",
            Self::PrincipalAppointedOn => "principal_appointed_on",
        }
    }

    /// The field of a name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.name() == name)
    }

    /// What the teacher himself may do (DESIGN §5: a teacher's own correction of tier, category, subject, stage, title
    /// or entry date takes effect when the school confirms it).
    #[must_use]
    pub const fn own_right(self) -> OwnRight {
        match self {
            Self::Phone | Self::Education => OwnRight::Direct,
            Self::Tier
            | Self::Category
            | Self::Subjects
            | Self::Stages
            | Self::Title
            | Self::EmployedOn
            | Self::PlatformEnteredOn => OwnRight::Confirmed,
            Self::DisplayName
            | Self::Sex
            | Self::IdentityNumber
            | Self::TeacherNumber
            | Self::Employment
            | Self::Post
            | Self::PrincipalAppointedOn => OwnRight::None,
        }
    }
}

/// What stands between the codes of a list.
const BETWEEN: char = ';';

/// A list of codes as an entry has it.
#[must_use]
pub fn list_text(codes: &[String]) -> String {
    codes.join(";")
}

/// The codes of a list, the main one first.
pub fn codes_of(list: &str) -> impl Iterator<Item = &str> {
    // The empty text is a list of nothing, not of one empty code.
    list.split(BETWEEN).filter(move |_| !list.is_empty())
}

/// Values of fields as text: codes as they are, lists with `;` between their codes, days as "YYYY-MM-DD", nothing as the empty text.
///
/// It holds personal data and so has no `Debug`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Entry(BTreeMap<Field, String>);

impl Entry {
    /// A field's value; empty where there is none.
    #[must_use]
    pub fn get(&self, field: Field) -> &str {
        self.0.get(&field).map_or("", String::as_str)
    }

    /// A field's value as a day.
    #[must_use]
    pub fn day(&self, field: Field) -> Option<Date> {
        self.get(field).parse().ok()
    }

    /// Sets a field.
    pub fn set(&mut self, field: Field, value: impl Into<String>) {
        self.0.insert(field, value.into());
    }

    /// Takes a field out; its value where it was set.
    pub fn remove(&mut self, field: Field) -> Option<String> {
        self.0.remove(&field)
    }

    /// Whether no field is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The fields that are set, with their values.
    pub fn iter(&self) -> impl Iterator<Item = (Field, &str)> {
        self.0.iter().map(|(field, value)| (*field, value.as_str()))
    }

    /// This entry with the fields of `other` put over it.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        let mut joined = self.clone();
        joined.0.extend(other.0.iter().map(|(field, value)| (*field, value.clone())));
        joined
    }
}

impl<V: Into<String>> FromIterator<(Field, V)> for Entry {
    fn from_iter<I: IntoIterator<Item = (Field, V)>>(values: I) -> Self {
        Self(values.into_iter().map(|(field, value)| (field, value.into())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_back_to_its_field() {
        for field in Field::ALL {
            assert_eq!(Field::of(field.name()), Some(field));
        }
        assert_eq!(Field::of("status"), None);
    }

    #[test]
    fn a_list_is_its_codes() {
        for codes in [vec![], vec!["primary".to_owned()], vec!["primary".to_owned(), "junior".to_owned()]] {
            assert_eq!(codes_of(&list_text(&codes)).collect::<Vec<_>>(), codes);
        }
        assert_eq!(codes_of("primary;").collect::<Vec<_>>(), ["primary", ""]);
    }

    #[test]
    fn the_six_corrections_of_the_rule_wait_for_the_school() {
        for name in ["tier", "category", "subjects", "stages", "title", "platform_entered_on"] {
            assert_eq!(Field::of(name).map(Field::own_right), Some(OwnRight::Confirmed), "{name}");
        }
    }
}
