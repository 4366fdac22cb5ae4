use proto::credit::v1::{
    Compliance, GetComplianceRequest, GetComplianceResponse, ListComplianceTeachersRequest, Requirement,
    TeacherStanding, compliance::State as Standing,
};

use proptest::{
    prelude::*,
    strategy::ValueTree as _,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

use super::*;
use crate::api::compliance;

impl County {
    async fn compliance(&self, organization: &str, year: i32) -> Result<GetComplianceResponse, Failure> {
        let request =
            GetComplianceRequest { organization: organization.to_owned(), year, schools: true, ..Default::default() };
        self.get(request).await
    }

    async fn get(&self, request: GetComplianceRequest) -> Result<GetComplianceResponse, Failure> {
        compliance::get(&self.api, self.call("ComplianceService/GetCompliance", &officer(), "2020-01-20", request))
            .await
    }

    async fn behind(&self, requirement: &str, met: bool, page_size: i32) -> (Vec<TeacherStanding>, i64) {
        self.behind_of(BUREAU, 2019, requirement, met, page_size).await
    }

    async fn behind_of(
        &self,
        organization: &str,
        year: i32,
        requirement: &str,
        met: bool,
        page_size: i32,
    ) -> (Vec<TeacherStanding>, i64) {
        let mut request = ListComplianceTeachersRequest {
            organization: organization.to_owned(),
            year,
            requirement: requirement.to_owned(),
            met,
            page_size,
            page_token: String::new(),
        };
        let mut teachers = Vec::new();
        loop {
            let call = self.call("ComplianceService/ListComplianceTeachers", &officer(), "2020-01-20", request.clone());
            let page = compliance::list(&self.api, call).await.unwrap();
            teachers.extend(page.teachers);
            if page.next_page_token.is_empty() {
                return (teachers, page.total_size);
            }
            request.page_token = page.next_page_token;
        }
    }

    /// Teacher 1 passes an intensive project that fits, teacher 2 one that does not, teacher 3 an elective.
    async fn play(&self) {
        let other = "terms/2019-autumn/projects/2/classes/1";
        let changes = [
            change("2019-12-01", &result(1, 1, 1, 96, State::Passed)),
            change("2019-12-01", &result(2, 2, 1, 96, State::Passed)),
            change("2019-12-01", &confirmed(CLASS, 1)),
            change("2019-12-01", &result(3, 3, 2, 20, State::Passed)),
            change("2019-12-01", &confirmed(other, 1)),
        ];
        self.told(&EnrollmentMirror, &changes).await;
        self.step(Action::RecognizeResults, CLASS, "2019-12-02").await;
        self.step(Action::RecognizeResults, other, "2019-12-02").await;
        let balance = OpenBalanceRequest { intensive: true, ..self.balance(1, 370, "2018-12-31") };
        self.open(&officer(), balance).await.unwrap();
    }
}

/// What names add up to. Of a share of teachers the names themselves are counted.
fn added_up(key: &str, met: &[TeacherStanding], unmet: &[TeacherStanding]) -> (i64, i64) {
    let all = || met.iter().chain(unmet);
    let denominator = all().map(|one| one.denominator).sum();
    match key {
        "year_mean_72" | "match_75" | "restricted_elective_21" => (all().map(|one| one.numerator).sum(), denominator),
        _ => (met.len() as i64, denominator),
    }
}

fn of<'a>(compliance: &'a Compliance, key: &str) -> &'a Requirement {
    compliance.requirements.iter().find(|requirement| requirement.key == key).unwrap()
}

/// (applicable, met, numerator, denominator)
fn numbers(compliance: &Compliance, key: &str) -> (bool, bool, i64, i64) {
    let requirement = of(compliance, key);
    (requirement.applicable, requirement.met, requirement.numerator, requirement.denominator)
}

#[tokio::test]
async fn schools_come_by_pages_with_the_same_sum() {
    for county in counties().await {
        county.play().await;
        for taken in [false, true] {
            if taken {
                county.step(Action::ComplianceProvisional, "", "2020-01-15").await;
            }
            let whole = county.compliance(BUREAU, 2019).await.unwrap();
            let (mut schools, mut page_token) = (Vec::new(), String::new());
            loop {
                let request = GetComplianceRequest {
                    organization: BUREAU.to_owned(),
                    year: 2019,
                    schools: true,
                    page_size: 1,
                    page_token,
                };
                let page = county.get(request).await.unwrap();
                assert_eq!((page.schools.len(), &page.compliance), (1, &whole.compliance));
                schools.extend(page.schools);
                page_token = page.next_page_token;
                if page_token.is_empty() {
                    break;
                }
            }
            assert_eq!((schools.len(), schools), (2, whole.schools));
        }
    }
}

