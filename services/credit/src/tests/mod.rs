//! The store suite: the same on both engines, through the handlers, the mirrors and the steps.

mod by_hand;
mod compliance;
mod migrations;
mod model;
mod opening;
mod recognition;

use chassis::{
    Call, Failure, Mirror, StepOutcome, Steps as _,
    db::{Db, Queries, Scope, args},
    testing::{TestDatabase, call, databases, person, put_gates, service},
};
use jiff::civil::Date;
use prost::{Message, Name};
use proto::{
    Actor, Credit,
    catalog::v1::{Audience, ProjectFacts, project::Form},
    common::v1::{Action, Change, Gates, Phase, Reason, Role, RunStepRequest, RunStepResponse, Window},
    credit::v1::{
        Entry, GetStatementRequest, OpenBalanceRequest, OpenBalanceResponse, RecordSchoolBasedRequest,
        RecordSchoolBasedResponse, ReverseEntryRequest, ReverseEntryResponse, Statement,
    },
    enrollment::v1::{ClassResults, ResultFacts, selection::State},
    roster::v1::{OrganizationFacts, TeacherFacts, organization::Kind, teacher::Status},
};

use crate::{
    api::{Api, CreditSteps, ledger},
    mirror::{CatalogMirror, EnrollmentMirror, RosterMirror},
};

const TERM: &str = "terms/2019-autumn";
const BUREAU: &str = "organizations/bureau";
const DISTRICT: &str = "organizations/district";
const SCHOOL_1: &str = "organizations/school-1";
const SCHOOL_2: &str = "organizations/school-2";
const CLASS: &str = "terms/2019-autumn/projects/1/classes/1";

/// Midnight in Shanghai.
fn at(day: &str) -> i64 {
    let day: Date = day.parse().unwrap();
    day.to_zoned_datetime(jiff::tz::TimeZone::get("Asia/Shanghai").unwrap()).unwrap().timestamp().as_microsecond()
}

fn wire_day(day: &str) -> Option<proto::google::r#type::Date> {
    proto::date_from_text(day)
}

/// A small county on one engine.
struct County {
    api: Api,
    numbers: std::sync::atomic::AtomicU64,
    _database: TestDatabase,
}

/// The county on both engines, 2019-06-17.
async fn counties() -> Vec<County> {
    let mut counties = Vec::new();
    for database in databases("credit", crate::migrations, at("2019-06-17")).await.unwrap() {
        let county = County { api: Api { db: database.db.clone() }, numbers: 0.into(), _database: database };
        county.settle().await;
        counties.push(county);
    }
    counties
}

fn officer() -> Actor {
    person("accounts/officer", "", &[(Role::BureauOfficer, BUREAU)])
}

fn admin(school: &str) -> Actor {
    person("accounts/admin", "", &[(Role::SchoolAdmin, school)])
}

fn teacher_self(number: u32) -> Actor {
    person("accounts/teacher", &format!("teachers/{number}"), &[(Role::Teacher, SCHOOL_1)])
}

fn organization(name: &str, path: &[&str], kind: Kind) -> OrganizationFacts {
    OrganizationFacts {
        name: name.to_owned(),
        parent: String::new(),
        kinds: vec![kind.into()],
        path: path.iter().map(|name| (*name).to_owned()).collect(),
    }
}

fn teacher(number: u32, school: &str, entered_on: &str, tier: &str) -> TeacherFacts {
    TeacherFacts {
        name: format!("teachers/{number}"),
        school: school.to_owned(),
        path: vec![BUREAU.to_owned(), DISTRICT.to_owned(), school.to_owned()],
        tier: tier.to_owned(),
        category: "subject_teacher".to_owned(),
        employment: "permanent".to_owned(),
        platform_entered_on: wire_day(entered_on),
        status: Status::Active.into(),
        ..TeacherFacts::default()
    }
}

fn project(number: u32, base: i64, tiers: &[&str], restricted_elective: bool) -> ProjectFacts {
    let tiers = tiers.iter().map(|tier| (*tier).to_owned()).collect();
    ProjectFacts {
        name: format!("{TERM}/projects/{number}"),
        term: TERM.to_owned(),
        audience: Some(Audience { tiers, ..Audience::default() }),
        form: Form::Intensive.into(),
        base_credit: Some(Credit::whole(base).into()),
        difficulty_percent: 100,
        restricted_elective,
        total_hours: 60,
        practice_hours: 20,
        ..ProjectFacts::default()
    }
}

