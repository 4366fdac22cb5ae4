//! The county's organisations, and the people in its offices.

use proto::common::v1::Role;
use proto::roster::v1::{Organization, organization::Kind};

use super::Staff;
use super::draw::Draw;
use super::folder::TermFolder;
use super::settings::SchoolKind;

/// The city's office, the root of the tree.
pub const CITY: &str = "organizations/city";
/// The county's bureau.
pub const BUREAU: &str = "organizations/county";

/// The tree, and what only the generator knows of its schools.
pub struct Tree {
    offices: Vec<Organization>,
    /// School districts.
    pub districts: Vec<Organization>,
    /// Schools with their kinds and sizes.
    pub schools: Vec<School>,
    /// Training providers.
    pub providers: Vec<Organization>,
}

/// A school to be filled.
pub struct School {
    pub organization: Organization,
    /// Index among the settings' kinds.
    pub kind: usize,
    pub teachers: u32,
}

impl Tree {
    /// All of it, parents first.
    pub fn into_organizations(self) -> Vec<Organization> {
        let schools = self.schools.into_iter().map(|school| school.organization);
        self.offices.into_iter().chain(self.districts).chain(schools).chain(self.providers).collect()
    }
}

/// Puts a serial number, padded to `width`, into a name.
pub fn serial(name: &str, n: usize, width: usize) -> String {
    name.replace("{n}", &format!("{n:0width$}"))
}

/// Draws the tree for about `teachers` teachers.
pub fn draw(seed: u64, teachers: u32, folder: &TermFolder) -> Tree {
    let mut draw = Draw::of(seed, 1);
    let (settings, projects) = (&folder.roster, &folder.projects);
    let names = &settings.names;
    let office = |name: &str, display: &str, parent: &str, kind: Kind| Organization {
        name: name.to_owned(),
        display_name: display.to_owned(),
        parent: parent.to_owned(),
        kinds: vec![kind.into()],
        contact_office: names.contact_office.clone(),
        contact_phone: names.contact_phone.clone(),
        ..Organization::default()
    };
    let offices =
        vec![office(CITY, &names.city, "", Kind::City), office(BUREAU, &names.bureau, CITY, Kind::CountyBureau)];

    let schools = (teachers / settings.size.teachers_per_school).max(settings.size.min_schools);
    let districts = schools.div_ceil(settings.size.schools_per_district).max(settings.size.min_districts);
    let districts: Vec<Organization> = (1..=districts as usize)
        .map(|n| {
            let name = format!("organizations/district-{n:02}");
            office(&name, &serial(&names.district, n, 2), BUREAU, Kind::SchoolDistrict)
        })
        .collect();

    let kinds = kinds(schools, &settings.school);
    let sizes = sizes(&mut draw, teachers, &kinds, &settings.school, settings.people.size_spread);
    let schools = kinds
        .into_iter()
        .zip(sizes)
        .enumerate()
        .filter_map(|(n, (kind, teachers))| {
            let district = districts.get(n % districts.len().max(1))?;
            let what = settings.school.get(kind)?;
            let n = n.saturating_add(1);
            let role = if what.kindergarten { Kind::Kindergarten } else { Kind::School };
            let mut organization =
                office(&format!("organizations/school-{n:04}"), &serial(&what.name, n, 3), &district.name, role);
            organization.school_identifier =
                format!("{}{}{n:06}", what.identifier_prefix, settings.marks.school_region);
            organization.school_type = what.type_code.clone();
            Some(School { organization, kind, teachers })
        })
        .collect();

    let declared = count(teachers, folder);
    let providers = declared.div_ceil(projects.size.projects_per_provider).max(projects.size.min_providers);
    let providers = (1..=providers as usize)
        .map(|n| {
            let name = format!("organizations/provider-{n:02}");
            office(&name, &serial(&projects.names.provider, n, 2), "", Kind::Provider)
        })
        .collect();
    Tree { offices, districts, schools, providers }
}

/// How many projects are declared for so many teachers.
pub fn count(teachers: u32, folder: &TermFolder) -> u32 {
    let size = &folder.projects.size;
    (teachers / size.teachers_per_project).max(size.min_projects)
}

