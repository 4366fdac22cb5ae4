//! The plan: which steps a calendar makes. Pure; the same calendar makes the same steps.

use std::collections::BTreeMap;

use proto::common::v1::{Action, Phase, Window};

use super::Task;
use crate::calendar::done_mark;

/// Everyone who obeys gates: the gateway itself too.
const ALL: [&str; 5] = ["roster", "catalog", "enrollment", "credit", "gateway"];
const MICROS_A_DAY: i64 = 86_400_000_000;

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
    /// Place among the steps that are due at the same instant.
    pub ordinal: i64,
    /// What it does.
    pub task: Task,
    /// Names of the steps that it waits for.
    pub after: Vec<String>,
}

/// The part of a window's life at which steps stand, in the order in which edges of one instant are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Edge {
    Closes,
    Opens,
    Before(i64),
}

impl Edge {
    fn label(self) -> String {
        match self {
            Self::Opens => "opens".to_owned(),
            Self::Closes => "closes".to_owned(),
            Self::Before(days) => format!("closes-in-{days}-days"),
        }
    }
}

/// All steps of a calendar's windows: `reminders` are the days before each close on which people are reminded.
#[must_use]
pub fn plan(term: &str, windows: &[Window], reminders: &[i64]) -> Vec<Planned> {
    let windows: Vec<_> = windows.iter().filter(|window| window.phase() != Phase::Unspecified).collect();
    let mut edges: Vec<(i64, Edge, &Window)> = Vec::new();
    for window in &windows {
        let (Some(opens), Some(closes)) = (&window.opens, &window.closes) else { continue };
        let (opens, closes) = (proto::instant(opens), proto::instant(closes));
        edges.push((opens, Edge::Opens, window));
        edges.push((closes, Edge::Closes, window));
        for days in reminders {
            let due = closes.saturating_sub(days.saturating_mul(MICROS_A_DAY));
            if due > opens {
                edges.push((due, Edge::Before(*days), window));
            }
        }
    }
    edges.sort_by(|(due, edge, window), (other_due, other_edge, other)| {
        (due, edge, &window.id).cmp(&(other_due, other_edge, &other.id))
    });
    let last_round = windows.iter().map(|window| window.round).max().unwrap_or_default();
    let has_results = windows.iter().any(|window| window.phase() == Phase::Results);
    // The last step of each edge that is planned, for those that wait for it.
    let mut ends: BTreeMap<String, String> = BTreeMap::new();
    let mut steps: Vec<Planned> = Vec::new();
    for (due, edge, window) in edges {
        let tasks = match edge {
            Edge::Opens => at_opening(window),
            Edge::Closes => at_closing(window, last_round, has_results),
            Edge::Before(_) => vec![Task::run("enrollment", Action::Remind, &window.id, window.round)],
        };
        let label = edge.label();
        let edge_name = format!("{}/{label}", window.id);
        let mut after: Vec<String> = match edge {
            Edge::Opens => waits_for(window, &windows).iter().filter_map(|edge| ends.get(edge).cloned()).collect(),
            // A window closes after it has opened, however late that was.
            Edge::Closes | Edge::Before(_) => ends.get(&format!("{}/opens", window.id)).cloned().into_iter().collect(),
        };
        for task in tasks {
            let slug = task.slug();
            let name = format!("{term}/steps/{}-{label}-{slug}", window.id);
            let title = format!("{} {label}: {}", window.id, slug.replace('-', " "));
            let ordinal = i64::try_from(steps.len()).unwrap_or(i64::MAX);
            steps.push(Planned {
                name: name.clone(),
                title,
                edge: edge_name.clone(),
                due,
                ordinal,
                task,
                after: std::mem::replace(&mut after, vec![name]),
            });
        }
        if let Some(last) = after.into_iter().next() {
            ends.insert(edge_name, last);
        }
    }
    steps
}

/// Edges without whose steps this window's opening must not be carried out.
fn waits_for(window: &Window, windows: &[&Window]) -> Vec<String> {
    let closes = |phase: Phase, round: i32| {
        windows
            .iter()
            .filter(move |other| other.phase() == phase && other.round == round && other.organizations.is_empty())
            .map(|other| format!("{}/closes", other.id))
    };
    let round = window.round;
    match window.phase() {
        Phase::Publication => closes(Phase::ProjectReview, 0).collect(),
        Phase::Selection if round <= 1 => closes(Phase::Publication, 0).collect(),
        Phase::Selection => closes(Phase::ProviderConfirmation, round - 1).collect(),
        Phase::ProviderConfirmation if round <= 1 => {
            closes(Phase::SchoolReview, 1).chain(closes(Phase::ExpansionDecision, 0)).collect()
        }
        Phase::ProviderConfirmation => closes(Phase::SchoolReview, round).collect(),
        Phase::Training => {
            let last = windows.iter().map(|window| window.round).max().unwrap_or_default();
            closes(Phase::ProviderConfirmation, last).collect()
        }
        _ => Vec::new(),
    }
}

