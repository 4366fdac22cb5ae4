//! What is held of persons: an export leaves out no table, and after an erasure no column of any database tells of the person,
//! while selections, seats and credit add up as before.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use chassis::peer::within;
use proto::{
    catalog::v1::{ExportAccountRequest, person_service_client::PersonServiceClient as CatalogClient},
    common::v1::{Action, Credit, Role, RunStepRequest, step_service_client::StepServiceClient},
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
use serde_json::Value;
use shixun::{
    client,
    export::collect,
    people::{self, County, TermFolder},
    progress::Progress,
    rehearse, up,
};
use system::{
    World,
    tables::{self, Table},
};

const TEACHERS: u32 = 80;
const BUREAU: &str = "organizations/county";

/// What is decided on a column that names a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    /// The row is exported to the person in it, as a record of this kind.
    Exported(&'static str),
    /// It is not, because…
    Kept(&'static str),
}
use Decision::{Exported, Kept};

const OFFICE: Decision = Kept("an act in office, about others: whom it is about gets it");
const MIRROR: Decision = Kept("a copy of a neighbour's fact, which exports it");
const OWN_NAME: Decision = Kept("the name of something that is exported by its person's column");
const REQUEST: Decision =
    Kept("that a request was made; its reply tells what is exported anyway, and goes by [retention]");

/// Every column of the five databases that names a teacher or an account. A column that is not here fails the test: decide!
const DECISIONS: &[(&str, &str, &[&str], Decision)] = &[
    ("roster", "teacher", &["name"], Exported("teacher")),
    ("roster", "teacher", &["account"], OWN_NAME),
    ("roster", "status_event", &["teacher"], Exported("status_event")),
    ("roster", "status_event", &["name"], OWN_NAME),
    ("roster", "status_event", &["recorded_by", "settled_by"], OFFICE),
    ("roster", "teacher_stay", &["teacher"], Kept("where he was: credit's stays are these, and exported")),
    ("roster", "teacher_leave", &["teacher"], Exported("leave")),
    ("roster", "correction_decision", &["teacher"], Exported("correction")),
    ("roster", "correction_decision", &["decided_by"], OFFICE),
    ("roster", "account", &["name"], Exported("account")),
    ("roster", "account", &["teacher", "login"], OWN_NAME),
    ("roster", "account_role", &["account"], Exported("role")),
    ("roster", "change", &["resource"], Exported("change")),
    ("roster", "export_permit", &["teacher"], Exported("export")),
    ("roster", "export_permit", &["name", "account"], OWN_NAME),
    ("roster", "export_permit", &["officer"], OFFICE),
    ("catalog", "assignment", &["expert"], Exported("assignment")),
    ("catalog", "score", &["expert"], Exported("score")),
    ("catalog", "decision", &["account"], OFFICE),
    ("catalog", "expansion", &["requested_by", "decided_by"], OFFICE),
    ("catalog", "account_role", &["account"], MIRROR),
    ("enrollment", "selection", &["teacher"], Exported("selection")),
    ("enrollment", "selection", &["submitted_by"], Kept("himself, or who acted for him: it stands in the selection")),
    ("enrollment", "selection", &["entry"], OWN_NAME),
    ("enrollment", "bar_override", &["teacher"], Exported("override")),
    ("enrollment", "notice_recipient", &["teacher"], Exported("notice")),
    ("enrollment", "notification", &["account"], Exported("notification")),
    ("enrollment", "notification", &["resource"], Kept("what a message is about: whose inbox it is in gets it")),
    ("enrollment", "non_selector", &["teacher"], Exported("non_selection")),
    ("enrollment", "urge", &["teacher"], Exported("urging")),
    ("enrollment", "urge", &["account"], OFFICE),
    ("enrollment", "credit_position_fixed", &["teacher"], Exported("fixed_credit")),
    ("enrollment", "credit_position", &["teacher"], MIRROR),
    ("enrollment", "teacher", &["name", "account"], MIRROR),
    ("enrollment", "account_role", &["account", "teacher"], MIRROR),
    ("credit", "entry", &["teacher"], Exported("entry")),
    ("credit", "entry", &["account"], OFFICE),
    ("credit", "entry", &["name", "reverses", "once"], OWN_NAME),
    ("credit", "standing", &["teacher"], Exported("standing")),
    ("credit", "stay", &["teacher"], Exported("stay")),
    ("credit", "teacher", &["name"], MIRROR),
    ("credit", "result", &["teacher"], MIRROR),
    ("credit", "change", &["resource"], Kept("entries and positions as they were told: the ledger itself is exported")),
    ("gateway", "session", &["account"], Exported("session")),
    ("gateway", "token_reuse", &["account"], Kept("told to its account's owner at his next login, and then gone")),
    ("gateway", "calendar", &["put_by"], OFFICE),
    // In every database.
    ("", "request", &["caller"], REQUEST),
    (
        "",
        "reading",
        &["account", "about"],
        Kept("who read of others: the audit view tells it, and it goes by [retention]"),
    ),
    ("", "export_permit", &["name", "teacher", "account", "officer"], MIRROR),
];

/// Columns of exported rows that are nobody's to have, or that the export tells in another form.
const HIDDEN: &[&str] = &[
    "identity_key",
    "identity_sealed",
    "identity_index",
    "password",
    "token_digest",
    "family", // secrets
    "id",
    "once", // inner names
    "pending",
    "fields",
    "metadata",
    "criteria",
    "body", // structures: fields of the record
    "batch",
];

fn decided(service: &str, table: &str, column: &str) -> Option<Decision> {
    let fits = |(of, name, columns, _): &&(&str, &str, &[&str], Decision)| {
        (of.is_empty() || *of == service) && *name == table && columns.contains(&column)
    };
    DECISIONS.iter().find(fits).map(|(.., decision)| *decision)
}

/// Whether a column names a person: by what it is called, or by what is in it.
fn names_a_person(table: &Table, column: &str) -> bool {
    let called = ["teacher", "account", "expert", "officer", "caller"].contains(&column) || column.ends_with("_by");
    let Some(place) = table.columns.iter().position(|known| known == column) else { return called };
    let held = table.rows.iter().filter_map(|row| row.get(place)?.as_deref());
    called || held.into_iter().any(|value| value.starts_with(b"teachers/") || value.starts_with(b"accounts/"))
}

type Databases = BTreeMap<&'static str, Vec<Table>>;

async fn read_all(world: &World) -> anyhow::Result<Databases> {
    let mut databases = BTreeMap::new();
    for (service, url) in world.system.databases().await? {
        databases.insert(service, tables::read(&url).await?);
    }
    Ok(databases)
}

fn table<'a>(databases: &'a Databases, service: &str, name: &str) -> anyhow::Result<&'a Table> {
    let tables = databases.get(service).context("no such service")?;
    tables.iter().find(|table| table.name == name).with_context(|| format!("{service} has no table {name}"))
}

