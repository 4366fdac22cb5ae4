//! The plan: which steps a calendar makes. Pure; the same calendar makes the same steps.
//!
//! A step waits only for what it needs: what a service that is away holds up depends on it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{civil::Date, tz::TimeZone};
use proto::common::v1::{Action, Gates, Phase, Window};

use super::{Gated, Task};
use crate::calendar::{Edge, edges, mark, marks_of, waits_for};

/// Everyone who obeys gates: the gateway itself too, so that it can tell what is open.
const ALL: [&str; 5] = ["roster", "catalog", "enrollment", "credit", "gateway"];
/// Ordinals from here on are those of the steps of single classes.
pub const OF_CLASSES: i64 = 1_000_000;

/// A step to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// "terms/…/steps/…"
    pub name: String,
    /// For people: "selection-1 closes: settle enrollment".
    pub title: String,
    /// The edge that it belongs to: "selection-1/closes".
    pub edge: String,
    /// Microseconds since the epoch.
    pub due: i64,
    /// Place in the plan; negative for what a calendar's version brings, from `OF_CLASSES` on for single classes.
    pub ordinal: i64,
    /// What it does.
    pub task: Task,
    /// Names of the steps that it waits for.
    pub after: Vec<String>,
}

impl Planned {
    /// The order in which steps are listed and looked at.
    #[must_use]
    pub fn order(&self) -> (i64, i64, &str) {
        (self.due, self.ordinal, &self.name)
    }
}

/// The part of a window's life at which steps stand, in the order in which edges of one instant are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Point {
    Closes,
    Opens,
    /// So many days before the end of the last day.
    Before(i64, Date),
}

impl Point {
    fn label(self) -> String {
        match self {
            Self::Opens => Edge::Opens.word().to_owned(),
            Self::Closes => Edge::Closes.word().to_owned(),
            // With the day, so that a window that was prolonged after its reminder is reminded of again.
            Self::Before(days, last) => format!("closes-{last}-in-{days}-days"),
        }
    }
}

/// All steps of a calendar's windows: `reminders` are the days before each close on which people are reminded.
#[must_use]
pub fn plan(gates: &Gates, reminders: &BTreeSet<i64>, gated: &Gated) -> Vec<Planned> {
    // A zone that cannot be read was refused before; nothing is lost but the days' names.
    let zone = TimeZone::get(&gates.zone).unwrap_or(TimeZone::UTC);
    let windows: Vec<_> = gates.windows.iter().filter(|window| window.phase() != Phase::Unspecified).collect();
    let mut all: Vec<(i64, Point, &Window)> = Vec::new();
    for window in &windows {
        let Some((opens, closes)) = edges(window) else { continue };
        all.push((opens, Point::Opens, window));
        all.push((closes, Point::Closes, window));
        for days in reminders {
            if let Some((due, last)) = days_before(closes, *days, &zone)
                && due > opens
            {
                all.push((due, Point::Before(*days, last), window));
            }
        }
    }
    all.sort_by(|(due, point, window), (other_due, other_point, other)| {
        (due, point, &window.id).cmp(&(other_due, other_point, &other.id))
    });
    let mut planner = Planner {
        term: &gates.term,
        gated,
        last_round: windows.iter().map(|window| window.round).max().unwrap_or_default(),
        windows,
        ends: BTreeMap::new(),
        steps: Vec::new(),
    };
    for (due, point, window) in all {
        let at = At { window, edge: point.label(), due };
        match point {
            Point::Opens => planner.opening(&at),
            Point::Closes => planner.closing(&at),
            Point::Before(..) => {
                planner.add(&at, Task::run("enrollment", Action::Remind, &window.id, window.round), Vec::new());
            }
        }
    }
    planner.steps
}