fn at_opening(window: &Window) -> Vec<Task> {
    let (id, round) = (window.id.as_str(), window.round);
    let mut tasks = match window.phase() {
        _ if !window.organizations.is_empty() => Vec::new(),
        Phase::Publication => vec![
            Task::run("catalog", Action::PublishApproved, id, round),
            Task::barrier("enrollment", "catalog"),
            Task::barrier("credit", "catalog"),
        ],
        Phase::Selection => vec![
            Task::barrier("credit", "roster"),
            Task::barrier("enrollment", "roster"),
            Task::barrier("enrollment", "catalog"),
            Task::barrier("enrollment", "credit"),
            Task::run("enrollment", Action::FixCreditPositions, id, round),
        ],
        Phase::SchoolReview => vec![Task::run("enrollment", Action::ListUnreviewableSchools, id, round)],
        Phase::Training => vec![Task::run("catalog", Action::StartPublished, id, round)],
        _ => Vec::new(),
    };
    tasks.push(Task::run("enrollment", Action::NotifyOpening, id, round));
    tasks
}

fn at_closing(window: &Window, last_round: i32, has_results: bool) -> Vec<Task> {
    let (id, round) = (window.id.as_str(), window.round);
    let mut tasks: Vec<Task> =
        ALL.into_iter().map(|service| Task::Settle { service: service.to_owned(), window: id.to_owned() }).collect();
    let run = |service: &str, action: Action| Task::run(service, action, id, round);
    match window.phase() {
        Phase::RosterUpdate => tasks.extend([
            run("roster", Action::RecordRosterPosition),
            Task::barrier("enrollment", "roster"),
            Task::barrier("credit", "roster"),
        ]),
        Phase::Declaration => tasks.push(run("catalog", Action::LapseDrafts)),
        Phase::ProjectReview => tasks.push(run("catalog", Action::ListUndecidedProjects)),
        Phase::Publication => {
            tasks.extend([run("catalog", Action::LapseUndecidedProjects), Task::barrier("enrollment", "catalog")]);
        }
        Phase::Selection => tasks.push(run("enrollment", Action::FixNonSelectors)),
        Phase::SchoolReview => {
            tasks.extend([run("enrollment", Action::ExpireUnreviewed), run("enrollment", Action::ProposeCancelling)]);
        }
        Phase::ExpansionDecision => {
            tasks.extend([run("catalog", Action::DenyUndecidedExpansions), Task::barrier("enrollment", "catalog")]);
        }
        Phase::ProviderConfirmation => {
            tasks.push(run("enrollment", Action::SettleConfirmation));
            if round == last_round {
                tasks.extend([run("enrollment", Action::IssueDueNotices), run("enrollment", Action::FreezeWaiting)]);
            }
        }
        Phase::Training => {
            tasks.extend([run("enrollment", Action::ListDueResults), Task::barrier("credit", "enrollment")]);
            let action = if has_results { Action::ComplianceProvisional } else { Action::ComplianceFinal };
            tasks.push(run("credit", action));
        }
        Phase::Results => tasks.extend([
            Task::barrier("credit", "enrollment"),
            run("catalog", Action::CompleteRunning),
            run("credit", Action::ComplianceFinal),
        ]),
        _ => {}
    }
    // What waits for this window waits for its business, not for its fence alone.
    tasks.extend(
        ["catalog", "enrollment"].map(|service| Task::Settle { service: service.to_owned(), window: done_mark(id) }),
    );
    tasks
}

/// The steps of taking a calendar's version: its gates go to everyone.
#[must_use]
pub fn calendar_steps(term: &str, version: i64, due: i64) -> Vec<Planned> {
    let edge = format!("calendar-{version}");
    ALL.into_iter()
        .zip(0_i64..)
        .map(|(service, ordinal)| {
            let task = Task::PutGates { service: service.to_owned() };
            let slug = task.slug();
            Planned {
                name: format!("{term}/steps/{edge}-{slug}"),
                title: format!("calendar version {version}: {}", slug.replace('-', " ")),
                edge: edge.clone(),
                due,
                ordinal: ordinal - 100,
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
        .zip(1_000_000_i64..)
        .map(|(task, ordinal)| {
            let slug = task.slug();
            let name = format!("{term}/steps/{edge}-{slug}");
            let title = format!("results of class {id}: {}", slug.replace('-', " "));
            let after = std::mem::replace(&mut after, vec![name.clone()]);
            Planned { name, title, edge: edge.clone(), due, ordinal, task, after }
        })
        .collect()
}