/// A county that has its term behind it.
struct Stage {
    world: World,
    county: County,
    folder: TermFolder,
    officer: client::Person,
}

impl Stage {
    async fn set(engine: &str) -> anyhow::Result<Self> {
        let folder = TermFolder::sample()?;
        let county = County::generate(3, TEACHERS, &folder);
        let begin = proto::jiff_instant(rehearse::before_the_term(&folder)?).to_string();
        let world = World::start_for(engine, &begin, &county.password).await?;
        up::setup::county(&world.system, &county, &folder, &Progress::hidden()).await?;
        let report = rehearse::play(world.system.reach(), &county, &folder, Progress::hidden()).await?;
        anyhow::ensure!(report.surprises.is_empty(), "{:?}", report.surprises);
        let staff = county.staff.iter().find(|one| one.role == Role::BureauOfficer && one.organization == BUREAU);
        let login = &staff.context("the county has no officer")?.login;
        let officer = log_in(&world, login, &county.password).await?;
        Ok(Self { world, county, folder, officer })
    }
}

async fn log_in(world: &World, login: &str, password: &str) -> anyhow::Result<client::Person> {
    let gateway = chassis::peer::channel(&world.system.gateway())?;
    client::Person::login(&gateway, login, password).await.with_context(|| format!("{login} logs in"))
}

