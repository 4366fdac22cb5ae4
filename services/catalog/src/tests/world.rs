//! A small term with its people, for the suites.

use std::sync::atomic::{AtomicU64, Ordering};

use chassis::{
    StepOutcome, Steps as _, changes,
    db::{Db, Queries as _, Scope, args},
    testing::{call, person, put_gates, service},
};
use prost::{Message, Name};
use proto::{
    Actor,
    catalog::v1::{
        self as pb, expansion_service_server::ExpansionService as _, person_service_server::PersonService as _,
        project_service_server::ProjectService as _, review_service_server::ReviewService as _, *,
    },
    common::v1::{Action, Change, Gates, Phase, Reason, Role, RoleGrant, RunStepRequest, Window},
    roster::v1::{AccountFacts, OrganizationFacts, RoleHeld, account, organization::Kind},
};
use tonic::{Request, Status};
use tonic_types::StatusExt as _;

use crate::{api, mirror::RosterMirror};

pub const TERM: &str = "terms/2019-autumn";
const DAY: i64 = 86_400_000_000;

/// The beginning of a day of the term, in microseconds.
pub const fn day(day: i64) -> i64 {
    day * DAY
}

pub const DECLARATION: i64 = day(1);
pub const REVIEW: i64 = day(11);
pub const PUBLICATION: i64 = day(20) + 1;
pub const BROWSING: i64 = day(21);
pub const EXPANSION_REQUEST: i64 = day(40);
pub const EXPANSION_DECISION: i64 = day(43);

const WINDOWS: &[(Phase, i32, i64, i64)] = &[
    (Phase::Declaration, 0, 0, 10),
    (Phase::ProjectReview, 0, 10, 20),
    (Phase::Publication, 0, 20, 21),
    (Phase::Browsing, 0, 21, 30),
    (Phase::Selection, 1, 30, 40),
    (Phase::ExpansionRequest, 0, 40, 42),
    (Phase::ExpansionDecision, 0, 42, 44),
    (Phase::Selection, 2, 44, 46),
    (Phase::Training, 0, 50, 60),
];

pub struct World {
    pub db: Db,
    api: api::Service,
    requests: AtomicU64,
}

macro_rules! methods {
    ($($name:ident: $service:literal $method:literal, $request:ty => $reply:ty;)*) => {$(
        pub async fn $name(&self, actor: &Actor, at: i64, message: $request) -> Result<$reply, Status> {
            let path = concat!("/shixun.catalog.v1.", $service, "/", $method);
            let called = call(path, actor, at, message).unwrap();
            let mut request = Request::new(called.message);
            request.extensions_mut().insert(called.admission);
            self.api.$name(request).await.map(tonic::Response::into_inner)
        }
    )*};
}

impl World {
    pub async fn new(db: &Db) -> Self {
        let window = |(phase, round, opens, closes): &(Phase, i32, i64, i64)| Window {
            id: format!("{}-{round}", phase.as_str_name()),
            phase: (*phase).into(),
            round: *round,
            opens: Some(proto::timestamp(day(*opens))),
            closes: Some(proto::timestamp(day(*closes))),
            ..Window::default()
        };
        let gates = Gates {
            term: TERM.into(),
            version: 1,
            zone: "Asia/Shanghai".into(),
            windows: WINDOWS.iter().map(window).collect(),
            policy_version: 7,
            policy: "[review.rubric]\ncontent = 60\nteam = 40\n".into(),
        };
        put_gates(db, gates).await.unwrap();
        let world = Self { db: db.clone(), api: api::Service { db: db.clone() }, requests: AtomicU64::new(0) };
        world.organization("city", &["city"], Kind::City).await;
        for bureau in ["bureau", "elsewhere"] {
            world.organization(bureau, &["city", bureau], Kind::CountyBureau).await;
        }
        world.organization("school", &["city", "bureau", "school"], Kind::School).await;
        for provider in ["provider", "rival"] {
            world.organization(provider, &[provider], Kind::Provider).await;
        }
        world.organization("institute", &["provider", "institute"], Kind::Provider).await;
        for expert in ["one", "two", "three"] {
            world.account(expert, Role::Expert, "school").await;
        }
        world.account("inside", Role::Expert, "institute").await;
        world.account("clerk", Role::ProviderStaff, "provider").await;
        world
    }

    pub async fn mirror<M: Message + Name>(&self, facts: &M) {
        let after = prost_types::Any { type_url: M::type_url(), value: facts.encode_to_vec() };
        let mut tx = self.db.begin_own(0, "roster").await.unwrap();
        let change = Change { after: Some(after), ..Change::default() };
        chassis::Mirror::apply(&RosterMirror, &mut tx, &change).await.unwrap();
        tx.finish().await.unwrap();
    }

