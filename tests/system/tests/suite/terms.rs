//! Terms beside the sample: the next one after it, with accounts, roster and ledgers carried over; and one of three rounds
//! in a zone with daylight saving.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use anyhow::Context as _;
use proto::{
    catalog::v1::{
        AcceptProjectRequest, ApproveProjectRequest, Audience, CreateProjectRequest, Project, Session,
        SubmitProjectRequest, project::Level, project_service_client::ProjectServiceClient,
    },
    common::v1::{Phase, Role},
    credit::v1::{Entry, GetStatementRequest, ledger_service_client::LedgerServiceClient},
    enrollment::v1::{
        ListSelectionsRequest, Selection, SubmitSelectionRequest, selection_service_client::SelectionServiceClient,
    },
};
use shixun::{
    client::Person,
    people::{County, TermFolder},
    progress::Progress,
    rehearse, up,
};
use system::{World, office::Office};

use crate::{
    edges::{Span, span, walk},
    term::TEACHERS,
};

const ZONE: &str = "America/New_York";

/// Autumn in New York: the clocks go back in the night before 2 a.m. of 2019-11-03, inside the second round.
fn new_york() -> anyhow::Result<Vec<Span>> {
    [
        span("roster-update", Phase::RosterUpdate, 0, "2019-10-01-04:00", "2019-11-09-05:00"),
        span("declaration", Phase::Declaration, 0, "2019-10-01-04:00", "2019-10-06-04:00"),
        span("project-review", Phase::ProjectReview, 0, "2019-10-06-04:00", "2019-10-11-04:00"),
        span("publication", Phase::Publication, 0, "2019-10-11-04:00", "2019-10-12-04:00"),
        span("browsing", Phase::Browsing, 0, "2019-10-12-04:00", "2019-10-21-04:00"),
        span("selection-1", Phase::Selection, 1, "2019-10-21-04:00", "2019-10-26-04:00"),
        span("school-review-1", Phase::SchoolReview, 1, "2019-10-22-04:00", "2019-10-28-04:00"),
        span("confirmation-1", Phase::ProviderConfirmation, 1, "2019-10-28-04:00", "2019-10-30-04:00"),
        span("selection-2", Phase::Selection, 2, "2019-10-30-04:00", "2019-11-03-04:00"),
        // Closes after the change: three days of 73 hours.
        span("school-review-2", Phase::SchoolReview, 2, "2019-11-01-04:00", "2019-11-04-05:00"),
        span("confirmation-2", Phase::ProviderConfirmation, 2, "2019-11-04-05:00", "2019-11-05-05:00"),
        span("selection-3", Phase::Selection, 3, "2019-11-05-05:00", "2019-11-07-05:00"),
        span("school-review-3", Phase::SchoolReview, 3, "2019-11-05-05:00", "2019-11-08-05:00"),
        span("confirmation-3", Phase::ProviderConfirmation, 3, "2019-11-08-05:00", "2019-11-10-05:00"),
        span("training", Phase::Training, 0, "2019-11-10-05:00", "2019-12-01-05:00"),
        span("results", Phase::Results, 0, "2019-12-01-05:00", "2019-12-06-05:00"),
    ]
    .into_iter()
    .collect()
}

/// The document that has these windows: days only, the zone says the rest.
fn document(spans: &[Span]) -> anyhow::Result<String> {
    let zone = jiff::tz::TimeZone::get(ZONE)?;
    let mut text = format!("zone = \"{ZONE}\"\n");
    for span in spans {
        let day = |at: i64| proto::jiff_instant(at).to_zoned_datetime(zone.clone()).date();
        let phase = span.phase.as_str_name().trim_start_matches("PHASE_");
        let (id, first, last) = (span.id, day(span.opens), day(span.closes).yesterday()?);
        write!(text, "\n[[window]]\nid = \"{id}\"\nphase = \"{phase}\"\nfirst_day = {first}\nlast_day = {last}\n")?;
        if span.round > 0 {
            writeln!(text, "round = {}", span.round)?;
        }
        writeln!(text, "owners = [\"BUREAU_OFFICER\"]")?;
    }
    Ok(text)
}

