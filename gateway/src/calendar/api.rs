//! `CalendarService`: terms, calendars, and what is open today.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chassis::{
    Call, Failure, Faults, Page, answer,
    db::{Db, Queries, Record, Scope},
    peer::{Peer, within},
};
use prost::Message as _;
use proto::{
    common::v1::{Gates, Phase, PutGatesRequest, Reason, Window, gate_service_client::GateServiceClient},
    gateway::v1::{
        self as pb, CreateTermRequest, CreateTermResponse, GetCalendarRequest, GetCalendarResponse, GetTermRequest,
        GetTermResponse, GetTodayRequest, GetTodayResponse, ListCalendarVersionsRequest, ListCalendarVersionsResponse,
        ListTermsRequest, ListTermsResponse, PutCalendarRequest, PutCalendarResponse, ValidateCalendarRequest,
        ValidateCalendarResponse, calendar_service_server::CalendarService, step::State,
    },
};
use tonic::{Code, Request, Response, Status};
use tonic_types::StatusExt as _;

use super::{
    Contact, ContactBook, Fault, check, contacts, moved_edges, policy::Reminder, scope, survey, today, validate,
};
use crate::{
    sequencer::{Gated, calendar_steps, plan, record},
    store::{
        steps,
        terms::{self, Calendar, Term},
    },
};

/// How long a service may take to check a policy.
const PATIENCE: Duration = Duration::from_secs(5);

/// `CalendarService`.
#[derive(Debug, Clone)]
pub struct CalendarApi {
    /// The gateway's database.
    pub db: Db,
    /// Everyone who reads a section of the policy.
    pub peers: BTreeMap<String, Peer>,
    /// Whom to call.
    pub contacts: ContactBook,
}

#[tonic::async_trait]
impl CalendarService for CalendarApi {
    async fn create_term(&self, request: Request<CreateTermRequest>) -> Result<Response<CreateTermResponse>, Status> {
        answer(request, |call| create_term(self, call)).await
    }

    async fn get_term(&self, request: Request<GetTermRequest>) -> Result<Response<GetTermResponse>, Status> {
        answer(request, |call| get_term(self, call)).await
    }

    async fn list_terms(&self, request: Request<ListTermsRequest>) -> Result<Response<ListTermsResponse>, Status> {
        answer(request, |call| list_terms(self, call)).await
    }

    async fn get_calendar(
        &self,
        request: Request<GetCalendarRequest>,
    ) -> Result<Response<GetCalendarResponse>, Status> {
        answer(request, |call| get_calendar(self, call)).await
    }

    async fn validate_calendar(
        &self,
        request: Request<ValidateCalendarRequest>,
    ) -> Result<Response<ValidateCalendarResponse>, Status> {
        answer(request, |call| validate_calendar(self, call)).await
    }

    async fn put_calendar(
        &self,
        request: Request<PutCalendarRequest>,
    ) -> Result<Response<PutCalendarResponse>, Status> {
        answer(request, |call| put_calendar(self, call)).await
    }

    async fn list_calendar_versions(
        &self,
        request: Request<ListCalendarVersionsRequest>,
    ) -> Result<Response<ListCalendarVersionsResponse>, Status> {
        answer(request, |call| list_versions(self, call)).await
    }

    async fn get_today(&self, request: Request<GetTodayRequest>) -> Result<Response<GetTodayResponse>, Status> {
        answer(request, |call| get_today(self, call)).await
    }
}

fn wire_term(term: &Term) -> pb::Term {
    pb::Term {
        name: term.name.clone(),
        display_name: term.display_name.clone(),
        zone: term.zone.clone(),
        calendar_version: term.calendar_version,
        policy_version: term.policy_version,
        organization: term.organization.clone(),
    }
}

fn wire_calendar(calendar: &Calendar) -> Result<pb::Calendar, Failure> {
    let gates = Gates::decode(calendar.gates.as_slice()).map_err(Failure::internal)?;
    // The marks that closings leave are the services' business.
    let windows = gates.windows.into_iter().filter(|window| window.phase() != Phase::Unspecified).collect();
    Ok(pb::Calendar {
        term: calendar.term.clone(),
        version: calendar.version,
        windows,
        document: calendar.document.clone(),
        policy_version: calendar.policy_version,
        policy: calendar.policy.clone(),
        reason: calendar.reason.clone(),
        put_by: calendar.put_by.clone(),
        put_at: Some(proto::timestamp(calendar.put_at)),
    })
}

