//! The organisation tree: province → city → county bureau → school district → school or kindergarten; and providers.

use proto::roster::v1::organization::Kind;

use super::{
    fault::{Defect, Fault},
    teacher::{is_name, is_phone},
};

/// An organisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organization {
    /// "organizations/…"
    pub name: String,
    /// Its name for people.
    pub display_name: String,
    /// "organizations/…"; empty for a root.
    pub parent: String,
    /// What it is; one may be several at once.
    pub kinds: Vec<Kind>,
    /// All ancestors and itself, root first.
    pub path: Vec<String>,
    /// Schools and kindergartens: 10 digits.
    pub school_identifier: String,
    /// School type, GB/T 33782.
    pub school_type: String,
    /// An office.
    pub contact_office: String,
    /// The office's telephone.
    pub contact_phone: String,
    /// Rises with every write.
    pub version: i64,
}

impl Organization {
    /// Whether teachers belong to it.
    #[must_use]
    pub fn is_school(&self) -> bool {
        self.kinds.iter().any(|kind| matches!(kind, Kind::School | Kind::Kindergarten))
    }

    /// Whether it is of a kind.
    #[must_use]
    pub fn is(&self, kind: Kind) -> bool {
        self.kinds.contains(&kind)
    }
}

/// How high in the tree a kind stands, 1 the highest; none for providers, which stand anywhere.
const fn level(kind: Kind) -> Option<u8> {
    match kind {
        Kind::Province => Some(1),
        Kind::City => Some(2),
        Kind::CountyBureau => Some(3),
        Kind::SchoolDistrict => Some(4),
        Kind::School | Kind::Kindergarten => Some(5),
        Kind::Provider | Kind::Unspecified => None,
    }
}

/// The path of an organisation under a parent's path.
#[must_use]
pub fn path_under(parent: &[String], name: &str) -> Vec<String> {
    parent.iter().cloned().chain([name.to_owned()]).collect()
}

/// Every fault of an organisation under its parent; `parent` is none for a root, or where there is no such parent.
#[must_use]
pub fn check(organization: &Organization, parent: Option<&Organization>) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut add = |field: &str, defect| faults.push(Fault::of(field, defect));
    if organization.display_name.is_empty() {
        add("display_name", Defect::Required);
    } else if !is_name(&organization.display_name) {
        add("display_name", Defect::Malformed);
    }
    if organization.kinds.is_empty() {
        add("kinds", Defect::Required);
    } else if organization.is(Kind::Unspecified) {
        add("kinds", Defect::UnknownCode);
    }
    match (organization.parent.as_str(), parent) {
        ("", _) => {
            if organization.is_school() || organization.is(Kind::SchoolDistrict) {
                add("parent", Defect::Required);
            }
        }
        (_, None) => add("parent", Defect::NotFound),
        (_, Some(parent)) => {
            if parent.path.contains(&organization.name) {
                add("parent", Defect::Loop);
            }
            let above = parent.kinds.iter().filter_map(|kind| level(*kind)).min();
            let own = organization.kinds.iter().filter_map(|kind| level(*kind)).min();
            if own.is_some_and(|own| above.is_none_or(|above| above >= own)) {
                add("parent", Defect::WrongKind);
            }
        }
    }
    match organization.school_identifier.as_str() {
        "" if organization.is_school() => add("school_identifier", Defect::Required),
        "" => {}
        _ if !organization.is_school() => add("school_identifier", Defect::WrongKind),
        text if !is_digits(text, 10) => add("school_identifier", Defect::Malformed),
        _ => {}
    }
    if !organization.school_type.is_empty() && !is_digits(&organization.school_type, 3) {
        add("school_type", Defect::Malformed);
    }
    if organization.contact_office.chars().count() > 64 || organization.contact_office.chars().any(char::is_control) {
        add("contact_office", Defect::Malformed);
    }
    if !organization.contact_phone.is_empty() && !is_phone(&organization.contact_phone) {
        add("contact_phone", Defect::Malformed);
    }
    faults
}