/// Midnight so many days before a window closes, and the window's last day.
fn days_before(closes: i64, days: i64, zone: &TimeZone) -> Option<(i64, Date)> {
    let closing = proto::jiff_instant(closes).to_zoned_datetime(zone.clone()).date();
    let day = (0..days).try_fold(closing, |day, _| day.yesterday().ok())?;
    let due = day.to_zoned_datetime(zone.clone()).ok()?.timestamp().as_microsecond();
    Some((due, closing.yesterday().ok()?))
}

/// An edge while its steps are planned.
struct At<'a> {
    window: &'a Window,
    edge: String,
    due: i64,
}

struct Planner<'a> {
    term: &'a str,
    gated: &'a Gated,
    last_round: i32,
    windows: Vec<&'a Window>,
    /// By edge: the steps for which whoever waits for the edge waits.
    ends: BTreeMap<String, Vec<String>>,
    steps: Vec<Planned>,
}

impl Planner<'_> {
    fn opening(&mut self, at: &At) {
        let after = self.waits_for(at.window);
        let end = self.chain(at, at_opening(at.window), after);
        let end = self.leave_mark(at, Edge::Opens, end);
        let notify = Task::run("enrollment", Action::NotifyOpening, &at.window.id, at.window.round);
        self.add(at, notify, end.clone());
        if at.window.phase() == Phase::SchoolReview && at.window.organizations.is_empty() {
            // Most cycles end with a school year, in the midst of round 1: the next round's opening shall find little to do.
            let renew = Task::run("credit", Action::RenewCreditPositions, &at.window.id, at.window.round);
            self.add(at, renew, Vec::new());
        }
        self.ends.insert(format!("{}/opens", at.window.id), end);
    }

    /// Settled first, wherever the window opened anything; then its business; then what waits for it may go on.
    fn closing(&mut self, at: &At) {
        let window = at.window;
        let mut after = self.ends.get(&format!("{}/opens", window.id)).cloned().unwrap_or_default();
        let gated = self.gated;
        for service in gated.services(window.phase()) {
            after.push(self.add(at, settle(service, &window.id), Vec::new()));
        }
        self.add(at, settle("gateway", &window.id), Vec::new());
        let has_results = self.windows.iter().any(|window| window.phase() == Phase::Results);
        let end = self.chain(at, at_closing(window, self.ends_confirmation(at), has_results), after);
        if window.phase() == if has_results { Phase::Results } else { Phase::Training } {
            // Compliance has been taken: what is forgotten now is no part of it. Nobody waits for it, and one service not for another.
            for tasks in forgotten(window) {
                self.chain(at, tasks, end.clone());
            }
        }
        let end = self.leave_mark(at, Edge::Closes, end);
        self.ends.insert(format!("{}/closes", window.id), end);
    }

    /// Whether confirmation is over with this closing: it is of the last round, or of an earlier one and comes later.
    fn ends_confirmation(&self, at: &At) -> bool {
        let last = |window: &&&Window| {
            window.phase() == Phase::ProviderConfirmation
                && window.round == self.last_round
                && window.organizations.is_empty()
        };
        let last = self.windows.iter().find(last).and_then(|window| edges(window)).map(|(_, closes)| closes);
        at.window.round == self.last_round || last.is_some_and(|last| last <= at.due)
    }

    /// Leaves the edge's mark in every service with methods that wait for it; the gateway, which tells people what is open,
    /// follows them. Returns what waits for the mark waits for.
    fn leave_mark(&mut self, at: &At, edge: Edge, end: Vec<String>) -> Vec<String> {
        let mark = mark(&at.window.id, edge);
        let gated = self.gated;
        let waiting: BTreeSet<&str> = self
            .windows
            .iter()
            .filter(|window| marks_of(window).any(|other| other == mark))
            .flat_map(|window| gated.services(window.phase()))
            .collect();
        if waiting.is_empty() {
            return end;
        }
        let left: Vec<_> =
            waiting.into_iter().map(|service| self.add(at, settle(service, &mark), end.clone())).collect();
        self.add(at, settle("gateway", &mark), left.clone());
        left
    }

    /// Ends of the edges without which this window's opening must not be carried out.
    fn waits_for(&self, window: &Window) -> Vec<String> {
        let mut edges: Vec<String> = waits_for(window).map(|(id, edge)| format!("{id}/{}", edge.word())).collect();
        let mut closes = |phase: Phase, round: i32| {
            let ordinary =
                |other: &&&Window| other.phase() == phase && other.round == round && other.organizations.is_empty();
            edges.extend(self.windows.iter().filter(ordinary).map(|other| format!("{}/closes", other.id)));
        };
        match window.phase() {
            // What expired at the ordinary close is what comes back.
            phase if !window.organizations.is_empty() => closes(phase, window.round),
            Phase::Publication => closes(Phase::ProjectReview, 0),
            Phase::ExpansionRequest => closes(Phase::SchoolReview, 1),
            Phase::Training => closes(Phase::ProviderConfirmation, self.last_round),
            _ => {}
        }
        let mut after: Vec<String> = edges.iter().filter_map(|edge| self.ends.get(edge)).flatten().cloned().collect();
        after.sort();
        after.dedup();
        after
    }

    /// Adds tasks one after the other; returns what waits for the last of them waits for.
    fn chain(&mut self, at: &At, tasks: Vec<Task>, after: Vec<String>) -> Vec<String> {
        tasks.into_iter().fold(after, |after, task| vec![self.add(at, task, after)])
    }

    fn add(&mut self, at: &At, task: Task, after: Vec<String>) -> String {
        let (id, slug) = (&at.window.id, task.slug());
        let name = format!("{}/steps/{id}-{}-{slug}", self.term, at.edge);
        self.steps.push(Planned {
            name: name.clone(),
            title: format!("{id} {}: {}", at.edge, slug.replace('-', " ")),
            edge: format!("{id}/{}", at.edge),
            due: at.due,
            ordinal: i64::try_from(self.steps.len()).unwrap_or(i64::MAX),
            task,
            after,
        });
        name
    }
}

