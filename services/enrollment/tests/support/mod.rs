//! A small world on a database: a county with two schools, a provider, and people to act in it.
#![allow(dead_code, reason = "each suite uses its part")]

mod books;
mod calls;
mod county;

use std::collections::BTreeMap;

use chassis::{
    CancellationToken, Mirror, Program as _, StepOutcome, Steps as _,
    db::{Db, Lane},
    testing,
};
use enrollment::{
    Enrollment,
    api::{Api, EnrollmentSteps, SeatBoard, SeatsConfig},
    intake::{Intake, IntakeConfig},
    mirror::{CatalogMirror, CreditMirror, RosterMirror},
};
use prost::{Message, Name};
use proto::{
    Actor,
    catalog::v1::{Audience, Class, Expansion, ProjectFacts, Session, class, project},
    common::v1::{
        Action, Change, Credit, Gates, Reason, Role, RunStepRequest, SettleWindowRequest, Window,
        gate_service_server::GateService as _,
    },
    roster::v1::{AccountFacts, OrganizationFacts, TeacherFacts},
};
use tonic::{Request, Status};
use tonic_types::StatusExt as _;

pub use county::*;

pub struct World {
    pub db: Db,
    pub api: Api,
    pub term: String,
    serial: std::sync::atomic::AtomicI64,
}

pub async fn databases() -> Vec<testing::TestDatabase> {
    testing::databases("enrollment", Enrollment::migrations, OPENS).await.expect("both engines")
}

pub fn intake(db: &Db) -> Intake {
    let (intake, writer) = Intake::new(db.clone(), IntakeConfig::default()).expect("a thread");
    tokio::spawn(writer);
    intake
}

/// The handlers of one more replica.
pub fn api(db: &Db) -> Api {
    Api::new(db.clone(), intake(db), SeatBoard::new(db.clone(), SeatsConfig::default(), CancellationToken::new()))
}

pub fn change<M: Message + Name>(resource: &str, after: &M, at: i64) -> Change {
    let after = prost_types::Any { type_url: M::type_url(), value: after.encode_to_vec() };
    Change {
        resource: resource.to_owned(),
        verb: "updated".to_owned(),
        at: Some(proto::timestamp(at)),
        after: Some(after),
        ..Change::default()
    }
}

/// The change as of a term.
fn of_term(term: &str, change: Change) -> Change {
    Change { term: term.to_owned(), ..change }
}

/// A published project of one class with sessions on `day` days after the opening, one a morning.
pub struct Menu {
    pub id: &'static str,
    pub places: i32,
    pub credits: i64,
    pub day: i64,
    pub sessions: i64,
}

impl World {
    pub async fn new(db: &Db, term: &str, teachers: &[&str], menu: &[Menu]) -> Self {
        let world =
            Self { db: db.clone(), api: api(db), term: term.to_owned(), serial: std::sync::atomic::AtomicI64::new(0) };
        world.put_gates(1, windows()).await;
        let mut changes = Vec::new();
        let organizations: [(&str, &[&str]); 5] = [
            (COUNTY, &[COUNTY]),
            (DISTRICT, &[COUNTY, DISTRICT]),
            (SCHOOL, &[COUNTY, DISTRICT, SCHOOL]),
            (OTHER, &[COUNTY, DISTRICT, OTHER]),
            (PROVIDER, &[PROVIDER]),
        ];
        for (name, path) in organizations {
            let path = path.iter().map(|one| (*one).to_owned()).collect();
            let facts = OrganizationFacts { name: name.to_owned(), path, ..OrganizationFacts::default() };
            changes.push(change(name, &facts, OPENS));
        }
        let roles = [
            ("accounts/admin", Role::SchoolAdmin, SCHOOL),
            ("accounts/other-admin", Role::SchoolAdmin, OTHER),
            ("accounts/bureau", Role::BureauOfficer, COUNTY),
            ("accounts/provider", Role::ProviderStaff, PROVIDER),
        ];
        for (name, role, organization) in roles {
            changes.push(change(name, &account(name, "", &[(role, organization)]), OPENS));
        }
        for id in teachers {
            let facts = teacher(id);
            let held = account(&facts.account, &facts.name, &[(Role::Teacher, &facts.school)]);
            changes.push(change(&facts.name, &facts, OPENS));
            changes.push(change(&facts.account, &held, OPENS));
        }
        world.mirror(&RosterMirror, &changes).await;
        for item in menu {
            world.publish(&world.facts(item)).await;
        }
        world
    }

    pub async fn put_gates(&self, version: i64, windows: Vec<Window>) {
        self.put_policy(version, windows, "").await;
    }

    /// Windows with a policy; the policy's version is the gates' and two.
    pub async fn put_policy(&self, version: i64, windows: Vec<Window>, policy: &str) {
        let gates = Gates {
            term: self.term.clone(),
            version,
            zone: "Asia/Shanghai".to_owned(),
            windows,
            policy_version: if policy.is_empty() { 3 } else { version + 2 },
            policy: policy.to_owned(),
        };
        testing::put_gates(&self.db, gates).await.expect("gates");
    }