#[tokio::test(flavor = "multi_thread")]
async fn three_rounds_over_the_change_of_the_clocks() -> anyhow::Result<()> {
    let spans = new_york()?;
    let folder = shixun::people::TermFolder::sample()?;
    let world = World::start("sqlite", "2019-09-30T00:00:00Z").await?;
    let mut office = Office::open(&world, "three-rounds", ZONE).await?;
    office.put(&document(&spans)?, &folder.policy).await?;
    walk(&world, &mut office, &spans, &[], &folder.policy).await?;

    let end = spans.iter().map(|span| span.closes).max().unwrap_or_default();
    let steps = office.steps_done(end).await?;
    let mut names: BTreeSet<&str> = BTreeSet::new();
    for step in &steps {
        let (_, name) = step.name.rsplit_once('/').unwrap_or_default();
        assert!(names.insert(name), "{name} twice");
        // Each at the edge it belongs to; reminders are days before, at midnight too.
        let due = step.due.as_ref().map(proto::instant).unwrap_or_default();
        if let Some(span) = spans.iter().find(|span| name.starts_with(&format!("{}-opens-", span.id))) {
            assert_eq!(due, span.opens, "{name}");
        }
        if let Some(span) = spans.iter().find(|span| name.starts_with(&format!("{}-closes-settle-", span.id))) {
            assert_eq!(due, span.closes, "{name}");
        }
    }
    for round in 1..=3 {
        for step in [
            format!("selection-{round}-opens-fix-credit-positions"),
            format!("selection-{round}-closes-fix-non-selectors"),
            format!("school-review-{round}-opens-list-unreviewable-schools"),
            format!("school-review-{round}-closes-expire-unreviewed"),
            format!("confirmation-{round}-closes-settle-confirmation"),
        ] {
            assert!(names.contains(step.as_str()), "{step} is missing");
        }
    }
    // Notices and waiting lists wait for the last round.
    let ended: Vec<_> = names.iter().filter(|name| name.ends_with("-freeze-waiting")).collect();
    assert_eq!(ended, [&"confirmation-3-closes-freeze-waiting"]);
    world.system.stop().await
}

/// All selections of a term, as an officer lists them.
async fn selections(officer: &Person, term: &str) -> anyhow::Result<Vec<Selection>> {
    let (mut all, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListSelectionsRequest {
            parent: term.to_owned(),
            page_size: 1000,
            page_token,
            ..ListSelectionsRequest::default()
        };
        let reply = SelectionServiceClient::new(officer.wire()).list_selections(request).await?.into_inner();
        all.extend(reply.selections);
        page_token = reply.next_page_token;
        if page_token.is_empty() {
            return Ok(all);
        }
    }
}

/// What stands in a teacher's own statement today.
async fn entries(teacher: &Person) -> anyhow::Result<BTreeMap<String, Entry>> {
    let request = GetStatementRequest { teacher: teacher.teacher.clone(), ..GetStatementRequest::default() };
    let reply = LedgerServiceClient::new(teacher.wire()).get_statement(request).await?.into_inner();
    let statement = reply.statement.context("no statement")?;
    Ok(statement.entries.into_iter().map(|entry| (entry.name.clone(), entry)).collect())
}

