//! The report of a rehearsal, as JSON has it. The same seed gives the same report on both engines, but for keys that say
//! they are durations.

use std::collections::BTreeMap;

use anyhow::Context as _;
use proto::common::v1::Role;
use proto::credit::v1::compliance_service_client::ComplianceServiceClient;
use proto::credit::v1::{Compliance, GetComplianceRequest};
use proto::enrollment::v1::review_service_client::ReviewServiceClient;
use proto::enrollment::v1::selection_service_client::SelectionServiceClient;
use proto::enrollment::v1::{ListBarredRequest, ListSelectionsRequest, selection};
use proto::roster::v1::organization::Kind;
use serde::Serialize;

use super::caller::{Caller, call};
use super::stage::{PAGE, Stage};
use super::{expand, feeds::Feeds, notice};

/// Counts by what they count.
pub type Counts = BTreeMap<String, i64>;

/// What a term came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The term played.
    pub term: String,
    /// Teachers of the county.
    pub teachers: usize,
    /// The county's seed.
    pub seed: u64,
    /// The sequencer's steps in order of time.
    pub steps: Vec<StepLine>,
    /// By round and state.
    pub selections: BTreeMap<String, Counts>,
    /// Places of all projects together.
    pub seats: SeatsLine,
    /// By round after the first: who is barred, by reason.
    pub round2: BTreeMap<String, Counts>,
    /// Refused calls.
    pub refusals: Refusals,
    /// Training notices, and messages in inboxes.
    pub notices: Counts,
    /// Entries of the ledger by kind, and their sums in hundredths of credit.
    pub credit: BTreeMap<String, EntryLine>,
    /// The county, then its schools.
    pub compliance: Vec<ComplianceLine>,
    /// Changes by service and verb.
    pub changes: BTreeMap<String, Counts>,
    /// What befell people, and how often.
    pub mishaps: BTreeMap<&'static str, u64>,
    /// What of the programme of mistakes and mishaps this county had nobody for, or its calendar no window.
    pub not_played: Vec<String>,
    /// What went otherwise than the rehearsal meant it to; empty when all is well.
    pub surprises: Vec<String>,
    /// What people did or tried.
    pub acts: u64,
    /// From the first wave to the report.
    pub duration_seconds: f64,
}

/// A step.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct StepLine {
    /// Due instant.
    pub at: String,
    /// Title.
    pub name: String,
    /// State, and what it counted.
    pub outcome: String,
    /// State.
    #[serde(skip)]
    pub(super) state: String,
    /// What it counted.
    #[serde(skip)]
    pub(super) counts: Counts,
}

/// The places.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SeatsLine {
    /// Of all projects with active classes.
    pub capacity: i64,
    /// Given to participants.
    pub granted: i64,
    /// Held, not given yet.
    pub held: i64,
    /// On waiting lists.
    pub waiting: i64,
    /// Projects with more given and held than they have: always 0.
    pub oversold: i64,
}

/// Refusals.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Refusals {
    /// By reason.
    pub by_reason: BTreeMap<String, u64>,
    /// Deliberate mistakes, each with how it was refused.
    pub mistakes: Vec<Mistake>,
}

/// A deliberate mistake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mistake {
    /// What was tried.
    pub what: String,
    /// Why it was refused.
    pub reason: String,
    /// How often.
    pub times: u64,
}

/// Entries of a kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct EntryLine {
    /// How many.
    pub entries: i64,
    /// Their sum, in hundredths of credit.
    pub awarded_hundredths: i64,
}

/// An organisation's standing in the year.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ComplianceLine {
    /// "organizations/…"
    pub organization: String,
    /// Calendar year.
    pub year: i32,
    /// Live, provisional or final.
    pub state: String,
    /// How many count.
    pub teachers: i32,
    /// Every requirement that has data.
    pub requirements: Vec<RequirementLine>,
}

