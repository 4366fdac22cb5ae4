#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use jiff::Timestamp;
use proptest::prelude::*;
use proto::common::v1::{Phase, Window};

use super::{Calendar, Edge, Fault, contacts, edges, mark, marked, moved_edges, parse, survey, validate, waits_for};

const SAMPLE: &str = include_str!("../../../deploy/local/terms/2019-autumn/calendar.toml");

fn at(instant: &str) -> i64 {
    instant.parse::<Timestamp>().unwrap().as_microsecond()
}

/// Every fault of a document, as `read` of the API collects them.
fn faults(document: &str) -> Vec<Fault> {
    let (calendar, mut faults) = survey(document);
    faults.extend(validate(&calendar));
    faults
}

fn fields(document: &str) -> Vec<String> {
    faults(document).into_iter().map(|fault| fault.field).collect()
}

fn sample() -> Vec<Window> {
    let calendar = parse(SAMPLE).unwrap();
    assert_eq!(validate(&calendar), Vec::new());
    calendar.windows().unwrap()
}

/// The sample with one line of one window changed; `from` empty adds `to` at the window's end.
fn with(id: &str, from: &str, to: &str) -> String {
    let start = SAMPLE.find(&format!("id = \"{id}\"")).unwrap();
    let (before, rest) = SAMPLE.split_at(start);
    let end = rest.find("\n\n").unwrap_or(rest.len());
    let (window, after) = rest.split_at(end);
    assert!(window.contains(from), "{id} has no {from}");
    let window = if from.is_empty() { format!("{window}\n{to}") } else { window.replacen(from, to, 1) };
    format!("{before}{window}{after}")
}

#[test]
fn the_real_calendar_of_2019_has_its_exact_instants() {
    let windows = sample();
    let table = [
        ("roster-update", Phase::RosterUpdate, 0, "2019-06-17T00:00+08:00", "2019-09-06T00:00+08:00"),
        ("declaration", Phase::Declaration, 0, "2019-06-17T00:00+08:00", "2019-06-29T00:00+08:00"),
        ("project-review", Phase::ProjectReview, 0, "2019-07-01T00:00+08:00", "2019-07-12T00:00+08:00"),
        ("publication", Phase::Publication, 0, "2019-07-12T00:00+08:00", "2019-07-13T00:00+08:00"),
        ("browsing", Phase::Browsing, 0, "2019-07-15T00:00+08:00", "2019-08-26T00:00+08:00"),
        ("selection-1", Phase::Selection, 1, "2019-08-26T00:00+08:00", "2019-09-06T00:00+08:00"),
        ("school-review-1", Phase::SchoolReview, 1, "2019-09-01T00:00+08:00", "2019-09-10T00:00+08:00"),
        ("expansion-request", Phase::ExpansionRequest, 0, "2019-09-10T00:00+08:00", "2019-09-12T00:00+08:00"),
        ("expansion-decision", Phase::ExpansionDecision, 0, "2019-09-11T00:00+08:00", "2019-09-13T00:00+08:00"),
        ("provider-confirmation-1", Phase::ProviderConfirmation, 1, "2019-09-13T00:00+08:00", "2019-09-14T00:00+08:00"),
        ("selection-2", Phase::Selection, 2, "2019-09-14T00:00+08:00", "2019-09-18T00:00+08:00"),
        ("school-review-2", Phase::SchoolReview, 2, "2019-09-15T00:00+08:00", "2019-09-19T00:00+08:00"),
        ("provider-confirmation-2", Phase::ProviderConfirmation, 2, "2019-09-19T00:00+08:00", "2019-09-23T00:00+08:00"),
        ("training", Phase::Training, 0, "2019-09-23T00:00+08:00", "2020-01-01T00:00+08:00"),
    ];
    for (id, phase, round, opens, closes) in table {
        let window = windows.iter().find(|window| window.id == id).unwrap();
        assert_eq!((window.phase(), window.round), (phase, round), "{id}");
        assert_eq!(edges(window).unwrap(), (at(opens), at(closes)), "{id}");
    }
    let results = windows.iter().find(|window| window.id == "results").unwrap();
    assert_eq!(edges(results).unwrap().1, at("2020-01-16T00:00+08:00"));
    assert_eq!(windows.iter().filter(|window| window.phase() != Phase::Unspecified).count(), 15);
}