/// Whether a text can be a resource's full name in a collection: "organizations/" and 1 to 63 of a–z, 0–9 and inner dashes.
#[must_use]
pub fn is_resource_name(collection: &str, name: &str) -> bool {
    name.strip_prefix(collection).and_then(|rest| rest.strip_prefix('/')).is_some_and(|id| {
        (1..=63).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !id.starts_with('-')
            && !id.ends_with('-')
    })
}

fn is_digits(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn organization(name: &str, kinds: &[Kind], parent: Option<&Organization>) -> Organization {
        let name = format!("organizations/{name}");
        let school = kinds.iter().any(|kind| matches!(kind, Kind::School | Kind::Kindergarten));
        Organization {
            display_name: "示例".into(),
            parent: parent.map(|parent| parent.name.clone()).unwrap_or_default(),
            kinds: kinds.to_vec(),
            path: path_under(parent.map(|parent| parent.path.as_slice()).unwrap_or_default(), &name),
            school_identifier: if school { "0000000001".into() } else { String::new() },
            school_type: String::new(),
            contact_office: String::new(),
            contact_phone: String::new(),
            version: 1,
            name,
        }
    }

    fn coded(organization: &Organization, parent: Option<&Organization>) -> Vec<String> {
        check(organization, parent).iter().map(Fault::coded).collect()
    }

    #[test]
    fn the_tree_has_its_order() {
        let county = organization("county", &[Kind::CountyBureau], None);
        let district = organization("district", &[Kind::SchoolDistrict], Some(&county));
        let school = organization("school", &[Kind::School, Kind::Kindergarten], Some(&district));
        for (child, parent) in
            [(&county, None), (&district, Some(&county)), (&school, Some(&district)), (&school, Some(&county))]
        {
            let child = Organization {
                parent: parent.map(|p: &Organization| p.name.clone()).unwrap_or_default(),
                ..child.clone()
            };
            assert_eq!(coded(&child, parent), Vec::<String>::new());
        }
        let wrong = organization("city", &[Kind::City], Some(&county));
        assert_eq!(coded(&wrong, Some(&county)), ["parent.wrong_kind"]);
        let orphan = organization("orphan", &[Kind::School], None);
        assert_eq!(coded(&orphan, None), ["parent.required"]);
        let provider = organization("provider", &[Kind::Provider], None);
        assert_eq!(coded(&provider, None), Vec::<String>::new());
        let university = organization("university", &[Kind::Provider], Some(&county));
        assert_eq!(coded(&university, Some(&county)), Vec::<String>::new());
    }

    #[test]
    fn nothing_lies_under_itself() {
        let county = organization("county", &[Kind::CountyBureau], None);
        let mut district = organization("district", &[Kind::SchoolDistrict], Some(&county));
        let inner = organization("inner", &[Kind::Provider], Some(&district));
        district.kinds = vec![Kind::Provider];
        district.parent = inner.name.clone();
        assert_eq!(coded(&district, Some(&inner)), ["parent.loop"]);
    }

    #[test]
    fn a_school_has_its_identifier_and_others_have_none() {
        let county = organization("county", &[Kind::CountyBureau], None);
        let mut school = organization("school", &[Kind::School], Some(&county));
        school.school_identifier = "12345".into();
        school.school_type = "2a1".into();
        assert_eq!(coded(&school, Some(&county)), ["school_identifier.malformed", "school_type.malformed"]);
        let county = Organization { school_identifier: "0000000001".into(), ..county };
        assert_eq!(coded(&county, None), ["school_identifier.wrong_kind"]);
    }

    #[test]
    fn names_of_resources() {
        assert!(is_resource_name("organizations", "organizations/s-001"));
        for name in [
            "organizations/",
            "organizations/A",
            "organizations/a/b",
            "teachers/a",
            "organizations/-a",
            "organizations/a>",
        ] {
            assert!(!is_resource_name("organizations", name), "{name}");
        }
    }
}
