//! The term after the sample's: the same people, accounts and books, from the declaration to recognised credit.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use proto::{
    catalog::v1::{
        AcceptProjectRequest, ApproveProjectRequest, Audience, CreateProjectRequest, Project, Session,
        SubmitProjectRequest, project::Level, project_service_client::ProjectServiceClient,
    },
    common::v1::{Credit, Role},
    credit::v1::{
        Compliance, Entry, GetComplianceRequest, GetStatementRequest, ListComplianceTeachersRequest, Statement,
        compliance, compliance_service_client::ComplianceServiceClient, ledger_service_client::LedgerServiceClient,
    },
    enrollment::v1::{
        Attendance, ConfirmResultsRequest, Decision, ListSelectionsRequest, RecordAttendanceRequest,
        RecordResultsRequest, Result as Judged, ReviewSelectionsRequest, Selection, SubmitSelectionRequest,
        review_service_client::ReviewServiceClient, selection::State, selection_service_client::SelectionServiceClient,
        training_service_client::TrainingServiceClient,
    },
};
use shixun::{
    client::Person,
    people::{County, TermFolder},
    progress::Progress,
    rehearse, up,
};
use system::{World, office::Office, raw::Outcome};

const TEACHERS: u32 = 100;
/// Teachers who are followed from one term into the next.
const FOLLOWED: usize = 60;
/// What the next term's project is worth, in hundredths: enough for a year.
const WORTH: i64 = 3_000;
/// The day of its class.
const HELD: &str = "2020-10-10";
/// Forms of employment that count in rates, as the sample's policy has them.
const FULL_TIME: [&str; 2] = ["permanent", "contract"];
const BUREAU: &str = "organizations/county";
const ID: &str = "the-next-term";

/// A county that has its first term behind it.
struct Stage {
    world: World,
    county: County,
    folder: TermFolder,
    officer: Person,
}

impl Stage {
    async fn set(engine: &str) -> anyhow::Result<Self> {
        let folder = TermFolder::sample()?;
        let county = County::generate(2, TEACHERS, &folder);
        let begin = proto::jiff_instant(rehearse::before_the_term(&folder)?).to_string();
        let world = World::start_for(engine, &begin, &county.password).await?;
        up::setup::county(&world.system, &county, &folder, &Progress::hidden()).await?;
        let report = rehearse::play(world.system.reach(), &county, &folder, Progress::hidden()).await?;
        anyhow::ensure!(report.surprises.is_empty(), "{:?}", report.surprises);
        let officer = staff(&county, Role::BureauOfficer, BUREAU)?;
        let officer = log_in(&world, &officer, &county.password).await?;
        Ok(Self { world, county, folder, officer })
    }

    async fn log_in(&self, login: &str) -> anyhow::Result<Person> {
        log_in(&self.world, login, &self.county.password).await
    }

    /// All selections of a term.
    async fn selections(&self, term: &str) -> anyhow::Result<Vec<Selection>> {
        let (mut all, mut page_token) = (Vec::new(), String::new());
        loop {
            let (parent, page_size) = (term.to_owned(), 500);
            let request = ListSelectionsRequest { parent, page_size, page_token, ..Default::default() };
            let reply = SelectionServiceClient::new(self.officer.wire()).list_selections(request).await?.into_inner();
            all.extend(reply.selections);
            page_token = reply.next_page_token;
            if page_token.is_empty() {
                return Ok(all);
            }
        }
    }

    /// The county's compliance in a year, and that of its schools.
    async fn compliance(&self, year: i32) -> anyhow::Result<(Compliance, Vec<Compliance>)> {
        let request = GetComplianceRequest {
            organization: BUREAU.to_owned(),
            year,
            schools: true,
            page_size: 1000,
            page_token: String::new(),
        };
        let reply = ComplianceServiceClient::new(self.officer.wire()).get_compliance(request).await?.into_inner();
        anyhow::ensure!(reply.next_page_token.is_empty(), "more than a thousand schools");
        Ok((reply.compliance.context("no compliance")?, reply.schools))
    }