#[test]
fn rounds_wait_for_what_must_be_settled_before_them() {
    let windows = sample();
    let find = |id: &str| windows.iter().find(|window| window.id == id).unwrap();
    let waits =
        |id: &str| -> Vec<String> { waits_for(find(id)).map(|(id, edge)| format!("{id} {}", edge.word())).collect() };
    assert_eq!(waits("selection-1"), ["publication closes", "selection-1 opens"]);
    assert_eq!(waits("selection-2"), ["provider-confirmation-1 closes", "selection-2 opens"]);
    assert_eq!(waits("provider-confirmation-1"), ["school-review-1 closes", "expansion-decision closes"]);
    assert_eq!(waits("provider-confirmation-2"), ["school-review-2 closes"]);
    assert_eq!(waits("school-review-1"), Vec::<String>::new());
    let marks: Vec<_> = windows.iter().filter(|window| window.phase() == Phase::Unspecified).map(|w| &w.id).collect();
    assert_eq!(marks.len(), 7, "a mark for each edge that is waited for, and no other: {marks:?}");
    // A mark stands at its edge.
    let (opens, closes) = (edges(find("selection-1")).unwrap().0, edges(find("publication")).unwrap().1);
    assert_eq!(edges(find("selection-1-ready")), Some((opens, opens)));
    assert_eq!(edges(find("publication-done")), Some((closes, closes)));
}

#[test]
fn a_supplementary_selection_waits_for_what_its_round_is_ranked_by() {
    let windows = amended(&format!("{SAMPLE}{}", supplement("2019-09-05", "2019-09-09")));
    let extra = windows.iter().find(|window| window.id == "selection-1-typhoon").unwrap();
    assert_eq!(waits_for(extra).collect::<Vec<_>>(), [("selection-1", Edge::Opens)]);
    // It does not come before its round does.
    assert_eq!(fields(&format!("{SAMPLE}{}", supplement("2019-08-25", "2019-09-09"))), ["window[15].first_day"]);
}

#[test]
fn what_comes_in_a_supplementary_window_is_decided_on_after_it() {
    let review = |round: i32, last_day: &str, organization: &str| {
        format!(
            "\n[[window]]\nid = \"more-review\"\nphase = \"SCHOOL_REVIEW\"\nround = {round}\nfirst_day = 2019-09-15\n\
             last_day = {last_day}\norganizations = [\"organizations/{organization}\"]\n"
        )
    };
    let late = format!("{SAMPLE}{}", supplement("2019-09-10", "2019-09-16"));
    let table = [
        // Nobody reviews what is selected in it.
        (late.clone(), vec!["window[15].last_day"]),
        (format!("{late}{}", review(1, "2019-09-16", "1")), vec![]),
        (format!("{late}{}", review(1, "2019-09-15", "1")), vec!["window[15].last_day"]),
        (format!("{late}{}", review(1, "2019-09-16", "2")), vec!["window[15].last_day"]),
        // A later round's confirmation takes what the review brings; after the last one there is none.
        (format!("{SAMPLE}{}", review(2, "2019-09-22", "1")), vec![]),
        (format!("{SAMPLE}{}", review(2, "2019-09-23", "1")), vec!["window[15].last_day"]),
    ];
    for (document, expected) in table {
        assert_eq!(fields(&document), expected, "{document}");
    }
}

#[test]
fn a_fault_of_form_hides_none_of_order_presence_and_extent() {
    // An unknown phase; beside it a window that comes too early, one that is not there, and one outside the term.
    let document = with("browsing", "\"BROWSING\"", "\"LOITERING\"")
        .replace("phase = \"TRAINING\"", "phase = \"TRAINNING\"")
        .replace("first_day = 2019-09-14", "first_day = 2019-09-12")
        .replace("last_day = 2020-01-15", "last_day = \"soon\"");
    let told: Vec<_> = faults(&document).into_iter().map(|fault| format!("{}: {}", fault.field, fault.en)).collect();
    for expected in [
        "window[4].phase: LOITERING is no phase of a calendar",
        "window[13].phase: TRAINNING is no phase of a calendar",
        "window[14].last_day: required: a day, e.g. 2019-08-26",
        "window: TRAINING is missing",
        "window[10].first_day: SELECTION 2 must not open before PROVIDER_CONFIRMATION 1 closes",
    ] {
        assert!(told.iter().any(|one| one.starts_with(expected) || one == expected), "{expected} is not in {told:#?}");
    }
    // What is there and cannot be read is not missing, and nothing is measured by it.
    let dateless = with("training", "first_day = 2019-09-23", "first_day = \"soon\"");
    assert_eq!(fields(&dateless), ["window[13].first_day"]);
    let dateless = with("school-review-1", "last_day", "last_dai");
    assert_eq!(fields(&dateless), ["window[6].last_dai", "window[6].last_day"]);
}

