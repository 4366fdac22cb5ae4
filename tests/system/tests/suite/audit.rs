//! Who read data of others and who changed what: kept before the answer leaves, and shown to whoever asks for an account or a person.

use anyhow::Context as _;
use chassis::{
    Env,
    audit::{Act, Wanted, acts},
    config::DatabaseConfig,
    db::Db,
};
use proto::{
    common::v1::{
        self as common, ListActsRequest, Role, act::Kind as ActKind, audit_service_client::AuditServiceClient,
    },
    credit::v1::{GetStatementRequest, ledger_service_client::LedgerServiceClient},
    enrollment::v1::{ListSelectionsRequest, selection_service_client::SelectionServiceClient},
    google::r#type::Date,
    roster::v1::{
        GetTeacherRequest, ListTeachersRequest, RecordStatusEventRequest, StatusEvent, status_event::Kind,
        teacher_service_client::TeacherServiceClient,
    },
};
use shixun::{
    client,
    people::{County, Person, TermFolder},
    progress::Progress,
    rehearse, up,
};
use sqlx::{Connection as _, Executor as _, PgConnection};
use system::World;
use tonic::{Code, Request, Status};

const TEACHERS: u32 = 60;
const BUREAU: &str = "organizations/county";

struct Stage {
    world: World,
    county: County,
    officer: client::Person,
}

impl Stage {
    async fn set(engine: &str) -> anyhow::Result<Self> {
        let folder = TermFolder::sample()?;
        let county = County::generate(4, TEACHERS, &folder);
        let begin = proto::jiff_instant(rehearse::before_the_term(&folder)?).to_string();
        let world = World::start_for(engine, &begin, &county.password).await?;
        up::setup::county(&world.system, &county, &folder, &Progress::hidden()).await?;
        let staff = county.staff.iter().find(|one| one.role == Role::BureauOfficer && one.organization == BUREAU);
        let login = &staff.context("the county has no officer")?.login;
        let gateway = chassis::peer::channel(&world.system.gateway())?;
        let officer = client::Person::login(&gateway, login, &county.password).await?;
        Ok(Self { world, county, officer })
    }

    fn teacher(&self) -> anyhow::Result<&Person> {
        self.county.teachers.first().context("nobody")
    }

    /// All that a token is shown of a service's acts through the gateway, in pages of three.
    async fn shown(&self, token: &str, wanted: &ListActsRequest) -> Result<Vec<common::Act>, Status> {
        let gateway = chassis::peer::channel(&self.world.system.gateway()).map_err(unsent)?;
        let mut client = AuditServiceClient::new(gateway);
        let (mut acts, mut page_token) = (Vec::new(), String::new());
        loop {
            let mut request = Request::new(ListActsRequest { page_size: 3, page_token, ..wanted.clone() });
            request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().map_err(unsent)?);
            let reply = client.list_acts(request).await?.into_inner();
            assert!(reply.acts.len() <= 3);
            acts.extend(reply.acts);
            page_token = reply.next_page_token;
            if page_token.is_empty() {
                return Ok(acts);
            }
        }
    }

    async fn himself(&self) -> anyhow::Result<client::Person> {
        let gateway = chassis::peer::channel(&self.world.system.gateway())?;
        Ok(client::Person::login(&gateway, &self.teacher()?.login, &self.county.password).await?)
    }
}

fn unsent(error: impl std::fmt::Display) -> Status {
    Status::internal(error.to_string())
}

fn of(name: &str) -> GetTeacherRequest {
    GetTeacherRequest { name: name.to_owned() }
}

/// What an act was: read or changed, by which method or verb, about what.
fn told(act: &Act) -> (&str, &str, &str) {
    (act.act, &act.what, &act.about)
}