    /// Closes a window for good, or leaves a mark, as the sequencer does.
    pub async fn settle(&self, window: &str, gate_version: i64) {
        let path = "/shixun.common.v1.GateService/SettleWindow";
        let message = SettleWindowRequest { term: self.term.clone(), window: window.to_owned(), gate_version };
        let request = self.request(path, &testing::service("gateway"), OPENS, message);
        testing::gate_service(&self.db).settle_window(request).await.expect("settled");
    }

    pub fn facts(&self, item: &Menu) -> ProjectFacts {
        let name = self.project(item.id);
        let session = |index: i64| {
            let starts = OPENS + (item.day + index) * DAY + DAY / 3;
            Session { starts: Some(proto::timestamp(starts)), ends: Some(proto::timestamp(starts + DAY / 8)) }
        };
        let class = Class {
            name: format!("{name}/classes/1"),
            places: item.places,
            sessions: (0..item.sessions).map(session).collect(),
            state: class::State::Active.into(),
            ends_on: "2019-12-01".parse::<jiff::civil::Date>().ok().map(Into::into),
            ..Class::default()
        };
        ProjectFacts {
            name,
            term: self.term.clone(),
            provider: PROVIDER.to_owned(),
            accepting_bureau: COUNTY.to_owned(),
            audience: Some(Audience::default()),
            base_credit: Some(Credit { hundredths: item.credits * 100 }),
            difficulty_percent: 100,
            classes: vec![class],
            state: project::State::Published.into(),
            ..ProjectFacts::default()
        }
    }

    pub fn project(&self, id: &str) -> String {
        format!("{}/projects/{id}", self.term)
    }

    pub fn class(&self, id: &str) -> String {
        format!("{}/projects/{id}/classes/1", self.term)
    }

    pub async fn mirror(&self, mirror: &dyn Mirror, changes: &[Change]) {
        let seed = self.next();
        let mut tx = self.db.begin_own(OPENS, &seed).await.expect("a transaction");
        mirror.apply_all(&mut tx, changes).await.expect("applied");
        tx.finish().await.expect("committed");
    }

    pub async fn publish(&self, facts: &ProjectFacts) {
        self.mirror(&CatalogMirror, &[change(&facts.name, facts, OPENS)]).await;
    }

    pub async fn expand(&self, expansion: &Expansion) {
        self.mirror(&CatalogMirror, &[change(&expansion.name, expansion, OPENS)]).await;
    }

    pub async fn roster(&self, facts: &TeacherFacts) {
        self.mirror(&RosterMirror, &[change(&facts.name, facts, OPENS + DAY)]).await;
    }

    pub async fn account(&self, facts: &AccountFacts) {
        self.mirror(&RosterMirror, &[change(&facts.name, facts, OPENS + DAY)]).await;
    }

    pub async fn credit<M: Message + Name>(&self, name: &str, facts: &M) {
        self.mirror(&CreditMirror, &[of_term(&self.term, change(name, facts, OPENS + DAY))]).await;
    }

    /// A step at an edge `days` after the opening, all its pages; the counts.
    pub async fn step(&self, action: Action, window: &str, days: i64) -> BTreeMap<String, i64> {
        let mut counts = BTreeMap::new();
        let mut cursor = String::new();
        for page in 0.. {
            let outcome = self.page(action, window, days, page, &cursor).await;
            cursor = outcome.cursor;
            for (key, value) in outcome.counts {
                *counts.entry(key).or_default() += value;
            }
            if !outcome.more {
                return counts;
            }
        }
        counts
    }

    pub async fn page(&self, action: Action, window: &str, days: i64, page: i32, cursor: &str) -> StepOutcome {
        let step = RunStepRequest {
            term: self.term.clone(),
            action: action.into(),
            window: window.to_owned(),
            due: Some(proto::timestamp(OPENS + days * DAY)),
            page,
            cursor: cursor.to_owned(),
            ..RunStepRequest::default()
        };
        let mut tx = self.db.batch(&self.term, Lane::Main).await.expect("a transaction");
        tx.set_at(OPENS + days * DAY);
        tx.seed_ids(&self.next());
        let outcome = EnrollmentSteps.run(&mut tx, &step).await.expect("a page");
        tx.finish().await.expect("committed");
        outcome
    }

    pub fn next(&self) -> String {
        let serial = self.serial.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        format!("{}-{serial}", self.term)
    }

    pub fn request<M>(&self, path: &str, actor: &Actor, at: i64, message: M) -> Request<M> {
        let call = testing::call(path, actor, at, message).expect("a method");
        let mut request = Request::new(call.message);
        request.extensions_mut().insert(call.admission);
        request
    }
}

/// The reason of a refusal.
pub fn reason<T: std::fmt::Debug>(outcome: Result<T, Status>) -> Reason {
    let status = outcome.expect_err("a refusal");
    let details = status.get_error_details();
    let info = details.error_info().expect("an error info");
    Reason::from_str_name(&info.reason).expect("a known reason")
}

/// Every reason of a refusal with several.
pub fn reasons<T: std::fmt::Debug>(outcome: Result<T, Status>) -> Vec<String> {
    let status = outcome.expect_err("a refusal");
    let details = status.get_error_details();
    let failure = details.precondition_failure().expect("preconditions");
    failure.violations.iter().map(|violation| violation.r#type.clone()).collect()
}
