//! A small county: one bureau with a district and two schools, another county with one, a provider outside both.

use std::{collections::BTreeMap, future::Future, sync::Arc};

use chassis::{db::Queries as _, testing};
use prost::{Message, Name};
use proto::{
    Actor,
    common::v1::{Change, Gates, Phase, Reason, Role, Window},
    google::r#type::Date,
    roster::v1::{
        self as pb, organization::Kind, organization_service_server::OrganizationService as _,
        teacher_service_server::TeacherService as _,
    },
};
use roster::{
    Passwords, Vault,
    api::Service,
    config::{IdentityConfig, Key, PasswordConfig},
};
use tonic::{Code, Request, Response, Status};
use tonic_types::StatusExt as _;

/// 2019-06-17 09:00 in Shanghai.
pub const AT: i64 = 1_560_733_200_000_000;
pub const DAY: i64 = 86_400_000_000;
pub const TERM: &str = "terms/2019-autumn";
pub const COUNTY: &str = "organizations/county";
pub const SCHOOL: &str = "organizations/school-a";
pub const OTHER_SCHOOL: &str = "organizations/school-b";
pub const ELSEWHERE: &str = "organizations/school-c";
pub const PASSWORD: &str = "shixun-2019";

pub struct World {
    pub service: Service,
    pub operator: Actor,
    pub officer: Actor,
    /// Administrator of `SCHOOL`.
    pub admin: Actor,
    _database: testing::TestDatabase,
}

/// Runs a scenario on both engines.
pub async fn on_both<F, Fut>(scenario: F)
where
    F: Fn(Arc<World>) -> Fut,
    Fut: Future<Output = ()>,
{
    let databases = testing::databases("roster", roster::migrations, AT).await.unwrap();
    assert_eq!(databases.len(), 2, "SQLite and PostgreSQL");
    for database in databases {
        let engine = database.db.engine();
        println!("on {engine:?}");
        scenario(Arc::new(World::new(database).await)).await;
    }
}

/// A service on a database.
pub fn service(db: chassis::db::Db) -> Service {
    let keys = BTreeMap::from([("k1".to_owned(), Key([1; 32]))]);
    let identity = IdentityConfig { current: "k1".into(), keys, index_key: Key([2; 32]) };
    let env = db.env().clone();
    let least = PasswordConfig { memory_kib: 8, passes: 1, lanes: 1 };
    Service {
        db,
        vault: Arc::new(Vault::new(&identity, env.clone()).unwrap()),
        passwords: Passwords::new(least, env).unwrap(),
        zone: jiff::tz::TimeZone::get("Asia/Shanghai").unwrap(),
    }
}

impl World {
    pub async fn new(database: testing::TestDatabase) -> Self {
        let service = service(database.db.clone());
        let window = Window {
            id: "roster-update".into(),
            phase: Phase::RosterUpdate.into(),
            opens: Some(proto::timestamp(AT - DAY)),
            closes: Some(proto::timestamp(AT + 80 * DAY)),
            ..Window::default()
        };
        let gates = Gates {
            term: TERM.into(),
            version: 1,
            zone: "Asia/Shanghai".into(),
            windows: vec![window],
            policy_version: 1,
            policy: "[codes]\ntiers = ['novice', 'competent', 'backbone']".into(),
        };
        testing::put_gates(&service.db, gates).await.unwrap();
        let world = Self {
            service,
            operator: testing::person("accounts/operator", "", &[(Role::Operator, "")]),
            officer: testing::person("accounts/officer", "", &[(Role::BureauOfficer, COUNTY)]),
            admin: testing::person("accounts/admin", "", &[(Role::SchoolAdmin, SCHOOL)]),
            _database: database,
        };
        for (name, parent, kind) in [
            ("organizations/city", "", Kind::City),
            (COUNTY, "organizations/city", Kind::CountyBureau),
            ("organizations/district", COUNTY, Kind::SchoolDistrict),
            (SCHOOL, "organizations/district", Kind::School),
            (OTHER_SCHOOL, COUNTY, Kind::School),
            ("organizations/elsewhere", "organizations/city", Kind::CountyBureau),
            (ELSEWHERE, "organizations/elsewhere", Kind::Kindergarten),
            ("organizations/provider", "", Kind::Provider),
        ] {
            world.create_organization(name, parent, kind).await.unwrap();
        }
        world
    }

    /// A request as the rules' layer passes it on.
    pub fn request<M>(&self, path: &str, actor: &Actor, message: M) -> Request<M> {
        self.request_at(path, actor, AT, message)
    }

    pub fn request_at<M>(&self, path: &str, actor: &Actor, at: i64, message: M) -> Request<M> {
        let path = format!("/shixun.roster.v1.{path}");
        let call = testing::call(&path, actor, at, message).unwrap();
        let mut request = Request::new(call.message);
        request.extensions_mut().insert(call.admission);
        request
    }

