//! Bad input everywhere: every method of the descriptor, with every kind of nonsense in every one of its fields. It is
//! refused with its field and remedy, or it does no harm; nobody's fault but the caller's, and nothing is changed by it.

use chassis::contract::{self, Method};
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, ReflectMessage as _, Value};
use proto::common::v1::{Idempotency, Role};
use system::raw::{self, Outcome};
use tonic::Code;

use crate::county::Stage;

/// What is wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrong {
    Garbage,
    Nothing,
    Long,
    Zero,
    Name,
    Negative,
    Least,
    Enumeration,
    Day,
    Page,
}

const ALL: [Wrong; 10] = [
    Wrong::Garbage,
    Wrong::Nothing,
    Wrong::Long,
    Wrong::Zero,
    Wrong::Name,
    Wrong::Negative,
    Wrong::Least,
    Wrong::Enumeration,
    Wrong::Day,
    Wrong::Page,
];
/// Codes that say that the server was at fault, or did not answer.
const OURS: [Code; 7] = [
    Code::Internal,
    Code::Unknown,
    Code::Unavailable,
    Code::DeadlineExceeded,
    Code::Cancelled,
    Code::Unimplemented,
    Code::DataLoss,
];

/// One wrong value for a field; `None` where this wrong does not concern it.
fn wrong_value(field: &FieldDescriptor, wrong: Wrong, page: &str, depth: u32) -> Option<Value> {
    match (field.kind(), wrong) {
        (Kind::String, Wrong::Page) if field.name() == "page_token" => Some(Value::String(page.to_owned())),
        (Kind::String, Wrong::Long) => Some(Value::String("长".repeat(34_000))),
        (Kind::String, Wrong::Zero) => Some(Value::String("terms/2019\0autumn".to_owned())),
        (Kind::String, Wrong::Name) => Some(Value::String("../x//%;'--\u{202e}*/".to_owned())),
        (Kind::Int32, Wrong::Negative) => Some(Value::I32(-7)),
        (Kind::Int32, Wrong::Least) => Some(Value::I32(i32::MIN)),
        (Kind::Int64, Wrong::Negative) => Some(Value::I64(-7)),
        (Kind::Int64, Wrong::Least) => Some(Value::I64(i64::MIN)),
        (Kind::Enum(_), Wrong::Enumeration) => Some(Value::EnumNumber(9999)),
        (Kind::Message(inner), Wrong::Day) if inner.full_name() == "google.type.Date" => {
            let mut day = DynamicMessage::new(inner);
            for (part, number) in [("year", 2019), ("month", 13), ("day", 45)] {
                day.set_field_by_name(part, Value::I32(number));
            }
            Some(Value::Message(day))
        }
        (Kind::Message(inner), Wrong::Day) if inner.full_name() == "google.protobuf.Timestamp" => {
            let mut instant = DynamicMessage::new(inner);
            instant.set_field_by_name("seconds", Value::I64(i64::MAX));
            instant.set_field_by_name("nanos", Value::I32(-1));
            Some(Value::Message(instant))
        }
        (Kind::Message(inner), _) if depth < 4 => {
            let mut message = DynamicMessage::new(inner);
            spoil(&mut message, wrong, page, depth + 1).then_some(Value::Message(message))
        }
        _ => None,
    }
}

/// Puts the wrong into every field that it concerns. Whether it concerned any.
fn spoil(message: &mut DynamicMessage, wrong: Wrong, page: &str, depth: u32) -> bool {
    let mut spoilt = false;
    for field in message.descriptor().fields() {
        if field.is_map() || field.name() == "request_id" {
            continue;
        }
        let Some(value) = wrong_value(&field, wrong, page, depth) else { continue };
        let value = if field.is_list() { Value::List(vec![value]) } else { value };
        message.set_field(&field, value);
        spoilt = true;
    }
    spoilt
}

/// The request of a method with a wrong in it; `None` where it has no such field.
fn request(stage: &Stage, method: &Method, wrong: Wrong, page: &str) -> anyhow::Result<Option<Vec<u8>>> {
    let sound = sound(stage, method, &format!("input-{wrong:?}"))?;
    let mut message = sound;
    Ok(match wrong {
        Wrong::Garbage => Some(vec![0xff; 64]),
        Wrong::Nothing => Some(Vec::new()),
        _ => spoil(&mut message, wrong, page, 0).then(|| prost::Message::encode_to_vec(&message)),
    })
}