async fn audited(engine: &str) -> anyhow::Result<()> {
    let stage = Stage::set(engine).await?;
    let name = stage.teacher()?.teacher.name.clone();
    let (officer, himself) = (stage.officer.clone(), stage.himself().await?);
    let mut roster = TeacherServiceClient::new(officer.wire());
    roster.get_teacher(of(&name)).await?;
    // What is looked for may tell of a person: it is not kept.
    let surname = stage.teacher()?.teacher.display_name.chars().next().map(String::from).unwrap_or_default();
    let list =
        ListTeachersRequest { organization: BUREAU.to_owned(), query: surname, ..ListTeachersRequest::default() };
    roster.list_teachers(list).await?;
    let statement = GetStatementRequest { teacher: name.clone(), ..GetStatementRequest::default() };
    LedgerServiceClient::new(officer.wire()).get_statement(statement).await?;
    let event = StatusEvent {
        kind: Kind::Leave as i32,
        effective_on: Some(Date { year: 2019, month: 7, day: 1 }),
        reason: "sick_leave".to_owned(),
        ..StatusEvent::default()
    };
    let record = RecordStatusEventRequest { teacher: name.clone(), event: Some(event), request_id: "leave".to_owned() };
    roster.record_status_event(record).await?;
    // Of himself, and what is refused: neither is a reading of others.
    TeacherServiceClient::new(himself.wire()).get_teacher(of(&name)).await?;
    let refused = roster.get_teacher(of("teachers/none")).await;
    anyhow::ensure!(refused.is_err(), "somebody is there: {refused:?}");

    let wanted = |account: Option<&str>, about: Option<&str>| Wanted {
        account: account.map(str::to_owned),
        about: about.map(str::to_owned),
        since: i64::MIN,
        until: i64::MAX,
    };
    let databases: Vec<_> = stage.world.system.databases().map(|(service, url)| (service, url.to_owned())).collect();
    stage.world.system.stop().await?;
    for (service, url) in databases {
        let db = &Db::open(service, &DatabaseConfig::at(url), Env::system()).await?;
        let mut by_officer = acts(db, &wanted(Some(&officer.account), Some(&name))).await?;
        // The county was entered by the same officer.
        let entered = |act: &Act| ["created", "role_granted"].contains(&act.what.as_str());
        assert_eq!(by_officer.iter().any(entered), service == "roster");
        by_officer.retain(|act| !entered(act));
        let expected: &[_] = match service {
            "roster" => &[
                ("read", "shixun.roster.v1.TeacherService/GetTeacher", format!("name={name}")),
                ("changed", "leave_granted", name.clone()),
            ],
            "credit" => &[("read", "shixun.credit.v1.LedgerService/GetStatement", format!("teacher={name}"))],
            _ => &[],
        };
        let expected: Vec<_> = expected.iter().map(|(act, what, about)| (*act, *what, about.as_str())).collect();
        assert_eq!(by_officer.iter().map(told).collect::<Vec<_>>(), expected, "{engine}: {service}");
        for act in &by_officer {
            assert_eq!(act.who, officer.account);
            assert!(act.roles.contains(&format!("ROLE_BUREAU_OFFICER {BUREAU}")), "{act:?}");
        }
        let by_himself = acts(db, &wanted(Some(&himself.account), None)).await?;
        assert_eq!(by_himself, [], "{engine}: {service}");
        let mut read = acts(db, &wanted(Some(&officer.account), Some(BUREAU))).await?;
        read.retain(|act| act.act == "read");
        let listed = [("read", "shixun.roster.v1.TeacherService/ListTeachers", "organization=organizations/county")];
        let listed = if service == "roster" { &listed[..] } else { &[] };
        assert_eq!(read.iter().map(told).collect::<Vec<_>>(), listed, "{engine}: {service}");
        let before = Wanted { until: 0, ..wanted(None, None) };
        assert_eq!(acts(db, &before).await?, [], "{engine}: {service}");
        db.close().await;
    }
    Ok(())
}