/// Holds an export against the databases: as many records as rows, and every text of a row told.
fn hold(
    export: &Value,
    databases: &Databases,
    persons: &[&str],
    told: &mut BTreeMap<String, usize>,
) -> anyhow::Result<()> {
    let text = export.to_string().to_lowercase();
    for (service, name, columns, decision) in DECISIONS {
        let Exported(kind) = decision else { continue };
        let table = table(databases, service, name)?;
        let rows = table.rows_of(columns, persons);
        let records = export[*service][*kind].as_array().map_or(0, Vec::len);
        anyhow::ensure!(
            records == rows.len(),
            "of {persons:?} {service}.{name} has {} rows, the export {records} of {kind}",
            rows.len()
        );
        *told.entry(format!("{service}.{name}")).or_default() += rows.len();
        for row in rows {
            for (column, value) in table.columns.iter().zip(row) {
                let Some(value) = value.as_deref().and_then(|value| str::from_utf8(value).ok()) else { continue };
                let other_form = value.parse::<i64>().is_ok() || value.parse::<jiff::civil::Date>().is_ok();
                if HIDDEN.contains(&column.as_str()) || other_form || ["t", "f", "true", "false"].contains(&value) {
                    continue;
                }
                for part in value.split(';') {
                    let part = serde_json::to_string(part)?.to_lowercase();
                    let part = part.trim_matches('"');
                    anyhow::ensure!(
                        text.contains(part),
                        "{service}.{name}.{column} is {part:?}: the export has it not"
                    );
                }
            }
        }
    }
    // The history of his selections: not by a column of the person's, but by what it tells of.
    let selections = table(databases, "enrollment", "selection")?.rows_of(&["teacher"], persons);
    let names: Vec<&str> = selections.iter().filter_map(|row| str::from_utf8(row.first()?.as_deref()?).ok()).collect();
    let changes = table(databases, "enrollment", "change")?.rows_of(&["resource"], &names).len();
    let records = export["enrollment"]["change"].as_array().map_or(0, Vec::len);
    anyhow::ensure!(records == changes, "of {persons:?} {changes} changes of selections, the export has {records}");
    *told.entry("enrollment.change".to_owned()).or_default() += changes;
    Ok(())
}

/// The teachers for whom each exported table has most rows.
fn richest<'a>(county: &'a County, databases: &Databases) -> anyhow::Result<Vec<&'a people::Person>> {
    let accounts = accounts(databases)?;
    let mut chosen = BTreeMap::new();
    for (service, name, columns, decision) in DECISIONS {
        if !matches!(decision, Exported(_)) {
            continue;
        }
        let table = table(databases, service, name)?;
        let rows = |person: &&people::Person| {
            let account = accounts.get(&person.teacher.name).map_or("", String::as_str);
            table.rows_of(columns, &[&person.teacher.name, account]).len()
        };
        if let Some(most) = county.teachers.iter().max_by_key(rows) {
            chosen.insert(most.teacher.name.clone(), most);
        }
    }
    Ok(chosen.into_values().collect())
}

/// The account of each teacher.
fn accounts(databases: &Databases) -> anyhow::Result<BTreeMap<String, String>> {
    let accounts = table(databases, "roster", "account")?;
    let place = |column: &str| accounts.columns.iter().position(|known| known == column).context("a column");
    let (name, teacher) = (place("name")?, place("teacher")?);
    let text = |row: &Vec<Option<Vec<u8>>>, place: usize| {
        row.get(place).cloned().flatten().and_then(|value| String::from_utf8(value).ok()).unwrap_or_default()
    };
    Ok(accounts.rows.iter().map(|row| (text(row, teacher), text(row, name))).collect())
}

async fn exports(engine: &str) -> anyhow::Result<()> {
    let Stage { world, county, officer, folder } = Stage::set(engine).await?;
    let databases = read_all(&world).await?;
    let mut undecided = Vec::new();
    for (service, tables) in &databases {
        for table in tables {
            let named = table.columns.iter().filter(|column| names_a_person(table, column));
            let open = named.filter(|column| decided(service, &table.name, column).is_none());
            undecided.extend(open.map(|column| format!("{service}.{}.{column}", table.name)));
        }
    }
    assert!(undecided.is_empty(), "exported, or not, and why? {undecided:?}");

    let mut told = BTreeMap::new();
    for person in richest(&county, &databases)? {
        let name = person.teacher.name.as_str();
        let himself = log_in(&world, &person.login, &county.password).await?;
        let export = collect(&himself, name, None).await?;
        let databases = read_all(&world).await?;
        hold(&export, &databases, &[name, &himself.account], &mut told).with_context(|| format!("of {name}"))?;
        let text = export.to_string();
        for own in [&person.teacher.display_name, &person.teacher.identity_number, &person.teacher.phone, &person.login]
        {
            assert!(text.contains(own.as_str()), "{name}: not all that is personal is in full");
        }
    }
    // An officer gets the same; what he did for it is part of it.
    let person = county.teachers.first().context("a teacher")?;
    let name = person.teacher.name.as_str();
    let unopened = collect_at_once(&officer, name).await;
    assert!(unopened.is_err(), "an officer reads a person's data without a word why");
    let export = collect(&officer, name, Some("本人书面申请")).await?;
    let databases = read_all(&world).await?;
    let account = accounts(&databases)?.remove(name).context("an account")?;
    hold(&export, &databases, &[name, &account], &mut told)?;
    assert!(export.to_string().contains("本人书面申请"));

    // Experts are no teachers here: each gets what the catalog holds of him.
    for (name, kind) in [("assignment", "assignment"), ("score", "score")] {
        let table = table(&databases, "catalog", name)?;
        let experts = county.staff.iter().filter(|staff| staff.role == Role::Expert);
        let most =
            experts.max_by_key(|staff| table.rows_of(&["expert"], &[&staff.account]).len()).context("an expert")?;
        let himself = log_in(&world, &most.login, &county.password).await?;
        let mut client = CatalogClient::new(himself.wire());
        let request = ExportAccountRequest { account: himself.account.clone(), page_size: 1000, ..Default::default() };
        let records = client.export_account(request).await?.into_inner().records;
        let of_kind = records.iter().filter(|one| {
            use proto::catalog::v1::exported_record::Record;
            matches!(
                (&one.record, kind),
                (Some(Record::Assignment(_)), "assignment") | (Some(Record::Score(_)), "score")
            )
        });
        let rows = table.rows_of(&["expert"], &[&most.account]).len();
        assert_eq!(of_kind.count(), rows, "{kind}");
        *told.entry(format!("catalog.{name}")).or_default() += rows;
    }
    let untold: Vec<_> = told.iter().filter(|(_, rows)| **rows == 0).map(|(table, _)| table.as_str()).collect();
    // What no teacher of this county had: nothing is proved of it here.
    assert_eq!(untold, NOT_PLAYED, "on {engine}");
    staff_exports(&world, &county, &officer).await?;
    forgotten(&world, &folder).await?;
    world.verify().await
}

