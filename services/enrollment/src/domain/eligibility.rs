//! Whether a teacher may select a project in a round: every reason against it at once, and what should be known.

use jiff::{civil::Date, tz::TimeZone};
use proto::common::v1::Reason;

use super::{
    Ground, Policy, Projects,
    audience::{Dimension, differences},
    policy::Consequence,
    project::{Class, Project},
    round2::{History, Outcome, may_select},
    selection::Selection,
    state::State,
    structure,
    teacher::{Status, Teacher},
};

/// All that decides.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// Who selects.
    pub teacher: &'a Teacher,
    /// What.
    pub project: &'a Project,
    /// In which round.
    pub round: i32,
    /// The teacher's selections of the term, of every round and state.
    pub selections: &'a [&'a Selection],
    /// The projects of his live selections.
    pub projects: &'a Projects,
    /// The bureau lifted the bar for this round.
    pub overridden: bool,
    /// Last day of the first round's selection window.
    pub first_round_ends_on: Option<Date>,
    /// Free places, where a seat is held at submission; `None` where it is not.
    pub free: Option<i32>,
    /// The day on which is decided.
    pub today: Date,
    /// End of the teacher's five-year cycle, if known.
    pub cycle_ends_on: Option<Date>,
    /// The term's policy.
    pub policy: &'a Policy,
    /// The term's zone.
    pub zone: &'a TimeZone,
}

/// Every reason against the selection; none: the teacher may select.
#[must_use]
pub fn refusals(case: &Case<'_>) -> Vec<Ground> {
    let mut grounds = Vec::new();
    let Case { teacher, project, policy, .. } = *case;
    let status = teacher.status_on(case.today);
    if status != Status::Active {
        grounds.push(Ground::new(Reason::TeacherNotActive).with("status", status.word()));
    }
    if !project.open || project.active().next().is_none() {
        grounds.push(Ground::new(Reason::ProjectNotOpen).with("project", &project.name));
    }
    let refusing: Vec<_> = differences(teacher, &project.audience)
        .into_iter()
        .filter(|dimension| !policy.matching.dimensions.contains(dimension))
        .map(Dimension::word)
        .collect();
    if !refusing.is_empty() {
        grounds.push(Ground::new(Reason::AudienceMismatch).with("dimension", refusing.join(", ")));
    }
    if let Some(bar) = bar(case) {
        grounds.push(bar);
    }
    let live: Vec<_> = case.selections.iter().filter(|selection| selection.state.is_live()).collect();
    if let Some(same) = live.iter().find(|selection| selection.project == project.name) {
        grounds.push(Ground::new(Reason::AlreadySelected).with("selection", &same.name));
    }
    grounds.extend(limits(case));
    for other in live.iter().filter(|selection| selection.project != project.name) {
        let Some(other_project) = case.projects.get(&other.project) else { continue };
        if !can_attend_both(project, other_project, &other.class) {
            grounds.push(Ground::new(Reason::SessionsOverlap).with("other", &other.project));
        }
    }
    match kept_away(teacher, project, "", case.zone) {
        None => {}
        // Of who is gone already that is said above.
        Some(by_then) if by_then.is_gone() && status.is_gone() => {}
        Some(by_then) if by_then.is_gone() => {
            grounds.push(Ground::new(Reason::LeavesBefore).with("status", by_then.word()));
        }
        Some(_) if project.active().next().is_some() => grounds.push(Ground::new(Reason::OnLeave)),
        Some(_) => {}
    }
    if policy.structure.consequence == Consequence::Block {
        grounds.extend(deviations(case));
    }
    if case.free.is_some_and(|free| free <= 0) {
        grounds.push(Ground::full(&project.name));
    }
    grounds
}

/// Where the selection moves the structure of what the teacher has selected in the term further from the policy's table.
#[must_use]
pub fn deviations(case: &Case<'_>) -> Vec<Ground> {
    let others = case
        .selections
        .iter()
        .filter(|other| other.state.is_live() && other.project != case.project.name)
        .filter_map(|other| case.projects.get(&other.project));
    structure::deviations(case.teacher, case.project, others, &case.policy.structure)
}