/// The same over the wire: to the bureau that answers for whoever it is about or for whoever acted, and to the person himself.
async fn shown_to_who_answers(engine: &str) -> anyhow::Result<()> {
    let stage = Stage::set(engine).await?;
    let name = stage.teacher()?.teacher.name.clone();
    let (account, city) = (stage.himself().await?.account, stage.county.staff.iter().find(|one| one.login == "city-1"));
    let (city, term) = (city.context("no officer above")?, TermFolder::sample()?.name());
    let held = |account: &str, teacher: &str, role, scope| stage.world.token(account, teacher, &[(role, scope)]);
    let county = held(&stage.officer.account, "", Role::BureauOfficer, BUREAU)?;
    let elsewhere = held("accounts/elsewhere", "", Role::BureauOfficer, "organizations/elsewhere")?;
    let operator = held("accounts/operator", "", Role::Operator, "")?;
    let himself = held(&account, &name, Role::Teacher, &stage.teacher()?.teacher.school)?;
    // An officer of the bureau above reads of him in three services.
    let gateway = chassis::peer::channel(&stage.world.system.gateway())?;
    let above = client::Person::login(&gateway, &city.login, &stage.county.password).await?;
    TeacherServiceClient::new(above.wire()).get_teacher(of(&name)).await?;
    let statement = GetStatementRequest { teacher: name.clone(), ..GetStatementRequest::default() };
    LedgerServiceClient::new(above.wire()).get_statement(statement).await?;
    let list = ListSelectionsRequest { parent: term, teacher: name.clone(), ..ListSelectionsRequest::default() };
    SelectionServiceClient::new(above.wire()).list_selections(list).await?;

    let wanted = |service: &str, about: &str, account: &str| ListActsRequest {
        parent: format!("services/{service}"),
        about: about.to_owned(),
        account: account.to_owned(),
        ..ListActsRequest::default()
    };
    let reads = [
        ("roster", "shixun.roster.v1.TeacherService/GetTeacher"),
        ("credit", "shixun.credit.v1.LedgerService/GetStatement"),
        ("enrollment", "shixun.enrollment.v1.SelectionService/ListSelections"),
    ];
    for (service, method) in reads {
        let read = |acts: &[common::Act]| {
            let read = acts.iter().filter(|act| act.kind() == ActKind::Read && act.account == city.account);
            read.map(|act| act.method.clone()).collect::<Vec<_>>()
        };
        // He is of the county: its officers see who read of him, whoever it was; so does he himself.
        for token in [&county, &himself] {
            let acts = stage.shown(token, &wanted(service, &name, "")).await?;
            assert_eq!(read(&acts), [method], "{engine}: {service}");
            let act = acts.iter().find(|act| act.account == city.account).context("the act")?;
            assert!(act.about.contains(&name) && act.verb.is_empty(), "{act:?}");
            assert_eq!(act.roles.iter().map(common::RoleGrant::role).collect::<Vec<_>>(), [Role::BureauOfficer]);
        }
        assert_eq!(read(&stage.shown(&county, &wanted(service, "", &city.account)).await?), [method]);
        // A bureau of another area is shown none of it, and who answers for nothing is refused.
        for wanted in [wanted(service, &name, ""), wanted(service, "", &city.account), wanted(service, "", "")] {
            let mut shown = stage.shown(&elsewhere, &wanted).await?;
            // But that he looked.
            shown.retain(|act| act.account != "accounts/elsewhere");
            assert_eq!(shown, [], "{engine}: {wanted:?}");
            for token in [&operator, &himself].iter().take(if wanted.about.is_empty() { 2 } else { 1 }) {
                let refused = stage.shown(token, &wanted).await.err().map(|status| status.code());
                assert_eq!(refused, Some(Code::PermissionDenied), "{engine}: {wanted:?}");
            }
        }
        // When: before all of it, and from its instant on.
        let act = stage.shown(&county, &wanted(service, &name, "")).await?;
        let at = act.iter().find(|act| act.account == city.account).and_then(|act| act.at);
        let before = ListActsRequest { until: at, ..wanted(service, "", &city.account) };
        assert_eq!(read(&stage.shown(&county, &before).await?), [""; 0]);
        let since = ListActsRequest { since: at, ..wanted(service, "", &city.account) };
        assert_eq!(read(&stage.shown(&county, &since).await?), [method]);
        // Who looked at the trail stands in it, too; who looked at himself does not.
        let looked = stage.shown(&county, &wanted(service, &name, &stage.officer.account)).await?;
        let looked = looked.iter().filter(|act| act.method.ends_with("AuditService/ListActs"));
        assert!(looked.count() > 0, "{engine}: {service}");
        assert_eq!(stage.shown(&himself, &wanted(service, &name, &account)).await?, [], "{engine}: {service}");
    }
    // What an officer changed is shown to his bureau; the gateway has a trail of its own.
    let entered = stage.shown(&county, &wanted("roster", &name, "")).await?;
    assert!(entered.iter().any(|act| act.kind() == ActKind::Changed && act.verb == "created" && act.about == [&*name]));
    let terms = stage.shown(&county, &wanted("gateway", "", &stage.officer.account)).await?;
    assert!(
        terms.iter().any(|act| act.kind() == ActKind::Changed && act.about.iter().any(|it| it.starts_with("terms/")))
    );
    for service in ["catalog", "gateway"] {
        assert_eq!(stage.shown(&himself, &wanted(service, &name, "")).await?, [], "{engine}: {service}");
    }
    let nobody = stage.shown(&county, &wanted("nobody", "", "")).await.err().map(|status| status.code());
    assert_eq!(nobody, Some(Code::NotFound));
    stage.world.system.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trail_is_shown_to_who_answers_on_sqlite() -> anyhow::Result<()> {
    shown_to_who_answers("sqlite").await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trail_is_shown_to_who_answers_on_postgres() -> anyhow::Result<()> {
    shown_to_who_answers("postgres").await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_read_and_who_changed_is_told_on_sqlite() -> anyhow::Result<()> {
    audited("sqlite").await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_read_and_who_changed_is_told_on_postgres() -> anyhow::Result<()> {
    audited("postgres").await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_kept_is_not_handed_out() -> anyhow::Result<()> {
    let stage = Stage::set("postgres").await?;
    let name = stage.teacher()?.teacher.name.clone();
    let url = stage.world.system.databases().find(|(service, _)| *service == "roster").context("no roster")?.1;
    let mut connection = PgConnection::connect(url).await?;
    connection.execute("ALTER TABLE reading RENAME TO elsewhere").await?;
    let mut roster = TeacherServiceClient::new(stage.officer.wire());
    let refused = roster.get_teacher(of(&name)).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
    TeacherServiceClient::new(stage.himself().await?.wire()).get_teacher(of(&name)).await?;
    connection.execute("ALTER TABLE elsewhere RENAME TO reading").await?;
    roster.get_teacher(of(&name)).await?;
    connection.close().await?;
    stage.world.system.stop().await
}