#[tokio::test]
async fn the_numbers_of_a_year_and_the_names_behind_them() {
    for county in counties().await {
        county.play().await;
        let found = county.compliance(BUREAU, 2019).await.unwrap();
        let (bureau, schools) = (found.compliance.unwrap(), found.schools);
        assert_eq!((bureau.teachers, bureau.state()), (3, Standing::Live));
        assert_eq!(numbers(&bureau, "cycle_360"), (true, true, 1, 1));
        assert_eq!(numbers(&bureau, "intensive_90"), (true, true, 1, 1));
        assert_eq!(numbers(&bureau, "year_24"), (true, false, 2, 3));
        assert_eq!(numbers(&bureau, "year_mean_72"), (true, false, 21_200, 36));
        assert_eq!(of(&bureau, "year_mean_72").value_hundredths, 7_066);
        assert_eq!(numbers(&bureau, "restricted_elective_year"), (true, true, 1, 3));
        // Elapsed years: 2014 to 2019 but without the months before an entry, 2018 to 2019, 2016 to 2019.
        assert_eq!(numbers(&bureau, "restricted_elective_21"), (true, false, 1, 6 + 2 + 4));
        assert_eq!(numbers(&bureau, "match_75"), (true, false, 1, 2));

        assert_eq!(schools.iter().map(|school| school.teachers).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(numbers(&schools[0], "year_mean_72"), (true, true, 19_200, 24));
        assert_eq!(numbers(&schools[1], "year_mean_72"), (true, false, 2_000, 12));
        assert!(!of(&schools[1], "match_75").applicable && !of(&schools[1], "cycle_360").applicable);
        // Falling short of the mean, or of the share of electives, warns: organisations here, each teacher in his statement.
        let told = |compliance: &Compliance| compliance.warnings.iter().map(|one| one.reason()).collect::<Vec<_>>();
        assert_eq!(told(&bureau), [Reason::YearMeanShort, Reason::RestrictedElectiveShort]);
        assert_eq!(told(&schools[0]), [Reason::RestrictedElectiveShort]);
        assert!(bureau.warnings[0].zh.contains("70.66") && bureau.warnings[0].en.contains("72.00"), "{bureau:?}");
        let third = county.statement_on(3, "2019-12-31").await;
        assert_eq!(third.warnings.iter().map(|one| one.reason()).collect::<Vec<_>>(), [Reason::YearMeanShort]);
        let first = county.statement_on(1, "2019-12-31").await;
        assert_eq!(
            first.warnings.iter().map(|one| one.reason()).collect::<Vec<_>>(),
            [Reason::RestrictedElectiveMissing]
        );

        assert_eq!(
            county.compliance(DISTRICT, 2019).await.unwrap().compliance.unwrap().requirements,
            bureau.requirements
        );

        for requirement in &bureau.requirements {
            let (met, count) = county.behind(&requirement.key, true, 2).await;
            let (unmet, others) = county.behind(&requirement.key, false, 1).await;
            assert_eq!((met.len() as i64, unmet.len() as i64), (count, others));
            assert_eq!(
                added_up(&requirement.key, &met, &unmet),
                (requirement.numerator, requirement.denominator),
                "{}",
                requirement.key
            );
        }
        // One elective in the four elapsed years of the third: 25 %.
        let (elapsed, _) = county.behind("restricted_elective_21", true, 10).await;
        assert_eq!((elapsed[0].teacher.as_str(), elapsed[0].numerator, elapsed[0].denominator), ("teachers/3", 1, 4));
        let (short, _) = county.behind("year_24", false, 10).await;
        assert_eq!((short[0].teacher.as_str(), short[0].numerator), ("teachers/3", 2_000));
    }
}

/// A teacher with a history, and what he earned.
#[derive(Debug, Clone)]
struct Life {
    entered: i16,
    /// Full-time, from the first on past probation, at which school.
    full_time: bool,
    employed: Option<i16>,
    school: bool,
    /// Months of moves and what they lead to: the other school, out of service, or back.
    moves: Vec<(i16, u8, u8)>,
    leave: Option<(i16, u8, u8)>,
    /// Passed results: year, month, whether intensive (else an elective), whether it fits.
    results: Vec<(i16, u8, bool)>,
    balance: Option<(i16, i64)>,
}

fn life() -> impl Strategy<Value = Life> {
    let year = || 2014_i16..2020;
    (
        (2012_i16..2019, any::<bool>(), prop::option::of(2016_i16..2020), any::<bool>()),
        prop::collection::vec((year(), 1_u8..13, 0_u8..4), 0..4),
        prop::option::of((year(), 1_u8..13, 1_u8..20)),
        prop::collection::vec((year(), 1_u8..13, any::<bool>()), 0..6),
        prop::option::of((year(), 1_i64..400)),
    )
        .prop_map(|((entered, full_time, employed, school), moves, leave, results, balance)| Life {
            entered,
            full_time,
            employed,
            school,
            moves,
            leave,
            results,
            balance,
        })
}

impl Life {
    fn facts(&self, number: u32) -> TeacherFacts {
        let school = |other: bool| if other == self.school { SCHOOL_1 } else { SCHOOL_2 };
        let mut moves = self.moves.clone();
        moves.sort_unstable();
        moves.dedup_by_key(|(year, month, _)| (*year, *month));
        let mut stays = vec![stay("", school(false), Status::Active)];
        for (year, month, to) in moves {
            let status = if to == 0 { Status::Retired } else { Status::Active };
            stays.push(stay(&format!("{year}-{month:02}-01"), school(to > 2), status));
        }
        let last = stays.last().unwrap().clone();
        let tier = if self.school { "novice" } else { "backbone" };
        let mut facts = teacher(number, &last.school, &format!("{}-09-01", self.entered), tier);
        facts.employed_on = self.employed.and_then(|year| wire_day(&format!("{year}-09-01")));
        if !self.full_time {
            "substitute".clone_into(&mut facts.employment);
        }
        facts.leaves.extend(self.leave.map(|(year, month, months)| {
            let first: Date = format!("{year}-{month:02}-01").parse().unwrap();
            let last = first.checked_add(jiff::Span::new().months(months)).unwrap();
            proto::roster::v1::Leave { first_on: Some(first.into()), last_on: Some(last.into()) }
        }));
        TeacherFacts { stays, status: last.status, ..facts }
    }
}

/// Random people with random histories: for every organisation, year and requirement the names add up to the number.
#[tokio::test]
async fn the_names_add_up_to_the_numbers() {
    let mut runner = TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &[13; 32]));
    let lives = prop::collection::vec(life(), 40).new_tree(&mut runner).unwrap().current();
    for county in counties().await {
        let numbered = || (10_u32..).zip(&lives);
        let facts: Vec<_> = numbered().map(|(number, life)| change("2019-06-18", &life.facts(number))).collect();
        county.told(&RosterMirror, &facts).await;
        let mut results = Vec::new();
        for (number, life) in numbered() {
            for (one, (year, month, intensive)) in life.results.iter().enumerate() {
                let (project, base) = if *intensive { (1, 96) } else { (2, 30) };
                let selection = number * 100 + u32::try_from(one).unwrap();
                let passed = result(selection, number, project, base, State::Passed);
                let effective_on = wire_day(&format!("{year}-{month:02}-15"));
                results.push(change("2019-12-01", &ResultFacts { effective_on, ..passed }));
            }
            if let Some((year, credits)) = life.balance {
                let balance = county.balance(number, credits, &format!("{year}-03-03"));
                // Before his platform entry there is none.
                let _ = county.open(&officer(), OpenBalanceRequest { intensive: credits > 200, ..balance }).await;
            }
        }
        let other = "terms/2019-autumn/projects/2/classes/1";
        results.extend([change("2019-12-01", &confirmed(CLASS, 1)), change("2019-12-01", &confirmed(other, 1))]);
        county.told(&EnrollmentMirror, &results).await;
        for class in [CLASS, other] {
            county.step(Action::RecognizeResults, class, "2019-12-02").await;
        }
        let mut applicable = std::collections::BTreeMap::<String, usize>::new();
        for organization in [BUREAU, DISTRICT, SCHOOL_1, SCHOOL_2] {
            for year in 2015..2021 {
                let found = county.compliance(organization, year).await.unwrap().compliance.unwrap();
                for requirement in found.requirements {
                    let key = requirement.key.as_str();
                    let (met, count) = county.behind_of(organization, year, key, true, 7).await;
                    let (unmet, others) = county.behind_of(organization, year, key, false, 50).await;
                    assert_eq!((met.len() as i64, unmet.len() as i64), (count, others));
                    let expected = (requirement.numerator, requirement.denominator);
                    assert_eq!(added_up(key, &met, &unmet), expected, "{key} of {organization} in {year}");
                    let both = requirement.applicable && requirement.numerator < requirement.denominator;
                    *applicable.entry(requirement.key).or_default() += usize::from(both || key == "year_mean_72");
                }
            }
        }
        assert!(applicable.len() == 7 && applicable.values().all(|times| *times > 5), "{applicable:?}");
    }
}

