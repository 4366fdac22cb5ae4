//! `shixun export`: all that is held of a person, from every service through the gateway, in one file (docs/privacy.md).

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use chassis::Env;
use clap::Args;
use prost::{Message, Name};
use prost_reflect::{DynamicMessage, SerializeOptions};
use proto::{
    catalog::v1::{self as catalog, person_service_client::PersonServiceClient as CatalogClient},
    common::v1::{ListActsRequest, Reason, audit_service_client::AuditServiceClient},
    credit::v1::{self as credit, person_service_client::PersonServiceClient as CreditClient},
    enrollment::v1::{self as enrollment, person_service_client::PersonServiceClient as EnrollmentClient},
    gateway::v1::{self as gateway, person_service_client::PersonServiceClient as GatewayClient},
    roster::v1::{
        self as roster, OpenAccountExportRequest, OpenExportRequest, exported_record::Record,
        person_service_client::PersonServiceClient as RosterClient,
    },
};
use serde_json::{Value, json};
use tonic::Status;
use tonic_types::StatusExt as _;

use crate::{client::Person, up::SERVICES};

/// What the file says of its own form.
pub const FORMAT: &str = "shixun-export-1";
/// Records of a page.
const PAGE: i32 = 200;
/// Until every service knows of an export that was just opened.
const KNOWN: Duration = Duration::from_secs(30);
const AGAIN: Duration = Duration::from_millis(200);

/// All that is held of a person, in one file.
#[derive(Debug, Args)]
pub struct ExportOptions {
    /// Whose: "teachers/…".
    #[arg(long, required_unless_present = "account")]
    teacher: Option<String>,
    /// Whose, if he is no teacher: "accounts/…".
    #[arg(long, conflicts_with = "teacher")]
    account: Option<String>,
    /// Where the gateway is.
    #[arg(long, default_value = "http://127.0.0.1:7700")]
    gateway: String,
    /// The login of the person himself, or of his bureau's officer. Asked for if it is not given.
    #[arg(long, env = "SHIXUN_LOGIN")]
    login: Option<String>,
    /// Why an officer exports it for him.
    #[arg(long)]
    reason: Option<String>,
    /// The file. It must not be there; nobody else may read it.
    #[arg(long)]
    out: PathBuf,
}

/// Logs in (password: `SHIXUN_PASSWORD`, else asked for), collects, and writes the file.
///
/// # Errors
/// The gateway's refusal; a file that is there already.
#[allow(clippy::print_stdout, reason = "the command's own words")]
pub async fn run(options: ExportOptions) -> anyhow::Result<()> {
    // Before anybody is asked anything.
    let mut file = create(&options.out)?;
    let written = async {
        let terminal = console::Term::stderr();
        let login = match options.login {
            Some(login) => login,
            None => {
                terminal.write_str("登录名 login: ")?;
                terminal.read_line()?
            }
        };
        let password = match std::env::var("SHIXUN_PASSWORD") {
            Ok(password) => password,
            Err(_) => {
                terminal.write_str("密码 password: ")?;
                terminal.read_secure_line()?
            }
        };
        let channel = chassis::peer::channel(&options.gateway)?;
        let person = Person::login(&channel, login.trim(), &password).await.map_err(|status| told(&status))?;
        let whose = options.teacher.or(options.account).unwrap_or_default();
        let export = collect(&person, &whose, options.reason.as_deref()).await?;
        serde_json::to_writer_pretty(&mut file, &export)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        anyhow::Ok(())
    };
    if let Err(error) = written.await {
        // Half an export is none.
        std::fs::remove_file(&options.out).context("removing the unfinished file")?;
        return Err(error);
    }
    println!("{}", options.out.display());
    Ok(())
}

fn create(path: &Path) -> anyhow::Result<std::fs::File> {
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    file.with_context(|| format!("creating {}", path.display()))
}

