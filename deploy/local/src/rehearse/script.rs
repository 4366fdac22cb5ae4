//! The script: what happens when. Instants are told from the calendar's own windows, so that another term's calendar
//! plays the same piece on its own days.

use std::future::Future;
use std::pin::Pin;

use proto::common::v1::Phase;

use super::programme::{SELECT_TOO_EARLY, SELECT_TOO_LATE};
use super::stage::Stage;
use super::train::Which;
use super::windows::Windows;
use super::{appraise, confirm, credit, declare, expand, mistakes, notice, roster, school, select, train};

/// What a wave does.
type Acts<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// One wave.
pub struct Wave {
    /// Microseconds since the epoch.
    pub at: i64,
    /// For the progress bar.
    pub name: String,
    round: i32,
    acts: for<'a> fn(&'a Stage<'_>, i32) -> Acts<'a>,
}

impl Wave {
    /// Plays it.
    pub async fn play(&self, stage: &Stage<'_>) {
        (self.acts)(stage, self.round).await;
    }
}

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3_600 * SECOND;
const DAY: i64 = 24 * HOUR;

/// An edge of a window.
#[derive(Debug, Clone, Copy)]
enum Edge {
    Opens(Phase),
    Closes(Phase),
}

/// Writes the acts of a wave: each one after the other.
macro_rules! acts {
    ($stage:ident, $round:ident => $($act:expr),+ $(,)?) => {
        |$stage, $round| Box::pin(async move {
            let _ = $round;
            $(let _ = $act.await;)+
        })
    };
}