#[tokio::test]
async fn approvals_give_the_forecast() {
    use proto::{catalog::v1::Class, enrollment::v1::Selection};
    for county in counties().await {
        county.play().await;
        let classes = |ends_on: &str| vec![Class { ends_on: wire_day(ends_on), ..Class::default() }];
        let projects = [(3, 90, "2019-12-20"), (4, 120, "2020-01-10"), (5, 60, "2019-12-20")];
        for (number, base, ends_on) in projects {
            let facts = ProjectFacts { classes: classes(ends_on), ..project(number, base, &["novice"], false) };
            county.told(&CatalogMirror, &[change("2019-07-12", &facts)]).await;
        }
        let selection = |number: u32, project: u32, school: &str, matched, state: State| {
            let selection = Selection {
                name: format!("{TERM}/selections/approved-{number}"),
                project: format!("{TERM}/projects/{project}"),
                school: school.to_owned(),
                matched,
                state: state.into(),
                ..Selection::default()
            };
            change("2019-09-09", &selection)
        };
        let forecast = async |organization: &str| {
            let found = county.compliance(organization, 2019).await.unwrap().compliance.unwrap();
            let forecast = found.match_forecast.unwrap();
            (forecast.applicable, forecast.met, forecast.numerator, forecast.denominator)
        };
        assert_eq!(forecast(BUREAU).await, (true, false, 1, 2), "what is completed");
        let approved = [
            selection(1, 3, SCHOOL_1, true, State::SchoolApproved),
            selection(2, 3, SCHOOL_1, true, State::Confirmed),
            selection(3, 3, SCHOOL_2, false, State::SchoolApproved),
            selection(4, 4, SCHOOL_1, true, State::SchoolApproved),
            selection(5, 5, SCHOOL_1, true, State::SchoolApproved),
            selection(6, 3, SCHOOL_1, true, State::Submitted),
        ];
        county.told(&EnrollmentMirror, &approved).await;
        assert_eq!(forecast(BUREAU).await, (true, false, 3, 5), "of 90 credits, in the year, approved");
        assert_eq!(forecast(SCHOOL_1).await, (true, true, 3, 4));
        assert_eq!(forecast(SCHOOL_2).await, (true, false, 0, 1));
        let gone = [
            selection(1, 3, SCHOOL_1, true, State::Withdrawn),
            selection(2, 3, SCHOOL_1, true, State::Credited),
            selection(3, 3, SCHOOL_2, false, State::Attended),
        ];
        county.told(&EnrollmentMirror, &gone).await;
        assert_eq!(forecast(BUREAU).await, (true, false, 1, 3));
        let bureau = county.compliance(BUREAU, 2019).await.unwrap().compliance.unwrap();
        assert_eq!(numbers(&bureau, "match_75"), (true, false, 1, 2), "the actual share is of what is completed");
    }
}

