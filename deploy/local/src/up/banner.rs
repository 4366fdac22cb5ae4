//! What `up` tells: the address, who can log in, what is open, and what to try. Passwords may have been changed since, and
//! people have gone: what can be told is told, and the system stays up.

use anyhow::Context as _;
use chassis::peer::channel;
use proto::{
    catalog::v1::{ListProjectsRequest, project_service_client::ProjectServiceClient},
    common::v1::{Phase, Role},
    credit::v1::{GetStatementRequest, ledger_service_client::LedgerServiceClient},
    enrollment::v1::{CheckEligibilityRequest, selection_service_client::SelectionServiceClient},
    gateway::v1::{GetTodayRequest, GetTodayResponse, calendar_service_client::CalendarServiceClient},
};
use tonic::transport::Channel;

use super::{System, setup::OPERATOR};
use crate::{
    client::Person,
    people::{County, TermFolder},
};

/// How many of a role are tried, where the first can no longer log in.
const TRIES: usize = 3;
/// Calls that are printed.
const CALLS: usize = 3;

/// An account that stands for its role.
struct Account<'a> {
    role: &'static str,
    login: &'a str,
    /// Logged in, if that can be done with everyone's password.
    person: Option<Person>,
}

/// A call to try, as it is printed: JSON and method.
struct Call {
    json: String,
    method: &'static str,
}

/// Prints it.
///
/// # Errors
/// If the gateway cannot be asked for the time.
#[allow(clippy::print_stdout, reason = "the command's output")]
pub async fn print(system: &System, county: &County, folder: &TermFolder) -> anyhow::Result<()> {
    let gateway = channel(&system.gateway())?;
    let address = system.gateway().trim_start_matches("http://").to_owned();
    let local = |at: &prost_types::Timestamp| {
        let zoned = proto::jiff_instant(proto::instant(at)).to_zoned_datetime(folder.zone.clone());
        zoned.strftime("%F %R").to_string()
    };
    println!("Shixun 师训 listens on {address} (gRPC, reflection on; plain HTTP/2)");
    println!();
    println!("Accounts (password of all: {})", county.password);
    let accounts = accounts(&gateway, county).await;
    for Account { role, login, person } in &accounts {
        let changed = if person.is_some() {
            ""
        } else {
            "  (password changed, or suspended / 密码已更改或账号已停用)"
        };
        println!("  {role:<28} {login}{changed}");
    }
    println!();
    let now = system.status("gateway").await?.now.context("the gateway has no clock")?;
    println!("It is {} in the term's zone. Open now:", local(&now));
    for window in today(accounts.iter().rev().find_map(|account| account.person.as_ref())).await.windows {
        let phase = Phase::try_from(window.phase).unwrap_or(Phase::Unspecified);
        let closes = window.closes.as_ref().map(local).unwrap_or_default();
        println!("  {:<24} {:<32} until {closes}", window.window, phase.as_str_name());
    }
    println!();
    let able = accounts.iter().find_map(|account| Some((account.login, account.person.as_ref()?)));
    if let Some((login, person)) = able {
        println!("Try, with a stock gRPC client:");
        let json = format!("{{\"login\":\"{login}\",\"password\":\"{}\"}}", county.password);
        let login = Call { json, method: "shixun.gateway.v1.SessionService/Login" };
        println!("  grpcurl -plaintext -d '{}' {address} {}", login.json, login.method);
        for Call { json, method } in calls(person, &folder.name()).await.into_iter().take(CALLS - 1) {
            println!("  grpcurl -plaintext -H \"authorization: Bearer $TOKEN\" -d '{json}' {address} {method}");
        }
    } else {
        println!(
            "Nobody of these logs in with that password: `grpcurl -plaintext {address} list` shows what there is to call."
        );
    }
    println!();
    println!("Ctrl-C stops it; the data folder keeps everything.");
    Ok(())
}