async fn create_term(api: &CalendarApi, call: Call<CreateTermRequest>) -> Result<CreateTermResponse, Failure> {
    let mut tx = api.db.begin(&call, Scope::AnyTerm).await?;
    let given = call.message.term.unwrap_or_default();
    let mut faults = Faults::new();
    let id = given.name.strip_prefix("terms/").unwrap_or_default();
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if id.is_empty() || id.len() > 40 || !id.bytes().all(plain) {
        faults.add(
            "term.name",
            "须为 terms/ 加 1–40 个小写字母、数字或 -",
            "must be terms/ and 1 to 40 of a–z, 0–9, -",
        );
    }
    if jiff::tz::TimeZone::get(&given.zone).is_err() {
        faults.add("term.zone", "须为 IANA 时区", "must be an IANA zone");
    }
    faults.check()?;
    let organization = scope::of_new(tx.actor(), &given.name, given.organization)?;
    let term = Term {
        organization,
        name: given.name,
        display_name: given.display_name,
        zone: given.zone,
        calendar_version: 0,
        policy_version: 0,
        gate_version: 0,
    };
    if !terms::insert(&mut tx, &term).await? {
        return Err(Failure::new(Reason::AlreadyExists).with("resource", &term.name));
    }
    let reply = wire_term(&term);
    tx.record(Record::of(&term.name, "created", &reply).term(&term.name));
    tx.commit(CreateTermResponse { term: Some(reply) }).await
}

async fn get_term(api: &CalendarApi, call: Call<GetTermRequest>) -> Result<GetTermResponse, Failure> {
    let mut db = api.db.read(&call, Scope::AnyTerm).await?;
    let term = terms::find(&mut db, &call.message.name).await?;
    let term = term.ok_or_else(|| Failure::not_found(&call.message.name))?;
    Ok(GetTermResponse { term: Some(wire_term(&term)) })
}

async fn list_terms(api: &CalendarApi, call: Call<ListTermsRequest>) -> Result<ListTermsResponse, Failure> {
    let mut db = api.db.read(&call, Scope::AnyTerm).await?;
    let page = Page::read(call.message.page_size, &call.message.page_token, &ListTermsRequest::default())?;
    let found = terms::list(&mut db, page.after(), page.ask()).await?;
    let (terms, next_page_token) = page.cut(found.iter().map(wire_term).collect(), |last| last.name.clone());
    Ok(ListTermsResponse { terms, next_page_token })
}

async fn get_calendar(api: &CalendarApi, call: Call<GetCalendarRequest>) -> Result<GetCalendarResponse, Failure> {
    let mut db = api.db.read(&call, Scope::AnyTerm).await?;
    let term = call.message.name.trim_end_matches("/calendar");
    let calendar = terms::calendar_of(&mut db, term, call.message.version).await?;
    let calendar = calendar.ok_or_else(|| Failure::not_found(&call.message.name))?;
    Ok(GetCalendarResponse { calendar: Some(wire_calendar(&calendar)?) })
}

async fn list_versions(
    api: &CalendarApi,
    call: Call<ListCalendarVersionsRequest>,
) -> Result<ListCalendarVersionsResponse, Failure> {
    let mut db = api.db.read(&call, Scope::AnyTerm).await?;
    let message = call.message;
    let bound = ListCalendarVersionsRequest { page_size: 0, page_token: String::new(), ..message.clone() };
    let page = Page::read(message.page_size, &message.page_token, &bound)?;
    let after = page.after().parse().unwrap_or_default();
    let found = terms::versions(&mut db, &message.parent, after, page.ask()).await?;
    let found = found.iter().map(wire_calendar).collect::<Result<_, _>>()?;
    let (calendars, next_page_token) = page.cut(found, |last| last.version.to_string());
    Ok(ListCalendarVersionsResponse { calendars, next_page_token })
}

async fn get_today(api: &CalendarApi, call: Call<GetTodayRequest>) -> Result<GetTodayResponse, Failure> {
    let scope = if call.message.term.is_empty() { Scope::AnyTerm } else { Scope::Term(&call.message.term) };
    let db = api.db.read(&call, scope).await?;
    let windows = today::open_windows(db.all_gates(), db.actor(), db.at());
    let contacts = api.contacts.of(&call.message.term).await?;
    let contacts = contacts.into_iter().map(|Contact { organization, office, telephone }| pb::Contact {
        organization,
        office,
        telephone,
    });
    Ok(GetTodayResponse { now: Some(proto::timestamp(db.at())), windows, contacts: contacts.collect() })
}