/// A requirement and how it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RequirementLine {
    /// E.g. "cycle_360".
    pub key: String,
    /// Whether it is met.
    pub met: bool,
    /// In the requirement's unit.
    pub numerator: i64,
    /// In the requirement's unit.
    pub denominator: i64,
    /// numerator / denominator, in hundredths.
    pub value_hundredths: i64,
    /// What it should be, in hundredths.
    pub required_hundredths: i64,
}

/// Adds to a count.
pub(super) fn add(counts: &mut Counts, key: &str, more: i64) {
    let count = counts.entry(key.to_owned()).or_default();
    *count = count.saturating_add(more);
}

/// Asks everything and writes it down.
///
/// # Errors
/// The system does not answer.
pub async fn draw_up(stage: &Stage<'_>, duration_seconds: f64) -> anyhow::Result<Report> {
    let officer = stage.staff(Role::BureauOfficer).await.context("no bureau officer")?;
    let selections = selections(stage, &officer).await.context("the selections cannot be counted")?;
    let round2 = barred(stage, &officer).await.context("the barred cannot be listed")?;
    let compliance = compliance(stage, &officer).await.context("compliance cannot be read")?;
    let seats = seats(stage).await.context("the seats cannot be listed")?;
    let notices = notices(stage, &officer).await.context("the notices cannot be listed")?;
    let mut feeds = Feeds::default();
    stage.changes(&mut |service, change| feeds.count(service, &change)).await?;
    let steps = steps(stage).await?;
    let pages = stage.books.closed();
    let not_played = pages.not_played();
    let mistakes = pages.mistakes.into_iter();
    Ok(Report {
        term: stage.term.clone(),
        teachers: stage.county.teachers.len(),
        seed: stage.seed(),
        steps,
        selections,
        seats,
        round2,
        refusals: Refusals {
            by_reason: pages.refusals,
            mistakes: mistakes.map(|((what, reason), times)| Mistake { what, reason, times }).collect(),
        },
        notices,
        credit: feeds.credit,
        compliance,
        changes: feeds.changes,
        mishaps: pages.mishaps,
        not_played,
        surprises: pages.surprises,
        acts: pages.acts,
        duration_seconds,
    })
}