fn settle(service: &str, window: &str) -> Task {
    Task::Settle { service: service.to_owned(), window: window.to_owned() }
}

fn at_opening(window: &Window) -> Vec<Task> {
    let (id, round) = (window.id.as_str(), window.round);
    match window.phase() {
        // Of a supplementary review: with what comes back.
        Phase::SchoolReview => vec![Task::run("enrollment", Action::ListUnreviewableSchools, id, round)],
        _ if !window.organizations.is_empty() => Vec::new(),
        Phase::Publication => vec![
            Task::run("catalog", Action::PublishApproved, id, round),
            Task::barrier("enrollment", "catalog"),
            Task::barrier("credit", "catalog"),
        ],
        Phase::Selection => vec![
            Task::barrier("credit", "roster"),
            Task::run("credit", Action::RenewCreditPositions, id, round),
            Task::barrier("enrollment", "roster"),
            Task::barrier("enrollment", "catalog"),
            Task::barrier("enrollment", "credit"),
            Task::run("enrollment", Action::FixCreditPositions, id, round),
        ],
        Phase::Training => vec![Task::run("catalog", Action::StartPublished, id, round)],
        _ => Vec::new(),
    }
}

fn at_closing(window: &Window, ends_confirmation: bool, has_results: bool) -> Vec<Task> {
    let run = |service: &str, action: Action| Task::run(service, action, &window.id, window.round);
    let the_end = [run("catalog", Action::CompleteRunning), run("credit", Action::ComplianceFinal)];
    match window.phase() {
        Phase::RosterUpdate => vec![
            run("roster", Action::RecordRosterPosition),
            Task::barrier("enrollment", "roster"),
            Task::barrier("credit", "roster"),
        ],
        Phase::Declaration => vec![run("catalog", Action::LapseDrafts)],
        Phase::ProjectReview => vec![
            run("catalog", Action::ListUndecidedProjects),
            Task::barrier("enrollment", "catalog"),
            run("enrollment", Action::TellOfUndecidedProjects),
        ],
        Phase::Publication => {
            vec![run("catalog", Action::LapseUndecidedProjects), Task::barrier("enrollment", "catalog")]
        }
        Phase::Selection => vec![run("enrollment", Action::FixNonSelectors)],
        Phase::SchoolReview => {
            vec![run("enrollment", Action::ExpireUnreviewed), run("enrollment", Action::ProposeCancelling)]
        }
        Phase::ExpansionDecision => {
            vec![run("catalog", Action::DenyUndecidedExpansions), Task::barrier("enrollment", "catalog")]
        }
        Phase::ProviderConfirmation if ends_confirmation => vec![
            run("enrollment", Action::SettleConfirmation),
            run("enrollment", Action::IssueDueNotices),
            run("enrollment", Action::FreezeWaiting),
        ],
        Phase::ProviderConfirmation => vec![run("enrollment", Action::SettleConfirmation)],
        Phase::Training => {
            let mut tasks = vec![run("enrollment", Action::ListDueResults)];
            tasks.extend(recognized());
            if has_results {
                tasks.push(run("credit", Action::ComplianceProvisional));
            } else {
                tasks.extend(the_end);
            }
            tasks
        }
        Phase::Results => {
            let mut tasks = recognized();
            tasks.extend(the_end);
            tasks
        }
        _ => Vec::new(),
    }
}