/// Holds the export of somebody who is no teacher against the databases: what is held of him, what he did, who read it.
fn hold_account(export: &Value, databases: &Databases, account: &str) -> anyhow::Result<()> {
    let records = |service: &str, kind: &str| export[service][kind].as_array().map_or(0, Vec::len);
    for (service, name, column, kind) in [
        ("roster", "account", "name", "account"),
        ("roster", "account_role", "account", "role"),
        ("roster", "change", "resource", "change"),
        ("roster", "export_permit", "account", "export"),
        ("catalog", "assignment", "expert", "assignment"),
        ("catalog", "score", "expert", "score"),
        ("enrollment", "notification", "account", "notification"),
        ("gateway", "session", "account", "session"),
    ] {
        let rows = table(databases, service, name)?.rows_of(&[column], &[account]).len();
        assert_eq!(records(service, kind), rows, "{account}: {service}.{name}");
    }
    let own = table(databases, "roster", "account")?.rows_of(&["name"], &[account]);
    for personal in ["login", "display_name"] {
        let columns = &table(databases, "roster", "account")?.columns;
        let place = columns.iter().position(|known| known == personal).context("a column")?;
        let value = own.first().and_then(|row| row.get(place)?.as_deref()).context("a value")?;
        assert!(export["roster"].to_string().contains(str::from_utf8(value)?), "{account}: {personal} is not told");
    }
    // What he did, read or changed, is there as often as it was kept: others cannot be told apart in bytes, readings can.
    for service in up::SERVICES {
        let acts = export[service]["act"].as_array().context("no acts")?;
        let read = acts.iter().filter(|act| act["kind"] == "KIND_READ" && act["account"] == account).count();
        let kept = table(databases, service, "reading")?.rows_of(&["account"], &[account]).len();
        // Readings of the export itself go on.
        anyhow::ensure!(read <= kept && kept <= read + 30, "{account}: {service} kept {kept}, {read} are told");
    }
    Ok(())
}