fn result(selection: u32, teacher: u32, project: u32, base: i64, state: State) -> ResultFacts {
    ResultFacts {
        selection: format!("{TERM}/selections/{selection:05}"),
        teacher: format!("teachers/{teacher}"),
        project: format!("{TERM}/projects/{project}"),
        class: format!("{TERM}/projects/{project}/classes/1"),
        state: state.into(),
        coefficient_percent: 100,
        base_credit: Some(Credit::whole(base).into()),
        difficulty_percent: 100,
        effective_on: wire_day("2019-11-30"),
        ..ResultFacts::default()
    }
}

fn confirmed(class: &str, revision: i32) -> ClassResults {
    ClassResults { class: class.to_owned(), revision, ..ClassResults::default() }
}

/// A change as a neighbour's feed has it.
fn change<M: Message + Name>(day: &str, after: &M) -> Change {
    let after = prost_types::Any { type_url: M::type_url(), value: after.encode_to_vec() };
    Change { after: Some(after), at: Some(proto::timestamp(at(day))), ..Change::default() }
}

impl County {
    fn db(&self) -> &Db {
        &self.api.db
    }

    async fn settle(&self) {
        let window = |id: &str, phase: Phase, opens: &str, closes: &str| Window {
            id: id.to_owned(),
            phase: phase.into(),
            opens: Some(proto::timestamp(at(opens))),
            closes: Some(proto::timestamp(at(closes))),
            ..Window::default()
        };
        let gates = Gates {
            term: TERM.to_owned(),
            version: 1,
            zone: "Asia/Shanghai".to_owned(),
            windows: vec![
                window("training", Phase::Training, "2019-09-23", "2020-01-01"),
                window("results", Phase::Results, "2019-09-23", "2020-01-16"),
            ],
            policy_version: 7,
            policy: "[requirements]\nyear_each = 24\n".to_owned(),
        };
        put_gates(self.db(), gates).await.unwrap();
        let path = |school| [BUREAU, DISTRICT, school];
        self.told(
            &RosterMirror,
            &[
                change("2019-06-17", &organization(BUREAU, &[BUREAU], Kind::CountyBureau)),
                change("2019-06-17", &organization(DISTRICT, &[BUREAU, DISTRICT], Kind::SchoolDistrict)),
                change("2019-06-17", &organization(SCHOOL_1, &path(SCHOOL_1), Kind::School)),
                change("2019-06-17", &organization(SCHOOL_2, &path(SCHOOL_2), Kind::Kindergarten)),
                change("2019-06-17", &teacher(1, SCHOOL_1, "2014-09-01", "novice")),
                change("2019-06-17", &teacher(2, SCHOOL_1, "2018-03-01", "backbone")),
                change("2019-06-17", &teacher(3, SCHOOL_2, "2016-01-01", "novice")),
            ],
        )
        .await;
        self.told(
            &CatalogMirror,
            &[
                change("2019-07-12", &project(1, 96, &["novice"], false)),
                change("2019-07-12", &project(2, 30, &[], true)),
            ],
        )
        .await;
    }

    async fn told(&self, mirror: &impl Mirror, changes: &[Change]) {
        let mut tx = self.db().begin_own(at("2019-06-17"), "test").await.unwrap();
        mirror.apply_all(&mut tx, changes).await.unwrap();
        tx.finish().await.unwrap();
    }

    fn call<M>(&self, path: &str, actor: &Actor, day: &str, message: M) -> Call<M> {
        call(&format!("/shixun.credit.v1.{path}"), actor, at(day), message).unwrap()
    }

    fn request_id(&self) -> String {
        format!("request-{}", self.numbers.fetch_add(1, std::sync::atomic::Ordering::SeqCst))
    }

    async fn open(&self, actor: &Actor, request: OpenBalanceRequest) -> Result<Entry, Failure> {
        let call = self.call("LedgerService/OpenBalance", actor, "2019-06-20", request);
        let reply = ledger::open_balance(&self.api, call).await.or_else(chassis::replayed::<OpenBalanceResponse>)?;
        Ok(reply.entry.unwrap())
    }

    fn balance(&self, teacher: u32, credits: i64, on: &str) -> OpenBalanceRequest {
        OpenBalanceRequest {
            teacher: format!("teachers/{teacher}"),
            base: Some(Credit::whole(credits).into()),
            awarded: Some(Credit::whole(credits).into()),
            effective_on: wire_day(on),
            intensive: false,
            evidence: format!("archive {teacher}"),
            request_id: self.request_id(),
            practice: None,
        }
    }

