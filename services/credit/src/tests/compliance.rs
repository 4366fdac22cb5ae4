use proto::credit::v1::{
    Compliance, GetComplianceRequest, GetComplianceResponse, ListComplianceTeachersRequest, Requirement,
    TeacherStanding, compliance::State as Standing,
};

use super::*;
use crate::api::compliance;

impl County {
    async fn compliance(&self, organization: &str, year: i32) -> Result<GetComplianceResponse, Failure> {
        let request = GetComplianceRequest { organization: organization.to_owned(), year, schools: true };
        compliance::get(&self.api, self.call("ComplianceService/GetCompliance", &officer(), "2020-01-20", request))
            .await
    }

    async fn behind(&self, requirement: &str, met: bool, page_size: i32) -> (Vec<TeacherStanding>, i64) {
        let mut request = ListComplianceTeachersRequest {
            organization: BUREAU.to_owned(),
            year: 2019,
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

fn of<'a>(compliance: &'a Compliance, key: &str) -> &'a Requirement {
    compliance.requirements.iter().find(|requirement| requirement.key == key).unwrap()
}

/// (applicable, met, numerator, denominator)
fn numbers(compliance: &Compliance, key: &str) -> (bool, bool, i64, i64) {
    let requirement = of(compliance, key);
    (requirement.applicable, requirement.met, requirement.numerator, requirement.denominator)
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
            let sum: i64 = met.iter().chain(&unmet).map(|behind| behind.numerator).sum();
            match requirement.key.as_str() {
                "year_mean_72" | "match_75" => assert_eq!(sum, requirement.numerator, "{}", requirement.key),
                "restricted_elective_21" => assert_eq!(count, 1),
                _ => assert_eq!((count, count + others), (requirement.numerator, requirement.denominator)),
            }
        }
        let (short, _) = county.behind("year_24", false, 10).await;
        assert_eq!((short[0].teacher.as_str(), short[0].numerator), ("teachers/3", 2_000));
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
async fn only_ones_own_area_and_only_what_there_is() {
    for county in counties().await {
        let request = GetComplianceRequest { organization: BUREAU.to_owned(), year: 2019, schools: false };
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