    pub async fn create_organization(&self, name: &str, parent: &str, kind: Kind) -> Result<pb::Organization, Status> {
        let school = matches!(kind, Kind::School | Kind::Kindergarten);
        let digits = name.bytes().fold(7_u64, |hash, byte| (hash * 31 + u64::from(byte)) % 10_000_000_000);
        let organization = pb::Organization {
            name: name.into(),
            display_name: "示例".into(),
            parent: parent.into(),
            kinds: vec![kind.into()],
            school_identifier: if school { format!("{digits:010}") } else { String::new() },
            ..pb::Organization::default()
        };
        let message =
            pb::CreateOrganizationRequest { organization: Some(organization), request_id: format!("org-{name}") };
        let request = self.request("OrganizationService/CreateOrganization", &self.operator, message);
        Ok(self.service.create_organization(request).await?.into_inner().organization.unwrap())
    }

    pub async fn create_teacher(&self, actor: &Actor, teacher: pb::Teacher) -> Result<pb::Teacher, Status> {
        let request_id = format!("teacher-{}-{}", teacher.school, teacher.teacher_number);
        let message = pb::CreateTeacherRequest { teacher: Some(teacher), request_id };
        let request = self.request("TeacherService/CreateTeacher", actor, message);
        Ok(self.service.create_teacher(request).await?.into_inner().teacher.unwrap())
    }

    pub async fn get_teacher(&self, actor: &Actor, name: &str) -> Result<pb::Teacher, Status> {
        let message = pb::GetTeacherRequest { name: name.into() };
        let request = self.request("TeacherService/GetTeacher", actor, message);
        Ok(self.service.get_teacher(request).await?.into_inner().teacher.unwrap())
    }

    /// All changes so far, in their order.
    pub async fn changes(&self) -> Vec<Change> {
        let sql =
            "SELECT body FROM change JOIN change_batch ON change_batch.batch = change.batch ORDER BY position, idx";
        let rows = self.service.db.reader().all(sql, vec![]).await.unwrap();
        rows.iter().map(|row| Change::decode(row.get::<Vec<u8>>("body").unwrap().as_slice()).unwrap()).collect()
    }

    /// The last change of a resource: its verb and facts.
    pub async fn last<M: Message + Name + Default>(&self, resource: &str) -> (String, M) {
        let changes = self.changes().await;
        let change = changes.iter().rfind(|change| change.resource == resource).unwrap();
        (change.verb.clone(), chassis::changes::decode::<M>(change).unwrap().unwrap())
    }
}

/// A faultless teacher; `n` makes number and identity his own.
pub fn teacher(school: &str, n: u32) -> pb::Teacher {
    pb::Teacher {
        display_name: format!("示例教师{n:04}"),
        sex: "2".into(),
        identity_number: identity_number(n),
        phone: format!("100{n:08}"),
        school: school.into(),
        teacher_number: format!("T{n:05}"),
        employment: "permanent".into(),
        tier: "competent".into(),
        category: "subject_teacher".into(),
        stages: vec!["primary".into()],
        subjects: vec!["mathematics".into()],
        title: "415".into(),
        education: "21".into(),
        post: "teaching".into(),
        employed_on: Some(day(2010, 9, 1)),
        platform_entered_on: Some(day(2016, 9, 1)),
        ..pb::Teacher::default()
    }
}

/// A number of a region that was never assigned, with its check character.
pub fn identity_number(n: u32) -> String {
    let body = format!("7000{:02}198501{:02}{:03}", n / 20_000 % 100, n / 1000 % 20 + 1, n % 1000);
    let digits: Vec<u32> = body.chars().filter_map(|c| c.to_digit(10)).collect();
    let check = roster::domain::identity_number::check_character(&digits).unwrap();
    format!("{body}{check}")
}

pub const fn day(year: i32, month: i32, day: i32) -> Date {
    Date { year, month, day }
}

/// The gRPC code and our reason of a refusal.
pub fn refusal<T>(outcome: Result<T, Status>) -> (Code, Reason) {
    let Err(status) = outcome else { panic!("it was allowed") };
    let info = status.get_details_error_info().unwrap_or_else(|| panic!("no reason: {status:?}"));
    (status.code(), Reason::from_str_name(&info.reason).unwrap())
}

pub fn reason<T>(outcome: Result<T, Status>) -> Reason {
    refusal(outcome).1
}

/// The fields of an `INVALID_ARGUMENT`.
pub fn fields<T>(outcome: Result<T, Status>) -> Vec<String> {
    let Err(status) = outcome else { panic!("it was allowed") };
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let violations = status.get_details_bad_request().unwrap().field_violations;
    assert!(violations.iter().all(|violation| violation.description.contains(" / ")), "a remedy in both languages");
    violations.into_iter().map(|violation| violation.field).collect()
}

pub fn reply<T>(outcome: Result<Response<T>, Status>) -> T {
    outcome.unwrap_or_else(|status| panic!("{status:?}")).into_inner()
}
