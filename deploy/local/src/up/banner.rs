//! What `up` tells: the address, who can log in, what is open, and what to try.

use anyhow::Context as _;
use chassis::peer::channel;
use proto::{
    catalog::v1::{ListProjectsRequest, project_service_client::ProjectServiceClient},
    common::v1::{Phase, Role},
    enrollment::v1::{CheckEligibilityRequest, selection_service_client::SelectionServiceClient},
    gateway::v1::{GetTodayRequest, calendar_service_client::CalendarServiceClient},
};

use tonic::transport::Channel;

use super::System;
use crate::{
    client::Person,
    people::{County, TermFolder},
};

/// Prints it.
///
/// # Errors
/// If the gateway does not answer.
#[allow(clippy::print_stdout, reason = "the command's output")]
pub async fn print(system: &System, county: &County, folder: &TermFolder) -> anyhow::Result<()> {
    let gateway = channel(&system.gateway())?;
    let address = system.gateway().trim_start_matches("http://").to_owned();
    let officer = county.staff_with(Role::BureauOfficer).context("no bureau officer")?;
    let person = Person::login(&gateway, &officer.login, &county.password).await?;
    let today = CalendarServiceClient::new(person.wire()).get_today(GetTodayRequest::default()).await?.into_inner();
    let local = |at: &prost_types::Timestamp| {
        let zoned = proto::jiff_instant(proto::instant(at)).to_zoned_datetime(folder.zone.clone());
        zoned.strftime("%F %R").to_string()
    };
    println!("Shixun 师训 listens on {address} (gRPC, reflection on; plain HTTP/2)");
    println!();
    println!("Accounts (password of all: {})", county.password);
    let teacher = county.teachers.iter().find(|person| person.roles.is_empty());
    let with = |role: Role| county.teachers.iter().find(|person| person.roles.contains(&role));
    for (role, login) in [
        ("teacher 教师", teacher.map(|person| person.login.as_str())),
        ("school admin 平台管理员", with(Role::SchoolAdmin).map(|person| person.login.as_str())),
        ("principal 校长", with(Role::Principal).map(|person| person.login.as_str())),
        ("provider 培训机构", county.staff_with(Role::ProviderStaff).map(|staff| staff.login.as_str())),
        ("bureau officer 教育局", Some(officer.login.as_str())),
        ("expert 专家", county.staff_with(Role::Expert).map(|staff| staff.login.as_str())),
        ("district officer 学区", county.staff_with(Role::DistrictOfficer).map(|staff| staff.login.as_str())),
        ("operator 运维", Some(super::setup::OPERATOR)),
    ] {
        println!("  {role:<28} {}", login.unwrap_or("—"));
    }
    println!();
    println!("It is {} in the term's zone. Open now:", today.now.as_ref().map(local).unwrap_or_default());
    for window in &today.windows {
        let phase = Phase::try_from(window.phase).unwrap_or(Phase::Unspecified);
        let closes = window.closes.as_ref().map(local).unwrap_or_default();
        println!("  {:<24} {:<32} until {closes}", window.window, phase.as_str_name());
    }
    let login = teacher.map_or("", |person| person.login.as_str());
    let term = folder.name();
    println!();
    println!("Try, with a stock gRPC client:");
    println!(
        "  grpcurl -plaintext -d '{{\"login\":\"{login}\",\"password\":\"{}\"}}' {address} \
         shixun.gateway.v1.SessionService/Login",
        county.password
    );
    println!(
        "  grpcurl -plaintext -H \"authorization: Bearer $TOKEN\" -d '{{\"parent\":\"{term}\",\"query\":\"数学\"}}' \
         {address} shixun.catalog.v1.ProjectService/ListProjects"
    );
    let project = choice(&gateway, login, &county.password, &term).await?;
    println!(
        "  grpcurl -plaintext -H \"authorization: Bearer $TOKEN\" -d \
         '{{\"parent\":\"{term}\",\"project\":\"{project}\",\"request_id\":\"1\"}}' {address} \
         shixun.enrollment.v1.SelectionService/SubmitSelection"
    );
    println!();
    println!("Ctrl-C stops it; the data folder keeps everything.");
    Ok(())
}

/// A project that the teacher may select now; "…" where there is none, or no round is open.
async fn choice(gateway: &Channel, login: &str, password: &str, term: &str) -> anyhow::Result<String> {
    let teacher = Person::login(gateway, login, password).await?;
    let request = ListProjectsRequest { parent: term.to_owned(), page_size: 200, ..ListProjectsRequest::default() };
    let Ok(menu) = ProjectServiceClient::new(teacher.wire()).list_projects(request).await else {
        // The menu cannot be read yet.
        return Ok("…".to_owned());
    };
    let mut selections = SelectionServiceClient::new(teacher.wire());
    for project in menu.into_inner().projects {
        let request = CheckEligibilityRequest { project: project.name.clone(), teacher: String::new() };
        if selections.check_eligibility(request).await?.into_inner().eligible {
            return Ok(project.name);
        }
    }
    Ok("…".to_owned())
}
