//! Calendars over the wire: a version is taken whole or not at all, and an edge that has begun stays.

use std::collections::BTreeMap;

use proto::{
    common::v1::{Action, Role},
    gateway::v1::{
        CreateTermRequest, GetCalendarRequest, GetTodayRequest, ListCalendarVersionsRequest, ListStepsRequest,
        ListTermsRequest, PutCalendarRequest, RetryStepRequest, SkipStepRequest, Step, Term, ValidateCalendarRequest,
        step::State,
    },
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::fixture::{CALENDAR, House, Mode, Running, TERM, databases, due, midnight, over, reason, version};

/// The calendar with some text replaced, which must be in it once.
fn with(from: &str, to: &str) -> String {
    assert_eq!(CALENDAR.matches(from).count(), 1, "{from}");
    CALENDAR.replace(from, to)
}

/// Selection 1 and what lies around it, four days longer.
fn prolonged() -> String {
    with("first_day = 2019-08-26\nlast_day = 2019-09-05", "first_day = 2019-08-26\nlast_day = 2019-09-08")
}

const SUPPLEMENT: &str = "\n[[window]]\nid = \"selection-1-typhoon\"\nphase = \"SELECTION\"\nround = 1\n\
    first_day = 2019-09-07\nlast_day = 2019-09-08\nowners = [\"BUREAU_OFFICER\"]\norganizations = [\"organizations/s1\"]\n";

fn step<'a>(steps: &'a BTreeMap<String, Step>, name: &str) -> &'a Step {
    &steps[&format!("{TERM}/steps/{name}")]
}

/// Fields of bad input.
fn fields(status: &Status) -> Vec<String> {
    let violations = status.get_details_bad_request().map(|bad| bad.field_violations).unwrap_or_default();
    violations.into_iter().map(|violation| violation.field).collect()
}