/// What does not refuse but should be known: to the teacher at submission, to the reviewer after it.
#[must_use]
pub fn warnings(case: &Case<'_>) -> Vec<Ground> {
    let mut grounds = Vec::new();
    let differing: Vec<_> = differences(case.teacher, &case.project.audience)
        .into_iter()
        .filter(|dimension| case.policy.matching.dimensions.contains(dimension))
        .map(Dimension::word)
        .collect();
    if !differing.is_empty() {
        grounds.push(Ground::new(Reason::MatchDiffers).with("dimension", differing.join(", ")));
    }
    // A cycle that is over says nothing of the one that runs.
    if let Some(end) = case.cycle_ends_on.filter(|end| *end >= case.today) {
        let mut ends = case.project.active().filter_map(|class| class.ends_on).peekable();
        if ends.peek().is_some() && ends.all(|last| last > end) {
            grounds.push(Ground::new(Reason::CycleEnds).with("cycle_ends_on", end));
        }
    }
    if case.policy.structure.consequence != Consequence::Block {
        grounds.extend(deviations(case));
    }
    grounds
}

/// The bar of a later round, if one stands.
#[must_use]
pub fn bar(case: &Case<'_>) -> Option<Ground> {
    if case.round <= 1 {
        return None;
    }
    let outcomes: Vec<_> = case
        .selections
        .iter()
        .filter(|selection| selection.round < case.round)
        .map(|selection| Outcome { state: selection.state, approved: selection.approved })
        .collect();
    let joined_later = joined_later(case.teacher, case.first_round_ends_on);
    let history = History { outcomes: &outcomes, joined_later, overridden: case.overridden };
    may_select(&history, &case.policy.round2).err().map(super::round2::Bar::ground)
}

/// Whether the teacher came onto the roster after the first round's last day.
#[must_use]
pub fn joined_later(teacher: &Teacher, first_round_ends_on: Option<Date>) -> bool {
    matches!((teacher.joined_on, first_round_ends_on), (Some(joined), Some(ends)) if joined > ends)
}

/// Policy `selection.max_per_round` and `selection.max_intensive_per_round`.
fn limits(case: &Case<'_>) -> Vec<Ground> {
    let limits = &case.policy.selection;
    let of_round = || {
        let counts = |selection: &&&Selection| selection.round == case.round && selection.state.is_live();
        case.selections.iter().filter(counts)
    };
    let mut grounds = Vec::new();
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    if count(of_round().count()) >= limits.max_per_round {
        grounds.push(Ground::new(Reason::SelectionLimit).with("limit", limits.max_per_round));
    }
    let is_intensive = |name: &String| case.projects.get(name).is_some_and(|project| project.is_intensive(limits));
    let intensive = of_round().filter(|selection| is_intensive(&selection.project)).count();
    if case.project.is_intensive(limits) && count(intensive) >= limits.max_intensive_per_round {
        grounds.push(Ground::new(Reason::IntensiveLimit).with("limit", limits.max_intensive_per_round));
    }
    grounds
}

/// Whether some class of `project` leaves time for some class (the placed one, if there is one) of `other`. What has no
/// class left has no sessions to overlap with.
#[must_use]
pub fn can_attend_both(project: &Project, other: &Project, placed: &str) -> bool {
    let (mut mine, mut theirs) = (project.active().peekable(), other.possible(placed).peekable());
    if mine.peek().is_none() || theirs.peek().is_none() {
        return true;
    }
    let theirs: Vec<&Class> = theirs.collect();
    mine.any(|class| theirs.iter().any(|other| !class.overlaps(other)))
}

/// What keeps the teacher from every class (from the placed one, if there is one): that he is gone by then, or on leave.
#[must_use]
pub fn kept_away(teacher: &Teacher, project: &Project, placed: &str, zone: &TimeZone) -> Option<Status> {
    let free = |absent: &dyn Fn(Date) -> bool| project.possible(placed).any(|class| !class.any_day(zone, absent));
    let by_then = || project.possible(placed).find_map(|class| class.first_day(zone, |day| teacher.gone_on(day)));
    if !teacher.gone.is_empty()
        && !free(&|day| teacher.gone_on(day).is_some())
        && let Some(gone) = by_then()
    {
        return Some(gone);
    }
    if teacher.leaves.is_empty() || free(&|day| teacher.on_leave(day) || teacher.gone_on(day).is_some()) {
        return None;
    }
    Some(Status::OnLeave)
}

/// Whether who is gone was there for all sessions of some class (of the placed one, if there is one): what he did stands.
#[must_use]
pub fn attended_before(teacher: &Teacher, project: &Project, placed: &str, zone: &TimeZone) -> bool {
    let over = |class: &Class| !class.sessions.is_empty() && !class.any_day(zone, |day| teacher.gone_on(day).is_some());
    !teacher.gone.is_empty() && project.possible(placed).any(over)
}

