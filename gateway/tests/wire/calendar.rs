//! Terms and calendars over the wire: taken whole, or not at all.

use proto::{
    common::v1::Phase,
    gateway::v1::{
        CreateTermRequest, GetCalendarRequest, GetTermRequest, GetTodayRequest, ListCalendarVersionsRequest,
        ListTermsRequest, Term, ValidateCalendarRequest, step::State,
    },
};
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::world::{Person, SAMPLE, TERM, at, put_request, reason, worlds};

fn violations(status: &tonic::Status) -> Vec<String> {
    let bad = status.get_details_bad_request().unwrap();
    bad.field_violations.into_iter().map(|violation| violation.field).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn terms_and_versions() {
    for world in worlds().await {
        let running = world.start().await;
        let officer = Person::log_in(&running, "officer").await;
        let mut calendars = officer.calendars();
        let create = |name: &str, zone: &str, id: &str| {
            let term = Term { name: name.to_owned(), zone: zone.to_owned(), ..Term::default() };
            officer.ask(CreateTermRequest { term: Some(term), request_id: id.to_owned() })
        };
        let refused = calendars.create_term(create("terms/A b", "Mars", "1")).await.unwrap_err();
        assert_eq!(violations(&refused), ["term.name", "term.zone"]);
        officer.create_term().await;
        officer.create_term().await;
        let refused = calendars.create_term(create(TERM, "Asia/Shanghai", "2")).await.unwrap_err();
        assert_eq!(reason(&refused), "REASON_ALREADY_EXISTS");
        calendars.create_term(create("terms/2020-spring", "Asia/Shanghai", "3")).await.unwrap();
        let teacher = Person::log_in(&running, "teacher").await;
        let refused = teacher.put(SAMPLE, 0).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::PermissionDenied, "REASON_ROLE_NOT_ALLOWED"));
        let mut names = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = ListTermsRequest { page_size: 1, page_token };
            let page = calendars.list_terms(teacher.ask(request)).await.unwrap().into_inner();
            names.extend(page.terms.into_iter().map(|term| term.name));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        assert_eq!(names, [TERM, "terms/2020-spring"]);

        // All faults at once: the calendar's, and what each service finds in its section of the policy.
        let document =
            SAMPLE.replacen("last_day = 2019-09-09", "last_day = 2019-09-04", 1).replacen("SELECTION\"", "SELECT\"", 1);
        let faulty =
            "[catalog]\nlimit = -1\n[enrollment]\nlimit = -1\n[reminder]\ndays_before_close = [0]\n".to_owned();
        let validate =
            ValidateCalendarRequest { parent: TERM.to_owned(), document: document.clone(), policy: faulty.clone() };
        let faults = calendars.validate_calendar(officer.ask(validate)).await.unwrap().into_inner().faults;
        let fields: Vec<_> = faults.iter().map(|fault| fault.field.as_str()).collect();
        let expected =
            ["window[5].phase", "policy.catalog.limit", "policy.enrollment.limit", "policy.reminder.days_before_close"];
        assert_eq!(fields, expected);
        assert!(faults.iter().all(|fault| !fault.zh.is_empty() && !fault.en.is_empty()));
        let mut put = put_request(&document, 0);
        put.policy = faulty;
        let refused = calendars.put_calendar(officer.ask(put)).await.unwrap_err();
        assert_eq!(reason(&refused), "REASON_CALENDAR_INVALID");
        assert_eq!(violations(&refused), expected);
        let mut put = put_request(SAMPLE, 0);
        put.reason.clear();
        assert_eq!(violations(&calendars.put_calendar(officer.ask(put)).await.unwrap_err()), ["reason"]);
        assert_eq!(officer.list().await.len(), 0, "nothing of a refused calendar is taken");

        // A neighbour that is away cannot be asked for its section.
        world.fakes["credit"].away(true);
        assert_eq!(reason(&officer.put(SAMPLE, 0).await.unwrap_err()), "REASON_UNAVAILABLE");
        world.fakes["credit"].away(false);

        let taken = officer.put(SAMPLE, 0).await.unwrap().calendar.unwrap();
        assert_eq!((taken.version, taken.policy_version, taken.put_by.as_str()), (1, 1, "accounts/officer"));
        assert_eq!(taken.windows.len(), 15);
        assert_eq!(officer.put(SAMPLE, 0).await.unwrap().calendar.unwrap(), taken, "the first reply again");
        let mut late = put_request(SAMPLE, 0);
        late.request_id = "another".to_owned();
        let refused = calendars.put_calendar(officer.ask(late)).await.unwrap_err();
        assert_eq!(reason(&refused), "REASON_VERSION_OUTDATED");
        officer
            .wait(|steps| {
                let put = |step: &&proto::gateway::v1::Step| {
                    step.name.contains("/calendar-1-") && step.state() == State::Done
                };
                steps.values().filter(put).count() == 5
            })
            .await;
        for fake in world.fakes.values() {
            let gates = fake.gates().unwrap();
            assert_eq!((gates.version, gates.policy_version, gates.zone.as_str()), (1, 1, "Asia/Shanghai"));
        }

        // The same policy again is the same version of it.
        let next = officer.put(&SAMPLE.replacen("last_day = 2019-08-25", "last_day = 2019-08-24", 1), 1).await.unwrap();
        let next = next.calendar.unwrap();
        assert_eq!((next.version, next.policy_version), (2, 1));
        let term = calendars
            .get_term(officer.ask(GetTermRequest { name: TERM.to_owned() }))
            .await
            .unwrap()
            .into_inner()
            .term
            .unwrap();
        assert_eq!(term.calendar_version, 2);
        let get = |version| officer.ask(GetCalendarRequest { name: TERM.to_owned(), version });
        assert_eq!(calendars.get_calendar(get(0)).await.unwrap().into_inner().calendar.unwrap(), next);
        assert_eq!(calendars.get_calendar(get(1)).await.unwrap().into_inner().calendar.unwrap(), taken);
        assert_eq!(calendars.get_calendar(get(3)).await.unwrap_err().code(), Code::NotFound);
        let request = ListCalendarVersionsRequest { parent: TERM.to_owned(), ..Default::default() };
        let versions = calendars.list_calendar_versions(officer.ask(request)).await.unwrap().into_inner().calendars;
        assert_eq!(versions, [taken, next]);
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_window_is_prolonged_and_an_edge_that_has_begun_stays() {
    for world in worlds().await {
        let running = world.start().await;
        let officer = Person::log_in(&running, "officer").await;
        officer.create_term().await;
        officer.put(SAMPLE, 0).await.unwrap();
        world.advance("2019-09-09T12:00+08:00");
        // Everything up to the reminder that review 1 closes.
        let done = |name: &str| name.to_owned();
        let last = done("school-review-1-closes-2019-09-09-in-1-days-remind");
        officer
            .wait(|steps| {
                steps[&last].state() == State::Done
                    && steps["selection-1-closes-fix-non-selectors"].state() == State::Done
            })
            .await;

        let moved = SAMPLE.replacen("last_day = 2019-08-25", "last_day = 2019-08-26", 1);
        let refused = officer.put(&moved, 1).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "REASON_EDGE_PASSED"));
        let details = refused.get_details_precondition_failure().unwrap().violations;
        assert_eq!(details.first().unwrap().subject, "browsing/closes");
        let before = officer.list().await;
        assert!(before.values().all(|step| step.state() != State::Dropped), "a refused calendar moves nothing");

        // A typhoon: review 1 gets a day more, after its reminder went out, and what depends on it moves along.
        let prolonged = SAMPLE.replacen("last_day = 2019-09-09", "last_day = 2019-09-10", 1).replacen(
            "first_day = 2019-09-10\nlast_day = 2019-09-11",
            "first_day = 2019-09-11\nlast_day = 2019-09-11",
            1,
        );
        officer.put(&prolonged, 1).await.unwrap();
        let steps = officer.list().await;
        let due = |name: &str| proto::instant(steps[name].due.as_ref().unwrap());
        assert_eq!(due("school-review-1-closes-expire-unreviewed"), at("2019-09-11T00:00+08:00"));
        assert_eq!(due("school-review-1-closes-2019-09-10-in-1-days-remind"), at("2019-09-10T00:00+08:00"));
        assert_eq!(steps[&last].state(), State::Done);
        world.advance("2019-09-10T23:59:59+08:00");
        officer.wait(|steps| steps["school-review-1-closes-2019-09-10-in-1-days-remind"].state() == State::Done).await;
        assert_eq!(officer.list().await["school-review-1-closes-settle-enrollment"].state(), State::Pending);

        // A supplementary window, which settles again at its own close.
        let extra = "\n[[window]]\nid = \"selection-1-typhoon\"\nphase = \"SELECTION\"\nround = 1\nfirst_day = 2019-09-11\nlast_day = 2019-09-11\norganizations = [\"organizations/o1\"]\n";
        officer.put(&format!("{prolonged}{extra}"), 2).await.unwrap();
        world.advance("2019-09-12T00:00+08:00");
        officer.wait(|steps| steps["selection-1-typhoon-closes-fix-non-selectors"].state() == State::Done).await;
        assert!(world.log().iter().any(|line| line == "enrollment settles selection-1-typhoon"));
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn today_tells_what_is_open_and_what_the_roles_allow() {
    for world in worlds().await {
        let running = world.start().await;
        let officer = Person::log_in(&running, "officer").await;
        let teacher = Person::log_in(&running, "teacher").await;
        officer.create_term().await;
        officer.put(SAMPLE, 0).await.unwrap();
        let today = async |person: &Person| {
            let request = GetTodayRequest { term: TERM.to_owned() };
            person.calendars().get_today(person.ask(request)).await.unwrap().into_inner().windows
        };
        officer.wait(|steps| steps["calendar-1-gates-gateway"].state() == State::Done).await;
        assert_eq!(today(&teacher).await, []);
        // Round 1 waits for the publication to be settled: until then it is not open, whatever the hour.
        world.fakes["catalog"].away(true);
        world.advance("2019-08-26T00:00+08:00");
        let ids = |windows: &[proto::gateway::v1::OpenWindow]| -> Vec<String> {
            windows.iter().map(|window| window.window.clone()).collect()
        };
        assert_eq!(ids(&today(&teacher).await), ["roster-update"]);
        world.fakes["catalog"].away(false);
        officer.wait(|steps| steps["publication-closes-done-gateway"].state() == State::Done).await;
        let windows = today(&teacher).await;
        assert_eq!(ids(&windows), ["roster-update", "selection-1"]);
        let selection = windows.last().unwrap();
        assert_eq!((selection.phase(), selection.round), (Phase::Selection, 1));
        assert_eq!(proto::instant(selection.closes.as_ref().unwrap()), at("2019-09-06T00:00+08:00"));
        let submit = "shixun.enrollment.v1.SelectionService.SubmitSelection".to_owned();
        assert!(selection.methods.contains(&submit), "{:?}", selection.methods);
        world.advance("2019-09-06T00:00+08:00");
        assert!(!ids(&today(&officer).await).contains(&"selection-1".to_owned()));
        running.stop().await;
    }
}