#[tokio::test]
async fn past_years_stay_with_the_old_school() {
    for county in counties().await {
        county.play().await;
        let before = county.compliance(SCHOOL_1, 2019).await.unwrap().compliance.unwrap();
        let moved = change("2020-01-05", &teacher(1, SCHOOL_2, "2014-09-01", "novice"));
        county.told(&RosterMirror, &[moved]).await;
        assert_eq!(county.compliance(SCHOOL_1, 2019).await.unwrap().compliance.unwrap(), before);
        let teachers = |found: GetComplianceResponse| found.compliance.unwrap().teachers;
        assert_eq!(teachers(county.compliance(SCHOOL_1, 2020).await.unwrap()), 1);
        assert_eq!(teachers(county.compliance(SCHOOL_2, 2020).await.unwrap()), 2);
        let mut retired = teacher(2, SCHOOL_1, "2018-03-01", "backbone");
        retired.status = Status::Retired.into();
        county.told(&RosterMirror, &[change("2020-01-06", &retired)]).await;
        assert_eq!(county.compliance(SCHOOL_1, 2019).await.unwrap().compliance.unwrap(), before);
    }
}

fn stay(from_on: &str, school: &str, status: Status) -> proto::roster::v1::Stay {
    proto::roster::v1::Stay { from_on: wire_day(from_on), school: school.to_owned(), status: status.into() }
}