#[test]
fn marks_are_told_from_windows() {
    for edge in [Edge::Opens, Edge::Closes] {
        assert_eq!(marked(&mark("selection-1", edge)), Some(("selection-1", edge)));
    }
    assert_eq!((marked("selection-1"), marked("ready"), marked("done")), (None, None, None));
}

/// A supplementary window of the first selection.
fn supplement(first_day: &str, last_day: &str) -> String {
    format!(
        "\n[[window]]\nid = \"selection-1-typhoon\"\nphase = \"SELECTION\"\nround = 1\nfirst_day = {first_day}\n\
         last_day = {last_day}\norganizations = [\"organizations/1\"]\n"
    )
}

#[test]
fn midnight_follows_the_zone_through_daylight_saving() {
    // Clocks go forward on 2020-03-08 and back on 2020-11-01 in New York; in São Paulo midnight of 2018-11-04 does not exist.
    let table = [
        ("America/New_York", "2020-03-07", "2020-03-08", "2020-03-07T00:00-05:00", "2020-03-09T00:00-04:00"),
        ("America/New_York", "2020-10-31", "2020-11-01", "2020-10-31T00:00-04:00", "2020-11-02T00:00-05:00"),
        ("America/Sao_Paulo", "2018-11-04", "2018-11-04", "2018-11-04T01:00-02:00", "2018-11-05T00:00-02:00"),
    ];
    for (zone, first, last, opens, closes) in table {
        let document = format!(
            "zone = \"{zone}\"\n[[window]]\nid = \"training\"\nphase = \"TRAINING\"\nfirst_day = {first}\nlast_day = {last}\n"
        );
        let windows = parse(&document).unwrap().windows().unwrap();
        assert_eq!(edges(&windows[0]).unwrap(), (at(opens), at(closes)), "{zone} {first}");
    }
}

/// A document, and the fields in which it is wrong.
#[test]
fn each_fault_is_told_where_it_is() {
    let table = [
        (with("selection-1", "phase = \"SELECTION\"", "phase = \"SELECTON\""), "window[5].phase"),
        (with("selection-1", "phase = \"SELECTION\"", "phase = \"ANY\""), "window[5].phase"),
        (with("selection-1", "first_day = 2019-08-26", ""), "window[5].first_day"),
        (with("selection-1", "first_day = 2019-08-26", "first_day = 2019-02-30"), "document"),
        (with("selection-1", "first_day = 2019-08-26", "first_day = \"2019-02-30\""), "window[5].first_day"),
        (with("selection-1", "first_day = 2019-08-26", "first_day = 2019-08-26T09:00:00"), "window[5].first_day"),
        (with("selection-1", "last_day = 2019-09-05", "last_day = 2019-08-25"), "window[5].last_day"),
        (with("selection-1", "round = 1", ""), "window[5].round"),
        (with("selection-1", "round = 1", "round = 2000000000"), "window[5].round"),
        (with("selection-1", "round = 1", "round = \"1\""), "window[5].round"),
        (with("training", "", "round = 1"), "window[13].round"),
        (with("selection-1", "id = \"selection-1\"", "id = \"Selection 1\""), "window[5].id"),
        (with("selection-1", "id = \"selection-1\"", "id = \"browsing\""), "window[5].id"),
        (with("selection-1", "id = \"selection-1\"", "id = \"publication-done\""), "window[5].id"),
        (with("selection-1", "id = \"selection-1\"", "id = \"all-ready\""), "window[5].id"),
        (with("selection-1", "owners = [", "owners = [\"JANITOR\", "), "window[5].owners"),
        (with("selection-1", "owners = [", "owners = [\"SERVICE\", "), "window[5].owners"),
        (with("selection-1", "", "colour = \"red\""), "window[5].colour"),
        (with("selection-1", "", "organizations = [\"schools/1\"]"), "window[5].organizations"),
        (with("selection-1", "", "organizations = 1"), "window[5].organizations"),
        // The ordinary window is gone where it is for some only.
        (with("training", "", "organizations = [\"organizations/1\"]"), "window[13].organizations"),
        // Two of one phase and round, and the phase that is missing then.
        (with("browsing", "phase = \"BROWSING\"", "phase = \"PUBLICATION\""), "window[4].phase"),
        (with("declaration", "phase = \"DECLARATION\"", "phase = \"BROWSING\""), "window"),
        // A review that ends before its selection does.
        (with("school-review-1", "last_day = 2019-09-09", "last_day = 2019-09-04"), "window[6].last_day"),
        // Rounds that overlap, and a round that is left out.
        (with("selection-2", "first_day = 2019-09-14", "first_day = 2019-09-05"), "window[10].first_day"),
        (with("selection-2", "round = 2", "round = 3"), "window"),
        // Outside the term.
        (with("browsing", "last_day = 2019-08-25", "last_day = 2020-08-25"), "window[4].last_day"),
        (with("browsing", "first_day = 2019-07-15", "first_day = 2019-01-15"), "window[4].first_day"),
        (SAMPLE.replacen("Asia/Shanghai\"", "Asia/Shanghia\"", 2), "zone"),
        (format!("title = \"x\"\n{SAMPLE}"), "title"),
        ("zone = ".to_owned(), "document"),
        ("zone = \"Asia/Shanghai\"".to_owned(), "window"),
        ("zone = \"Asia/Shanghai\"\nwindow = [1]".to_owned(), "window[0]"),
    ];
    for (document, field) in table {
        let found = fields(&document);
        assert!(found.iter().any(|found| found == field), "{field} is not among {found:?}");
        assert!(faults(&document).iter().all(|fault| !fault.zh.is_empty() && !fault.en.is_empty()));
    }
}