async fn move_to(world: &World, office: &Office<'_>, at: &str) -> anyhow::Result<()> {
    let at = at.parse::<jiff::Timestamp>()?.as_microsecond();
    world.system.advance(at, false).await?;
    office.steps_done(at).await?;
    world.system.catch_up().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_term_has_the_same_people_and_books() -> anyhow::Result<()> {
    let folder = TermFolder::sample()?;
    let county = County::generate(2, TEACHERS, &folder);
    let begin = proto::jiff_instant(rehearse::before_the_term(&folder)?).to_string();
    let world = World::start_for("sqlite", &begin, &county.password).await?;
    up::setup::county(&world.system, &county, &folder, &Progress::hidden()).await?;
    let report = rehearse::play(world.system.reach(), &county, &folder, Progress::hidden()).await?;
    anyhow::ensure!(report.surprises.is_empty(), "{:?}", report.surprises);

    let gateway = chassis::peer::channel(&world.system.gateway())?;
    let login = |login: String| {
        let gateway = gateway.clone();
        let password = county.password.clone();
        async move { Person::login(&gateway, &login, &password).await.with_context(|| format!("login of {login}")) }
    };
    let staff = |role: Role, organization: &str| {
        let fits = |staff: &&shixun::people::Staff| staff.role == role && staff.organization == organization;
        county.staff.iter().find(fits).map(|staff| staff.login.clone()).context("nobody of that office")
    };
    let bureau = "organizations/county";
    let officer = login(staff(Role::BureauOfficer, bureau)?).await?;
    let first = selections(&officer, &folder.name()).await?;
    assert!(first.len() > 100, "{} selections in the first term", first.len());
    let mut books = BTreeMap::new();
    for person in county.teachers.iter().take(60) {
        let teacher = login(person.login.clone()).await?;
        books.insert(person.login.clone(), entries(&teacher).await?);
    }
    let credited = |entry: &&Entry| entry.project.starts_with(&folder.name());
    assert!(books.values().flat_map(BTreeMap::values).filter(credited).count() > 10, "hardly any credit from the term");

    // The next term: the same calendar a year on.
    let mut office = Office::open(&world, "2020-autumn", "Asia/Shanghai").await?;
    office.put(&folder.calendar.replace("2020-", "2021-").replace("2019-", "2020-"), &folder.policy).await?;
    move_to(&world, &office, "2020-06-18T09:00:00+08:00").await?;
    let mut people = Vec::new();
    for (name, before) in &books {
        let teacher = login(name.clone()).await?;
        let now = entries(&teacher).await?;
        for (entry, then) in before {
            assert_eq!(now.get(entry), Some(then), "{name}");
        }
        people.push(teacher);
    }

    // It can be worked in: declared, approved, published, selected.
    let plan = &county.projects.first().context("no project")?.project;
    let provider = login(staff(Role::ProviderStaff, &plan.provider)?).await?;
    let starts = "2020-10-10T18:00:00+08:00".parse::<jiff::Timestamp>()?.as_microsecond();
    let mut project = Project {
        accepting_bureau: bureau.to_owned(),
        level: Level::County.into(),
        audience: Some(Audience::default()),
        ..plan.clone()
    };
    project.classes.truncate(1);
    for class in &mut project.classes {
        let ends = starts + 7_200_000_000;
        class.sessions = vec![Session { starts: Some(proto::timestamp(starts)), ends: Some(proto::timestamp(ends)) }];
        class.ends_on = Some("2020-10-10".parse::<jiff::civil::Date>()?.into());
    }
    let mut declaring = ProjectServiceClient::new(provider.wire());
    let request = CreateProjectRequest {
        parent: office.term.clone(),
        project: Some(project),
        request_id: "the-next-term".to_owned(),
    };
    let name = declaring.create_project(request).await?.into_inner().project.context("no project")?.name;
    let request_id = "the-next-term".to_owned();
    declaring.submit_project(SubmitProjectRequest { name: name.clone(), request_id: request_id.clone() }).await?;
    let mut reviewing = ProjectServiceClient::new(officer.wire());
    reviewing.accept_project(AcceptProjectRequest { name: name.clone(), request_id: request_id.clone() }).await?;
    move_to(&world, &office, "2020-07-02T09:00:00+08:00").await?;
    let reason = "去年评审通过的同一项目".to_owned();
    reviewing.approve_project(ApproveProjectRequest { name: name.clone(), reason, request_id }).await?;
    move_to(&world, &office, "2020-08-26T00:00:00+08:00").await?;
    let mut taken = 0;
    for teacher in &people {
        let request = SubmitSelectionRequest {
            parent: office.term.clone(),
            project: name.clone(),
            teacher: String::new(),
            // As in the term before, or not: the project is another.
            request_id: format!("select-1-{name}"),
        };
        match SelectionServiceClient::new(teacher.wire()).submit_selection(request).await {
            Ok(_) => taken += 1,
            // Who retired or is on leave since the first term is still so.
            Err(status) => {
                let reason = system::raw::Outcome::from(status).reason;
                assert!(["REASON_TEACHER_NOT_ACTIVE", "REASON_ON_LEAVE"].contains(&reason.as_str()), "{reason}");
            }
        }
    }
    assert!(taken + 5 > people.len(), "only {taken} of {} could select", people.len());
    assert_eq!(selections(&officer, &office.term).await?.len(), taken);
    assert_eq!(selections(&officer, &folder.name()).await?, first, "the first term's selections were touched");
    world.verify().await
}