impl County {
    /// The person-months of a school in a year.
    async fn months(&self, school: &str, year: i32) -> i64 {
        let found = self.compliance(school, year).await.unwrap().compliance.unwrap();
        numbers(&found, "year_mean_72").3
    }
}

#[tokio::test]
async fn a_transfer_that_is_dated_back_counts_from_its_day() {
    for county in counties().await {
        county.play().await;
        let past = county.compliance(SCHOOL_1, 2018).await.unwrap();
        let of_2019 = async |school: &str| {
            let found = county.compliance(school, 2019).await.unwrap().compliance.unwrap();
            let (_, _, awarded, months) = numbers(&found, "year_mean_72");
            (found.teachers, awarded, months)
        };
        assert_eq!((of_2019(SCHOOL_1).await, of_2019(SCHOOL_2).await), ((2, 19_200, 24), (1, 2_000, 12)));
        let stays = vec![stay("", SCHOOL_1, Status::Active), stay("2019-03-01", SCHOOL_2, Status::Active)];
        let moved = TeacherFacts { stays, ..teacher(1, SCHOOL_2, "2014-09-01", "novice") };
        for _ in 0..2 {
            county.told(&RosterMirror, &[change("2019-09-10", &moved)]).await;
            // January and February at the old school; what he earned in November counts at the new one.
            assert_eq!((of_2019(SCHOOL_1).await, of_2019(SCHOOL_2).await), ((1, 9_600, 14), (2, 11_600, 22)));
            assert_eq!(county.compliance(SCHOOL_1, 2018).await.unwrap(), past, "past years stay with the old school");
        }
        // Told by a roster that kept no earlier stays: those that are known here stay.
        let stays = vec![stay("2019-10-01", SCHOOL_1, Status::Active)];
        let back = TeacherFacts { stays, ..teacher(1, SCHOOL_1, "2014-09-01", "novice") };
        county.told(&RosterMirror, &[change("2019-10-02", &back)]).await;
        assert_eq!((of_2019(SCHOOL_1).await.2, of_2019(SCHOOL_2).await.2), (2 + 3 + 12, 7 + 12));
        assert_eq!(county.compliance(SCHOOL_1, 2018).await.unwrap(), past);
    }
}

#[tokio::test]
async fn a_retirement_that_is_recorded_ahead_counts_from_its_day() {
    for county in counties().await {
        let in_service = teacher(1, SCHOOL_1, "2014-09-01", "novice");
        let stays = vec![stay("", SCHOOL_1, Status::Active), stay("2020-06-30", SCHOOL_1, Status::Retired)];
        let retiring = TeacherFacts { stays, ..in_service.clone() };
        county.told(&RosterMirror, &[change("2019-09-10", &retiring)]).await;
        assert_eq!((county.months(SCHOOL_1, 2019).await, county.months(SCHOOL_1, 2020).await), (24, 12 + 6));
        // Taken back, and recorded anew for the day itself.
        let stays = vec![stay("", SCHOOL_1, Status::Active)];
        county.told(&RosterMirror, &[change("2019-09-11", &TeacherFacts { stays, ..in_service })]).await;
        assert_eq!(county.months(SCHOOL_1, 2020).await, 24);
        let retired = TeacherFacts { status: Status::Retired.into(), ..retiring };
        county.told(&RosterMirror, &[change("2020-06-30", &retired)]).await;
        assert_eq!((county.months(SCHOOL_1, 2019).await, county.months(SCHOOL_1, 2020).await), (24, 12 + 6));
    }
}