    async fn organization(&self, id: &str, path: &[&str], kind: Kind) {
        let path = path.iter().map(|id| format!("organizations/{id}")).collect();
        let name = format!("organizations/{id}");
        self.mirror(&OrganizationFacts { name, path, kinds: vec![kind.into()], ..Default::default() }).await;
    }

    pub async fn account(&self, id: &str, role: Role, organization: &str) {
        let grant = RoleGrant { role: role.into(), organization: format!("organizations/{organization}") };
        let roles = vec![RoleHeld { grant: Some(grant), ..RoleHeld::default() }];
        let name = format!("accounts/{id}");
        let state = account::State::Active.into();
        self.mirror(&AccountFacts { name, roles, state, ..AccountFacts::default() }).await;
    }

    pub fn request_id(&self) -> String {
        format!("request-{}", self.requests.fetch_add(1, Ordering::Relaxed))
    }

    methods! {
        create_project: "ProjectService" "CreateProject", CreateProjectRequest => CreateProjectResponse;
        update_project: "ProjectService" "UpdateProject", UpdateProjectRequest => UpdateProjectResponse;
        submit_project: "ProjectService" "SubmitProject", SubmitProjectRequest => SubmitProjectResponse;
        withdraw_project: "ProjectService" "WithdrawProject", WithdrawProjectRequest => WithdrawProjectResponse;
        accept_project: "ProjectService" "AcceptProject", AcceptProjectRequest => AcceptProjectResponse;
        return_project: "ProjectService" "ReturnProject", ReturnProjectRequest => ReturnProjectResponse;
        approve_project: "ProjectService" "ApproveProject", ApproveProjectRequest => ApproveProjectResponse;
        reject_project: "ProjectService" "RejectProject", RejectProjectRequest => RejectProjectResponse;
        request_cancellation: "ProjectService" "RequestCancellation",
            RequestCancellationRequest => RequestCancellationResponse;
        cancel_project: "ProjectService" "CancelProject", CancelProjectRequest => CancelProjectResponse;
        cancel_class: "ProjectService" "CancelClass", CancelClassRequest => CancelClassResponse;
        get_project: "ProjectService" "GetProject", GetProjectRequest => GetProjectResponse;
        list_projects: "ProjectService" "ListProjects", ListProjectsRequest => ListProjectsResponse;
        assign_experts: "ReviewService" "AssignExperts", AssignExpertsRequest => AssignExpertsResponse;
        score_project: "ReviewService" "ScoreProject", ScoreProjectRequest => ScoreProjectResponse;
        recuse_expert: "ReviewService" "RecuseExpert", RecuseExpertRequest => RecuseExpertResponse;
        export_account: "PersonService" "ExportAccount", ExportAccountRequest => ExportAccountResponse;
        list_assignments: "ReviewService" "ListAssignments", ListAssignmentsRequest => ListAssignmentsResponse;
        request_expansion: "ExpansionService" "RequestExpansion", RequestExpansionRequest => RequestExpansionResponse;
        decide_expansion: "ExpansionService" "DecideExpansion", DecideExpansionRequest => DecideExpansionResponse;
        list_expansions: "ExpansionService" "ListExpansions", ListExpansionsRequest => ListExpansionsResponse;
    }

    /// Runs one page of a step, as the sequencer would.
    pub async fn step(&self, action: Action, at: i64) -> StepOutcome {
        let step = RunStepRequest {
            term: TERM.into(),
            action: action.into(),
            request_id: self.request_id(),
            ..RunStepRequest::default()
        };
        let path = "/shixun.common.v1.StepService/RunStep";
        let called = call(path, &service("gateway"), at, step).unwrap();
        let mut tx = self.db.begin(&called, Scope::Term(TERM)).await.unwrap();
        let outcome = api::CatalogSteps.run(&mut tx, &called.message).await.unwrap();
        tx.finish().await.unwrap();
        outcome
    }

    /// A project with this title, as far as the provider's draft.
    pub async fn draft(&self, project: pb::Project) -> pb::Project {
        let request =
            CreateProjectRequest { parent: TERM.into(), project: Some(project), request_id: self.request_id() };
        self.create_project(&clerk(), DECLARATION, request).await.unwrap().project.unwrap()
    }

    pub async fn submitted(&self, project: pb::Project) -> pb::Project {
        let name = self.draft(project).await.name;
        let request = SubmitProjectRequest { name, request_id: self.request_id() };
        self.submit_project(&clerk(), DECLARATION, request).await.unwrap().project.unwrap()
    }