/// What a calendar's document gives.
struct Reading {
    /// Those that could be read.
    windows: Vec<Window>,
    /// The organisations of its contacts, by their places in the document.
    contacts: Vec<String>,
    /// Every fault that the gateway can see.
    faults: Vec<Fault>,
}

fn read(term: &Term, document: &str) -> Reading {
    let (calendar, mut faults) = survey(document);
    faults.extend(validate(&calendar));
    if calendar.zone_name != term.zone && !faults.iter().any(|fault| fault.field == "zone") {
        let en = format!("must be the term's zone, {}", term.zone);
        faults.push(Fault::new("zone", format!("须与学期时区 {} 一致", term.zone), en));
    }
    let mut windows = calendar.windows().unwrap_or_else(|more| {
        faults.extend(more);
        Vec::new()
    });
    // What stands twice was told: services are asked about the rest.
    let mut seen = BTreeSet::new();
    windows.retain(|window| seen.insert(window.id.clone()));
    let contacts = contacts(document).into_iter().map(|contact| contact.organization).collect();
    Reading { windows, contacts, faults }
}

/// The faults that the services find: in their sections of a policy, and by their data in what it and the calendar name. Asked
/// before any transaction.
async fn policy_faults(api: &CalendarApi, gates: &Gates, contacts: &[String]) -> Result<Vec<Fault>, Failure> {
    let mut faults: Vec<Fault> = Vec::new();
    for (service, peer) in &api.peers {
        let request = PutGatesRequest { gates: Some(gates.clone()), validate_only: true, contacts: contacts.to_vec() };
        match GateServiceClient::new(peer.clone()).put_gates(within(PATIENCE, request)).await {
            Ok(_) => {}
            Err(status) if status.code() == Code::InvalidArgument => {
                let found = status.get_details_bad_request().map(|bad| bad.field_violations).unwrap_or_default();
                for violation in found {
                    let (zh, en) = violation.description.split_once(" / ").unwrap_or(("", &violation.description));
                    let fault = Fault::new(violation.field.clone(), zh, en);
                    if !faults.contains(&fault) {
                        faults.push(fault);
                    }
                }
            }
            Err(_) => return Err(Failure::away(service)),
        }
    }
    faults.extend(Reminder::read(&gates.policy).err().unwrap_or_default());
    Ok(faults)
}

async fn validate_calendar(
    api: &CalendarApi,
    call: Call<ValidateCalendarRequest>,
) -> Result<ValidateCalendarResponse, Failure> {
    let mut db = api.db.read(&call, Scope::AnyTerm).await?;
    let message = call.message;
    let term = terms::find(&mut db, &message.parent).await?.ok_or_else(|| Failure::not_found(&message.parent))?;
    let in_force = terms::calendar_of(&mut db, &term.name, 0).await?;
    let policy = or_in_force(message.policy, in_force.as_ref());
    let Reading { mut windows, contacts, mut faults } = read(&term, &message.document);
    let gates = gates_of(&term, windows.clone(), &policy, 0);
    if !faults.is_empty() {
        windows.clear();
    }
    faults.extend(policy_faults(api, &gates, &contacts).await?);
    if faults.is_empty() {
        let begun = begun_edges(&mut db, in_force.as_ref()).await?;
        let running = in_force.as_ref().map(wire_calendar).transpose()?.unwrap_or_default().windows;
        faults.extend(moved_edges(&begun, &running, &windows, db.at()));
    }
    let windows = windows.into_iter().filter(|window| window.phase() != Phase::Unspecified).collect();
    Ok(ValidateCalendarResponse { faults: faults.into_iter().map(Into::into).collect(), windows })
}

/// The edges of the running version whose steps have begun.
async fn begun_edges(db: &mut impl Queries, in_force: Option<&Calendar>) -> Result<BTreeSet<String>, Failure> {
    let Some(calendar) = in_force else { return Ok(BTreeSet::new()) };
    let begun = steps::begun(db, &calendar.term).await?;
    let gates = Gates::decode(calendar.gates.as_slice()).map_err(Failure::internal)?;
    let running = plan(&gates, &BTreeSet::new(), &Gated::by_contract());
    Ok(running.into_iter().filter(|step| begun.contains(&step.name)).map(|step| step.edge).collect())
}

