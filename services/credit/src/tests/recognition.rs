use proto::credit::v1::{CreditPosition, Entry, entry::Kind as EntryKind};

use super::*;

impl County {
    async fn results(&self, results: &[ResultFacts], revision: i32) {
        let mut changes: Vec<_> = results.iter().map(|facts| change("2019-12-01", facts)).collect();
        changes.push(change("2019-12-01", &confirmed(CLASS, revision)));
        self.told(&EnrollmentMirror, &changes).await;
    }

    async fn recognise(&self) -> Vec<(String, i64)> {
        self.step(Action::RecognizeResults, CLASS, "2019-12-02").await.into_iter().collect()
    }
}

fn counts(counts: &[(&str, i64)]) -> Vec<(String, i64)> {
    counts.iter().map(|(key, value)| ((*key).to_owned(), *value)).collect()
}

#[tokio::test]
async fn passed_results_become_credit_once() {
    for county in counties().await {
        let results = [
            result(1, 1, 1, 96, State::Passed),
            result(2, 2, 1, 96, State::Passed),
            result(3, 3, 1, 96, State::NoShow),
        ];
        county.results(&results, 1).await;
        assert_eq!(county.recognise().await, counts(&[("entered", 2), ("without credit", 1)]));
        assert_eq!(county.recognise().await, counts(&[("recognised before", 2), ("without credit", 1)]));
        let mut credited = results[0].clone();
        credited.state = State::Credited.into();
        county.results(&[credited], 1).await;
        assert_eq!(county.recognise().await, counts(&[("recognised before", 2), ("without credit", 1)]));

        let told = county.feed::<Entry>().await;
        assert_eq!(told.len(), 2);
        let entry = &told[0].1;
        assert_eq!(entry.source, results[0].selection);
        assert_eq!(entry.kind(), EntryKind::Project);
        assert_eq!((entry.intensive, entry.matched, told[1].1.matched), (true, true, false));
        assert_eq!((entry.recorded_at, entry.policy_version), (Some(proto::timestamp(at("2019-12-02"))), 7));
        assert_eq!(entry.actor.clone().unwrap().service, "gateway");
        assert_eq!(county.feed::<CreditPosition>().await.len(), 3 + 2);
        let statement = county.statement_on(1, "2019-12-31").await;
        assert_eq!((statement.cycle, hundredths(&statement.cycle_awarded)), (2, 9_600));
    }
}

#[tokio::test]
async fn ninety_credits_are_intensive_only_in_intensive_form() {
    for county in counties().await {
        let blended = ProjectFacts { form: Form::Blended.into(), ..project(1, 96, &["novice"], false) };
        county.told(&CatalogMirror, &[change("2019-07-13", &blended)]).await;
        county.results(&[result(1, 1, 1, 96, State::Passed)], 1).await;
        county.recognise().await;
        let (_, entry) = county.feed::<Entry>().await.pop().unwrap();
        assert_eq!((entry.intensive, hundredths(&entry.base)), (false, 9_600));
        let (_, position) = county.feed::<CreditPosition>().await.pop().unwrap();
        assert!(!position.has_intensive, "a ranking still puts him first");
        let statement = county.statement_on(1, "2019-12-31").await;
        let of = |key: &str| statement.requirements.iter().find(|one| one.key == key).unwrap().clone();
        assert!(of("intensive_90").applicable && !of("intensive_90").met);
        // The share that matches is of all projects of 90 credits.
        let mut reader = county.db().reader();
        let row = reader.one("SELECT participations, matched FROM standing WHERE participations > 0", args![]);
        let row = row.await.unwrap().unwrap();
        assert_eq!((row.get::<i64>("participations").unwrap(), row.get::<i64>("matched").unwrap()), (1, 1));
    }
}

#[tokio::test]
async fn a_corrected_result_is_reversed_and_entered_anew() {
    for county in counties().await {
        let mut passed = result(1, 1, 1, 96, State::Passed);
        county.results(std::slice::from_ref(&passed), 1).await;
        county.recognise().await;
        passed.coefficient_percent = 50;
        county.results(std::slice::from_ref(&passed), 2).await;
        assert_eq!(county.recognise().await, counts(&[("entered", 1), ("reversed", 1)]));
        assert_eq!(hundredths(&county.statement_on(1, "2019-12-31").await.cycle_awarded), 4_800);

        let failed = ResultFacts { state: State::Failed.into(), ..passed.clone() };
        county.results(&[failed], 3).await;
        assert_eq!(county.recognise().await, counts(&[("reversed", 1)]));
        assert_eq!(hundredths(&county.statement_on(1, "2019-12-31").await.cycle_awarded), 0);
        county.results(&[passed], 4).await;
        assert_eq!(county.recognise().await, counts(&[("entered", 1)]));
        let told = county.feed::<Entry>().await;
        assert_eq!(
            told.iter().map(|(verb, _)| verb.as_str()).collect::<Vec<_>>(),
            ["entered", "reversed", "entered", "reversed", "entered"]
        );
        assert!(told.iter().all(|(_, entry)| entry.source == told[0].1.source), "also a reversal names its selection");
    }
}

#[tokio::test]
async fn what_the_bureau_revoked_is_not_recognised_again() {
    for county in counties().await {
        let passed = result(1, 1, 1, 96, State::Passed);
        county.results(std::slice::from_ref(&passed), 1).await;
        county.recognise().await;
        let entry = county.feed::<Entry>().await.remove(0).1;
        county.reverse(&officer(), "2019-12-03", &entry.name).await.unwrap();
        county.results(&[passed], 2).await;
        assert_eq!(county.recognise().await, counts(&[("recognised before", 1)]));
        assert_eq!(hundredths(&county.statement_on(1, "2019-12-31").await.cycle_awarded), 0);
    }
}

#[tokio::test]
async fn a_class_is_not_recognised_before_it_is_confirmed() {
    for county in counties().await {
        county.told(&EnrollmentMirror, &[change("2019-12-01", &result(1, 1, 1, 96, State::Passed))]).await;
        let early = county.page(Action::RecognizeResults, CLASS, "2019-12-02", 0, "").await;
        assert_eq!(reason(early), Reason::NotFound);
        assert_eq!(
            reason(county.page(Action::PublishApproved, "", "2019-12-02", 0, "").await),
            Reason::InvalidArgument
        );
        county.results(&[result(2, 99, 1, 96, State::Passed)], 1).await;
        let unknown = county.page(Action::RecognizeResults, CLASS, "2019-12-02", 0, "").await;
        assert_eq!(reason(unknown), Reason::NotFound, "nobody is credited whom the roster does not know");
        assert!(county.feed::<Entry>().await.is_empty(), "a page is all or nothing");
    }
}

#[tokio::test]
async fn a_large_class_is_recognised_page_by_page() {
    for county in counties().await {
        let results: Vec<_> = (0..1_203).map(|number| result(number, number % 3 + 1, 1, 1, State::Passed)).collect();
        county.results(&results, 1).await;
        assert!(county.page(Action::RecognizeResults, CLASS, "2019-12-02", 0, "").await.unwrap().more);
        let again = county.step(Action::RecognizeResults, CLASS, "2019-12-02").await;
        assert_eq!((again["recognised before"], again["entered"]), (500, 703));
        let sums: i64 = [
            hundredths(&county.statement_on(1, "2019-12-31").await.cycle_awarded),
            hundredths(&county.statement_on(2, "2019-12-31").await.cycle_awarded),
            hundredths(&county.statement_on(3, "2019-12-31").await.cycle_awarded),
        ]
        .iter()
        .sum();
        assert_eq!(sums, 120_300);
    }
}