/// All that is held of somebody ("teachers/…", or "accounts/…" of who is no teacher), as `person` may have it. `reason`: why an
/// officer asks.
///
/// # Errors
/// The gateway's refusal.
pub async fn collect(person: &Person, whose: &str, reason: Option<&str>) -> anyhow::Result<Value> {
    let is_teacher = !whose.starts_with("accounts/");
    if let Some(reason) = reason {
        let request_id = format!("export-{}", hex::encode(Env::system().random::<8>()?));
        let (reason, mut client) = (reason.to_owned(), RosterClient::new(person.wire()));
        let opened = if is_teacher {
            let request = OpenExportRequest { teacher: whose.to_owned(), reason, request_id };
            client.open_export(request).await.map(drop)
        } else {
            let request = OpenAccountExportRequest { account: whose.to_owned(), reason, request_id };
            client.open_account_export(request).await.map(drop)
        };
        opened.map_err(|status| told(&status))?;
    }
    macro_rules! of {
        ($client:ident, $method:ident, $package:ident::$request:ident { $field:ident: $value:expr }) => {
            pages(async |page_token: String| {
                let request = $package::$request { $field: $value.to_owned(), page_size: PAGE, page_token };
                let reply = $client::new(person.wire()).$method(request).await?.into_inner();
                Ok((reply.records, reply.next_page_token))
            })
            .await?
        };
    }
    let (roster, enrollment, credit, sessions, account);
    if is_teacher {
        roster = of!(RosterClient, export_teacher, roster::ExportTeacherRequest { teacher: whose });
        account = account_in(&roster);
        enrollment = of!(EnrollmentClient, export_teacher, enrollment::ExportTeacherRequest { teacher: whose });
        credit = of!(CreditClient, export_teacher, credit::ExportTeacherRequest { teacher: whose });
        sessions = of!(GatewayClient, export_teacher, gateway::ExportTeacherRequest { teacher: whose });
    } else {
        account = whose.to_owned();
        roster = of!(RosterClient, export_account, roster::ExportAccountRequest { account: whose });
        enrollment = of!(EnrollmentClient, export_account, enrollment::ExportAccountRequest { account: whose });
        // It holds nothing of who has no credit.
        credit = Vec::new();
        sessions = of!(GatewayClient, export_account, gateway::ExportAccountRequest { account: whose });
    }
    // The catalog knows accounts alone.
    let catalog = if account.is_empty() {
        Vec::new()
    } else {
        of!(CatalogClient, export_account, catalog::ExportAccountRequest { account: account })
    };
    let mut export = json!({
        "format": FORMAT,
        if is_teacher { "teacher" } else { "account" }: whose,
        "exported_by": person.account,
        "roster": by_kind(&roster)?,
        "catalog": by_kind(&catalog)?,
        "enrollment": by_kind(&enrollment)?,
        "credit": by_kind(&credit)?,
        "gateway": by_kind(&sessions)?,
    });
    for service in SERVICES {
        if let Some(records) = export.get_mut(service).and_then(Value::as_object_mut) {
            records.insert("act".to_owned(), acts(person, service, whose, &account).await?);
        }
    }
    Ok(export)
}

/// The account of a teacher, as the roster tells it; empty: he has none.
fn account_in(records: &[roster::ExportedRecord]) -> String {
    let facts = records.iter().find_map(|one| match &one.record {
        Some(Record::Facts(facts)) => Some(facts.account.clone()),
        _ => None,
    });
    facts.unwrap_or_default()
}

/// A service's acts about a person, as which he may have a name or two, and those of his account; each once.
async fn acts(person: &Person, service: &str, whose: &str, account: &str) -> anyhow::Result<Value> {
    let names: BTreeSet<&str> = [whose, account].into_iter().filter(|name| !name.is_empty()).collect();
    let about = names.into_iter().map(|name| (name, ""));
    let wanted = about.chain((!account.is_empty()).then_some(("", account)));
    let (mut all, mut seen) = (Vec::new(), BTreeSet::new());
    for (about, account) in wanted {
        let found = pages(async |page_token: String| {
            let parent = format!("services/{service}");
            let (about, account) = (about.to_owned(), account.to_owned());
            let request = ListActsRequest { parent, about, account, page_size: PAGE, page_token, ..Default::default() };
            let reply = AuditServiceClient::new(person.wire()).list_acts(request).await?.into_inner();
            Ok((reply.acts, reply.next_page_token))
        });
        for act in found.await? {
            let act = json_of(&act)?;
            if seen.insert(act.to_string()) {
                all.push(act);
            }
        }
    }
    Ok(Value::Array(all))
}

/// Every page of a service's records; waits until it knows of an export that was just opened.
async fn pages<R>(mut page: impl AsyncFnMut(String) -> Result<(Vec<R>, String), Status>) -> anyhow::Result<Vec<R>> {
    let (mut all, mut token) = (Vec::new(), String::new());
    let begun = tokio::time::Instant::now();
    loop {
        match page(token.clone()).await {
            Ok((records, next)) => {
                all.extend(records);
                token = next;
                if token.is_empty() {
                    return Ok(all);
                }
            }
            Err(status) if is_not_opened(&status) && begun.elapsed() < KNOWN => tokio::time::sleep(AGAIN).await,
            Err(status) => return Err(told(&status)),
        }
    }
}

fn is_not_opened(status: &Status) -> bool {
    let reason = status.get_details_error_info().map(|info| info.reason);
    reason.is_some_and(|reason| reason == Reason::ExportNotOpened.as_str_name())
}

/// A refusal as the person reads it.
fn told(status: &Status) -> anyhow::Error {
    anyhow::anyhow!("{}", status.message())
}

/// Records as JSON, by what they are: the name of the field of `ExportedRecord`.
fn by_kind<R: Message + Name>(records: &[R]) -> anyhow::Result<Value> {
    let mut kinds = BTreeMap::<String, Vec<Value>>::new();
    for record in records {
        let Value::Object(fields) = json_of(record)? else { anyhow::bail!("a record that is no object") };
        for (kind, value) in fields {
            kinds.entry(kind).or_default().push(value);
        }
    }
    Ok(serde_json::to_value(kinds)?)
}

/// A message in protobuf's JSON form, fields as the contract names them.
fn json_of<M: Message + Name>(message: &M) -> anyhow::Result<Value> {
    let descriptor = chassis::contract::pool().get_message_by_name(&M::full_name()).context("of no contract")?;
    let options = SerializeOptions::new().use_proto_field_name(true).stringify_64_bit_integers(false);
    let message = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice())?;
    Ok(message.serialize_with_options(serde_json::value::Serializer, &options)?)
}