/// One account for each role; the officer, who sees all windows, last.
async fn accounts<'a>(gateway: &Channel, county: &'a County) -> Vec<Account<'a>> {
    let teachers = |wanted: fn(&[Role]) -> bool| {
        let having = county.teachers.iter().filter(move |person| wanted(&person.roles));
        having.map(|person| person.login.as_str()).take(TRIES).collect::<Vec<_>>()
    };
    let staff = |role: Role| {
        let having = county.staff.iter().filter(move |staff| staff.role == role);
        having.map(|staff| staff.login.as_str()).take(TRIES).collect::<Vec<_>>()
    };
    let mut accounts = Vec::new();
    for (role, logins) in [
        ("teacher 教师", teachers(<[Role]>::is_empty)),
        ("school admin 平台管理员", teachers(|roles| roles.contains(&Role::SchoolAdmin))),
        ("principal 校长", teachers(|roles| roles.contains(&Role::Principal))),
        ("provider 培训机构", staff(Role::ProviderStaff)),
        ("expert 专家", staff(Role::Expert)),
        ("district officer 学区", staff(Role::DistrictOfficer)),
        ("operator 运维", vec![OPERATOR]),
        ("bureau officer 教育局", staff(Role::BureauOfficer)),
    ] {
        let mut able = None;
        for login in &logins {
            if let Ok(person) = Person::login(gateway, login, &county.password).await {
                able = Some((*login, person));
                break;
            }
        }
        let (login, person) = match able {
            Some((login, person)) => (login, Some(person)),
            None => (logins.first().copied().unwrap_or("—"), None),
        };
        accounts.push(Account { role, login, person });
    }
    accounts
}

/// What somebody can do now; nothing where nobody asks.
async fn today(person: Option<&Person>) -> GetTodayResponse {
    let Some(person) = person else { return GetTodayResponse::default() };
    let today = CalendarServiceClient::new(person.wire()).get_today(GetTodayRequest::default()).await;
    today.map(tonic::Response::into_inner).unwrap_or_default()
}

/// What somebody may call now, with success, the most telling first.
async fn calls(person: &Person, term: &str) -> Vec<Call> {
    let mut calls = Vec::new();
    let mut menu = Vec::new();
    for query in ["数学", ""] {
        let request = ListProjectsRequest {
            parent: term.to_owned(),
            query: query.to_owned(),
            page_size: 200,
            ..Default::default()
        };
        let listed = ProjectServiceClient::new(person.wire()).list_projects(request).await;
        let found = listed.map(|reply| reply.into_inner().projects).unwrap_or_default();
        if !found.is_empty() && calls.is_empty() {
            let json = format!("{{\"parent\":\"{term}\",\"query\":\"{query}\"}}");
            calls.push(Call { json, method: "shixun.catalog.v1.ProjectService/ListProjects" });
        }
        menu = found;
    }
    let open = today(Some(person)).await.windows;
    if !person.teacher.is_empty() && open.iter().any(|window| window.phase == i32::from(Phase::Selection)) {
        let mut selections = SelectionServiceClient::new(person.wire());
        for project in menu {
            let request = CheckEligibilityRequest { project: project.name.clone(), teacher: String::new() };
            let checked = selections.check_eligibility(request).await;
            if checked.is_ok_and(|reply| reply.into_inner().eligible) {
                // Each project has a request id of its own: tried on another day, it is another request.
                let id = project.name.rsplit('/').next().unwrap_or_default();
                let json =
                    format!("{{\"parent\":\"{term}\",\"project\":\"{}\",\"request_id\":\"try-{id}\"}}", project.name);
                calls.push(Call { json, method: "shixun.enrollment.v1.SelectionService/SubmitSelection" });
                break;
            }
        }
    }
    calls.push(Call { json: "{}".to_owned(), method: "shixun.gateway.v1.CalendarService/GetToday" });
    let statement = GetStatementRequest { teacher: person.teacher.clone(), ..GetStatementRequest::default() };
    if LedgerServiceClient::new(person.wire()).get_statement(statement).await.is_ok() {
        let json = format!("{{\"teacher\":\"{}\"}}", person.teacher);
        calls.push(Call { json, method: "shixun.credit.v1.LedgerService/GetStatement" });
    }
    calls
}