    /// Who reached the credit of a year.
    async fn met(&self, year: i32) -> anyhow::Result<BTreeSet<String>> {
        let request = ListComplianceTeachersRequest {
            organization: BUREAU.to_owned(),
            year,
            requirement: "year_24".to_owned(),
            met: true,
            page_size: 1000,
            page_token: String::new(),
        };
        let mut client = ComplianceServiceClient::new(self.officer.wire());
        let reply = client.list_compliance_teachers(request).await?.into_inner();
        Ok(reply.teachers.into_iter().map(|teacher| teacher.teacher).collect())
    }

    async fn move_to(&self, office: &Office<'_>, at: &str) -> anyhow::Result<()> {
        let at = at.parse::<jiff::Timestamp>()?.as_microsecond();
        self.world.system.advance(at, false).await?;
        // What is told at this instant may bring up steps.
        self.world.system.catch_up().await?;
        office.steps_done(at).await?;
        self.world.system.catch_up().await
    }

    /// The project of the next term: declared, accepted, approved; published by the sequencer.
    async fn declare(&self, office: &Office<'_>, provider: &Person) -> anyhow::Result<Project> {
        let plan = &self.county.projects.first().context("no project")?.project;
        let starts = format!("{HELD}T18:00:00+08:00").parse::<jiff::Timestamp>()?.as_microsecond();
        let mut project = Project {
            accepting_bureau: BUREAU.to_owned(),
            level: Level::County.into(),
            audience: Some(Audience::default()),
            base_credit: Some(Credit { hundredths: WORTH }),
            difficulty_percent: 100,
            ..plan.clone()
        };
        project.classes.truncate(1);
        for class in &mut project.classes {
            let ends = starts + 7_200_000_000;
            class.sessions =
                vec![Session { starts: Some(proto::timestamp(starts)), ends: Some(proto::timestamp(ends)) }];
            class.ends_on = Some(HELD.parse::<jiff::civil::Date>()?.into());
            class.places = i32::try_from(FOLLOWED)?;
        }
        let mut declaring = ProjectServiceClient::new(provider.wire());
        let (parent, request_id) = (office.term.clone(), ID.to_owned());
        let request = CreateProjectRequest { parent, project: Some(project), request_id: request_id.clone() };
        let project = declaring.create_project(request).await?.into_inner().project.context("no project")?;
        let name = project.name.clone();
        declaring.submit_project(SubmitProjectRequest { name: name.clone(), request_id: request_id.clone() }).await?;
        let mut reviewing = ProjectServiceClient::new(self.officer.wire());
        reviewing.accept_project(AcceptProjectRequest { name: name.clone(), request_id: request_id.clone() }).await?;
        self.move_to(office, "2020-07-02T09:00:00+08:00").await?;
        let reason = "去年评审通过的同一项目".to_owned();
        reviewing.approve_project(ApproveProjectRequest { name, reason, request_id }).await?;
        Ok(project)
    }

    /// The schools approve what their teachers selected; reviewers' own selections wait in vain.
    async fn review(&self, office: &Office<'_>) -> anyhow::Result<()> {
        let holds = |role: Role| self.county.teachers.iter().filter(move |person| person.roles.contains(&role));
        let reviewing: BTreeSet<&str> = self
            .county
            .teachers
            .iter()
            .filter(|person| !person.roles.is_empty())
            .map(|person| person.teacher.name.as_str())
            .collect();
        let mut by_school: BTreeMap<String, Vec<Decision>> = BTreeMap::new();
        for selection in self.selections(&office.term).await? {
            if !reviewing.contains(selection.teacher.as_str()) {
                let decision = Decision { selection: selection.name, approved: true, reason: String::new() };
                by_school.entry(selection.school).or_default().push(decision);
            }
        }
        let mut without = 0;
        for (school, decisions) in by_school {
            let reviewer = holds(Role::SchoolAdmin).find(|person| person.teacher.school == school);
            let reviewer = self.log_in(&reviewer.context("a school without an administrator")?.login).await?;
            let (parent, request_id) = (office.term.clone(), format!("{ID}-{school}"));
            let request = ReviewSelectionsRequest { parent, decisions, request_id };
            if let Err(status) = ReviewServiceClient::new(reviewer.wire()).review_selections(request).await {
                // The school that lost its reviewers in the first term still has none.
                assert_eq!(Outcome::from(status).reason, "REASON_ROLE_NOT_ALLOWED", "{school}");
                without += 1;
            }
        }
        assert!(without <= 1, "{without} schools have no reviewer");
        Ok(())
    }