#[test]
fn all_faults_are_told_at_once() {
    let document = "zone = \"Mars\"\nextra = 1\n[[window]]\nid = \"A\"\nphase = \"X\"\nround = 0\nlast_day = 3\nowners = [\"Y\"]\n";
    let expected = [
        "extra",
        "zone",
        "window[0].id",
        "window[0].phase",
        "window[0].round",
        "window[0].first_day",
        "window[0].last_day",
        "window[0].owners",
    ];
    assert_eq!(fields(document), expected);
}

#[test]
fn a_supplementary_window_may_overlap_where_it_names_organisations() {
    let extra = "\n[[window]]\nid = \"selection-1-typhoon\"\nphase = \"SELECTION\"\nround = 1\nfirst_day = 2019-09-05\nlast_day = 2019-09-09\n";
    let named = format!("{SAMPLE}{extra}organizations = [\"organizations/1\"]\n");
    assert_eq!(faults(&named), Vec::new());
    assert_eq!(fields(&format!("{SAMPLE}{extra}")), ["window[15].phase"]);
}

fn begun(edges: &[&str]) -> BTreeSet<String> {
    edges.iter().map(|edge| (*edge).to_owned()).collect()
}

fn amended(document: &str) -> Vec<Window> {
    let calendar: Calendar = parse(document).unwrap();
    assert_eq!(validate(&calendar), Vec::new());
    calendar.windows().unwrap()
}

#[test]
fn an_edge_whose_step_has_begun_cannot_move_and_others_can() {
    let running = sample();
    let now = at("2019-09-08T12:00+08:00");
    let begun = begun(&["selection-1/opens", "selection-1/closes", "school-review-1/opens"]);
    let moved = |document: &str| -> Vec<String> {
        moved_edges(&begun, &running, &amended(document), now).into_iter().map(|fault| fault.field).collect()
    };
    assert_eq!(moved(SAMPLE), Vec::<String>::new());
    assert_eq!(moved(&with("selection-1", "last_day = 2019-09-05", "last_day = 2019-09-06")), ["selection-1/closes"]);
    assert_eq!(moved(&with("selection-1", "first_day = 2019-08-26", "first_day = 2019-08-27")), ["selection-1/opens"]);
    // The running review is prolonged, later windows move freely, a supplementary one is added.
    let shorter = with("selection-2", "last_day = 2019-09-17", "last_day = 2019-09-16");
    assert_eq!(moved(&shorter), Vec::<String>::new());
    let typhoon = "\n[[window]]\nid = \"typhoon\"\nphase = \"SELECTION\"\nround = 1\nfirst_day = 2019-09-09\nlast_day = 2019-09-09\norganizations = [\"organizations/1\"]\n";
    assert_eq!(moved(&format!("{SAMPLE}{typhoon}")), Vec::<String>::new());
    // It may not end before now, nor become a window of others.
    let past = with("roster-update", "last_day = 2019-09-05", "last_day = 2019-09-04");
    assert_eq!(moved(&past), ["roster-update/closes"]);
    let other = with("selection-1", "id = \"selection-1\"", "id = \"selection-one\"");
    assert_eq!(moved(&other), ["selection-1/opens", "selection-1/closes", "selection-one/closes"], "and it is over");
}