#[tokio::test]
async fn a_final_report_stands_whatever_comes_after() {
    for county in counties().await {
        county.play().await;
        let provisional = county.step(Action::ComplianceProvisional, "", "2020-01-01").await;
        assert_eq!(provisional["organizations 2019"], 4);
        assert_eq!(county.compliance(BUREAU, 2019).await.unwrap().compliance.unwrap().state(), Standing::Live);
        let taken = county.step(Action::ComplianceFinal, "", "2020-01-16").await;
        assert_eq!(taken["organizations 2019"], 4);
        let found = county.compliance(BUREAU, 2019).await.unwrap();
        assert_eq!((found.compliance.clone().unwrap().state(), found.schools.len()), (Standing::Final, 2));

        county.school_based(&admin(SCHOOL_2), 3, 1_000, "2019-12-31", "late").await.unwrap();
        assert_eq!(county.compliance(BUREAU, 2019).await.unwrap(), found);
        assert!(county.step(Action::ComplianceFinal, "", "2020-01-16").await.is_empty(), "again changes nothing");
        assert_eq!(county.compliance(BUREAU, 2020).await.unwrap().compliance.unwrap().state(), Standing::Live);
        let reports = county.feed::<Compliance>().await;
        assert_eq!(reports.len(), 8);
        assert!(reports.iter().all(|(_, report)| report.warnings.is_empty()), "texts are no part of changes");
        assert!(!found.compliance.unwrap().warnings.is_empty());
        assert_eq!(reports[7].0, "reported finally");
    }
}

#[tokio::test]
async fn a_closing_step_draws_up_what_time_or_policy_made_stale() {
    for county in counties().await {
        let mut tx = county.db().begin_own(0, "test").await.unwrap();
        tx.execute("UPDATE teacher SET basis = 'another policy'", args![]).await.unwrap();
        tx.execute("DELETE FROM standing", args![]).await.unwrap();
        tx.finish().await.unwrap();
        assert_eq!(county.compliance(BUREAU, 2019).await.unwrap().compliance.unwrap().teachers, 0);
        county.step(Action::ComplianceProvisional, "", "2020-01-01").await;
        assert_eq!(county.compliance(BUREAU, 2019).await.unwrap().compliance.unwrap().teachers, 3);
        let positions = county.feed::<proto::credit::v1::CreditPosition>().await;
        let (_, last) = positions.last().unwrap();
        assert_eq!((last.teacher.as_str(), last.cycle_ends_on), ("teachers/1", wire_day("2024-08-31")), "a new cycle");
    }
}

#[tokio::test]
async fn whoever_becomes_stale_behind_the_cursor_is_not_passed_over() {
    for county in counties().await {
        let mut tx = county.db().begin_own(0, "test").await.unwrap();
        tx.execute("UPDATE teacher SET basis = 'another policy' WHERE name = 'teachers/1'", args![]).await.unwrap();
        tx.finish().await.unwrap();
        for (action, due) in
            [(Action::RenewCreditPositions, "2019-09-01"), (Action::ComplianceProvisional, "2020-01-01")]
        {
            let page = county.page(action, "", due, 1, "teachers/9").await.unwrap();
            assert_eq!((page.changed, page.more, page.cursor.as_str()), (1, true, "teachers/1"), "{action:?}");
            let mut tx = county.db().begin_own(0, "again").await.unwrap();
            tx.execute("UPDATE teacher SET basis = 'another policy' WHERE name = 'teachers/1'", args![]).await.unwrap();
            tx.finish().await.unwrap();
        }
    }
}

#[tokio::test]
async fn only_ones_own_area_and_only_what_there_is() {
    for county in counties().await {
        let request = GetComplianceRequest { organization: BUREAU.to_owned(), year: 2019, ..Default::default() };
        let call = county.call("ComplianceService/GetCompliance", &admin(SCHOOL_1), "2020-01-20", request);
        assert_eq!(reason(compliance::get(&county.api, call).await), Reason::OutOfScope);
        assert_eq!(reason(county.compliance("organizations/none", 2019).await), Reason::NotFound);
        assert_eq!(reason(county.compliance(BUREAU, 0).await), Reason::InvalidArgument);
        let request = ListComplianceTeachersRequest {
            organization: BUREAU.to_owned(),
            year: 2019,
            requirement: "height".to_owned(),
            ..ListComplianceTeachersRequest::default()
        };
        let call = county.call("ComplianceService/ListComplianceTeachers", &officer(), "2020-01-20", request);
        assert_eq!(reason(compliance::list(&county.api, call).await), Reason::InvalidArgument);
    }
}
