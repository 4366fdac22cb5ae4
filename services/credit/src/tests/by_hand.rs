use proto::{
    common::v1::{Credit as PbCredit, Reason},
    credit::v1::{
        CreditPosition, Entry, GetStatementRequest, ListEntriesRequest, ListPolicyVersionsRequest, OpenBalanceRequest,
    },
};

use super::*;

#[tokio::test]
async fn an_opening_balance_is_entered_once_and_told() {
    for county in counties().await {
        let request = OpenBalanceRequest { intensive: true, ..county.balance(1, 100, "2018-12-31") };
        let entry = county.open(&officer(), request.clone()).await.unwrap();
        assert_eq!((entry.policy_version, entry.school.as_str(), entry.intensive), (7, SCHOOL_1, true));
        assert_eq!(entry.source, "archive 1");
        assert_eq!(county.open(&officer(), request.clone()).await.unwrap(), entry, "the same request, the first reply");

        let other = OpenBalanceRequest { evidence: "another".to_owned(), ..request.clone() };
        assert_eq!(reason(county.open(&officer(), other).await), Reason::RequestIdReused);
        let again = OpenBalanceRequest { request_id: county.request_id(), ..request.clone() };
        assert_eq!(reason(county.open(&officer(), again).await), Reason::AlreadyExists);
        county.open(&officer(), county.balance(1, 50, "2017-12-31")).await.expect("one document, several years");

        let statement = county.statement_on(1, "2019-06-20").await;
        assert_eq!((hundredths(&statement.cycle_awarded), hundredths(&statement.year_awarded)), (15_000, 0));
        assert_eq!((statement.cycle, statement.cycle_ends_on), (1, wire_day("2019-08-31")));

        let told = county.feed::<Entry>().await;
        assert_eq!(told.len(), 2);
        assert_eq!((told[0].0.as_str(), &told[0].1.name), ("entered", &entry.name));
        assert!(told[0].1.source.is_empty(), "what a person typed stays here");
        let positions = county.feed::<CreditPosition>().await;
        assert_eq!(positions.len(), 3 + 2, "each new teacher, and each entry");
        let (_, last) = positions.last().unwrap();
        assert!(last.has_intensive);
        assert_eq!((hundredths(&last.cycle_awarded), last.cycle_ends_on), (15_000, wire_day("2019-08-31")));
    }
}

#[tokio::test]
async fn an_appointment_makes_a_new_principal() {
    for county in counties().await {
        county.open(&officer(), county.balance(1, 100, "2019-03-01")).await.unwrap();
        let owed = async || {
            let statement = county.statement_on(1, "2019-06-20").await;
            let of = |requirement: &&proto::credit::v1::Requirement| requirement.key.starts_with("new_principal");
            let owed: Vec<_> =
                statement.requirements.iter().filter(of).map(|one| (one.applicable, one.numerator)).collect();
            (owed, hundredths(&statement.cycle_awarded))
        };
        assert_eq!(owed().await, (vec![(false, 0), (false, 0)], 10_000));
        let appointed = TeacherFacts {
            principal_appointed_on: wire_day("2019-02-01"),
            ..teacher(1, SCHOOL_1, "2014-09-01", "novice")
        };
        county.told(&RosterMirror, &[change("2019-06-19", &appointed)]).await;
        assert_eq!(owed().await, (vec![(true, 10_000), (true, 0)], 5_000));
        let (_, position) = county.feed::<CreditPosition>().await.pop().unwrap();
        assert_eq!(hundredths(&position.cycle_awarded), 5_000, "the ranking knows it too");
    }
}

#[tokio::test]
async fn a_probation_year_asks_for_practice() {
    for county in counties().await {
        let new = TeacherFacts { employed_on: wire_day("2019-09-01"), ..teacher(1, SCHOOL_1, "2019-09-01", "novice") };
        county.told(&RosterMirror, &[change("2019-09-01", &new)]).await;
        let results =
            [change("2019-12-01", &result(1, 1, 1, 96, State::Passed)), change("2019-12-01", &confirmed(CLASS, 1))];
        county.told(&crate::mirror::EnrollmentMirror, &results).await;
        county.step(Action::RecognizeResults, CLASS, "2019-12-02").await;
        let lessons =
            county.school_based(&admin(SCHOOL_1), 1, 10_000, "2019-12-20", "lessons under a mentor").await.unwrap();
        assert_eq!(hundredths(&lessons.practice), 5_000);
        let statement = county.statement_on(1, "2019-12-31").await;
        let of = |key: &str| statement.requirements.iter().find(|one| one.key == key).unwrap().clone();
        // A third of the project's hours are practice.
        assert_eq!((of("probation_practice_80").numerator, of("probation_practice_80").met), (3_200 + 5_000, true));
        assert_eq!((of("probation_180").numerator, of("probation_180").met), (19_600, true));
        county.reverse(&officer(), "2020-01-12", &lessons.name).await.unwrap();
        let statement = county.statement_on(1, "2019-12-31").await;
        let practice = statement.requirements.iter().find(|one| one.key == "probation_practice_80").unwrap();
        assert_eq!((practice.applicable, practice.met, practice.numerator), (true, false, 3_200));
        assert_eq!(statement.entries.iter().map(|entry| hundredths(&entry.practice)).sum::<i64>(), 3_200);
    }
}

