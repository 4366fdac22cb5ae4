//! The simulated people: a whole county drawn from a seed, recognisably fictitious, distributed like a real one.
//!
//! Pure: the same seed, number of teachers and term folder give the same [`County`].

mod check;
mod draw;
mod folder;
mod identity;
mod organizations;
mod projects;
mod settings;
mod teachers;
mod wishes;

pub use folder::{Documents, TermFolder};
pub use projects::{Course, Plan};
pub use settings::{ProjectSettings, RosterSettings};
pub use teachers::{Habits, Opening, Person};
pub use wishes::{admits, all_overlap, overlap};

use proto::common::v1::Role;
use proto::roster::v1::Organization;

/// A county with everyone who has a part in its term.
#[derive(Debug, Clone, PartialEq)]
pub struct County {
    /// All organisations, parents before children: city, county bureau, districts, schools, providers.
    pub organizations: Vec<Organization>,
    /// People who act but are no teachers: providers' staff, officers, experts, the operator.
    pub staff: Vec<Staff>,
    /// The teachers, by school; each has an account that the roster's import makes.
    pub teachers: Vec<Person>,
    /// The projects that providers declare, and how each fares.
    pub projects: Vec<Plan>,
    /// Everyone's password.
    pub password: String,
    /// What it was drawn from.
    pub seed: u64,
}

/// A person with an account who is no teacher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Staff {
    /// The account's name: "accounts/…".
    pub account: String,
    /// What the person logs in with.
    pub login: String,
    /// A serial, fictitious name.
    pub display_name: String,
    /// The one role.
    pub role: Role,
    /// Where it is held: "organizations/…".
    pub organization: String,
}

impl County {
    /// Draws the county: about `teachers` teachers (never fewer than the schools need).
    #[must_use]
    pub fn generate(seed: u64, teachers: u32, folder: &TermFolder) -> Self {
        let roster = &folder.roster;
        let tree = organizations::draw(seed, teachers, folder);
        let mut teachers = teachers::draw(seed, &tree, folder);
        let projects = projects::draw(seed, &tree, &teachers, folder);
        wishes::draw(seed, &mut teachers, &projects, folder);
        Self {
            staff: organizations::staff(&tree, folder),
            organizations: tree.into_organizations(),
            teachers,
            projects,
            password: roster.marks.password.clone(),
            seed,
        }
    }

    /// Teachers of the smallest county that a term can have: as many as its schools need.
    #[must_use]
    pub fn least(folder: &TermFolder) -> u32 {
        u32::try_from(Self::generate(1, 0, folder).teachers.len()).unwrap_or(u32::MAX)
    }

    /// The first person of the staff with a role, who stands for it in examples.
    #[must_use]
    pub fn staff_with(&self, role: Role) -> Option<&Staff> {
        self.staff.iter().find(|staff| staff.role == role)
    }

    /// The schools' names, in order.
    pub fn schools(&self) -> impl Iterator<Item = &str> {
        self.organizations.iter().filter(|one| !one.school_type.is_empty()).map(|one| one.name.as_str())
    }

    /// The teachers of a school, in order.
    pub fn teachers_of<'a>(&'a self, school: &'a str) -> impl Iterator<Item = &'a Person> {
        self.teachers.iter().filter(move |person| person.teacher.school == school)
    }
}

#[cfg(test)]
mod tests;
