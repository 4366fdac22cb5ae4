//! Setting up a county on an empty system, over the public API: the operator makes offices and their people, the bureau
//! makes the term and takes the roster.

use std::{collections::BTreeMap, future::Future, time::Duration};

use anyhow::Context as _;
use chassis::peer::channel;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use prost::Message as _;
use proto::{
    common::v1::{Phase, Role, RoleGrant},
    gateway::v1::{
        Calendar, CreateTermRequest, ListStepsRequest, PutCalendarRequest, Term,
        calendar_service_client::CalendarServiceClient, step::State, step_service_client::StepServiceClient,
    },
    roster::v1::{
        Account, CreateAccountRequest, CreateOrganizationRequest, GrantRoleRequest, ImportTeachersRequest, RoleHeld,
        Teacher,
        account_service_client::AccountServiceClient,
        import_teachers_request::{Frame, Header, Rows},
        organization_service_client::OrganizationServiceClient,
        teacher_service_client::TeacherServiceClient,
    },
};
use sha2::{Digest as _, Sha256};

use super::Reach;
use crate::{
    client::Person,
    people::{County, TermFolder},
    progress::Progress,
};

/// Calls in flight.
const AT_ONCE: usize = 32;
/// Rows of a frame of the import.
const FRAME: usize = 500;
/// Rows of a roster file: as many as the roster takes.
const FILE: usize = 50_000;
/// What the operator's login is, before anything else exists.
pub const OPERATOR: &str = "operator";

/// Sets up the county and its term. Returns the calendar that was taken. Every request has an id that depends on the county
/// alone: what was interrupted can be done again, and goes on where it ended.
///
/// # Errors
/// The system's first refusal.
pub async fn county(
    system: &Reach,
    county: &County,
    folder: &TermFolder,
    progress: &Progress,
) -> anyhow::Result<Calendar> {
    let (officer, calendar) = offices(system, county, folder, progress).await?;
    let teachers: Vec<&Teacher> = county.teachers.iter().map(|person| &person.teacher).collect();
    import(&officer, &teachers, Some(&county.password), progress).await?;
    roles(&officer, county, progress).await?;
    system.catch_up().await?;
    Ok(calendar)
}

/// The county without its teachers, standing at the opening of the window in which the roster is taken. Returns the bureau's
/// officer and the calendar that was taken.
///
/// # Errors
/// The system's first refusal.
pub async fn offices(
    system: &Reach,
    county: &County,
    folder: &TermFolder,
    progress: &Progress,
) -> anyhow::Result<(Person, Calendar)> {
    let gateway = channel(&system.gateway())?;
    let operator = Person::login(&gateway, OPERATOR, &county.password).await.context("the operator's login")?;
    organizations(&operator, county, progress).await?;
    staff(&operator, county, progress).await?;
    let officer = county.staff_with(Role::BureauOfficer).context("the county has no bureau officer")?;
    let officer = Person::login(&gateway, &officer.login, &county.password).await?;
    let calendar = term(system, &officer, folder).await?;
    let roster_update = calendar
        .windows
        .iter()
        .find(|window| window.phase() == Phase::RosterUpdate)
        .and_then(|window| window.opens.as_ref())
        .context("the calendar has no ROSTER_UPDATE window")?;
    reach(system, &officer, &calendar.term, proto::instant(roster_update)).await?;
    Ok((officer, calendar))
}

/// Runs `work` for each item, a bounded number at once, with a bar.
async fn each<T, F, Fut>(progress: &Progress, what: &str, items: &[T], work: F) -> anyhow::Result<()>
where
    T: Sync,
    F: Fn(usize, &T) -> Fut,
    Fut: Future<Output = anyhow::Result<()>>,
{
    let bar = progress.bar(what, items.len());
    // The futures are made first: a closure over borrowed items is not general enough inside the stream.
    let futures: Vec<_> = items.iter().enumerate().map(|(n, item)| work(n, item)).collect();
    stream::iter(futures)
        .buffer_unordered(AT_ONCE)
        .try_for_each(|()| {
            bar.inc(1);
            std::future::ready(Ok(()))
        })
        .await?;
    bar.finish_and_clear();
    Ok(())
}