/// # Errors
/// `EDGE_PASSED`, with every edge that cannot move.
fn refuse_moved(faults: Vec<Fault>) -> Result<(), Failure> {
    let Some(first) = faults.first() else { return Ok(()) };
    let refusal = Failure::new(Reason::EdgePassed).with("window", &first.field);
    Err(faults.iter().fold(refusal, |refusal, fault| {
        let metadata = [("window".to_owned(), fault.field.clone())].into();
        refusal.precondition(Reason::EdgePassed, &fault.field, metadata)
    }))
}

fn or_in_force(policy: String, in_force: Option<&Calendar>) -> String {
    if policy.is_empty() { in_force.map(|calendar| calendar.policy.clone()).unwrap_or_default() } else { policy }
}

fn gates_of(term: &Term, windows: Vec<Window>, policy: &str, policy_version: i64) -> Gates {
    Gates {
        term: term.name.clone(),
        version: term.calendar_version + 1,
        zone: term.zone.clone(),
        windows,
        policy_version,
        policy: policy.to_owned(),
    }
}

async fn put_calendar(api: &CalendarApi, call: Call<PutCalendarRequest>) -> Result<PutCalendarResponse, Failure> {
    // A request that was answered before gets its first answer, also while a neighbour is away.
    api.db.begin(&call, Scope::AnyTerm).await?.abandon().await;
    let mut db = api.db.reader();
    let message = &call.message;
    let term = terms::find(&mut db, &message.parent).await?.ok_or_else(|| Failure::not_found(&message.parent))?;
    scope::runs(&call.admission.actor, &term)?;
    let in_force = terms::calendar_of(&mut db, &term.name, 0).await?;
    let policy = or_in_force(message.policy.clone(), in_force.as_ref());
    let changed = in_force.as_ref().is_none_or(|calendar| calendar.policy != policy);
    let policy_version = term.policy_version + i64::from(changed);
    let Reading { windows, contacts, mut faults } = read(&term, &message.document);
    let gates = gates_of(&term, windows, &policy, policy_version);
    // The services are asked now: no call is made inside the transaction below.
    faults.extend(policy_faults(api, &gates, &contacts).await?);
    if message.reason.is_empty() {
        faults.push(Fault::new("reason", "必填", "required"));
    }
    check(faults)?;
    let reminder = Reminder::read(&policy).map_err(|_| Failure::internal("the policy was found whole"))?;

    let mut tx = api.db.begin(&call, Scope::AnyTerm).await?;
    let calendar = Calendar {
        term: term.name.clone(),
        version: gates.version,
        document: message.document.clone(),
        gates: gates.encode_to_vec(),
        policy_version,
        policy,
        reason: message.reason.clone(),
        put_by: tx.actor().account.clone(),
        put_at: tx.at(),
    };
    let outdated = message.follows_version != calendar.version - 1;
    if outdated || !terms::put(&mut tx, &calendar).await? {
        let failure = Failure::new(Reason::VersionOutdated).with("version", message.follows_version);
        return Err(failure.with("current", term.calendar_version));
    }
    // What has not begun moves first; then nothing can begin any more that the check below would not see.
    let planned = plan(&gates, &reminder.days_before_close, &Gated::by_contract());
    let mut changed = steps::adopt(&mut tx, &term.name, &planned).await?;
    let begun = begun_edges(&mut tx, in_force.as_ref()).await?;
    let running = in_force.as_ref().map(wire_calendar).transpose()?.unwrap_or_default().windows;
    let at = tx.at();
    refuse_moved(moved_edges(&begun, &running, &gates.windows, at))?;
    changed.extend(steps::add(&mut tx, &term.name, &calendar_steps(&term.name, calendar.version, at)).await?);
    for step in changed {
        let verb = if step.state == State::Dropped { "dropped" } else { "planned" };
        record(&mut tx, &step, verb);
    }
    let reply = wire_calendar(&calendar)?;
    // A person wrote the reason: it stays in the table.
    let after = pb::Calendar { reason: String::new(), document: String::new(), policy: String::new(), ..reply.clone() };
    let resource = format!("{}/calendar", term.name);
    tx.record(Record::of(&resource, "put", &after).term(&term.name));
    tx.commit(PutCalendarResponse { calendar: Some(reply) }).await
}