    /// The class is held: everybody came, and all but one pass. Returns who passed.
    async fn train(&self, office: &Office<'_>, provider: &Person, class: &str) -> anyhow::Result<BTreeSet<String>> {
        let selections = self.selections(&office.term).await?;
        let placed: Vec<&Selection> = selections.iter().filter(|one| one.state() == State::Confirmed).collect();
        assert!(placed.len() > 20, "only {} of {} got a place", placed.len(), selections.len());
        assert!(placed.iter().all(|selection| selection.class == class));
        let attendance = placed.iter().map(|one| Attendance { selection: one.name.clone(), sessions_attended: 1 });
        let (class, attendance, request_id) = (class.to_owned(), attendance.collect(), ID.to_owned());
        let mut client = TrainingServiceClient::new(provider.wire());
        let request = RecordAttendanceRequest { class: class.clone(), attendance, request_id: request_id.clone() };
        client.record_attendance(request).await?;
        let results = placed.iter().enumerate().map(|(n, one)| Judged {
            selection: one.name.clone(),
            passed: n > 0,
            coefficient_percent: 100,
        });
        let results = results.collect();
        let request = RecordResultsRequest { class: class.clone(), results, request_id: request_id.clone() };
        client.record_results(request).await?;
        client.confirm_results(ConfirmResultsRequest { class, request_id }).await?;
        Ok(placed.iter().skip(1).map(|selection| selection.teacher.clone()).collect())
    }
}

async fn log_in(world: &World, login: &str, password: &str) -> anyhow::Result<Person> {
    let gateway = chassis::peer::channel(&world.system.gateway())?;
    Person::login(&gateway, login, password).await.with_context(|| format!("login of {login}"))
}

fn staff(county: &County, role: Role, organization: &str) -> anyhow::Result<String> {
    let fits = |staff: &&shixun::people::Staff| staff.role == role && staff.organization == organization;
    county.staff.iter().find(fits).map(|staff| staff.login.clone()).context("nobody of that office")
}

/// A teacher's own statement on a day.
async fn statement(teacher: &Person, on: &str) -> anyhow::Result<Statement> {
    let on = Some(on.parse::<jiff::civil::Date>()?.into());
    let request = GetStatementRequest { teacher: teacher.teacher.clone(), on, recorded_by: None };
    let reply = LedgerServiceClient::new(teacher.wire()).get_statement(request).await?.into_inner();
    reply.statement.context("no statement")
}