async fn organizations(operator: &Person, county: &County, progress: &Progress) -> anyhow::Result<()> {
    // Parents before children: level by level, and within a level at once.
    let parents: BTreeMap<&str, &str> =
        county.organizations.iter().map(|one| (one.name.as_str(), one.parent.as_str())).collect();
    let depth = |name: &str| std::iter::successors(parents.get(name), |parent| parents.get(*parent)).skip(1).count();
    let mut levels: Vec<Vec<_>> = Vec::new();
    for organization in &county.organizations {
        let depth = depth(&organization.name);
        if levels.len() <= depth {
            levels.resize_with(depth + 1, Vec::new);
        }
        if let Some(level) = levels.get_mut(depth) {
            level.push(organization.clone());
        }
    }
    for level in levels {
        each(progress, "organisations", &level, |_, organization| {
            let request_id = format!("setup-{}", organization.name);
            let request = CreateOrganizationRequest { organization: Some(organization.clone()), request_id };
            let wire = operator.wire();
            async move {
                OrganizationServiceClient::new(wire).create_organization(request).await?;
                Ok(())
            }
        })
        .await?;
    }
    Ok(())
}

async fn staff(operator: &Person, county: &County, progress: &Progress) -> anyhow::Result<()> {
    let newcomers: Vec<_> = county.staff.iter().filter(|staff| staff.login != OPERATOR).collect();
    each(progress, "accounts of offices", &newcomers, |_, staff| {
        let grant = RoleGrant { role: staff.role.into(), organization: staff.organization.clone() };
        let account = Account {
            name: staff.account.clone(),
            login: staff.login.clone(),
            display_name: staff.display_name.clone(),
            roles: vec![RoleHeld { grant: Some(grant), from: None, until: None }],
            ..Account::default()
        };
        let request_id = format!("setup-{}", staff.account);
        let password = county.password.clone();
        let request = CreateAccountRequest { account: Some(account), password, request_id };
        let wire = operator.wire();
        async move {
            AccountServiceClient::new(wire).create_account(request).await?;
            Ok(())
        }
    })
    .await
}

async fn term(system: &Reach, officer: &Person, folder: &TermFolder) -> anyhow::Result<Calendar> {
    let mut client = CalendarServiceClient::new(officer.wire());
    let name = folder.name();
    let zone = folder.zone.iana_name().unwrap_or("UTC").to_owned();
    let term = Term { name: name.clone(), display_name: folder.id.clone(), zone, ..Term::default() };
    let request = CreateTermRequest { term: Some(term), request_id: format!("setup-{name}") };
    client.create_term(request).await.context("creating the term")?;
    let request = PutCalendarRequest {
        parent: name.clone(),
        document: folder.calendar.clone(),
        policy: folder.policy.clone(),
        reason: "学期首版日历".to_owned(),
        follows_version: 0,
        request_id: format!("setup-{name}-calendar"),
    };
    let calendar = client
        .put_calendar(request)
        .await
        .context("改正后用同一命令继续 / mend it, and the same command goes on")?
        .into_inner()
        .calendar;
    let calendar = calendar.context("a calendar was put and not returned")?;
    wait_steps(officer, &name, proto::instant(&system.status("gateway").await?.now.unwrap_or_default())).await?;
    Ok(calendar)
}

/// Moves all clocks to `at` and waits until every step that is due by then has been carried out, and mirrored.
///
/// # Errors
/// If a step fails for good, or a service is away.
pub async fn reach(system: &Reach, officer: &Person, term: &str, at: i64) -> anyhow::Result<()> {
    system.advance(at, false).await?;
    wait_steps(officer, term, at).await?;
    system.catch_up().await
}

