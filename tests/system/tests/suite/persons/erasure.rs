//! After an erasure no column of any database tells of the person, while selections, seats and credit add up as before.

use std::collections::BTreeSet;

use anyhow::Context as _;
use proto::{
    common::v1::{Credit, Role},
    credit::v1::{
        GetStatementRequest, OpenBalanceRequest, RecordSchoolBasedRequest, ReverseEntryRequest, Statement,
        ledger_service_client::LedgerServiceClient,
    },
    enrollment::v1::{
        GrantOverrideRequest, ListSeatsRequest, Seats, review_service_client::ReviewServiceClient,
        selection_service_client::SelectionServiceClient,
    },
    google::r#type::Date,
    roster::v1::{
        EraseAccountRequest, EraseTeacherRequest, RecordStatusEventRequest, SetAccountStateRequest, StatusEvent,
        account, account_service_client::AccountServiceClient, person_service_client::PersonServiceClient,
        status_event::Kind, teacher_service_client::TeacherServiceClient,
    },
};
use shixun::{client, export::collect, people};
use system::tables::Table;

use super::{Databases, Stage, accounts, log_in, read_all, table};

/// Where a text occurs: "service.table.column".
fn found(databases: &Databases, text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (service, tables) in databases {
        for table in tables {
            found.extend(
                table.columns_with(text).into_iter().map(|column| format!("{service}.{}.{column}", table.name)),
            );
        }
    }
    found
}

fn value(databases: &Databases, service: &str, name: &str, key: &str, column: &str) -> anyhow::Result<Vec<u8>> {
    let table = table(databases, service, name)?;
    let place = table.columns.iter().position(|known| known == column).context("a column")?;
    let row = table.rows_of(&["name"], &[key]).first().copied().context("a row")?;
    Ok(row.get(place).cloned().flatten().unwrap_or_default())
}

async fn statement(officer: &client::Person, teacher: &str) -> anyhow::Result<Statement> {
    let request = GetStatementRequest { teacher: teacher.to_owned(), ..Default::default() };
    let reply = LedgerServiceClient::new(officer.wire()).get_statement(request).await?.into_inner();
    let mut statement = reply.statement.context("a statement")?;
    for entry in &mut statement.entries {
        // What people wrote; it goes.
        entry.reason.clear();
        if entry.project.is_empty() {
            entry.source.clear();
        }
    }
    Ok(statement)
}

async fn seats(officer: &client::Person, term: &str) -> anyhow::Result<Vec<Seats>> {
    let request = ListSeatsRequest { parent: term.to_owned(), page_size: 1000, ..Default::default() };
    Ok(SelectionServiceClient::new(officer.wire()).list_seats(request).await?.into_inner().seats)
}

/// Has officers write about a person wherever they can: his name stands in reasons, evidence and messages.
async fn write_about(stage: &Stage, person: &people::Person) -> anyhow::Result<()> {
    let Stage { officer, folder, .. } = stage;
    let (teacher, name) = (person.teacher.name.clone(), person.teacher.display_name.as_str());
    let day = Date { year: 2019, month: 11, day: 11 };
    let request = GrantOverrideRequest {
        parent: folder.name(),
        teacher: teacher.clone(),
        round: 2,
        reason: format!("{name}新入职"),
        request_id: "write-override".to_owned(),
    };
    ReviewServiceClient::new(officer.wire()).grant_override(request).await?;
    let mut ledger = LedgerServiceClient::new(officer.wire());
    let request = OpenBalanceRequest {
        teacher: teacher.clone(),
        base: Some(Credit { hundredths: 500 }),
        awarded: Some(Credit { hundredths: 500 }),
        effective_on: Some(day),
        evidence: format!("{name}的证明"),
        request_id: "write-balance".to_owned(),
        ..Default::default()
    };
    ledger.open_balance(request).await?;
    let request = RecordSchoolBasedRequest {
        teacher,
        awarded: Some(Credit { hundredths: 300 }),
        effective_on: Some(day),
        source: format!("{name}的公开课"),
        request_id: "write-school-based".to_owned(),
        ..Default::default()
    };
    let entry = ledger.record_school_based(request).await?.into_inner().entry.context("an entry")?;
    let reason = format!("{name}未到场");
    let request = ReverseEntryRequest { name: entry.name, reason, request_id: "write-reversal".to_owned() };
    ledger.reverse_entry(request).await?;
    Ok(())
}

