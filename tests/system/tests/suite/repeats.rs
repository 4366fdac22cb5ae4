//! Every mutation is safe to repeat: it has a request id, without which it is refused. That the same id gets the same
//! answer and changes nothing twice is checked for every operation of the random histories (`model.rs`).

use chassis::contract;
use prost_reflect::{DynamicMessage, Kind, ReflectMessage as _, Value};
use proto::common::v1::Idempotency;
use system::raw;
use tonic::Code;

use crate::{county::Stage, input::sound};

/// Fills in what a method asks for first, so that nothing but the id is missing.
fn fill(message: &mut DynamicMessage, depth: u32) {
    for field in message.descriptor().fields() {
        let value = match (field.kind(), field.name()) {
            (Kind::String, "reason") => Value::String("other".to_owned()),
            (Kind::String, "project") => Value::String("terms/2019-autumn/projects/none".to_owned()),
            (Kind::String, "password" | "new_password") => Value::String("correct-horse-battery-42".to_owned()),
            (Kind::String, "login") => Value::String("nobody-1".to_owned()),
            (Kind::String, "display_name") => Value::String("某人".to_owned()),
            (Kind::String, "organization") => Value::String("organizations/county".to_owned()),
            (Kind::Int32, "round") => Value::I32(2),
            (Kind::Int32, "year") => Value::I32(2019),
            (Kind::Int32, "month" | "day") => Value::I32(6),
            (Kind::Int64, "seconds") => Value::I64(1_560_000_000),
            (Kind::Enum(_), _) if !field.is_list() => Value::EnumNumber(1),
            (Kind::Message(inner), _) if depth < 4 && !field.is_map() => {
                let mut inner = DynamicMessage::new(inner);
                fill(&mut inner, depth + 1);
                Value::Message(inner)
            }
            _ => continue,
        };
        message.set_field(&field, if field.is_list() { Value::List(vec![value]) } else { value });
    }
}

/// Every method with a request id, without one and with one that is too long.
async fn every_mutation(engine: &str) -> anyhow::Result<()> {
    let stage = Stage::set(engine, 60, |_| {}).await?;
    stage.open_everything().await?;
    stage.world.system.catch_up().await?;
    let (mut calls, mut wrong) = (0, Vec::new());
    let with_id = |method: &&contract::Method| {
        method.rule.as_ref().is_some_and(|rule| rule.idempotency == Idempotency::RequestId)
    };
    for method in contract::methods().filter(with_id) {
        let (server, header) = stage.caller(method)?;
        for request_id in [String::new(), "x".repeat(129)] {
            let mut message = sound(&stage, method, "")?;
            fill(&mut message, 0);
            message.set_field_by_name("request_id", Value::String(request_id.clone()));
            let bytes = prost::Message::encode_to_vec(&message);
            let before = stage.heads().await?;
            let outcome = raw::call(stage.channel(server)?, method, header.clone(), bytes).await?;
            calls += 1;
            let named = outcome.faults.iter().any(|(field, _)| field == "request_id");
            if outcome.code != Code::InvalidArgument || !named || before != stage.heads().await? {
                wrong.push(format!("{} with an id of {} bytes: {outcome:?}", method.path, request_id.len()));
            }
        }
    }
    stage.world.system.stop().await?;
    assert!(calls > 60, "only {calls} calls");
    assert!(wrong.is_empty(), "{} of {calls} calls:\n{}", wrong.len(), wrong.join("\n"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_mutation_without_a_request_id() -> anyhow::Result<()> {
    tokio::try_join!(every_mutation("sqlite"), every_mutation("postgres"))?;
    Ok(())
}