async fn wait_steps(officer: &Person, term: &str, at: i64) -> anyhow::Result<()> {
    let mut client = StepServiceClient::new(officer.wire());
    let mut polls = 0_u32;
    loop {
        let mut waiting = None;
        let mut page_token = String::new();
        loop {
            let request = ListStepsRequest {
                parent: term.to_owned(),
                page_size: 1000,
                page_token: page_token.clone(),
                ..ListStepsRequest::default()
            };
            let reply = client.list_steps(request).await.context("listing the steps")?.into_inner();
            let due = |step: &proto::gateway::v1::Step| step.due.as_ref().map_or(i64::MAX, proto::instant) <= at;
            waiting = waiting.or_else(|| {
                let open = |state| matches!(state, State::Pending | State::Running | State::Failed);
                reply.steps.into_iter().find(|step| due(step) && open(step.state()))
            });
            page_token = reply.next_page_token;
            if page_token.is_empty() || waiting.is_some() {
                break;
            }
        }
        let Some(step) = waiting else { return Ok(()) };
        // Two minutes: a step that takes longer than that is broken, and says why.
        anyhow::ensure!(polls < 4000, "step {} does not end: {}", step.name, step.error);
        polls += 1;
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}

/// Imports teachers that the roster does not have yet, in as many files as it takes; with accounts if there is a password.
///
/// # Errors
/// The roster's refusal.
pub async fn import(
    officer: &Person,
    teachers: &[&Teacher],
    initial_password: Option<&str>,
    progress: &Progress,
) -> anyhow::Result<()> {
    let bar = progress.bar("roster", teachers.len());
    for (n, file) in teachers.chunks(FILE).enumerate() {
        let mut digest = Sha256::new();
        file.iter().for_each(|teacher| digest.update(teacher.encode_to_vec()));
        let header = Header {
            request_id: if n == 0 { "setup-roster".to_owned() } else { format!("setup-roster-{}", n + 1) },
            digest: digest.finalize().to_vec(),
            row_count: i32::try_from(file.len())?,
            create_accounts: initial_password.is_some(),
            initial_password: initial_password.unwrap_or_default().to_owned(),
            ..Header::default()
        };
        let mut frames = vec![ImportTeachersRequest { frame: Some(Frame::Header(header)) }];
        for chunk in file.chunks(FRAME) {
            let teachers = chunk.iter().map(|teacher| (*teacher).clone()).collect();
            frames.push(ImportTeachersRequest { frame: Some(Frame::Rows(Rows { teachers })) });
        }
        let counted = bar.clone();
        let frames = stream::iter(frames).inspect(move |_| counted.inc(FRAME as u64));
        let reply =
            TeacherServiceClient::new(officer.wire()).import_teachers(frames).await.context("importing the roster")?;
        let created = reply.into_inner().created;
        anyhow::ensure!(usize::try_from(created)? == file.len(), "only {created} teachers were created");
    }
    bar.finish_and_clear();
    Ok(())
}

/// Administrators and principals are teachers who hold another role for their school.
async fn roles(officer: &Person, county: &County, progress: &Progress) -> anyhow::Result<()> {
    let gateway_accounts = accounts(officer, county).await?;
    let held: Vec<_> =
        county.teachers.iter().flat_map(|person| person.roles.iter().map(move |role| (person, *role))).collect();
    each(progress, "roles at schools", &held, |_, (person, role)| {
        let name = gateway_accounts.get(&person.login).cloned().unwrap_or_default();
        let grant = RoleGrant { role: (*role).into(), organization: person.teacher.school.clone() };
        let request = GrantRoleRequest {
            request_id: format!("setup-{}-{}", person.login, role.as_str_name()),
            name,
            role: Some(RoleHeld { grant: Some(grant), from: None, until: None }),
        };
        let wire = officer.wire();
        async move {
            AccountServiceClient::new(wire).grant_role(request).await?;
            Ok(())
        }
    })
    .await
}

/// Account names by login.
async fn accounts(officer: &Person, county: &County) -> anyhow::Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    let wanted: std::collections::BTreeSet<_> =
        county.teachers.iter().filter(|person| !person.roles.is_empty()).map(|person| person.login.clone()).collect();
    let mut client = AccountServiceClient::new(officer.wire());
    let mut page_token = String::new();
    loop {
        let request = proto::roster::v1::ListAccountsRequest {
            role: Role::Teacher.into(),
            page_size: 1000,
            page_token,
            ..Default::default()
        };
        let reply = client.list_accounts(request).await.context("listing accounts")?.into_inner();
        for account in reply.accounts {
            if wanted.contains(&account.login) {
                found.insert(account.login, account.name);
            }
        }
        page_token = reply.next_page_token;
        if page_token.is_empty() {
            return Ok(found);
        }
    }
}
