//! What is held of persons: an export leaves out no table; what an erasure leaves is looked at beside it.

mod erasure;

use std::collections::BTreeMap;

use anyhow::Context as _;
use chassis::peer::within;
use proto::{
    catalog::v1::{ExportAccountRequest, person_service_client::PersonServiceClient as CatalogClient},
    common::v1::{Action, Role, RunStepRequest, step_service_client::StepServiceClient},
    roster::v1::person_service_client::PersonServiceClient,
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
    for (service, url) in world.system.databases() {
        databases.insert(service, tables::read(url).await?);
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
    let url = world.system.databases().find(|(known, _)| *known == service).context("no such service")?.1;
    let table = tables::read_one(url, name).await?;
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
