//! A small world on a database: a county with two schools, a provider, and people to act in it.
#![allow(dead_code, reason = "each suite uses its part")]

use std::collections::BTreeMap;

use chassis::{
    CancellationToken, Mirror, Program as _, StepOutcome, Steps as _,
    db::{Db, Queries as _, args},
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
    catalog::v1::{Audience, Class, ProjectFacts, Session, class, project},
    common::v1::{Action, Change, Credit, Gates, Phase, Reason, Role, RoleGrant, RunStepRequest, Window},
    enrollment::v1::{
        DecideSelectionsRequest, DecideSelectionsResponse, Decision, ListSeatsRequest, ProviderDecision,
        ReviewSelectionsRequest, ReviewSelectionsResponse, Seats, Selection, SubmitSelectionRequest,
        SubmitSelectionResponse, WithdrawSelectionRequest, WithdrawSelectionResponse,
        confirmation_service_server::ConfirmationService as _, provider_decision::Verdict,
        review_service_server::ReviewService as _, selection_service_server::SelectionService as _,
    },
    roster::v1::{AccountFacts, OrganizationFacts, RoleHeld, TeacherFacts, account, teacher},
};
use tonic::{Request, Status};
use tonic_types::StatusExt as _;

pub const DAY: i64 = 86_400_000_000;
/// 2019-08-26 00:00 in Shanghai.
pub const OPENS: i64 = 1_566_748_800_000_000;
pub const COUNTY: &str = "organizations/county";
pub const DISTRICT: &str = "organizations/district";
pub const SCHOOL: &str = "organizations/school-a";
pub const OTHER: &str = "organizations/school-b";
pub const PROVIDER: &str = "organizations/provider";

/// Days after OPENS.
pub const SELECTION_1: i64 = 1;
pub const REVIEW_1: i64 = 12;
pub const CONFIRMATION_1: i64 = 18;
pub const SELECTION_2: i64 = 19;
pub const REVIEW_2: i64 = 23;
pub const CONFIRMATION_2: i64 = 24;
pub const TRAINING: i64 = 30;

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
    let (intake, writer) = Intake::new(db.clone(), IntakeConfig::default());
    tokio::spawn(writer);
    intake
}

/// The handlers of one more replica.
pub fn api(db: &Db) -> Api {
    Api::new(db.clone(), intake(db), SeatBoard::new(db.clone(), SeatsConfig::default(), CancellationToken::new()))
}

fn change<M: Message + Name>(resource: &str, after: &M, at: i64) -> Change {
    let after = prost_types::Any { type_url: M::type_url(), value: after.encode_to_vec() };
    Change {
        resource: resource.to_owned(),
        verb: "updated".to_owned(),
        at: Some(proto::timestamp(at)),
        after: Some(after),
        ..Change::default()
    }
}

pub fn window(id: &str, phase: Phase, round: i32, from: i64, to: i64) -> Window {
    Window {
        id: id.to_owned(),
        phase: phase.into(),
        round,
        opens: Some(proto::timestamp(OPENS + from * DAY)),
        closes: Some(proto::timestamp(OPENS + to * DAY)),
        owners: vec![Role::BureauOfficer.into()],
        ..Window::default()
    }
}

pub fn windows() -> Vec<Window> {
    vec![
        window("selection-1", Phase::Selection, 1, 0, 11),
        window("school-review-1", Phase::SchoolReview, 1, 6, 15),
        window("provider-confirmation-1", Phase::ProviderConfirmation, 1, 18, 19),
        window("selection-2", Phase::Selection, 2, 19, 23),
        window("school-review-2", Phase::SchoolReview, 2, 20, 24),
        window("provider-confirmation-2", Phase::ProviderConfirmation, 2, 24, 28),
        window("training", Phase::Training, 0, 28, 128),
        window("results", Phase::Results, 0, 128, 143),
    ]
}

pub fn path_of(school: &str) -> Vec<String> {
    [COUNTY, DISTRICT, school].map(str::to_owned).into()
}

/// A teacher of SCHOOL, or of OTHER where the name begins with "other".
pub fn teacher(id: &str) -> TeacherFacts {
    let school = if id.starts_with("other") { OTHER } else { SCHOOL };
    TeacherFacts {
        name: format!("teachers/{id}"),
        school: school.to_owned(),
        path: path_of(school),
        tier: "competent".to_owned(),
        category: "subject_teacher".to_owned(),
        stage: "primary".to_owned(),
        subject: "music".to_owned(),
        status: teacher::Status::Active.into(),
        account: format!("accounts/{id}"),
        ..TeacherFacts::default()
    }
}