/// The kind of each school: shares by weight, largest remainders first, and each kind once while there is room.
fn kinds(schools: u32, settings: &[SchoolKind]) -> Vec<usize> {
    let total: f64 = settings.iter().map(|kind| kind.weight).sum();
    let mut given = vec![0_u32; settings.len()];
    let mut all = Vec::new();
    for _ in 0..schools {
        // Whoever is furthest behind its share is next.
        let place = f64::from(u32::try_from(all.len()).unwrap_or(u32::MAX)) + 1.0;
        let next = settings
            .iter()
            .zip(&given)
            .enumerate()
            .map(|(kind, (what, given))| (kind, what.weight / total * place - f64::from(*given)))
            .fold((0, f64::MIN), |best, next| if next.1 > best.1 { next } else { best })
            .0;
        if let Some(given) = given.get_mut(next) {
            *given = given.saturating_add(1);
        }
        all.push(next);
    }
    all
}

/// How many teachers each school has: relative size by kind, spread by chance, three at least, `teachers` in all.
fn sizes(draw: &mut Draw, teachers: u32, kinds: &[usize], settings: &[SchoolKind], spread: f64) -> Vec<u32> {
    const LEAST: u32 = 3;
    let weights: Vec<f64> = kinds
        .iter()
        .map(|kind| {
            settings.get(*kind).map_or(1.0, |what| what.relative_size) * spread.max(1.0).powf(draw.unit() - 0.5)
        })
        .collect();
    let total: f64 = weights.iter().sum();
    let schools = u32::try_from(kinds.len()).unwrap_or(u32::MAX);
    let spare = f64::from(teachers.saturating_sub(schools.saturating_mul(LEAST)));
    // Cumulative rounding: the sizes sum to the whole.
    let (mut before, mut given) = (0.0, 0_u32);
    weights
        .iter()
        .map(|weight| {
            before += weight;
            let up_to = (spare * before / total).round() as u32;
            let size = up_to.saturating_sub(given);
            given = up_to.max(given);
            size.saturating_add(LEAST)
        })
        .collect()
}

/// Everyone in the offices, the providers, and the experts.
pub fn staff(tree: &Tree, folder: &TermFolder) -> Vec<Staff> {
    let names = &folder.roster.names;
    let size = &folder.roster.size;
    let person = |id: String, display_name: String, role: Role, organization: &str| Staff {
        account: format!("accounts/{id}"),
        login: id,
        display_name,
        role,
        organization: organization.to_owned(),
    };
    let mut all = vec![person("operator".to_owned(), names.operator.clone(), Role::Operator, CITY)];
    for n in 1..=size.bureau_officers as usize {
        let display = serial(&names.officer, n.saturating_add(1), 2);
        all.push(person(format!("bureau-{n}"), display, Role::BureauOfficer, BUREAU));
    }
    all.push(person("city-1".to_owned(), serial(&names.officer, 1, 2), Role::BureauOfficer, CITY));
    for (n, district) in (1..).zip(&tree.districts) {
        let display = serial(&names.officer, n + size.bureau_officers as usize + 1, 2);
        all.push(person(format!("district-{n:02}"), display, Role::DistrictOfficer, &district.name));
    }
    for n in 1..=size.experts as usize {
        // Experts come from schools; the first also belongs to a provider, whose projects he may not judge.
        let provider = tree.providers.first().filter(|_| n == 1).map(|provider| provider.name.as_str());
        let school = tree.schools.get(n % tree.schools.len().max(1)).map(|school| school.organization.name.as_str());
        let organization = provider.or(school).unwrap_or(BUREAU);
        all.push(person(format!("expert-{n:02}"), serial(&names.expert, n, 2), Role::Expert, organization));
    }
    for (n, provider) in (1..).zip(&tree.providers) {
        let display = serial(&folder.projects.names.staff, n, 2);
        all.push(person(format!("provider-{n:02}"), display, Role::ProviderStaff, &provider.name));
    }
    all
}