async fn steps(stage: &Stage<'_>) -> anyhow::Result<Vec<StepLine>> {
    let mut lines: Vec<StepLine> = stage
        .steps()
        .await?
        .into_iter()
        .map(|step| {
            let counts: Counts = step.outcome.iter().map(|count| (count.key.clone(), count.value)).collect();
            let state = step.state().as_str_name().trim_start_matches("STATE_").to_lowercase();
            let at = step.due.map(|due| proto::jiff_instant(proto::instant(&due)));
            let at = at
                .map(|at| at.to_zoned_datetime(stage.folder.zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string());
            StepLine { at: at.unwrap_or_default(), name: step.title, outcome: outcome(&state, &counts), state, counts }
        })
        .collect();
    lines.sort();
    Ok(lines)
}

/// A step's state and what it counted, as text.
pub(super) fn outcome(state: &str, counts: &Counts) -> String {
    let counts = counts.iter().map(|(key, value)| format!(" {key}={value}"));
    counts.fold(state.to_owned(), |text, count| text + &count)
}

/// Every state of a selection.
fn states() -> impl Iterator<Item = selection::State> {
    (1..).map_while(|number| selection::State::try_from(number).ok())
}

async fn selections(stage: &Stage<'_>, officer: &Caller) -> Option<BTreeMap<String, Counts>> {
    let mut all = BTreeMap::new();
    for round in stage.calendar.rounds() {
        let mut counts = Counts::new();
        for state in states() {
            let request = ListSelectionsRequest {
                parent: stage.term.clone(),
                organization: "organizations/county".to_owned(),
                state: state.into(),
                round,
                page_size: 1,
                ..ListSelectionsRequest::default()
            };
            let reply = call!(officer, SelectionServiceClient.list_selections(request));
            let total = stage.books.must("count selections", reply)?.total_size;
            if total > 0 {
                counts.insert(state.as_str_name().trim_start_matches("STATE_").to_lowercase(), total);
            }
        }
        all.insert(format!("round_{round}"), counts);
    }
    Some(all)
}

/// District by district: of a province it takes a minute to tell who is barred in all.
async fn barred(stage: &Stage<'_>, officer: &Caller) -> Option<BTreeMap<String, Counts>> {
    let mut all = BTreeMap::new();
    let districts =
        stage.county.organizations.iter().filter(|one| one.kinds().any(|kind| kind == Kind::SchoolDistrict));
    let districts: Vec<&str> = districts.map(|district| district.name.as_str()).collect();
    for round in stage.calendar.rounds().into_iter().filter(|round| *round > 1) {
        let mut counts = Counts::new();
        for district in &districts {
            let barred = stage.pages(|page_token| {
                let request = ListBarredRequest {
                    parent: stage.term.clone(),
                    organization: (*district).to_owned(),
                    round,
                    page_size: PAGE,
                    page_token,
                };
                async move {
                    let reply = call!(officer, ReviewServiceClient.list_barred(request))?;
                    Ok((reply.barred, reply.next_page_token))
                }
            });
            for one in stage.books.must("list the barred", barred.await)? {
                let reason =
                    one.reason.map(|reason| reason.reason().as_str_name().trim_start_matches("REASON_").to_owned());
                add(&mut counts, &reason.unwrap_or_default(), 1);
            }
        }
        all.insert(format!("round_{round}"), counts);
    }
    Some(all)
}

async fn seats(stage: &Stage<'_>) -> Option<SeatsLine> {
    let mut line = SeatsLine::default();
    for seats in expand::seats(stage).await?.into_values() {
        line.capacity = line.capacity.saturating_add(seats.capacity.into());
        line.granted = line.granted.saturating_add(seats.granted.into());
        line.held = line.held.saturating_add(seats.held.into());
        line.waiting = line.waiting.saturating_add(seats.waiting.into());
        let oversold = i64::from(seats.held).saturating_add(seats.granted.into()) > i64::from(seats.capacity);
        line.oversold = line.oversold.saturating_add(oversold.into());
    }
    Some(line)
}

async fn notices(stage: &Stage<'_>, officer: &Caller) -> Option<Counts> {
    let mut counts = Counts::new();
    for notice in notice::list(stage, officer).await? {
        add(&mut counts, "issued", 1);
        add(&mut counts, "recipients", notice.recipients.into());
        add(&mut counts, "acknowledged", notice.acknowledged.into());
    }
    Some(counts)
}

async fn compliance(stage: &Stage<'_>, officer: &Caller) -> Option<Vec<ComplianceLine>> {
    let asked = GetComplianceRequest {
        organization: "organizations/county".to_owned(),
        year: stage.folder.first_day.year().into(),
        ..GetComplianceRequest::default()
    };
    let reply = call!(officer, ComplianceServiceClient.get_compliance(asked.clone()));
    let county = stage.books.must("read the county's compliance", reply)?.compliance;
    let schools = stage.pages(|page_token| {
        let request = GetComplianceRequest { schools: true, page_size: PAGE, page_token, ..asked.clone() };
        async move {
            let reply = call!(officer, ComplianceServiceClient.get_compliance(request))?;
            Ok((reply.schools, reply.next_page_token))
        }
    });
    let schools = stage.books.must("read the compliance of schools", schools.await)?;
    Some(county.iter().chain(&schools).map(line).collect())
}

fn line(compliance: &Compliance) -> ComplianceLine {
    let mut requirements: Vec<RequirementLine> = compliance
        .requirements
        .iter()
        .filter(|requirement| requirement.applicable)
        .map(|requirement| RequirementLine {
            key: requirement.key.clone(),
            met: requirement.met,
            numerator: requirement.numerator,
            denominator: requirement.denominator,
            value_hundredths: requirement.value_hundredths,
            required_hundredths: requirement.required_hundredths,
        })
        .collect();
    requirements.sort_by(|one, other| one.key.cmp(&other.key));
    ComplianceLine {
        organization: compliance.organization.clone(),
        year: compliance.year,
        state: compliance.state().as_str_name().trim_start_matches("STATE_").to_lowercase(),
        teachers: compliance.teachers,
        requirements,
    }
}