/// What a term's end makes due by the policy's section `[retention]`, service by service.
fn forgotten(window: &Window) -> Vec<Vec<Task>> {
    let run = |service: &str, action: Action| Task::run(service, action, &window.id, window.round);
    let mut all: Vec<_> = ALL.into_iter().map(|service| vec![run(service, Action::PurgeReplies)]).collect();
    if let [roster, _, enrollment, ..] = all.as_mut_slice() {
        // Each erasure looks through the replies that are left.
        roster.push(run("roster", Action::EraseDue));
        enrollment.push(run("enrollment", Action::PurgeInboxes));
    }
    all
}

/// Compliance is taken once every result that was confirmed until then has become credit.
fn recognized() -> Vec<Task> {
    vec![Task::barrier("gateway", "enrollment"), Task::Recognized, Task::barrier("credit", "enrollment")]
}

/// The steps of taking a calendar's version: its gates go to everyone.
#[must_use]
pub fn calendar_steps(term: &str, version: i64, due: i64) -> Vec<Planned> {
    let edge = format!("calendar-{version}");
    ALL.into_iter()
        .zip(-100_i64..)
        .map(|(service, ordinal)| {
            let task = Task::PutGates { service: service.to_owned() };
            let slug = task.slug();
            Planned {
                name: format!("{term}/steps/{edge}-{slug}"),
                title: format!("calendar version {version}: {}", slug.replace('-', " ")),
                edge: edge.clone(),
                due,
                ordinal,
                task,
                after: Vec::new(),
            }
        })
        .collect()
}

/// The steps after a class's results were confirmed, or corrected: they become credit, and that becomes known.
#[must_use]
pub fn recognition_steps(term: &str, class: &str, revision: i32, due: i64) -> Vec<Planned> {
    let mut parts = class.split('/').skip(3).step_by(2);
    let (project, id) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let edge = format!("results-{project}-{id}-{revision}");
    let recognize = Task::Run {
        service: "credit".to_owned(),
        action: Action::RecognizeResults.as_str_name().to_owned(),
        window: String::new(),
        round: 0,
        subject: class.to_owned(),
    };
    let tasks = [Task::barrier("credit", "enrollment"), recognize, Task::barrier("enrollment", "credit")];
    let mut after = Vec::new();
    tasks
        .into_iter()
        .zip(OF_CLASSES..)
        .map(|(task, ordinal)| {
            let slug = task.slug();
            let name = format!("{term}/steps/{edge}-{slug}");
            let title = format!("results of class {id}: {}", slug.replace('-', " "));
            let after = std::mem::replace(&mut after, vec![name.clone()]);
            Planned { name, title, edge: edge.clone(), due, ordinal, task, after }
        })
        .collect()
}