/// A request whose names are well-formed, with a real teacher where one is asked for.
pub fn sound(stage: &Stage, method: &Method, request_id: &str) -> anyhow::Result<DynamicMessage> {
    let bytes = raw::request(method, &stage.term, request_id)?;
    let descriptor = contract::pool().get_message_by_name(&method.input);
    let descriptor = descriptor.ok_or_else(|| anyhow::anyhow!("{} is unknown", method.input))?;
    let mut message = DynamicMessage::decode(descriptor.clone(), bytes.as_slice())?;
    let teacher = &stage.teacher()?.teacher;
    for field in descriptor.fields() {
        if !matches!(field.kind(), Kind::String) || field.is_list() {
            continue;
        }
        let is_teacher = matches!(message.get_field(&field).as_ref(), Value::String(name) if name == "teachers/none");
        if is_teacher || field.name() == "teacher" {
            message.set_field(&field, Value::String(teacher.name.clone()));
        }
    }
    Ok(message)
}

/// What is wrong with an answer.
fn complaint(method: &Method, wrong: Wrong, outcome: &Outcome, before: &[i64], after: &[i64]) -> Option<&'static str> {
    if OURS.contains(&outcome.code) {
        return Some("the server's fault");
    }
    if outcome.code != Code::Ok && before != after {
        return Some("refused, and something changed");
    }
    if outcome.code == Code::InvalidArgument && outcome.faults.is_empty() {
        return Some("no field is named");
    }
    if matches!(wrong, Wrong::Garbage | Wrong::Page) && outcome.code == Code::Ok {
        return Some("accepted");
    }
    let names = |field: &str| outcome.faults.iter().any(|(named, _)| named == field);
    let by_id = method.rule.as_ref().is_some_and(|rule| rule.idempotency == Idempotency::RequestId);
    if wrong == Wrong::Nothing && by_id && !names("request_id") {
        return Some("the missing request id is not among the faults");
    }
    // The one character that one of the engines cannot keep.
    let texts = outcome.faults.iter().all(|(_, remedy)| remedy.contains("U+0000"));
    if wrong == Wrong::Zero && !method.client_streaming && (outcome.code != Code::InvalidArgument || !texts) {
        return Some("U+0000 is not refused as such");
    }
    None
}

async fn every_method(engine: &str) -> anyhow::Result<()> {
    let stage = Stage::set(engine, 60, |_| {}).await?;
    stage.open_everything().await?;
    stage.world.system.catch_up().await?;
    let page = foreign_page(&stage).await?;
    let mut methods: Vec<&Method> = contract::methods().collect();
    // What moves clocks and windows comes last: the others shall find them open.
    methods.sort_by_key(|method| (method.service.ends_with("ClockService"), method.package == "common"));
    let (mut calls, mut complaints) = (0, Vec::new());
    for method in methods {
        let (server, header) = stage.caller(method)?;
        let channel = stage.channel(server)?;
        for wrong in ALL {
            let Some(message) = request(&stage, method, wrong, &page)? else { continue };
            let before = stage.heads().await?;
            let outcome = raw::call(channel.clone(), method, header.clone(), message).await?;
            let after = stage.heads().await?;
            calls += 1;
            if let Some(complaint) = complaint(method, wrong, &outcome, &before, &after) {
                complaints.push(format!("{} with {wrong:?}: {complaint}: {outcome:?}", method.path));
            }
        }
    }
    stage.world.system.stop().await?;
    assert!(calls > 400, "only {calls} calls");
    assert!(complaints.is_empty(), "{} of {calls} calls:\n{}", complaints.len(), complaints.join("\n"));
    Ok(())
}