#[tokio::test]
async fn every_fault_is_told_and_nothing_is_changed() {
    for county in counties().await {
        let bad = OpenBalanceRequest {
            base: Some(PbCredit { hundredths: -1 }),
            awarded: None,
            effective_on: wire_day("2019-06-21"),
            intensive: true,
            evidence: " ".to_owned(),
            practice: Some(PbCredit { hundredths: 1 }),
            ..county.balance(1, 1, "2018-01-01")
        };
        let status = tonic::Status::from(county.open(&officer(), bad).await.unwrap_err());
        for field in ["base", "awarded", "practice", "intensive", "effective_on", "evidence"] {
            assert!(status.message().contains(field), "{field} is missing in {}", status.message());
        }
        let no_day = OpenBalanceRequest {
            effective_on: Some(proto::google::r#type::Date { year: 2019, month: 2, day: 30 }),
            ..county.balance(1, 1, "2018-01-01")
        };
        assert_eq!(reason(county.open(&officer(), no_day).await), Reason::InvalidArgument);
        assert_eq!(reason(county.open(&officer(), county.balance(1, 1, "2014-08-31")).await), Reason::InvalidArgument);
        assert_eq!(reason(county.open(&officer(), county.balance(99, 1, "2018-01-01")).await), Reason::NotFound);

        let mut facts = teacher(4, SCHOOL_1, "2014-09-01", "novice");
        facts.platform_entered_on = None;
        county.told(&RosterMirror, &[change("2019-06-18", &facts)]).await;
        assert_eq!(reason(county.open(&officer(), county.balance(4, 1, "2018-01-01")).await), Reason::NoCycle);
        assert!(county.feed::<Entry>().await.is_empty());
        assert_eq!(county.statement_on(4, "2019-06-20").await.cycle, 0);
    }
}

#[tokio::test]
async fn everyone_acts_in_his_own_area_only() {
    for county in counties().await {
        let stranger = person("accounts/x", "", &[(Role::BureauOfficer, "organizations/elsewhere")]);
        assert_eq!(reason(county.open(&stranger, county.balance(1, 1, "2018-01-01")).await), Reason::OutOfScope);
        assert_eq!(
            reason(county.school_based(&admin(SCHOOL_2), 1, 100, "2019-03-01", "plan").await),
            Reason::OutOfScope
        );
        county.school_based(&admin(SCHOOL_1), 1, 100, "2019-03-01", "plan").await.unwrap();

        let asked = GetStatementRequest { teacher: "teachers/1".to_owned(), ..GetStatementRequest::default() };
        county.statement(&teacher_self(1), asked.clone()).await.unwrap();
        assert_eq!(reason(county.statement(&teacher_self(2), asked.clone()).await), Reason::OutOfScope);
        county.statement(&admin(SCHOOL_1), asked.clone()).await.unwrap();
        assert_eq!(reason(county.statement(&admin(SCHOOL_2), asked.clone()).await), Reason::OutOfScope);
        let district = person("accounts/d", "", &[(Role::DistrictOfficer, DISTRICT)]);
        county.statement(&district, asked.clone()).await.unwrap();

        county.told(&RosterMirror, &[change("2019-07-01", &teacher(1, SCHOOL_2, "2014-09-01", "novice"))]).await;
        assert_eq!(reason(county.statement(&admin(SCHOOL_1), asked.clone()).await), Reason::OutOfScope);
        county.statement(&admin(SCHOOL_2), asked).await.expect("the ledger follows a transferred teacher");
    }
}

#[tokio::test]
async fn an_entry_is_reversed_once_and_the_past_is_remembered() {
    for county in counties().await {
        let entry = county.school_based(&admin(SCHOOL_1), 1, 2_400, "2019-03-01", "plan").await.unwrap();
        assert_eq!(
            reason(county.school_based(&admin(SCHOOL_1), 1, 100, "2019-04-01", "plan").await),
            Reason::AlreadyExists,
            "once for each source"
        );
        let reversal = county.reverse(&officer(), "2020-01-12", &entry.name).await.unwrap();
        assert_eq!((hundredths(&reversal.awarded), &reversal.reverses), (-2_400, &entry.name));
        assert_eq!(reason(county.reverse(&officer(), "2020-01-12", &entry.name).await), Reason::AlreadyReversed);
        assert_eq!(reason(county.reverse(&officer(), "2020-01-12", &reversal.name).await), Reason::StateConflict);

        let now = county.statement_on(1, "2019-08-31").await;
        assert_eq!(hundredths(&now.cycle_awarded), 0);
        assert_eq!(now.entries.iter().map(|entry| hundredths(&entry.awarded)).sum::<i64>(), 0);
        assert_eq!(now.entries[0].reversed_by, reversal.name);
        assert_eq!(now.entries[1].reason, "entered for the wrong person");
        let as_known = GetStatementRequest {
            teacher: "teachers/1".to_owned(),
            on: wire_day("2019-08-31"),
            recorded_by: Some(proto::timestamp(at("2020-01-11"))),
        };
        let then = county.statement(&officer(), as_known).await.unwrap();
        assert_eq!((hundredths(&then.cycle_awarded), then.entries.len()), (2_400, 1));
        assert!(then.entries[0].reversed_by.is_empty());
        let earlier = county.statement_on(1, "2019-02-28").await;
        assert!(earlier.entries.is_empty());

        county.school_based(&admin(SCHOOL_1), 1, 2_000, "2019-03-01", "plan").await.expect("reversed: entered again");
        let told = county.feed::<Entry>().await;
        assert_eq!(told.iter().map(|(verb, _)| verb.as_str()).collect::<Vec<_>>(), ["entered", "reversed", "entered"]);
        assert_eq!(told[1].1.reason, "revoked", "free text is no part of changes");
    }
}

#[tokio::test]
async fn pages_of_entries_hold_each_entry_once() {
    for county in counties().await {
        let mut names = Vec::new();
        for number in 0..7 {
            let source = format!("plan {number}");
            names.push(county.school_based(&admin(SCHOOL_1), 1, 100, "2019-03-01", &source).await.unwrap().name);
        }
        let mut listed = Vec::new();
        let mut request =
            ListEntriesRequest { teacher: "teachers/1".to_owned(), page_size: 3, page_token: String::new() };
        loop {
            let call = county.call("LedgerService/ListEntries", &teacher_self(1), "2020-01-20", request.clone());
            let page = ledger::list(&county.api, call).await.unwrap();
            listed.extend(page.entries.into_iter().map(|entry| entry.name));
            if page.next_page_token.is_empty() {
                break;
            }
            request.page_token = page.next_page_token;
        }
        names.sort();
        listed.sort();
        assert_eq!(listed, names);
        let other = ListEntriesRequest { teacher: "teachers/2".to_owned(), ..request };
        let call = county.call("LedgerService/ListEntries", &officer(), "2020-01-20", other);
        assert_eq!(reason(ledger::list(&county.api, call).await), Reason::PageTokenInvalid);
    }
}

#[tokio::test]
async fn approved_leave_moves_the_cycle_and_the_position() {
    for county in counties().await {
        let mut facts = teacher(1, SCHOOL_1, "2014-09-01", "novice");
        facts.leaves =
            vec![proto::roster::v1::Leave { first_on: wire_day("2016-03-01"), last_on: wire_day("2016-03-10") }];
        county.told(&RosterMirror, &[change("2019-06-18", &facts)]).await;
        assert_eq!(county.statement_on(1, "2019-09-01").await.cycle_ends_on, wire_day("2019-09-10"));
        let positions = county.feed::<CreditPosition>().await;
        assert_eq!(positions.last().unwrap().1.cycle_ends_on, wire_day("2019-09-10"));
        let told = positions.len();
        facts.post = "teaching".to_owned();
        county.told(&RosterMirror, &[change("2019-06-19", &facts)]).await;
        assert_eq!(county.feed::<CreditPosition>().await.len(), told, "nothing moved, nothing is told");
    }
}

#[tokio::test]
async fn policy_versions_are_kept_from_the_first_decision_on() {
    for county in counties().await {
        county.open(&officer(), county.balance(1, 1, "2018-01-01")).await.unwrap();
        let call =
            county.call("ComplianceService/ListPolicyVersions", &officer(), "2020-01-20", ListPolicyVersionsRequest {});
        let versions = crate::api::compliance::versions(&county.api, call).await.unwrap().versions;
        assert_eq!(versions.len(), 1);
        assert_eq!((versions[0].term.as_str(), versions[0].version, versions[0].digest.len()), (TERM, 7, 32));
        assert_eq!(versions[0].in_force_from, Some(proto::timestamp(at("2019-06-20"))));
    }
}

#[tokio::test]
async fn two_who_reverse_at_once_do_it_once() {
    for county in counties().await {
        let entry = county.open(&officer(), county.balance(1, 60, "2018-01-01")).await.unwrap();
        let officer = officer();
        let both = futures_of_two(
            county.reverse(&officer, "2020-01-12", &entry.name),
            county.reverse(&officer, "2020-01-12", &entry.name),
        )
        .await;
        assert_eq!(both.iter().filter(|outcome| outcome.is_ok()).count(), 1);
        assert_eq!(hundredths(&county.statement_on(1, "2019-01-01").await.cycle_awarded), 0);
    }
}

async fn futures_of_two<T>(one: impl Future<Output = T>, two: impl Future<Output = T>) -> [T; 2] {
    let (one, two) = tokio::join!(one, two);
    [one, two]
}