fn hundredths(credit: Option<Credit>) -> i64 {
    credit.unwrap_or_default().hundredths
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_term_has_the_same_people_and_books() -> anyhow::Result<()> {
    tokio::try_join!(two_terms("sqlite"), two_terms("postgres"))?;
    Ok(())
}

async fn two_terms(engine: &str) -> anyhow::Result<()> {
    let stage = Stage::set(engine).await?;
    let Stage { world, county, folder, .. } = &stage;
    let first = stage.selections(&folder.name()).await?;
    let year_before = (stage.compliance(2019).await?, stage.met(2019).await?);
    assert_eq!(year_before.0.0.state(), compliance::State::Final);
    let mut people: BTreeMap<String, (String, Statement)> = BTreeMap::new();
    for person in county.teachers.iter().take(FOLLOWED) {
        let teacher = stage.log_in(&person.login).await?;
        let before = statement(&teacher, HELD).await?;
        people.insert(teacher.teacher.clone(), (person.login.clone(), before));
    }

    // The next term: the same calendar a year on.
    let mut office = Office::open(world, "2020-autumn", "Asia/Shanghai").await?;
    office.put(&folder.calendar.replace("2020-", "2021-").replace("2019-", "2020-"), &folder.policy).await?;
    stage.move_to(&office, "2020-06-18T09:00:00+08:00").await?;
    let provider = &county.projects.first().context("no project")?.project.provider;
    let provider = stage.log_in(&staff(county, Role::ProviderStaff, provider)?).await?;
    let project = stage.declare(&office, &provider).await?;
    stage.move_to(&office, "2020-08-26T00:00:00+08:00").await?;
    let mut taken = 0;
    for (login, before) in people.values() {
        let teacher = stage.log_in(login).await?;
        assert_eq!(statement(&teacher, HELD).await?, *before, "{login}");
        let request = SubmitSelectionRequest {
            parent: office.term.clone(),
            project: project.name.clone(),
            teacher: String::new(),
            // As in the term before, or not: the project is another.
            request_id: format!("select-1-{}", project.name),
        };
        match SelectionServiceClient::new(teacher.wire()).submit_selection(request).await {
            Ok(_) => taken += 1,
            // Who retired or is on leave since the first term is still so.
            Err(status) => {
                let reason = Outcome::from(status).reason;
                assert!(
                    ["REASON_TEACHER_NOT_ACTIVE", "REASON_ON_LEAVE", "REASON_LEAVES_BEFORE"].contains(&reason.as_str()),
                    "{reason}"
                );
            }
        }
    }
    assert!(taken + 5 > people.len(), "only {taken} of {} could select", people.len());
    assert_eq!(stage.selections(&office.term).await?.len(), taken);

    stage.move_to(&office, "2020-09-02T09:00:00+08:00").await?;
    stage.review(&office).await?;
    stage.move_to(&office, "2020-10-12T09:00:00+08:00").await?;
    let class = &project.classes.first().context("no class")?.name;
    let passed = stage.train(&office, &provider, class).await?;
    stage.move_to(&office, "2020-10-12T09:00:01+08:00").await?;
    let credited = stage.selections(&office.term).await?;
    let credited = credited.into_iter().filter(|one| one.state() == State::Credited).map(|one| one.teacher);
    assert_eq!(credited.collect::<BTreeSet<_>>(), passed);
    stage.move_to(&office, "2021-01-17T00:00:00+08:00").await?;

    // The books have both terms, and add them up.
    let mut of_both = 0;
    let mut due = BTreeSet::new();
    for (name, (login, before)) in &people {
        let teacher = stage.log_in(login).await?;
        let now = statement(&teacher, HELD).await?;
        let (old, new): (Vec<Entry>, Vec<Entry>) =
            now.entries.iter().cloned().partition(|entry| before.entries.contains(entry));
        assert_eq!(old, before.entries, "{login}");
        let earned: Vec<_> =
            new.iter().map(|entry| (entry.project.as_str(), hundredths(entry.awarded), entry.effective_on)).collect();
        if passed.contains(name) {
            let day = Some(HELD.parse::<jiff::civil::Date>()?.into());
            assert_eq!(earned, [(project.name.as_str(), WORTH, day)], "{login}");
            of_both += usize::from(old.iter().any(|entry| entry.project.starts_with(&folder.name())));
            // Credit of the year of probation is of no cycle.
            let counts = now.requirements.iter().any(|one| one.key == "year_24" && one.applicable);
            let more = if counts { WORTH } else { 0 };
            assert_eq!(hundredths(now.year_awarded), hundredths(before.year_awarded) + more, "{login}");
            assert_eq!((now.cycle, &now.cycle_starts_on), (before.cycle, &before.cycle_starts_on), "{login}");
            assert_eq!(hundredths(now.cycle_awarded), hundredths(before.cycle_awarded) + more, "{login}");
            let of_teacher = |person: &&shixun::people::Person| person.teacher.name == *name;
            let employment = county.teachers.iter().find(of_teacher).map(|person| person.teacher.employment.as_str());
            let full_time = employment.is_some_and(|employment| FULL_TIME.contains(&employment));
            due.extend((counts && full_time).then(|| name.clone()));
        } else {
            assert!(earned.is_empty(), "{login} has {earned:?}");
        }
    }
    assert!(of_both > 10, "only {of_both} teachers have credit of both terms");

    // Each year stands for itself: the first is as it was closed, the second has whoever earned enough in it.
    assert_eq!((stage.compliance(2019).await?, stage.met(2019).await?), year_before);
    let (of_county, of_schools) = stage.compliance(2020).await?;
    assert_eq!((of_county.state(), of_schools.len()), (compliance::State::Final, year_before.0.1.len()));
    assert!(!due.is_empty());
    assert_eq!(stage.met(2020).await?, due);
    let year = of_county.requirements.iter().find(|requirement| requirement.key == "year_24").context("year_24")?;
    assert_eq!(usize::try_from(year.numerator)?, due.len());
    assert_eq!(stage.selections(&folder.name()).await?, first, "the first term's selections were touched");
    stage.world.verify().await
}