    pub async fn accepted(&self, project: pb::Project) -> pb::Project {
        let name = self.submitted(project).await.name;
        let request = AcceptProjectRequest { name, request_id: self.request_id() };
        self.accept_project(&officer("bureau"), DECLARATION, request).await.unwrap().project.unwrap()
    }

    pub async fn approve(&self, name: &str, at: i64, reason: &str) -> Result<pb::Project, Status> {
        let request = ApproveProjectRequest { name: name.into(), reason: reason.into(), request_id: self.request_id() };
        Ok(self.approve_project(&officer("bureau"), at, request).await?.project.unwrap())
    }

    pub async fn published(&self, project: pb::Project) -> pb::Project {
        let name = self.accepted(project).await.name;
        self.approve(&name, PUBLICATION, "特色项目").await.unwrap()
    }

    pub async fn get(&self, actor: &Actor, at: i64, name: &str) -> Result<pb::Project, Status> {
        Ok(self.get_project(actor, at, GetProjectRequest { name: name.into() }).await?.project.unwrap())
    }

    pub async fn state(&self, name: &str) -> State {
        self.get(&officer("bureau"), 0, name).await.unwrap().state()
    }

    /// Everything in the feed: (resource, verb, change).
    pub async fn feed(&self) -> Vec<Change> {
        let mut reader = self.db.reader();
        let rows = reader
            .all(
                "SELECT c.body FROM change c JOIN change_batch b ON b.batch = c.batch ORDER BY b.position, c.idx",
                args![],
            )
            .await
            .unwrap();
        rows.iter().map(|row| Change::decode(row.get::<Vec<u8>>("body").unwrap().as_slice()).unwrap()).collect()
    }

    /// The verbs of a resource, in order.
    pub async fn verbs(&self, resource: &str) -> Vec<String> {
        self.feed().await.into_iter().filter(|change| change.resource == resource).map(|change| change.verb).collect()
    }

    /// The last facts of a project in the feed.
    pub async fn facts(&self, name: &str) -> ProjectFacts {
        let feed = self.feed().await;
        let last = feed.iter().rev().find(|change| change.resource == name).unwrap();
        changes::decode(last).unwrap().unwrap()
    }
}

pub use proto::catalog::v1::project::State;

pub fn clerk() -> Actor {
    person("accounts/clerk", "", &[(Role::ProviderStaff, "organizations/provider")])
}

pub fn rival() -> Actor {
    person("accounts/rival", "", &[(Role::ProviderStaff, "organizations/rival")])
}

pub fn officer(bureau: &str) -> Actor {
    person(&format!("accounts/officer-{bureau}"), "", &[(Role::BureauOfficer, &format!("organizations/{bureau}"))])
}

pub fn expert(id: &str) -> Actor {
    person(&format!("accounts/{id}"), "", &[(Role::Expert, "organizations/school")])
}

pub fn teacher() -> Actor {
    person("accounts/teacher", "teachers/t", &[(Role::Teacher, "organizations/school")])
}

/// What a provider writes: nothing missing.
pub fn project(title: &str) -> pb::Project {
    pb::Project {
        accepting_bureau: "organizations/bureau".into(),
        title: title.into(),
        description: "面向全县教师的研修".into(),
        level: project::Level::County.into(),
        form: project::Form::Intensive.into(),
        base_credit: Some(proto::Credit::whole(90).into()),
        difficulty_percent: 100,
        ethics_hours: 2,
        practice_hours: 10,
        total_hours: 40,
        classes: vec![class(40, 52), class(30, 55)],
        ..pb::Project::default()
    }
}

/// A class of one session, on a day of the term.
pub fn class(places: i32, on: i64) -> pb::Class {
    let session = Session { starts: Some(proto::timestamp(day(on))), ends: Some(proto::timestamp(day(on) + DAY / 4)) };
    let ends_on = jiff::civil::date(1970, 1, 1).checked_add(jiff::Span::new().days(on)).unwrap();
    pb::Class { places, sessions: vec![session], ends_on: Some(ends_on.into()), ..pb::Class::default() }
}

/// Why a call was refused.
pub fn refusal<T: std::fmt::Debug>(outcome: Result<T, Status>) -> Reason {
    let status = outcome.expect_err("a refusal");
    let details = status.get_error_details();
    Reason::from_str_name(&details.error_info().expect("an ErrorInfo").reason).expect("a reason of ours")
}

/// The fields of a refused request.
pub fn fields<T: std::fmt::Debug>(outcome: Result<T, Status>) -> Vec<String> {
    let status = outcome.expect_err("a refusal");
    let details = status.get_error_details();
    let bad = details.bad_request().expect("field violations");
    bad.field_violations.iter().map(|violation| violation.field.clone()).collect()
}