/// The page token of a query that nothing else here asks: the active teachers.
async fn foreign_page(stage: &Stage) -> anyhow::Result<String> {
    let path = "/shixun.roster.v1.TeacherService/ListTeachers";
    let method = contract::method(path).ok_or_else(|| anyhow::anyhow!("no {path}"))?;
    let mut message = sound(stage, method, "")?;
    message.set_field_by_name("page_size", Value::I32(1));
    message.set_field_by_name("status", Value::EnumNumber(1));
    let bytes = prost::Message::encode_to_vec(&message);
    let header = stage.person(Role::BureauOfficer)?;
    let outcome = raw::call(stage.channel("gateway")?, method, header, bytes).await?;
    let reply: proto::roster::v1::ListTeachersResponse = prost::Message::decode(outcome.reply)?;
    anyhow::ensure!(!reply.next_page_token.is_empty(), "one page holds all teachers");
    Ok(reply.next_page_token)
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_in_every_field_on_sqlite() -> anyhow::Result<()> {
    every_method("sqlite").await
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_in_every_field_on_postgres() -> anyhow::Result<()> {
    every_method("postgres").await
}

/// The fields that a refusal names, each with a remedy in both languages.
fn named(outcome: &Outcome) -> Vec<&str> {
    assert_eq!(outcome.code, Code::InvalidArgument, "{outcome:?}");
    for (field, remedy) in &outcome.faults {
        let both = remedy.split_once(" / ").is_some_and(|(zh, en)| !zh.is_ascii() && !en.trim().is_empty());
        assert!(both, "{field}: {remedy}");
    }
    outcome.faults.iter().map(|(field, _)| field.as_str()).collect()
}

async fn say<M: prost::Message>(stage: &Stage, role: Role, path: &str, message: &M) -> anyhow::Result<Outcome> {
    let method = contract::method(path).ok_or_else(|| anyhow::anyhow!("no {path}"))?;
    raw::call(stage.channel("gateway")?, method, stage.person(role)?, message.encode_to_vec()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn several_faults_are_told_at_once() -> anyhow::Result<()> {
    use proto::{catalog::v1 as catalog, gateway::v1 as gateway, roster::v1 as roster};
    let stage = Stage::set("sqlite", 60, |_| {}).await?;
    let before = stage.heads().await?;

    let teacher = roster::Teacher {
        name: String::new(),
        teacher_number: "T-99999".to_owned(),
        identity_number: "110105194912310021".to_owned(),
        sex: "7".to_owned(),
        stages: vec!["primary".to_owned(), "kindergarten".to_owned()],
        tier: "best".to_owned(),
        education: "99".to_owned(),
        ..stage.teacher()?.teacher.clone()
    };
    let request = roster::CreateTeacherRequest { teacher: Some(teacher), request_id: "five".to_owned() };
    let path = "/shixun.roster.v1.TeacherService/CreateTeacher";
    let outcome = say(&stage, Role::BureauOfficer, path, &request).await?;
    let told = named(&outcome);
    for field in ["identity_number", "sex", "stages", "tier", "education"] {
        assert!(told.iter().any(|told| told.ends_with(field)), "{field} is not among {told:?}");
    }

    let calendar = gateway::ValidateCalendarRequest {
        parent: stage.term.clone(),
        document: "zone = \"Asia/Nowhere\"\n\
            [[window]]\nid = \"a\"\nphase = \"DREAMING\"\nfirst_day = 2019-06-17\nlast_day = 2019-06-18\n\
            [[window]]\nid = \"b\"\nphase = \"SLEEPING\"\nfirst_day = 2019-06-20\nlast_day = 2019-06-30\n"
            .to_owned(),
        ..Default::default()
    };
    let path = "/shixun.gateway.v1.CalendarService/ValidateCalendar";
    let outcome = say(&stage, Role::BureauOfficer, path, &calendar).await?;
    if outcome.code == Code::Ok {
        let reply: gateway::ValidateCalendarResponse = prost::Message::decode(outcome.reply)?;
        assert!(reply.faults.len() >= 3, "{reply:?}");
        assert!(reply.faults.iter().all(|fault| !fault.zh.is_empty() && !fault.en.is_empty()), "{reply:?}");
    } else {
        assert!(named(&outcome).len() >= 3, "{outcome:?}");
    }
    assert_eq!(before, stage.heads().await?, "what is refused changes nothing");

    let plan = stage.county.projects.first().ok_or_else(|| anyhow::anyhow!("no project"))?;
    let poor = catalog::Project {
        title: String::new(),
        level: 0,
        base_credit: None,
        classes: Vec::new(),
        name: String::new(),
        ..plan.project.clone()
    };
    let staff = stage
        .county
        .staff
        .iter()
        .find(|staff| staff.organization == plan.project.provider && staff.role == Role::ProviderStaff);
    let staff = staff.ok_or_else(|| anyhow::anyhow!("nobody at {}", plan.project.provider))?;
    let token = stage.world.token(&staff.account, "", &[(staff.role, &staff.organization)])?;
    let header = Some(("authorization", format!("Bearer {token}")));
    let method = |name: &str| {
        contract::method(&format!("/shixun.catalog.v1.ProjectService/{name}"))
            .ok_or_else(|| anyhow::anyhow!("no {name}"))
    };
    let request = catalog::CreateProjectRequest {
        parent: stage.term.clone(),
        project: Some(poor),
        request_id: "poor".to_owned(),
    };
    let request = prost::Message::encode_to_vec(&request);
    let created = raw::call(stage.channel("gateway")?, method("CreateProject")?, header.clone(), request).await?;
    let created: catalog::CreateProjectResponse = prost::Message::decode(created.reply)?;
    let name = created.project.unwrap_or_default().name;
    let before = stage.heads().await?;
    let request = catalog::SubmitProjectRequest { name, request_id: "poor".to_owned() };
    let request = prost::Message::encode_to_vec(&request);
    let outcome = raw::call(stage.channel("gateway")?, method("SubmitProject")?, header, request).await?;
    let told = named(&outcome);
    for field in ["title", "level", "base_credit", "classes"] {
        assert!(told.iter().any(|told| told.ends_with(field)), "{field} is not among {told:?}");
    }
    assert_eq!(before, stage.heads().await?, "what is refused changes nothing");
    stage.world.system.stop().await
}