    async fn school_based(
        &self,
        actor: &Actor,
        teacher: u32,
        hundredths: i64,
        on: &str,
        source: &str,
    ) -> Result<Entry, Failure> {
        let request = RecordSchoolBasedRequest {
            teacher: format!("teachers/{teacher}"),
            awarded: Some(Credit(hundredths).into()),
            effective_on: wire_day(on),
            source: source.to_owned(),
            request_id: self.request_id(),
            practice: Some(Credit(hundredths / 2).into()),
        };
        let call = self.call("LedgerService/RecordSchoolBased", actor, "2020-01-10", request);
        let reply = ledger::record_school_based(&self.api, call)
            .await
            .or_else(chassis::replayed::<RecordSchoolBasedResponse>)?;
        Ok(reply.entry.unwrap())
    }

    async fn reverse(&self, actor: &Actor, day: &str, name: &str) -> Result<Entry, Failure> {
        let request = ReverseEntryRequest {
            name: name.to_owned(),
            reason: "entered for the wrong person".to_owned(),
            request_id: self.request_id(),
        };
        let call = self.call("LedgerService/ReverseEntry", actor, day, request);
        let reply = ledger::reverse(&self.api, call).await.or_else(chassis::replayed::<ReverseEntryResponse>)?;
        Ok(reply.entry.unwrap())
    }

    async fn statement(&self, actor: &Actor, request: GetStatementRequest) -> Result<Statement, Failure> {
        let call = self.call("LedgerService/GetStatement", actor, "2020-01-20", request);
        Ok(ledger::statement(&self.api, call).await?.statement.unwrap())
    }

    async fn statement_on(&self, teacher: u32, on: &str) -> Statement {
        let request =
            GetStatementRequest { teacher: format!("teachers/{teacher}"), on: wire_day(on), recorded_by: None };
        self.statement(&officer(), request).await.unwrap()
    }

    /// One page of a step, as StepService runs it.
    async fn page(
        &self,
        action: Action,
        subject: &str,
        due: &str,
        page: i32,
        cursor: &str,
    ) -> Result<StepOutcome, Failure> {
        let request = RunStepRequest {
            term: TERM.to_owned(),
            action: action.into(),
            due: Some(proto::timestamp(at(due))),
            page,
            cursor: cursor.to_owned(),
            subject: subject.to_owned(),
            request_id: self.request_id(),
            ..RunStepRequest::default()
        };
        let call = call("/shixun.common.v1.StepService/RunStep", &service("gateway"), at(due), request)?;
        let mut tx = self.db().begin(&call, Scope::Term(TERM)).await?;
        let outcome = CreditSteps.run(&mut tx, &call.message).await?;
        tx.commit(RunStepResponse::default()).await?;
        Ok(outcome)
    }

    /// A whole step: its counts summed up.
    async fn step(&self, action: Action, subject: &str, due: &str) -> std::collections::BTreeMap<String, i64> {
        let mut counts = std::collections::BTreeMap::new();
        let mut cursor = String::new();
        for page in 0.. {
            let outcome = self.page(action, subject, due, page, &cursor).await.unwrap();
            cursor = outcome.cursor;
            for (key, value) in outcome.counts {
                *counts.entry(key).or_default() += value;
            }
            if !outcome.more {
                break;
            }
        }
        counts
    }

    /// Everything of one type that the feed carries, in its order.
    async fn feed<M: Message + Name + Default>(&self) -> Vec<(String, M)> {
        let rows = self
            .db()
            .reader()
            .all(
                "SELECT c.body AS body FROM change_batch b JOIN change c ON c.batch = b.batch ORDER BY b.position, c.idx",
                args![],
            )
            .await
            .unwrap();
        let changes = rows.iter().map(|row| Change::decode(row.get::<Vec<u8>>("body").unwrap().as_slice()).unwrap());
        changes
            .filter_map(|change| chassis::changes::decode::<M>(&change).unwrap().map(|after| (change.verb, after)))
            .collect()
    }
}

fn reason<T: std::fmt::Debug>(result: Result<T, Failure>) -> Reason {
    result.unwrap_err().reason().expect("a refusal, not an internal fault")
}

fn hundredths(credit: &Option<proto::common::v1::Credit>) -> i64 {
    credit.unwrap().hundredths
}