/// Who is no teacher: an expert, whose account was suspended.
async fn staff_erasure(stage: &Stage) -> anyhow::Result<()> {
    let before = read_all(&stage.world).await?;
    let of = |databases: &Databases, service: &str, name: &str, column: &str, account: &str| {
        anyhow::Ok(table(databases, service, name)?.rows_of(&[column], &[account]).len())
    };
    // Not the first: he also belongs to a provider.
    let experts = stage.county.staff.iter().filter(|staff| staff.role == Role::Expert).skip(1);
    let mut scored = experts.filter(|staff| of(&before, "catalog", "score", "expert", &staff.account).unwrap_or(0) > 0);
    let expert = scored.next().context("no expert has scored")?;
    let (name, display) = (expert.account.as_str(), expert.display_name.as_str());
    assert_eq!(value(&before, "roster", "account", name, "display_name")?, display.as_bytes());
    let erase = |name: &str| EraseAccountRequest {
        name: name.to_owned(),
        reason: "requested".to_owned(),
        request_id: format!("erase-{}", name.replace('/', "-")),
    };
    let mut persons = PersonServiceClient::new(stage.officer.wire());
    let teachers = accounts(&before)?.into_iter().find(|(teacher, _)| !teacher.is_empty()).context("a teacher")?.1;
    for (other, code) in [
        (name, tonic::Code::FailedPrecondition),
        (teachers.as_str(), tonic::Code::InvalidArgument),
        ("accounts/city-1", tonic::Code::PermissionDenied),
        ("accounts/operator", tonic::Code::PermissionDenied),
    ] {
        let refused = persons.erase_account(erase(other)).await.err().map(|status| status.code());
        assert_eq!(refused, Some(code), "{other}");
    }
    let suspend = SetAccountStateRequest {
        name: name.to_owned(),
        state: account::State::Suspended.into(),
        request_id: "suspend".to_owned(),
        ..Default::default()
    };
    AccountServiceClient::new(stage.officer.wire()).set_account_state(suspend).await?;
    let erased = persons.erase_account(erase(name)).await?.into_inner();
    assert_eq!(persons.erase_account(erase(name)).await?.into_inner(), erased, "the same request again");
    stage.world.system.catch_up().await?;
    let after = read_all(&stage.world).await?;
    assert_eq!(value(&after, "roster", "account", name, "display_name")?, b"");
    assert_eq!(value(&after, "roster", "account", name, "login")?, name.as_bytes());
    assert_eq!(value(&after, "roster", "account", name, "password")?, b"");
    assert_eq!(of(&after, "enrollment", "notification", "account", name)?, 0);
    // That he scored stays; what he said in words does not.
    let scores = of(&before, "catalog", "score", "expert", name)?;
    assert_eq!(of(&after, "catalog", "score", "expert", name)?, scores);
    assert!(log_in(&stage.world, &expert.login, &stage.county.password).await.is_err(), "he can still log in");
    let export = collect(&stage.officer, name, Some("requested")).await?;
    assert!(!export.to_string().contains(display), "what is left of him is told by his name");
    Ok(())
}

