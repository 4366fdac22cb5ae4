//! What each teacher wishes for: crowded on popular projects, mostly fitting, rarely overlapping.

use std::collections::BTreeMap;

use proto::catalog::v1::{Audience, Class, Session};
use proto::roster::v1::Teacher;
use rand::distr::weighted::WeightedIndex;

use super::draw::Draw;
use super::folder::TermFolder;
use super::projects::Plan;
use super::teachers::Person;

/// Projects drawn by their popularity before every one that fits is looked at: in a county of hundreds of thousands each menu has
/// hundreds.
const TRIES: usize = 32;

/// Fills in everyone's habits.
pub fn draw(seed: u64, teachers: &mut [Person], plans: &[Plan], folder: &TermFolder) {
    let mut draw = Draw::of(seed, 4);
    let behaviour = &folder.roster.behaviour;
    // A project's popularity is its place in a drawn order.
    let mut order: Vec<usize> = (0..plans.len()).filter(|n| plans.get(*n).is_some_and(Plan::is_published)).collect();
    draw.shuffle(&mut order);
    let mut menus: BTreeMap<(Vec<String>, Vec<String>), Menu> = BTreeMap::new();
    for person in teachers {
        let teacher = &person.teacher;
        let menu = menus.entry((teacher.stages.clone(), teacher.subjects.clone())).or_insert_with(|| {
            let admits = |n: &usize| plans.get(*n).is_some_and(|plan| admits(plan.project.audience.as_ref(), teacher));
            Menu::of(order.iter().copied().filter(admits), folder.projects.popularity.exponent)
        });
        let habits = &mut person.habits;
        habits.pace = u8::try_from(draw.between(0, 99)).unwrap_or(99);
        let wishes = (1_usize..).zip(&behaviour.wishes).map(|(n, weight)| (n, *weight));
        let count = if draw.percent(behaviour.abstain) { 0 } else { draw.weighted(wishes).unwrap_or(1) };
        for _ in 0..count {
            if let Some(wish) = wish(&mut draw, teacher, &habits.wishes, menu, plans, folder) {
                habits.wishes.push(wish);
            }
        }
        if draw.percent(behaviour.second_round) {
            habits.second = wish(&mut draw, teacher, &habits.wishes, menu, plans, folder);
        }
    }
}

/// What teachers of the same stages and subjects choose from.
struct Menu {
    /// The most popular first, each with its weight.
    projects: Vec<(usize, f64)>,
    /// None where there is nothing to draw.
    index: Option<WeightedIndex<f64>>,
}

impl Menu {
    /// Of projects in the order of their popularity.
    fn of(projects: impl Iterator<Item = usize>, exponent: f64) -> Self {
        let weight = |rank: usize| 1.0 / (rank as f64 + 1.0).powf(exponent);
        let projects: Vec<_> = projects.enumerate().map(|(rank, n)| (n, weight(rank))).collect();
        let index = WeightedIndex::new(projects.iter().map(|(_, weight)| *weight)).ok();
        Self { projects, index }
    }

    /// One that fits, in proportion to its popularity; none if none fits.
    fn one(&self, draw: &mut Draw, fits: impl Fn(usize) -> bool) -> Option<usize> {
        let index = self.index.as_ref()?;
        for _ in 0..TRIES {
            let (n, _) = *self.projects.get(draw.of_index(index))?;
            if fits(n) {
                return Some(n);
            }
        }
        let fitting: Vec<_> = self.projects.iter().copied().filter(|(n, _)| fits(*n)).collect();
        draw.weighted(fitting.into_iter())
    }
}

/// Whether one of his stages and one of his subjects admit the teacher.
#[must_use]
pub fn admits(audience: Option<&Audience>, teacher: &Teacher) -> bool {
    audience.is_none_or(|audience| {
        allows(&audience.stages, &teacher.stages) && allows(&audience.subjects, &teacher.subjects)
    })
}

/// Whether tier and category match too.
pub fn matches(audience: Option<&Audience>, teacher: &Teacher) -> bool {
    audience.is_none_or(|audience| {
        let one = std::slice::from_ref;
        allows(&audience.tiers, one(&teacher.tier)) && allows(&audience.categories, one(&teacher.category))
    })
}

fn allows(wanted: &[String], has: &[String]) -> bool {
    wanted.is_empty() || has.iter().any(|code| wanted.contains(code))
}

/// One more project from the menu: not chosen yet, one intensive at most, no session twice.
fn wish(
    draw: &mut Draw,
    teacher: &Teacher,
    chosen: &[usize],
    menu: &Menu,
    plans: &[Plan],
    folder: &TermFolder,
) -> Option<usize> {
    let has_intensive = chosen.iter().filter_map(|n| plans.get(*n)).any(Plan::is_intensive);
    let wants_match = draw.percent(folder.roster.behaviour.matched);
    menu.one(draw, |n| {
        plans.get(n).is_some_and(|plan| {
            let second_intensive = has_intensive && plan.is_intensive();
            let mismatch = wants_match && !matches(plan.project.audience.as_ref(), teacher);
            let overlaps = || chosen.iter().filter_map(|other| plans.get(*other)).any(|other| overlap(plan, other));
            !(chosen.contains(&n) || second_intensive || mismatch || overlaps())
        })
    })
}

/// Whether every class of one has a session in every class of the other: nobody can attend both.
#[must_use]
pub fn all_overlap(one: &Plan, other: &Plan) -> bool {
    let classes = |plan: &Plan| -> Vec<Vec<(i64, i64)>> { plan.project.classes.iter().map(sessions).collect() };
    let (mine, theirs) = (classes(one), classes(other));
    mine.iter().all(|class| theirs.iter().all(|other| meet(class, other)))
}

/// Whether any session of one lies in a session of the other.
#[must_use]
pub fn overlap(one: &Plan, other: &Plan) -> bool {
    let all = |plan: &Plan| -> Vec<(i64, i64)> { plan.project.classes.iter().flat_map(sessions).collect() };
    meet(&all(one), &all(other))
}

fn sessions(class: &Class) -> Vec<(i64, i64)> {
    let span = |session: &Session| Some((proto::instant(&session.starts?), proto::instant(&session.ends?)));
    class.sessions.iter().filter_map(span).collect()
}

fn meet(some: &[(i64, i64)], others: &[(i64, i64)]) -> bool {
    some.iter().any(|(starts, ends)| others.iter().any(|(from, until)| starts < until && from < ends))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_popular_are_drawn_more_often_and_what_alone_fits_is_found() {
        let menu = Menu::of(0..1_000, 0.85);
        let mut draw = Draw::of(1, 4);
        let mut times = vec![0_u32; 1_000];
        for _ in 0..20_000 {
            times[menu.one(&mut draw, |_| true).unwrap()] += 1;
        }
        // In proportion to 1 / (place + 1)^0.85: the first 1.80 times as often as the second, 7.08 times as often as the tenth.
        let ratio = |place: usize| f64::from(times[0]) / f64::from(times[place]);
        assert!((1.4..2.3).contains(&ratio(1)) && (5.0..10.0).contains(&ratio(9)), "{} {}", ratio(1), ratio(9));
        assert_eq!(menu.one(&mut draw, |n| n == 999), Some(999));
        assert_eq!(menu.one(&mut draw, |_| false), None);
        assert_eq!(Menu::of(std::iter::empty(), 0.85).one(&mut draw, |_| true), None);
    }
}