/// Whether a selection that is over can come back: only into a project that is held, for a teacher who can come.
///
/// # Errors
/// `PROJECT_NOT_OPEN`, `TEACHER_NOT_ACTIVE`, `LEAVES_BEFORE`, `ON_LEAVE`.
pub fn can_come_back(project: &Project, teacher: Option<&Teacher>, zone: &TimeZone) -> Result<(), Ground> {
    if !project.open || project.active().next().is_none() {
        return Err(Ground::new(Reason::ProjectNotOpen).with("project", &project.name));
    }
    let Some(teacher) = teacher else { return Ok(()) };
    if teacher.status.is_gone() {
        return Err(Ground::new(Reason::TeacherNotActive).with("status", teacher.status.word()));
    }
    match kept_away(teacher, project, "", zone) {
        None => Ok(()),
        Some(status) if status.is_gone() => Err(Ground::new(Reason::LeavesBefore).with("status", status.word())),
        Some(_) => Err(Ground::new(Reason::OnLeave)),
    }
}

/// Whether a selection in this state is one of the round's, for "who has not selected".
#[must_use]
pub const fn counts_as_selected(state: State) -> bool {
    !matches!(state, State::Withdrawn)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::civil::date;
    use proto::Credit;

    use super::*;
    use crate::domain::audience::Audience;

    const DAY: i64 = 86_400_000_000;

    fn project(name: &str, credits: i64, session: (i64, i64)) -> Project {
        let class = Class {
            name: format!("{name}/classes/1"),
            places: 30,
            sessions: vec![session],
            active: true,
            ends_on: Some(date(2019, 10, 1)),
        };
        Project {
            name: name.to_owned(),
            open: true,
            base_credit: Credit::whole(credits),
            classes: BTreeMap::from([(class.name.clone(), class)]),
            ..Project::default()
        }
    }

    fn selection(project: &str, round: i32, state: State) -> Selection {
        let mut selection = Selection::submitted(&format!("s/{project}/{round}"), "t", project, round, 0);
        selection.state = state;
        selection
    }

    struct World {
        teacher: Teacher,
        projects: Projects,
        selections: Vec<Selection>,
        policy: Policy,
    }

    impl World {
        fn new() -> Self {
            let projects = [
                project("a", 30, (0, 10)),
                project("b", 30, (5, 15)),
                project("c", 90, (20, 30)),
                project("d", 120, (40, 50)),
                project("e", 30, (60, 70)),
                project("f", 30, (80, 90)),
            ];
            let projects = projects.into_iter().map(|project| (project.name.clone(), project)).collect();
            Self { teacher: Teacher::default(), projects, selections: Vec::new(), policy: Policy::default() }
        }

        fn case<R>(&self, project: &str, round: i32, judge: impl Fn(&Case<'_>) -> R) -> R {
            let selections: Vec<_> = self.selections.iter().collect();
            judge(&Case {
                teacher: &self.teacher,
                project: &self.projects[project],
                round,
                selections: &selections,
                projects: &self.projects,
                overridden: false,
                first_round_ends_on: Some(date(2019, 9, 5)),
                free: None,
                today: date(1968, 1, 1),
                cycle_ends_on: None,
                policy: &self.policy,
                zone: &TimeZone::UTC,
            })
        }

        fn reasons(&self, project: &str, round: i32) -> Vec<Reason> {
            self.case(project, round, |case| refusals(case).into_iter().map(|ground| ground.reason).collect())
        }
    }

    #[test]
    fn nothing_against_it() {
        assert!(World::new().reasons("a", 1).is_empty());
    }

    #[test]
    fn every_reason_is_told_at_once() {
        let mut world = World::new();
        world.teacher.status = Status::Retired;
        world.selections = vec![
            selection("a", 1, State::Submitted),
            selection("c", 1, State::Submitted),
            selection("e", 1, State::Submitted),
        ];
        let target = world.projects.get_mut("d").expect("d");
        target.open = false;
        target.audience = Audience { stages: vec!["senior".to_owned()], ..Audience::default() };
        target.classes.values_mut().for_each(|class| class.sessions = vec![(0, 100)]);
        world.teacher.stages = vec!["primary".to_owned()];
        let reasons = world.case("d", 1, |case| {
            let grounds = refusals(&Case { free: Some(0), ..*case });
            grounds.into_iter().map(|ground| ground.reason).collect::<Vec<_>>()
        });
        assert_eq!(
            reasons,
            [
                Reason::TeacherNotActive,
                Reason::ProjectNotOpen,
                Reason::AudienceMismatch,
                Reason::SelectionLimit,
                Reason::IntensiveLimit,
                Reason::SessionsOverlap,
                Reason::SessionsOverlap,
                Reason::SessionsOverlap,
                Reason::Full
            ]
        );
    }

    #[test]
    fn the_fourth_and_the_second_intensive_are_refused_and_the_dead_do_not_count() {
        let mut world = World::new();
        world.selections = vec![selection("c", 1, State::Submitted), selection("e", 1, State::Withdrawn)];
        assert_eq!(world.reasons("d", 1), [Reason::IntensiveLimit]);
        assert!(world.reasons("e", 1).is_empty(), "withdrawn: may select again");
        world.selections.push(selection("a", 1, State::SchoolApproved));
        world.selections.push(selection("f", 1, State::Submitted));
        assert_eq!(world.reasons("e", 1), [Reason::SelectionLimit]);
        assert!(world.reasons("e", 2).is_empty(), "the limit is a round's");
    }

    #[test]
    fn overlap_is_with_every_live_selection_of_any_round() {
        let mut world = World::new();
        world.selections = vec![selection("a", 1, State::Confirmed)];
        assert_eq!(world.reasons("b", 2), [Reason::SessionsOverlap]);
        assert_eq!(world.reasons("a", 2), [Reason::AlreadySelected]);
        let evening = Class { sessions: vec![(90, 99)], active: true, name: "b/2".to_owned(), ..Class::default() };
        world.projects.get_mut("b").expect("b").classes.insert(evening.name.clone(), evening);
        assert!(world.reasons("b", 2).is_empty(), "another class leaves time");
    }

    #[test]
    fn leave_and_cycle_and_match() {
        let mut world = World::new();
        world
            .projects
            .get_mut("a")
            .expect("a")
            .classes
            .values_mut()
            .for_each(|class| class.sessions = vec![(DAY, DAY + 10)]);
        world.teacher.leaves = vec![(date(1970, 1, 2), None)];
        assert_eq!(world.reasons("a", 1), [Reason::OnLeave]);
        world.teacher.leaves = vec![(date(1970, 1, 3), None), (date(1969, 1, 1), Some(date(1970, 1, 1)))];
        assert!(world.reasons("a", 1).is_empty());
        world.projects.get_mut("a").expect("a").audience.tiers = vec!["leader".to_owned()];
        world.teacher.tier = "novice".to_owned();
        let warned = |cycle_ends_on| {
            world.case("a", 1, |case| {
                let grounds = warnings(&Case { cycle_ends_on: Some(cycle_ends_on), ..*case });
                grounds.into_iter().map(|ground| ground.reason).collect::<Vec<_>>()
            })
        };
        assert_eq!(warned(date(2019, 9, 30)), [Reason::MatchDiffers, Reason::CycleEnds]);
        assert_eq!(warned(date(1967, 12, 31)), [Reason::MatchDiffers], "a cycle that is over");
        assert!(world.reasons("a", 1).is_empty(), "tier is a match dimension: it warns");
    }

    #[test]
    fn a_deviating_structure_warns_or_is_refused() {
        let mut world = World::new();
        for name in ["a", "e", "f"] {
            world.projects.get_mut(name).expect("there").kinds = vec![structure::Kind::Online];
        }
        let table = "[structure]\n[[structure.shares]]\nkind = \"online\"\npercent = 30\ndeviation = 20";
        world.policy = Policy::read(&table.parse().expect("TOML")).expect("a policy");
        let warned = |world: &World| {
            world.case("a", 1, |case| warnings(case).into_iter().map(|ground| ground.reason).collect::<Vec<_>>())
        };
        world.selections = vec![selection("d", 1, State::Submitted), selection("e", 1, State::Withdrawn)];
        assert!(warned(&world).is_empty(), "30 of 150; what was withdrawn does not count");
        world.selections = vec![selection("e", 1, State::Submitted), selection("a", 1, State::Submitted)];
        assert_eq!(warned(&world), [Reason::StructureDeviates], "also of what is selected already");
        world.selections.pop();
        assert_eq!(warned(&world), [Reason::StructureDeviates]);
        assert!(world.reasons("a", 1).is_empty());
        world.policy.structure.consequence = Consequence::Block;
        assert_eq!(world.reasons("a", 1), [Reason::StructureDeviates]);
        assert!(warned(&world).is_empty(), "told once");
    }

    #[test]
    fn round_two_asks_for_round_one() {
        let mut world = World::new();
        assert_eq!(world.reasons("a", 2), [Reason::Round2NotSelected]);
        world.teacher.joined_on = Some(date(2019, 9, 6));
        assert_eq!(world.reasons("a", 2), [Reason::JoinedLater]);
        world.selections = vec![selection("b", 1, State::SchoolRejected)];
        assert_eq!(world.reasons("a", 2), [Reason::Round2Rejected]);
        assert!(world.reasons("a", 1).is_empty(), "round 1 while it is open");
    }
}