async fn erasure(engine: &str) -> anyhow::Result<()> {
    let mut stage = Stage::set(engine).await?;
    staff_erasure(&stage).await?;
    // Somebody with credit of the term, whose login is no part of another's.
    let databases = read_all(&stage.world).await?;
    let entries = table(&databases, "credit", "entry")?;
    let selections = table(&databases, "enrollment", "selection")?;
    let alone = |person: &&people::Person| {
        let others = stage.county.teachers.iter().filter(|other| other.teacher.name != person.teacher.name);
        others.into_iter().all(|other| !other.login.contains(&person.login))
    };
    let person =
        stage.county.teachers.iter().filter(|person| person.roles.is_empty()).filter(alone).max_by_key(|person| {
            let of = |table: &Table| table.rows_of(&["teacher"], &[&person.teacher.name]).len();
            (of(entries).min(1), of(selections))
        });
    let person = person.context("nobody to erase")?.clone();
    let name = person.teacher.name.as_str();
    write_about(&stage, &person).await?;
    let account = accounts(&databases)?.remove(name).context("an account")?;

    // He leaves; an active teacher is not erased.
    let erase = |id: &str| EraseTeacherRequest {
        name: name.to_owned(),
        reason: "requested".to_owned(),
        request_id: id.to_owned(),
    };
    let refused = PersonServiceClient::new(stage.officer.wire()).erase_teacher(erase("early")).await;
    assert_eq!(refused.err().map(|status| status.code()), Some(tonic::Code::FailedPrecondition));
    let event = StatusEvent {
        kind: Kind::Departure.into(),
        effective_on: Some(Date { year: 2020, month: 1, day: 10 }),
        ..StatusEvent::default()
    };
    let request =
        RecordStatusEventRequest { teacher: name.to_owned(), event: Some(event), request_id: "leave".to_owned() };
    TeacherServiceClient::new(stage.officer.wire()).record_status_event(request).await?;
    stage.world.system.catch_up().await?;

    let before = read_all(&stage.world).await?;
    let index = String::from_utf8(value(&before, "roster", "teacher", name, "identity_index")?)?;
    let (display, phone) = (person.teacher.display_name.clone(), person.teacher.phone.clone());
    let personal = [display.as_str(), &phone, &person.login, &index];
    for text in personal {
        let found = found(&before, text);
        assert!(found.iter().any(|place| place.starts_with("roster.")), "{text} is not there: this proves nothing");
    }
    for service in ["enrollment", "credit"] {
        let holds = found(&before, &display).iter().any(|place| place.starts_with(service));
        assert!(holds, "nobody wrote of him in {service}");
    }
    assert!(!value(&before, "roster", "teacher", name, "identity_sealed")?.is_empty());
    let inbox = |databases: &Databases| {
        anyhow::Ok(table(databases, "enrollment", "notification")?.rows_of(&["account"], &[&account]).len())
    };
    assert!(inbox(&before)? > 0, "his inbox is empty: this proves nothing");
    let credit_before = statement(&stage.officer, name).await?;
    let seats_before = seats(&stage.officer, &stage.folder.name()).await?;

    // Enrollment does not hear of it at first.
    let nowhere = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
    stage.world.system.restart_by("enrollment", &[("roster", nowhere)].into()).await?;
    let erased = PersonServiceClient::new(stage.officer.wire()).erase_teacher(erase("erase")).await?.into_inner();
    let meanwhile = read_all(&stage.world).await?;
    assert!(!found(&meanwhile, &display).iter().any(|place| place.starts_with("roster.")));
    assert!(found(&meanwhile, &display).iter().any(|place| place.starts_with("enrollment.")), "it was away");
    assert_eq!(
        PersonServiceClient::new(stage.officer.wire()).erase_teacher(erase("erase")).await?.into_inner(),
        erased,
        "the same request again"
    );
    stage.world.system.restart("enrollment").await?;
    stage.world.system.catch_up().await?;

    let after = read_all(&stage.world).await?;
    for text in personal {
        assert_eq!(found(&after, text), BTreeSet::new(), "{text}");
    }
    assert!(value(&after, "roster", "teacher", name, "identity_sealed")?.is_empty());
    assert_eq!(inbox(&after)?, 0);
    // The rest is as it was.
    assert_eq!(statement(&stage.officer, name).await?, credit_before);
    assert_eq!(seats(&stage.officer, &stage.folder.name()).await?, seats_before);
    for (service, name, columns) in
        [("enrollment", "selection", "teacher"), ("enrollment", "seat_ledger", ""), ("credit", "entry", "teacher")]
    {
        let rows = |databases: &Databases| {
            let table = table(databases, service, name)?;
            anyhow::Ok((table.rows.len(), table.rows_of(&[columns], &[&person.teacher.name]).len()))
        };
        assert_eq!(rows(&after)?, rows(&before)?, "{service}.{name}");
    }
    assert!(log_in(&stage.world, &person.login, &stage.county.password).await.is_err(), "he can still log in");
    let request = GrantOverrideRequest {
        parent: stage.folder.name(),
        teacher: name.to_owned(),
        round: 3,
        reason: display.clone(),
        request_id: "after".to_owned(),
    };
    let refused = ReviewServiceClient::new(stage.officer.wire()).grant_override(request).await;
    assert_eq!(
        refused.err().map(|status| status.code()),
        Some(tonic::Code::FailedPrecondition),
        "written of the erased"
    );
    let request = RecordSchoolBasedRequest {
        teacher: name.to_owned(),
        awarded: Some(Credit { hundredths: 300 }),
        effective_on: Some(Date { year: 2019, month: 11, day: 11 }),
        source: display.clone(),
        request_id: "after".to_owned(),
        ..Default::default()
    };
    let refused = LedgerServiceClient::new(stage.officer.wire()).record_school_based(request).await;
    assert_eq!(
        refused.err().map(|status| status.code()),
        Some(tonic::Code::FailedPrecondition),
        "entered for the erased"
    );
    // What is left of him can still be handed out, and nothing of it is personal.
    let export = collect(&stage.officer, name, Some("requested")).await?.to_string();
    for text in [&display, &phone, &person.login, &person.teacher.identity_number] {
        assert!(!export.contains(text.as_str()));
    }
    stage.world.verify().await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_column_tells_of_the_erased_on_sqlite() -> anyhow::Result<()> {
    erasure("sqlite").await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_column_tells_of_the_erased_on_postgres() -> anyhow::Result<()> {
    erasure("postgres").await
}