/// The whole piece for a calendar, in order of time. A wave whose window the calendar does not have falls away.
pub fn waves(calendar: &Windows) -> Vec<Wave> {
    use Edge::{Closes, Opens};
    use Phase::{
        Browsing, Declaration, ExpansionDecision, ExpansionRequest, ProjectReview, ProviderConfirmation, Publication,
        Results, RosterUpdate, SchoolReview, Selection, Training,
    };
    let mut all: Vec<Wave> = Vec::new();
    let mut wave =
        |round: i32, edge: Edge, after: i64, name: &str, acts: for<'a> fn(&'a Stage<'_>, i32) -> Acts<'a>| {
            let at = match edge {
                Opens(phase) => calendar.opens(phase, round),
                Closes(phase) => calendar.closes(phase, round),
            };
            if let Some(at) = at {
                all.push(Wave { at: at.saturating_add(after), name: name.to_owned(), round, acts });
            }
        };

    wave(0, Opens(RosterUpdate), 9 * HOUR, "opening balances", acts!(s, r => credit::open_balances(s)));
    wave(0, Opens(Declaration), DAY + 9 * HOUR, "declaration", acts!(s, r => declare::declare(s)));
    wave(
        0,
        Opens(Declaration),
        3 * DAY + 9 * HOUR,
        "formal check",
        acts!(s, r => declare::check(s), roster::correct(s)),
    );
    wave(
        0,
        Opens(Declaration),
        7 * DAY + 9 * HOUR,
        "corrections",
        acts!(s, r => declare::correct(s), roster::confirm_corrections(s)),
    );
    wave(0, Opens(Declaration), 9 * DAY + 9 * HOUR, "second check", acts!(s, r => declare::accept_corrected(s)));
    wave(0, Closes(Declaration), 10 * HOUR, "too late to declare", acts!(s, r => declare::too_late(s)));
    wave(0, Opens(ProjectReview), DAY + 9 * HOUR, "experts assigned", acts!(s, r => appraise::assign(s)));
    wave(0, Opens(ProjectReview), 3 * DAY + 9 * HOUR, "scores", acts!(s, r => appraise::score(s)));
    wave(0, Opens(ProjectReview), 7 * DAY + 9 * HOUR, "decisions", acts!(s, r => appraise::decide(s)));
    wave(
        0,
        Opens(Publication),
        9 * HOUR,
        "publication",
        acts!(s, r => appraise::decide_late(s), appraise::published(s)),
    );
    wave(0, Opens(Browsing), 5 * DAY + 10 * HOUR, "browsing", acts!(s, r => select::browse(s)));

    wave(
        1,
        Opens(Selection),
        -SECOND,
        "a second too early",
        acts!(s, r => select::out_of_time(s, SELECT_TOO_EARLY, "too-early")),
    );
    wave(1, Opens(Selection), 0, "early birds", acts!(s, r => select::choose(s, 0..5)));
    wave(1, Opens(Selection), 9 * HOUR, "first morning", acts!(s, r => select::choose(s, 5..70), mistakes::make(s)));
    wave(1, Opens(Selection), 2 * DAY + 9 * HOUR, "reviewers leave", acts!(s, r => roster::revoke_reviewers(s)));
    wave(1, Opens(Selection), 4 * DAY + 20 * HOUR, "selection", acts!(s, r => select::choose(s, 70..90)));
    wave(1, Opens(SchoolReview), 2 * DAY + 10 * HOUR, "urging", acts!(s, r => select::urge(s)));
    wave(1, Closes(Selection), -5 * HOUR, "last evening", acts!(s, r => select::choose(s, 90..100)));
    wave(
        1,
        Closes(Selection),
        0,
        "the second after",
        acts!(s, r => select::out_of_time(s, SELECT_TOO_LATE, "too-late")),
    );
    wave(1, Closes(Selection), 9 * HOUR, "transfer, leave, retirement", acts!(s, r => roster::record_events(s)));

    wave(0, Opens(ExpansionRequest), 9 * HOUR, "expansion", acts!(s, r => expand::request(s)));
    wave(0, Opens(ExpansionRequest), 10 * HOUR, "too small", acts!(s, r => expand::cancel_small(s)));
    wave(0, Opens(ExpansionDecision), DAY + 9 * HOUR, "expansion decided", acts!(s, r => expand::decide(s)));

    for round in calendar.rounds() {
        if round > 1 {
            wave(round, Opens(Selection), 8 * HOUR, "override", acts!(s, r => select::pardon(s, r)));
            wave(
                round,
                Opens(Selection),
                9 * HOUR,
                "supplementary selection",
                acts!(s, r => select::choose_again(s, r)),
            );
        }
        wave(round, Closes(SchoolReview), -3 * DAY + 9 * HOUR, "school review", acts!(s, r => school::review(s, r)));
        wave(
            round,
            Closes(SchoolReview),
            -2 * DAY + 9 * HOUR,
            "the bureau's and district's review",
            acts!(s, r => school::review_rest(s, r)),
        );
        wave(round, Opens(ProviderConfirmation), 9 * HOUR, "confirmation", acts!(s, r => confirm::confirm(s, r)));
    }
    wave(1, Closes(SchoolReview), -2 * DAY + 10 * HOUR, "events took effect", acts!(s, r => roster::check_events(s)));

    if let Some(last) = calendar.rounds().last().copied() {
        wave(last, Opens(ProviderConfirmation), DAY + 9 * HOUR, "notices", acts!(s, r => notice::issue(s)));
        wave(
            last,
            Opens(ProviderConfirmation),
            DAY + 15 * HOUR,
            "after the notice",
            acts!(s, r => notice::withdraw_after(s)),
        );
    }
    wave(0, Opens(Training), DAY + 9 * HOUR, "acknowledged", acts!(s, r => notice::acknowledge(s)));
    wave(0, Opens(Training), 22 * DAY + 9 * HOUR, "school-based training", acts!(s, r => credit::school_based(s)));
    wave(0, Opens(Training), 58 * DAY + 9 * HOUR, "results", acts!(s, r => train::finish(s, Which::Ended)));
    wave(0, Closes(Training), -15 * DAY + 9 * HOUR, "more results", acts!(s, r => train::finish(s, Which::Ended)));
    wave(0, Opens(Results), 5 * DAY + 9 * HOUR, "late results", acts!(s, r => train::finish(s, Which::Late)));
    wave(0, Opens(Results), 7 * DAY + 9 * HOUR, "put right", acts!(s, r => train::correct(s), credit::reverse(s)));
    wave(0, Closes(Results), 9 * HOUR, "the books are closed", acts!(s, r => std::future::ready(s.now())));

    // In order of time; at one instant in the order of the script.
    all.sort_by_key(|wave| wave.at);
    all
}

#[cfg(test)]
mod tests {
    use jiff::civil::Date;
    use proto::common::v1::Window;

    use super::*;
    use crate::people::TermFolder;