pub fn as_teacher(id: &str) -> Actor {
    let school = if id.starts_with("other") { OTHER } else { SCHOOL };
    testing::person(&format!("accounts/{id}"), &format!("teachers/{id}"), &[(Role::Teacher, school)])
}

pub fn admin() -> Actor {
    testing::person("accounts/admin", "", &[(Role::SchoolAdmin, SCHOOL)])
}

pub fn other_admin() -> Actor {
    testing::person("accounts/other-admin", "", &[(Role::SchoolAdmin, OTHER)])
}

pub fn bureau() -> Actor {
    testing::person("accounts/bureau", "", &[(Role::BureauOfficer, COUNTY)])
}

pub fn provider() -> Actor {
    testing::person("accounts/provider", "", &[(Role::ProviderStaff, PROVIDER)])
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
        let gates = Gates {
            term: term.to_owned(),
            version: 1,
            zone: "Asia/Shanghai".to_owned(),
            windows: windows(),
            policy_version: 3,
            policy: String::new(),
        };
        testing::put_gates(db, gates).await.expect("gates");
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

    pub async fn roster(&self, facts: &TeacherFacts) {
        self.mirror(&RosterMirror, &[change(&facts.name, facts, OPENS + DAY)]).await;
    }

    pub async fn account(&self, facts: &AccountFacts) {
        self.mirror(&RosterMirror, &[change(&facts.name, facts, OPENS + DAY)]).await;
    }

    pub async fn credit<M: Message + Name>(&self, name: &str, facts: &M) {
        self.mirror(&CreditMirror, &[change(name, facts, OPENS + DAY)]).await;
    }

    /// A step at an edge `days` after the opening, all its pages; the counts.
    pub async fn step(&self, action: Action, window: &str, days: i64) -> BTreeMap<String, i64> {
        let mut counts = BTreeMap::new();
        for page in 0.. {
            let outcome = self.page(action, window, days, page).await;
            for (key, value) in outcome.counts {
                *counts.entry(key).or_default() += value;
            }
            if !outcome.more {
                return counts;
            }
        }
        counts
    }

    pub async fn page(&self, action: Action, window: &str, days: i64, page: i32) -> StepOutcome {
        let step = RunStepRequest {
            term: self.term.clone(),
            action: action.into(),
            window: window.to_owned(),
            due: Some(proto::timestamp(OPENS + days * DAY)),
            page,
            ..RunStepRequest::default()
        };
        let mut tx = self.db.batch(&self.term).await.expect("a transaction");
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

    pub async fn submit_as(
        &self,
        api: &Api,
        actor: &Actor,
        message: SubmitSelectionRequest,
        at: i64,
    ) -> Result<Selection, Status> {
        let path = "/shixun.enrollment.v1.SelectionService/SubmitSelection";
        let reply = api.submit_selection(self.request(path, actor, at, message)).await?;
        let SubmitSelectionResponse { selection } = reply.into_inner();
        Ok(selection.expect("a selection"))
    }

    pub fn submission(&self, project: &str) -> SubmitSelectionRequest {
        SubmitSelectionRequest {
            parent: self.term.clone(),
            project: self.project(project),
            teacher: String::new(),
            request_id: self.next(),
        }
    }

    /// A teacher selects for himself.
    pub async fn submit(&self, id: &str, project: &str, at: i64) -> Result<Selection, Status> {
        self.submit_as(&self.api, &as_teacher(id), self.submission(project), at).await
    }

    pub async fn withdraw(&self, actor: &Actor, name: &str, at: i64) -> Result<Selection, Status> {
        let path = "/shixun.enrollment.v1.SelectionService/WithdrawSelection";
        let message =
            WithdrawSelectionRequest { name: name.to_owned(), reason: String::new(), request_id: self.next() };
        let reply = self.api.withdraw_selection(self.request(path, actor, at, message)).await?;
        let WithdrawSelectionResponse { selection } = reply.into_inner();
        Ok(selection.expect("a selection"))
    }

    pub async fn review(
        &self,
        actor: &Actor,
        decisions: &[(&str, bool, &str)],
        at: i64,
    ) -> Result<Vec<Selection>, Status> {
        let path = "/shixun.enrollment.v1.ReviewService/ReviewSelections";
        let decision = |(name, approved, reason): &(&str, bool, &str)| Decision {
            selection: (*name).to_owned(),
            approved: *approved,
            reason: (*reason).to_owned(),
        };
        let message = ReviewSelectionsRequest {
            parent: self.term.clone(),
            decisions: decisions.iter().map(decision).collect(),
            request_id: self.next(),
        };
        let reply = self.api.review_selections(self.request(path, actor, at, message)).await?;
        let ReviewSelectionsResponse { selections } = reply.into_inner();
        Ok(selections)
    }

    pub async fn decide(
        &self,
        project: &str,
        decisions: &[(&str, Verdict, &str)],
        at: i64,
    ) -> Result<Vec<Selection>, Status> {
        let path = "/shixun.enrollment.v1.ConfirmationService/DecideSelections";
        let decision = |(name, verdict, reason): &(&str, Verdict, &str)| ProviderDecision {
            selection: (*name).to_owned(),
            verdict: (*verdict).into(),
            reason: (*reason).to_owned(),
            class: String::new(),
        };
        let message = DecideSelectionsRequest {
            parent: self.project(project),
            decisions: decisions.iter().map(decision).collect(),
            request_id: self.next(),
        };
        let reply = self.api.decide_selections(self.request(path, &provider(), at, message)).await?;
        let DecideSelectionsResponse { selections } = reply.into_inner();
        Ok(selections)
    }

    pub async fn seats(&self) -> BTreeMap<String, Seats> {
        let path = "/shixun.enrollment.v1.SelectionService/ListSeats";
        let message = ListSeatsRequest { parent: self.term.clone(), page_size: 1000, ..ListSeatsRequest::default() };
        let reply = self.api.list_seats(self.request(path, &bureau(), OPENS, message)).await.expect("seats");
        reply.into_inner().seats.into_iter().map(|seats| (seats.project.clone(), seats)).collect()
    }

    pub async fn state(&self, name: &str) -> String {
        let mut reader = self.db.reader();
        let row = reader.one("SELECT state FROM selection WHERE name = $1", args![name]).await.expect("a row");
        row.expect("a selection").get("state").expect("a state")
    }

    /// What the database says of seats, from three sides: the ledger's sums, the counts, and the selections themselves.
    pub async fn check_seats(&self) {
        let mut reader = self.db.reader();
        let rows = reader
            .all(
                "SELECT c.project AS project, c.capacity AS capacity, c.held AS held, c.granted AS granted,
                    (SELECT COUNT(*) FROM selection s WHERE s.project = c.project AND s.seat = 'held') AS holders,
                    (SELECT COUNT(*) FROM selection s WHERE s.project = c.project AND s.seat = 'granted') AS grantees,
                    (SELECT CAST(COALESCE(SUM(l.held), 0) AS BIGINT) FROM seat_ledger l WHERE l.project = c.project) AS ledger_held,
                    (SELECT CAST(COALESCE(SUM(l.granted), 0) AS BIGINT) FROM seat_ledger l WHERE l.project = c.project) AS ledger_granted,
                    (SELECT CAST(COALESCE(SUM(k.granted), 0) AS BIGINT) FROM class_count k WHERE k.project = c.project) AS in_classes
                 FROM seat_count c WHERE c.term = $1 ORDER BY c.project",
                args![&self.term],
            )
            .await
            .expect("counts");
        for row in rows {
            let get = |column: &'static str| row.get::<i64>(column).expect("a number");
            let project: String = row.get("project").expect("a name");
            assert!(get("held") + get("granted") <= get("capacity"), "{project} is oversold");
            assert_eq!(get("held"), get("holders"), "{project}: held");
            assert_eq!(get("held"), get("ledger_held"), "{project}: ledger of holds");
            assert_eq!(get("granted"), get("grantees"), "{project}: granted");
            assert_eq!(get("granted"), get("ledger_granted"), "{project}: ledger of grants");
            assert_eq!(get("granted"), get("in_classes"), "{project}: classes");
        }
    }
}

pub fn account(name: &str, teacher: &str, roles: &[(Role, &str)]) -> AccountFacts {
    let held = |(role, organization): &(Role, &str)| RoleHeld {
        grant: Some(RoleGrant { role: (*role).into(), organization: (*organization).to_owned() }),
        from: None,
        until: None,
    };
    AccountFacts {
        name: name.to_owned(),
        teacher: teacher.to_owned(),
        roles: roles.iter().map(held).collect(),
        state: account::State::Active.into(),
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