async fn in_force(gateway: &Running) -> anyhow::Result<i64> {
    let request = GetCalendarRequest { name: format!("{TERM}/calendar"), version: 0 };
    let request = gateway.call(&[Role::Teacher], request)?;
    let calendar = gateway.calendars()?.get_calendar(request).await?.into_inner().calendar;
    Ok(calendar.map(|calendar| calendar.version).unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_is_taken_once_and_follows_the_one_it_was_made_from() -> anyhow::Result<()> {
    for database in databases().await? {
        database.db.close().await;
        let house = House::new(&database.url).await?;
        let gateway = house.gateway().await?;
        gateway.create_term().await?;

        // The calendar's faults, and what each service finds in its section of the policy, all at once.
        let faulty = with("first_day = 2019-09-13", "first_day = \"soon\"").replace("\"BROWSING\"", "\"LOITERING\"");
        let policy = "[review]\nlimit = -1\n[selection]\nlimit = -1\n[selektion]\nlimit = -1\n[reminder]\ndays_before_close = [0]\n";
        let put = PutCalendarRequest { policy: policy.to_owned(), reason: String::new(), ..version(1, &faulty) };
        let refused = gateway.put(put).await?.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "REASON_CALENDAR_INVALID"));
        let expected = [
            "window[4].phase",
            "window[9].first_day",
            "policy.review.limit",
            "policy.selection.limit",
            "policy.selektion",
            "policy.reminder.days_before_close",
        ];
        assert_eq!(fields(&refused), [&expected[..], &["reason"]].concat());
        let (parent, document, policy) = (TERM.to_owned(), faulty, policy.to_owned());
        let request = gateway.call(&[Role::BureauOfficer], ValidateCalendarRequest { parent, document, policy })?;
        let checked = gateway.calendars()?.validate_calendar(request).await?.into_inner();
        assert_eq!(checked.faults.iter().map(|fault| fault.field.as_str()).collect::<Vec<_>>(), expected);
        assert!(checked.faults.iter().all(|fault| !fault.zh.is_empty() && !fault.en.is_empty()));

        // Who is away cannot be asked for his section.
        house.door("credit").set(Mode::Away);
        assert_eq!(reason(&gateway.put(version(1, CALENDAR)).await?.unwrap_err()), "REASON_UNAVAILABLE");
        house.door("credit").set(Mode::Open);
        let unexplained = PutCalendarRequest { reason: String::new(), ..version(1, CALENDAR) };
        assert_eq!(fields(&gateway.put(unexplained).await?.unwrap_err()), ["reason"]);
        let elsewhere = PutCalendarRequest { parent: "terms/none".to_owned(), ..version(1, CALENDAR) };
        assert_eq!(gateway.put(elsewhere).await?.unwrap_err().code(), Code::NotFound);
        assert!(gateway.list().await?.is_empty(), "a refused calendar leaves steps behind");
        // A state that there is none of is no "any".
        let strange = ListStepsRequest { parent: TERM.to_owned(), state: 99, ..ListStepsRequest::default() };
        let refused = gateway.steps()?.list_steps(gateway.call(&[Role::Operator], strange)?).await.unwrap_err();
        assert_eq!((refused.code(), fields(&refused)), (Code::InvalidArgument, vec!["state".to_owned()]));

        // Two officers at once, from the same version.
        let other = PutCalendarRequest { request_id: "other".to_owned(), ..version(1, &prolonged()) };
        let (one, other) = tokio::join!(gateway.put(version(1, CALENDAR)), gateway.put(other));
        let mut taken = 0;
        for answer in [one?, other?] {
            match answer {
                Ok(reply) => {
                    taken += 1;
                    assert_eq!(reply.calendar.map(|calendar| calendar.version), Some(1));
                }
                Err(status) => assert_eq!(reason(&status), "REASON_VERSION_OUTDATED"),
            }
        }
        assert_eq!((taken, in_force(&gateway).await?), (1, 1));

        // The same request again, after a later version, gets its first answer and changes nothing.
        let second = gateway.put(version(2, CALENDAR)).await??;
        let third = gateway.put(version(3, &prolonged())).await??;
        assert_eq!(gateway.put(version(2, CALENDAR)).await??, second);
        house.door("credit").set(Mode::Away);
        assert_eq!(gateway.put(version(3, &prolonged())).await??, third);
        house.door("credit").set(Mode::Open);
        assert_eq!(in_force(&gateway).await?, 3);
        let reused = PutCalendarRequest { reason: "another".to_owned(), ..version(2, CALENDAR) };
        assert_eq!(gateway.put(reused).await?.unwrap_err().code(), Code::AlreadyExists);
        let late = PutCalendarRequest { request_id: "late".to_owned(), ..version(3, CALENDAR) };
        assert_eq!(reason(&gateway.put(late).await?.unwrap_err()), "REASON_VERSION_OUTDATED");
        gateway.end().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_window_is_prolonged_and_an_edge_that_has_begun_stays() -> anyhow::Result<()> {
    for database in databases().await? {
        database.db.close().await;
        let house = House::new(&database.url).await?;
        let gateway = house.gateway().await?;
        gateway.begin_term(CALENDAR).await?;
        let running = midnight("2019-09-03");
        house.advance(running);
        gateway.settled(running).await?;

        // It runs: its close moves, its opening does not.
        gateway.put(version(2, &prolonged())).await??;
        let later = with("first_day = 2019-08-26", "first_day = 2019-08-27");
        let moved = gateway.put(version(3, &later)).await?.unwrap_err();
        assert_eq!((moved.code(), reason(&moved).as_str()), (Code::FailedPrecondition, "REASON_EDGE_PASSED"));
        let subjects = moved.get_details_precondition_failure().map(|failure| failure.violations).unwrap_or_default();
        assert_eq!(subjects.first().map(|one| one.subject.as_str()), Some("selection-1/opens"));

        let old_close = midnight("2019-09-06");
        house.advance(old_close);
        let steps = gateway.settled(old_close).await?;
        let fix = "selection-1-closes-fix-non-selectors";
        assert_eq!((step(&steps, fix).state(), due(step(&steps, fix))), (State::Pending, midnight("2019-09-09")));
        assert_eq!(step(&steps, "roster-update-closes-record-roster-position").state(), State::Done);

        // A supplementary window is added while others run, and has edges of its own.
        gateway.put(version(3, &format!("{}{SUPPLEMENT}", prolonged()))).await??;
        let new_close = midnight("2019-09-09");
        house.advance(new_close);
        let steps = gateway.settled(new_close).await?;
        for name in [fix, "selection-1-typhoon-opens-notify-opening", "selection-1-typhoon-closes-settle-enrollment"] {
            assert_eq!(step(&steps, name).state(), State::Done, "{name}");
        }

        // Settled: it can neither be prolonged nor dropped any more; the document without the supplement drops it.
        let more = format!("{}{SUPPLEMENT}", prolonged()).replace(
            "last_day = 2019-09-08\nowners = [\"BUREAU_OFFICER\", \"PROVIDER_STAFF\"]",
            "last_day = 2019-09-09\nowners = [\"BUREAU_OFFICER\", \"PROVIDER_STAFF\"]",
        );
        assert_eq!(reason(&gateway.put(version(4, &more)).await?.unwrap_err()), "REASON_EDGE_PASSED");
        assert_eq!(reason(&gateway.put(version(4, &prolonged())).await?.unwrap_err()), "REASON_EDGE_PASSED");
        // What is refused leaves no trace.
        assert_eq!((in_force(&gateway).await?, gateway.settled(new_close).await?), (3, steps));
        gateway.end().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_that_has_not_opened_can_be_dropped_and_come_back() -> anyhow::Result<()> {
    for database in databases().await? {
        database.db.close().await;
        let house = House::new(&database.url).await?;
        let gateway = house.gateway().await?;
        let supplemented = format!("{CALENDAR}{SUPPLEMENT}");
        gateway.begin_term(&supplemented).await?;
        let states = async || -> anyhow::Result<Vec<State>> {
            let steps = gateway.list().await?;
            let mut states: Vec<_> =
                steps.iter().filter(|step| step.name.contains("typhoon")).map(Step::state).collect();
            states.dedup();
            Ok(states)
        };
        assert_eq!(states().await?, [State::Pending]);
        gateway.put(version(2, CALENDAR)).await??;
        assert_eq!(states().await?, [State::Dropped]);
        gateway.put(version(3, &supplemented)).await??;
        assert_eq!(states().await?, [State::Pending]);
        gateway.put(version(4, CALENDAR)).await??;
        let after = midnight("2019-09-10");
        house.advance(after);
        let steps = gateway.settled(after).await?;
        assert_eq!(states().await?, [State::Dropped]);
        assert!(steps.values().all(|step| due(step) > after || over(step)));
        let did = house.did().await?;
        assert!(!did.iter().any(|(what, _)| what.contains("typhoon")), "{did:?}");
        gateway.end().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_calendar_that_comes_late_catches_up_in_order() -> anyhow::Result<()> {
    for database in databases().await? {
        database.db.close().await;
        let house = House::new(&database.url).await?;
        let gateway = house.gateway().await?;
        let late = midnight("2019-09-16");
        house.advance(late);
        gateway.begin_term(CALENDAR).await?;
        let steps = gateway.settled(late).await?;
        assert!(steps.values().all(|step| (due(step) <= late) == (step.state() == State::Done)), "{steps:#?}");

        // What is open now, to a teacher: the second round.
        let today = GetTodayRequest { term: TERM.to_owned() };
        let today = gateway.calendars()?.get_today(gateway.call(&[Role::Teacher], today)?).await?.into_inner();
        let open: Vec<_> = today.windows.iter().map(|window| window.window.as_str()).collect();
        assert_eq!(open, ["selection-2", "school-review-2"]);
        let selection = today.windows.first().expect("it is open");
        let submits = "shixun.enrollment.v1.SelectionService.SubmitSelection".to_owned();
        assert!(selection.methods.contains(&submits), "{:?}", selection.methods);
        let review = today.windows.get(1).expect("it is open");
        assert!(!review.methods.iter().any(|method| method.contains("Review")), "{:?}", review.methods);
        gateway.end().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_round_that_is_due_is_not_open_before_what_it_waits_for() -> anyhow::Result<()> {
    for database in databases().await? {
        database.db.close().await;
        let house = House::new(&database.url).await?;
        let gateway = house.gateway().await?;
        gateway.begin_term(CALENDAR).await?;
        house.hooks["catalog"].fail(Action::LapseUndecidedProjects, true);
        house.hooks["enrollment"].fail(Action::FixCreditPositions, true);
        house.advance(midnight("2019-08-26"));
        let notified = format!("{TERM}/steps/browsing-opens-notify-opening");
        let lapse = format!("{TERM}/steps/publication-closes-lapse-undecided-projects");
        gateway.until(|_| {}, |steps| over(&steps[&notified]) && !steps[&lapse].error.is_empty()).await?;
        let open = async || -> anyhow::Result<Vec<String>> {
            let today = gateway.call(&[Role::Teacher], GetTodayRequest { term: TERM.to_owned() })?;
            let today = gateway.calendars()?.get_today(today).await?.into_inner();
            Ok(today.windows.into_iter().map(|window| window.window).collect())
        };
        assert_eq!(open().await?, ["roster-update"]);
        house.hooks["catalog"].fail(Action::LapseUndecidedProjects, false);
        // The opening's own business holds it up too, and what is told of it: the credit positions are not yet fixed.
        let fix = format!("{TERM}/steps/selection-1-opens-fix-credit-positions");
        let told = format!("{TERM}/steps/selection-1-opens-notify-opening");
        let steps = gateway.until(|_| {}, |steps| !steps[&fix].error.is_empty()).await?;
        assert_eq!((open().await?, steps[&told].state()), (vec!["roster-update".to_owned()], State::Pending));
        house.hooks["enrollment"].fail(Action::FixCreditPositions, false);
        gateway.settled(midnight("2019-08-26")).await?;
        assert_eq!(open().await?, ["roster-update", "selection-1"]);
        house.advance(midnight("2019-09-06"));
        gateway.settled(midnight("2019-09-06")).await?;
        assert_eq!(open().await?, ["school-review-1"]);
        gateway.end().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn terms_and_versions_are_read_page_by_page() -> anyhow::Result<()> {
    for database in databases().await? {
        database.db.close().await;
        let house = House::new(&database.url).await?;
        let gateway = house.gateway().await?;
        let mut client = gateway.calendars()?;
        let create = |name: &str, zone: &str, id: &str| {
            let term = Term { name: name.to_owned(), zone: zone.to_owned(), ..Term::default() };
            gateway.call(&[Role::BureauOfficer], CreateTermRequest { term: Some(term), request_id: id.to_owned() })
        };
        let refused = client.create_term(create("terms/A b", "Mars", "1")?).await.unwrap_err();
        assert_eq!(fields(&refused), ["term.name", "term.zone"]);
        gateway.begin_term(CALENDAR).await?;
        let twice = client.create_term(create(TERM, "Asia/Shanghai", "2")?).await.unwrap_err();
        assert_eq!(reason(&twice), "REASON_ALREADY_EXISTS");
        client.create_term(create("terms/2020-spring", "Asia/Shanghai", "3")?).await?;
        gateway.put(version(2, &prolonged())).await??;
        gateway.put(version(3, CALENDAR)).await??;

        let (mut terms, mut versions, mut page_token) = (Vec::new(), Vec::new(), String::new());
        loop {
            let request = gateway.call(&[Role::Teacher], ListTermsRequest { page_size: 1, page_token })?;
            let page = client.list_terms(request).await?.into_inner();
            terms.extend(page.terms.into_iter().map(|term| (term.name, term.calendar_version, term.policy_version)));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        // A calendar that comes without a policy keeps the one in force.
        assert_eq!(terms, [(TERM.to_owned(), 3, 1), ("terms/2020-spring".to_owned(), 0, 0)]);
        loop {
            let request = ListCalendarVersionsRequest { parent: TERM.to_owned(), page_size: 2, page_token };
            let page = client.list_calendar_versions(gateway.call(&[Role::Teacher], request)?).await?.into_inner();
            versions.extend(page.calendars);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        assert_eq!(versions.iter().map(|one| one.version).collect::<Vec<_>>(), [1, 2, 3]);
        assert!(versions.iter().all(|one| one.windows.len() == 15 && one.put_by == "accounts/any"));
        for asked in [1, 2, 3] {
            let request = GetCalendarRequest { name: TERM.to_owned(), version: asked };
            let known = client.get_calendar(gateway.call(&[Role::Teacher], request)?).await?.into_inner().calendar;
            assert_eq!(known.as_ref(), versions.iter().find(|one| one.version == asked));
        }
        let fourth = GetCalendarRequest { name: TERM.to_owned(), version: 4 };
        assert_eq!(
            client.get_calendar(gateway.call(&[Role::Teacher], fourth)?).await.unwrap_err().code(),
            Code::NotFound
        );
        gateway.end().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_can_be_checked_before_it_is_put() -> anyhow::Result<()> {
    let databases = databases().await?;
    let database = databases.first().expect("SQLite");
    database.db.close().await;
    let house = House::new(&database.url).await?;
    let gateway = house.gateway().await?;
    gateway.create_term().await?;
    let validate = async |document: &str, policy: &str| -> anyhow::Result<_> {
        let (parent, document, policy) = (TERM.to_owned(), document.to_owned(), policy.to_owned());
        let request = gateway.call(&[Role::BureauOfficer], ValidateCalendarRequest { parent, document, policy })?;
        Ok(gateway.calendars()?.validate_calendar(request).await?.into_inner())
    };
    let whole = validate(CALENDAR, "[selection]").await?;
    assert_eq!((whole.faults.len(), whole.windows.len()), (0, 15));
    // A policy that says nothing is a wrong file: so is none, as long as none is in force.
    for empty in ["", "# to be decided"] {
        let faults = validate(CALENDAR, empty).await?.faults;
        assert_eq!(faults.iter().map(|fault| fault.field.as_str()).collect::<Vec<_>>(), ["policy"]);
    }
    // A fault of the policy and one of the calendar are told together.
    let elsewhere = CALENDAR.replace("Asia/Shanghai", "Asia/Tokyo");
    let faults = validate(&elsewhere, "[reminder]\ndays_before_close = [0]").await?.faults;
    let fields: Vec<_> = faults.iter().map(|fault| fault.field.as_str()).collect();
    assert_eq!(fields, ["zone", "policy.reminder.days_before_close"]);
    assert!(faults.iter().all(|fault| !fault.zh.is_empty() && !fault.en.is_empty()));
    assert!(gateway.list().await?.is_empty());
    gateway.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_term_is_run_by_its_bureau() -> anyhow::Result<()> {
    const OWN: &[(Role, &str)] = &[(Role::BureauOfficer, "organizations/own")];
    const OTHER: &[(Role, &str)] = &[(Role::BureauOfficer, "organizations/other")];
    for database in databases().await? {
        database.db.close().await;
        let house = House::new(&database.url).await?;
        let gateway = house.gateway().await?;
        let (mut client, mut steps) = (gateway.calendars()?, gateway.steps()?);
        let create = |organization: &str| {
            let (organization, request_id) = (organization.to_owned(), format!("create {organization}"));
            let (name, zone) = (TERM.to_owned(), "Asia/Shanghai".to_owned());
            CreateTermRequest { term: Some(Term { name, zone, organization, ..Term::default() }), request_id }
        };
        let foreign = client.create_term(gateway.call_as(OTHER, create("organizations/own"))?).await.unwrap_err();
        assert_eq!(reason(&foreign), "REASON_OUT_OF_SCOPE");
        // The only bureau of which he is an officer need not be named.
        let term = client.create_term(gateway.call_as(OWN, create(""))?).await?.into_inner().term.unwrap();
        assert_eq!(term.organization, "organizations/own");
        let foreign = client.put_calendar(gateway.call_as(OTHER, version(1, CALENDAR))?).await.unwrap_err();
        assert_eq!(reason(&foreign), "REASON_OUT_OF_SCOPE");
        client.put_calendar(gateway.call_as(OWN, version(1, CALENDAR))?).await?;
        let step = gateway.list().await?.remove(0).name;
        let skip =
            |id: &str| SkipStepRequest { name: step.clone(), reason: "unwanted".to_owned(), request_id: id.to_owned() };
        let foreign = steps.skip_step(gateway.call_as(OTHER, skip("a"))?).await.unwrap_err();
        assert_eq!(reason(&foreign), "REASON_OUT_OF_SCOPE");
        let retry = RetryStepRequest { name: step.clone(), request_id: "b".to_owned() };
        let foreign = steps.retry_step(gateway.call_as(OTHER, retry)?).await.unwrap_err();
        assert_eq!(reason(&foreign), "REASON_OUT_OF_SCOPE");
        let own = steps.skip_step(gateway.call_as(OWN, skip("c"))?).await.unwrap_err();
        assert_eq!(reason(&own), "REASON_STATE_CONFLICT", "nothing of it failed");
        gateway.end().await?;
    }
    Ok(())
}
