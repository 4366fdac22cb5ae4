//! A calendar is validated as a whole before it is taken; all its faults are told at once.

use std::collections::BTreeMap;

use jiff::civil::Date;
use proto::common::v1::Phase;

use super::{Calendar, Day, Fault};

/// Phases that come in rounds.
const IN_ROUNDS: [Phase; 3] = [Phase::Selection, Phase::SchoolReview, Phase::ProviderConfirmation];
/// Phases without which no term can run.
const NEEDED: [Phase; 5] =
    [Phase::RosterUpdate, Phase::Declaration, Phase::ProjectReview, Phase::Publication, Phase::Training];

/// Every fault of the calendar as far as it could be read: of what could not, that was told.
#[must_use]
pub fn validate(calendar: &Calendar) -> Vec<Fault> {
    let mut faults = Vec::new();
    if calendar.days.is_empty() && calendar.half_read.is_empty() {
        // That every window is missing would say it once more, for each.
        return faults;
    }
    each_by_itself(calendar, &mut faults);
    presence(calendar, &mut faults);
    order(calendar, &mut faults);
    extent(calendar, &mut faults);
    faults
}

fn name(phase: Phase, round: i32) -> String {
    let phase = phase.as_str_name().trim_start_matches("PHASE_");
    if round == 0 { phase.to_owned() } else { format!("{phase} {round}") }
}

fn each_by_itself(calendar: &Calendar, faults: &mut Vec<Fault>) {
    let mut ids: BTreeMap<&str, usize> = BTreeMap::new();
    let mut ordinary: BTreeMap<(i32, i32), usize> = BTreeMap::new();
    for day in &calendar.days {
        let at = |key: &str| format!("window[{}].{key}", day.index);
        if let Some(first) = ids.insert(&day.id, day.index) {
            let en = format!("the id is that of window[{first}]; choose another");
            faults.push(Fault::new(at("id"), format!("与 window[{first}] 重复，请更换"), en));
        }
        if day.last < day.first {
            faults.push(Fault::new(at("last_day"), "不得早于 first_day", "must not be before first_day"));
        }
        let rounds = IN_ROUNDS.contains(&day.phase);
        if rounds && day.round < 1 {
            faults.push(Fault::new(at("round"), "该阶段须注明轮次（从 1 起）", "this phase needs a round, from 1"));
        }
        if !rounds && day.round != 0 {
            faults.push(Fault::new(at("round"), "该阶段没有轮次", "this phase has no rounds"));
        }
        if day.is_supplementary() {
            match calendar.ordinary(day.phase, day.round) {
                None if calendar.has(day.phase, day.round) => {}
                None => {
                    let en = "a supplementary window needs an ordinary one of its phase and round";
                    faults.push(Fault::new(at("organizations"), "补办窗口须有同阶段同轮次的普通窗口", en));
                }
                Some(ordinary) if day.first < ordinary.first => {
                    let en = format!("a supplementary window must not open before the ordinary one, {}", ordinary.id);
                    faults.push(Fault::new(
                        at("first_day"),
                        format!("补办窗口不得早于普通窗口 {} 开始", ordinary.id),
                        en,
                    ));
                }
                Some(_) => followed(calendar, day, faults),
            }
        } else if let Some(first) = ordinary.insert((day.phase.into(), day.round), day.index) {
            let en = format!(
                "window[{first}] is of this phase and round already; name organizations for a supplementary one"
            );
            faults.push(Fault::new(at("phase"), format!("与 window[{first}] 阶段轮次相同；补办窗口须注明机构"), en));
        }
    }
}

/// What is selected, or reviewed, in a supplementary window must come before whoever decides next: else it waits for ever.
fn followed(calendar: &Calendar, day: &Day, faults: &mut Vec<Fault>) {
    let next = match day.phase {
        Phase::Selection => Phase::SchoolReview,
        Phase::SchoolReview => Phase::ProviderConfirmation,
        _ => return,
    };
    let follows = |other: &&Day| {
        // Providers confirm what earlier rounds left; a school reviews its own round, in its own window or the ordinary one.
        let (round, named) = match next {
            Phase::SchoolReview => {
                (other.round == day.round, day.organizations.iter().all(|one| other.organizations.contains(one)))
            }
            _ => (other.round >= day.round, true),
        };
        other.phase == next && round && other.last >= day.last && (!other.is_supplementary() || named)
    };
    let half_read = calendar.half_read.iter().any(|(phase, _)| *phase == next);
    if !half_read && !calendar.days.iter().any(|other| follows(&other)) {
        let what = name(next, day.round);
        let en = format!("no {what} for these organisations closes on or after this day: add a supplementary one");
        let zh = format!("这些机构没有在该日或之后结束的 {what}，请一并增设补办窗口");
        faults.push(Fault::new(format!("window[{}].last_day", day.index), zh, en));
    }
}

fn presence(calendar: &Calendar, faults: &mut Vec<Fault>) {
    let mut need = |phase: Phase, round: i32| {
        if !calendar.has(phase, round) {
            let what = name(phase, round);
            faults.push(Fault::new("window", format!("缺少 {what}"), format!("{what} is missing")));
        }
    };
    for phase in NEEDED {
        need(phase, 0);
    }
    // Rounds are data: one, two or more, without a gap.
    for round in 1..=calendar.rounds().max(1) {
        for phase in IN_ROUNDS {
            need(phase, round);
        }
    }
    let (request, decision) = (Phase::ExpansionRequest, Phase::ExpansionDecision);
    if calendar.has(request, 0) != calendar.has(decision, 0) {
        let en = "EXPANSION_REQUEST and EXPANSION_DECISION come together";
        faults.push(Fault::new("window", "扩容的申请与审批须同时设置", en));
    }
}