proptest! {
    /// Whatever is sent, an answer comes: windows or faults, never a panic.
    #[test]
    fn any_document_gets_an_answer(
        text in ".{0,200}",
        key in "(id|phase|round|first_day|last_day|owners|organizations|zone)",
        value in "(\"[^\"\\\\\n]{0,20}\"|-?[0-9]{1,18}|true|\\[\\]|\\[1\\]|2019-0[1-9]-0[1-9]|9999-12-31|0000-01-01)",
    ) {
        let _ = faults(&text);
        let start = SAMPLE.find("[[window]]").unwrap();
        let (before, after) = SAMPLE.split_at(start);
        let document = format!("{before}[[window]]\n{key} = {value}\n{after}");
        if let Ok(calendar) = parse(&document) {
            prop_assert!(!validate(&calendar).is_empty() || calendar.windows().is_ok());
        }
    }

    /// A window opens at midnight of its first day and closes at midnight after its last, in its zone.
    #[test]
    fn days_are_inclusive_in_any_zone(first in 0_i32..20_000, length in 0_i32..300, zone in 0_usize..5) {
        let zone = ["Asia/Shanghai", "America/New_York", "Africa/Cairo", "Australia/Lord_Howe", "America/Sao_Paulo"][zone];
        let day = |days: i32| proto::jiff_instant(i64::from(days) * 86_400_000_000).to_zoned_datetime(jiff::tz::TimeZone::UTC).date();
        let document = format!(
            "zone = \"{zone}\"\n[[window]]\nid = \"w\"\nphase = \"TRAINING\"\nfirst_day = {}\nlast_day = {}\n",
            day(first), day(first + length)
        );
        let calendar = parse(&document).unwrap();
        let (opens, closes) = edges(&calendar.windows().unwrap()[0]).unwrap();
        let local = |at: i64| proto::jiff_instant(at).to_zoned_datetime(calendar.zone.clone()).date();
        prop_assert_eq!((local(opens), local(opens - 1)), (day(first), day(first - 1)));
        prop_assert_eq!((local(closes), local(closes - 1)), (day(first + length + 1), day(first + length)));
    }
}

#[test]
fn contacts_are_read_and_their_faults_told_with_the_others() {
    let contact = "\n[[contact]]\norganization = \"organizations/district-01\"\noffice = \"师训科\"\ntelephone = \"+86 577-0000\"\n";
    let document = format!("{SAMPLE}{contact}");
    assert_eq!(fields(&document), [""; 0]);
    let found: Vec<_> = contacts(&document).into_iter().filter(|one| one.telephone.starts_with("+86")).collect();
    assert_eq!(found.iter().map(|one| one.office.as_str()).collect::<Vec<_>>(), ["师训科"]);
    assert_eq!(parse(&document).map(|calendar| calendar.days), parse(SAMPLE).map(|calendar| calendar.days));

    let first = contacts(SAMPLE).len();
    let faulty = "\n[[contact]]\norganization = \"county\"\noffice = \"\"\ntelephone = \"call us\"\nmail = \"a@b\"\n";
    let named = |at: usize, keys: &[&str]| keys.iter().map(|key| format!("contact[{at}].{key}")).collect::<Vec<_>>();
    let mut expected = named(first + 1, &["organization"]);
    expected.extend(named(first + 2, &["mail", "organization", "office", "telephone"]));
    assert_eq!(fields(&format!("{SAMPLE}{contact}{contact}{faulty}")), expected);
    assert_eq!(fields("zone = \"Asia/Shanghai\"\ncontact = 1\n[[window]]\n")[0], "contact");
}