    /// The sample's calendar, read as far as this test needs it: days are inclusive, in the zone.
    fn sample() -> Windows {
        let folder = TermFolder::sample().unwrap();
        let document: toml::Table = folder.calendar.parse().unwrap();
        let windows = document["window"].as_array().unwrap().iter().map(|window| {
            let midnight = |key: &str, days: i64| {
                let day: Date = window[key].as_datetime().unwrap().to_string().parse().unwrap();
                let day = day.saturating_add(jiff::Span::new().days(days));
                proto::timestamp(folder.zone.to_timestamp(day.at(0, 0, 0, 0)).unwrap().as_microsecond())
            };
            let phase = format!("PHASE_{}", window["phase"].as_str().unwrap());
            Window {
                id: window["id"].as_str().unwrap().to_owned(),
                phase: Phase::from_str_name(&phase).unwrap().into(),
                round: window.get("round").map_or(0, |round| i32::try_from(round.as_integer().unwrap()).unwrap()),
                opens: Some(midnight("first_day", 0)),
                closes: Some(midnight("last_day", 1)),
                ..Window::default()
            }
        });
        Windows(windows.collect())
    }

    #[test]
    fn every_wave_falls_when_its_acts_are_allowed() {
        let calendar = sample();
        let open: &[(&str, Phase)] = &[
            ("opening balances", Phase::RosterUpdate),
            ("declaration", Phase::Declaration),
            ("formal check", Phase::Declaration),
            ("corrections", Phase::Declaration),
            ("second check", Phase::Declaration),
            ("experts assigned", Phase::ProjectReview),
            ("scores", Phase::ProjectReview),
            ("decisions", Phase::ProjectReview),
            ("publication", Phase::Publication),
            ("browsing", Phase::Browsing),
            ("a second too early", Phase::Browsing),
            ("early birds", Phase::Selection),
            ("first morning", Phase::Selection),
            ("selection", Phase::Selection),
            ("urging", Phase::Selection),
            ("last evening", Phase::Selection),
            ("supplementary selection", Phase::Selection),
            ("school review", Phase::SchoolReview),
            ("the bureau's and district's review", Phase::SchoolReview),
            ("the second after", Phase::SchoolReview),
            ("transfer, leave, retirement", Phase::SchoolReview),
            ("events took effect", Phase::SchoolReview),
            ("expansion", Phase::ExpansionRequest),
            ("expansion decided", Phase::ExpansionDecision),
            ("confirmation", Phase::ProviderConfirmation),
            ("notices", Phase::ProviderConfirmation),
            ("after the notice", Phase::ProviderConfirmation),
            ("acknowledged", Phase::Training),
            ("results", Phase::Training),
            ("more results", Phase::Training),
            ("late results", Phase::Results),
            ("put right", Phase::Results),
        ];
        let waves = waves(&calendar);
        for (name, phase) in open {
            let here: Vec<&Wave> = waves.iter().filter(|wave| wave.name == *name).collect();
            assert!(!here.is_empty(), "{name}");
            for wave in here {
                // A phase without rounds may be asked of a wave that has one.
                let round = if calendar.of(*phase, wave.round).is_some() { wave.round } else { 0 };
                let (opens, closes) = (calendar.opens(*phase, round).unwrap(), calendar.closes(*phase, round).unwrap());
                assert!(opens <= wave.at && wave.at < closes, "{name} of round {round}");
            }
        }
    }

    #[test]
    fn waves_are_in_order_and_the_term_is_seen_through() {
        let calendar = sample();
        let waves = waves(&calendar);
        assert!(waves.is_sorted_by_key(|wave| wave.at));
        assert!(waves.last().unwrap().at > calendar.closes(Phase::Results, 0).unwrap());
        let round = |name: &str| waves.iter().filter(|wave| wave.name == name).count();
        assert_eq!((round("school review"), round("confirmation"), round("supplementary selection")), (2, 2, 1));
    }

    #[test]
    fn a_calendar_without_expansion_plays_on_without_it() {
        let mut calendar = sample();
        calendar.0.retain(|window| !matches!(window.phase(), Phase::ExpansionRequest | Phase::ExpansionDecision));
        let waves = waves(&calendar);
        assert!(!waves.iter().any(|wave| wave.name.starts_with("expansion")));
        assert!(waves.iter().any(|wave| wave.name == "confirmation"));
    }
}