/// A term begins with the roster and the declaration, and ends with the training and its results: nothing lies outside.
fn extent(calendar: &Calendar, faults: &mut Vec<Fault>) {
    let ends = [Phase::RosterUpdate, Phase::Declaration, Phase::Training, Phase::Results];
    if ends.iter().any(|end| calendar.half_read.contains(&(*end, 0))) {
        return;
    }
    let first = [Phase::RosterUpdate, Phase::Declaration].into_iter().filter_map(|phase| calendar.ordinary(phase, 0));
    let last = [Phase::Training, Phase::Results].into_iter().filter_map(|phase| calendar.ordinary(phase, 0));
    let (Some(first), Some(last)) = (first.map(|day| day.first).min(), last.map(|day| day.last).max()) else { return };
    for day in &calendar.days {
        if day.first < first || day.first > last {
            let en = format!("lies outside the term, {first} to {last}");
            faults.push(Fault::new(
                format!("window[{}].first_day", day.index),
                format!("不在学期 {first} 至 {last} 之内"),
                en,
            ));
        }
        if day.last > last || day.last < first {
            let en = format!("lies outside the term, {first} to {last}");
            faults.push(Fault::new(
                format!("window[{}].last_day", day.index),
                format!("不在学期 {first} 至 {last} 之内"),
                en,
            ));
        }
    }
}

/// An edge of a window.
#[derive(Clone, Copy)]
enum Edge {
    Opens,
    Closes,
}

/// The edge of a phase's round.
type At = (Phase, i32, Edge);

/// `later` must not come before `earlier`; both are taken from ordinary windows, where there are such.
fn order(calendar: &Calendar, faults: &mut Vec<Fault>) {
    use Edge::{Closes, Opens};
    let mut rules: Vec<(At, At)> = vec![
        ((Phase::Declaration, 0, Closes), (Phase::ProjectReview, 0, Closes)),
        ((Phase::Declaration, 0, Opens), (Phase::ProjectReview, 0, Opens)),
        ((Phase::ProjectReview, 0, Closes), (Phase::Publication, 0, Opens)),
        ((Phase::Publication, 0, Opens), (Phase::Browsing, 0, Opens)),
        ((Phase::Publication, 0, Closes), (Phase::Selection, 1, Opens)),
        ((Phase::ExpansionRequest, 0, Opens), (Phase::ExpansionDecision, 0, Opens)),
        ((Phase::ExpansionRequest, 0, Closes), (Phase::ExpansionDecision, 0, Closes)),
        ((Phase::SchoolReview, 1, Closes), (Phase::ExpansionRequest, 0, Opens)),
        ((Phase::ExpansionDecision, 0, Closes), (Phase::ProviderConfirmation, 1, Opens)),
        ((Phase::Training, 0, Closes), (Phase::Results, 0, Closes)),
    ];
    let rounds = calendar.rounds();
    for round in 1..=rounds {
        rules.push(((Phase::Selection, round, Opens), (Phase::SchoolReview, round, Opens)));
        rules.push(((Phase::Selection, round, Closes), (Phase::SchoolReview, round, Closes)));
        rules.push(((Phase::SchoolReview, round, Closes), (Phase::ProviderConfirmation, round, Opens)));
        if round < rounds {
            for phase in IN_ROUNDS {
                rules.push(((phase, round, Closes), (phase, round + 1, Opens)));
            }
            rules.push(((Phase::ProviderConfirmation, round, Closes), (Phase::Selection, round + 1, Opens)));
        }
    }
    rules.push(((Phase::ProviderConfirmation, rounds, Closes), (Phase::Training, 0, Opens)));
    for ((phase, round, edge), (other, other_round, other_edge)) in rules {
        let (Some(earlier), Some(later)) = (calendar.ordinary(phase, round), calendar.ordinary(other, other_round))
        else {
            continue;
        };
        if instant(later, other_edge) < instant(earlier, edge) {
            let field = format!("window[{}].{}", later.index, key(other_edge));
            let (first, second) = (name(phase, round), name(other, other_round));
            let zh = format!("{second} {} 不得早于 {first} {}", verb_zh(other_edge), verb_zh(edge));
            let en = format!("{second} must not {} before {first} {}s", verb(other_edge), verb(edge));
            faults.push(Fault::new(field, zh, en));
        }
    }
}

/// The midnight of an edge, as the day that begins with it.
fn instant(day: &Day, edge: Edge) -> Date {
    match edge {
        Edge::Opens => day.first,
        Edge::Closes => day.last.tomorrow().unwrap_or(Date::MAX),
    }
}

const fn key(edge: Edge) -> &'static str {
    match edge {
        Edge::Opens => "first_day",
        Edge::Closes => "last_day",
    }
}

const fn verb(edge: Edge) -> &'static str {
    match edge {
        Edge::Opens => "open",
        Edge::Closes => "close",
    }
}

const fn verb_zh(edge: Edge) -> &'static str {
    match edge {
        Edge::Opens => "开始",
        Edge::Closes => "结束",
    }
}