/// Who is no teacher gets what is held of him, too: by himself, and by an officer who says why.
async fn staff_exports(world: &World, county: &County, officer: &client::Person) -> anyhow::Result<()> {
    let databases = read_all(world).await?;
    let scores = table(&databases, "catalog", "score")?;
    let mut busiest = BTreeMap::new();
    for staff in &county.staff {
        let acts = scores.rows_of(&["expert"], &[&staff.account]).len();
        let best = busiest.entry(staff.role).or_insert((acts, staff));
        if acts > best.0 {
            *best = (acts, staff);
        }
    }
    assert!(busiest.len() >= 5, "few kinds of staff: this proves little");
    for (_, staff) in busiest.values() {
        let himself = log_in(world, &staff.login, &county.password).await?;
        let databases = read_all(world).await?;
        let export = collect(&himself, &staff.account, None).await?;
        hold_account(&export, &databases, &staff.account)?;
        let decided = export["catalog"]["act"].as_array().is_some_and(|acts| {
            acts.iter().any(|act| act["kind"] == "KIND_CHANGED" && act["account"] == staff.account.as_str())
        });
        assert!(decided || staff.role != Role::ProviderStaff, "what he declared is not told");
        if staff.role == Role::Operator {
            let other = collect(&himself, &officer.account, None).await;
            assert!(other.is_err(), "an operator reads all of an officer");
        }
    }
    // By an officer of the bureau above all that he does: not by one beside or below him.
    let one = county.staff.iter().find(|staff| staff.role == Role::DistrictOfficer).context("no district")?;
    assert!(collect(officer, &officer.account.replace("bureau-1", "city-1"), Some("x")).await.is_err());
    assert!(collect(officer, "accounts/operator", Some("x")).await.is_err());
    // An hour later than any that read before.
    let last = instants(world, "gateway", "reading").await?.last().copied().context("nobody read")?;
    world.system.advance(last.saturating_add(3_600_000_000), false).await?;
    let export = collect(officer, &one.account, Some("本人书面申请")).await?;
    assert!(export.to_string().contains("本人书面申请"));
    hold_account(&export, &read_all(world).await?, &one.account)?;
    // He is told who had it.
    let himself = log_in(world, &one.login, &county.password).await?;
    let export = collect(&himself, &one.account, None).await?;
    for service in ["roster", "catalog", "enrollment", "gateway"] {
        let acts = export[service]["act"].as_array().context("no acts")?;
        let read = acts.iter().filter(|act| act["kind"] == "KIND_READ" && act["account"] == officer.account.as_str());
        let exports = read.filter(|act| act["method"].as_str().is_some_and(|method| method.contains("ExportAccount")));
        assert!(exports.count() > 0, "{service} does not tell who exported him");
    }
    Ok(())
}

/// The instants of a table's rows, in order.
async fn instants(world: &World, service: &str, name: &str) -> anyhow::Result<Vec<i64>> {
    let databases = read_all(world).await?;
    let table = table(&databases, service, name)?;
    let place = table.columns.iter().position(|column| column == "at").context("no instants")?;
    let value = |row: &Vec<Option<Vec<u8>>>| str::from_utf8(row.get(place)?.as_deref()?).ok()?.parse().ok();
    let mut instants: Vec<i64> = table.rows.iter().map(value).collect::<Option<_>>().context("an instant")?;
    instants.sort_unstable();
    Ok(instants)
}

/// What is older than the policy says goes, what is as young as it says stays: the messages, and every service's trail of reading.
async fn forgotten(world: &World, folder: &TermFolder) -> anyhow::Result<()> {
    let kept = chassis::policy::Retention::default();
    let trails = up::SERVICES.map(|service| (service, "reading", Action::PurgeReplies, kept.reading_days));
    let inboxes = [("enrollment", "notification", Action::PurgeInboxes, kept.inbox_days)];
    for (service, name, action, days) in inboxes.into_iter().chain(trails) {
        let before = instants(world, service, name).await?;
        // As young as the second instant: the first ones are older.
        let young = before.iter().copied().find(|at| Some(at) > before.first());
        let young = young.with_context(|| format!("{service}.{name} has one instant at most: this proves nothing"))?;
        let younger: Vec<i64> = before.iter().copied().filter(|at| *at >= young).collect();
        for page in 0.. {
            let due = young.saturating_add(i64::from(days).saturating_mul(86_400_000_000));
            let request = RunStepRequest {
                term: folder.name(),
                action: action.into(),
                due: Some(proto::timestamp(due)),
                page,
                request_id: format!("{name}-{page}"),
                ..RunStepRequest::default()
            };
            let mut steps = StepServiceClient::new(world.peer("gateway", service)?);
            if !steps.run_step(within(std::time::Duration::from_secs(10), request)).await?.into_inner().more {
                break;
            }
        }
        assert_eq!(instants(world, service, name).await?, younger, "{service}.{name}");
    }
    Ok(())
}

/// Exported tables that the sample county's term leaves empty for everybody who was looked at.
const NOT_PLAYED: [&str; 0] = [];

/// What an officer gets who has not said why: without the patience for an export that was just opened.
async fn collect_at_once(officer: &client::Person, teacher: &str) -> anyhow::Result<()> {
    let request = proto::roster::v1::ExportTeacherRequest { teacher: teacher.to_owned(), ..Default::default() };
    PersonServiceClient::new(officer.wire()).export_teacher(request).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_leaves_out_no_table_on_sqlite() -> anyhow::Result<()> {
    exports("sqlite").await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_leaves_out_no_table_on_postgres() -> anyhow::Result<()> {
    exports("postgres").await
}

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
