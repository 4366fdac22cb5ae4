//! `shixun export`: all that is held of a teacher, from every service through the gateway, in one file (docs/privacy.md).

use std::{
    collections::BTreeMap,
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
    common::v1::Reason,
    credit::v1::{self as credit, person_service_client::PersonServiceClient as CreditClient},
    enrollment::v1::{self as enrollment, person_service_client::PersonServiceClient as EnrollmentClient},
    gateway::v1::{self as gateway, person_service_client::PersonServiceClient as GatewayClient},
    roster::v1::{
        self as roster, OpenExportRequest, exported_record::Record,
        person_service_client::PersonServiceClient as RosterClient,
    },
};
use serde_json::{Value, json};
use tonic::Status;
use tonic_types::StatusExt as _;

use crate::client::Person;

/// What the file says of its own form.
pub const FORMAT: &str = "shixun-export-1";
/// Records of a page.
const PAGE: i32 = 200;
/// Until every service knows of an export that was just opened.
const KNOWN: Duration = Duration::from_secs(30);
const AGAIN: Duration = Duration::from_millis(200);

/// All that is held of a teacher, in one file.
#[derive(Debug, Args)]
pub struct ExportOptions {
    /// Whose: "teachers/…".
    #[arg(long)]
    teacher: String,
    /// Where the gateway is.
    #[arg(long, default_value = "http://127.0.0.1:7700")]
    gateway: String,
    /// The login of the teacher himself, or of his bureau's officer. Asked for if it is not given.
    #[arg(long, env = "SHIXUN_LOGIN")]
    login: Option<String>,
    /// Why an officer exports it for the teacher.
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
        let export = collect(&person, &options.teacher, options.reason.as_deref()).await?;
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

/// All that is held of `teacher`, as `person` may have it. `reason`: why an officer asks.
///
/// # Errors
/// The gateway's refusal.
pub async fn collect(person: &Person, teacher: &str, reason: Option<&str>) -> anyhow::Result<Value> {
    if let Some(reason) = reason {
        let request_id = format!("export-{}", hex::encode(Env::system().random::<8>()?));
        let request = OpenExportRequest { teacher: teacher.to_owned(), reason: reason.to_owned(), request_id };
        RosterClient::new(person.wire()).open_export(request).await.map_err(|status| told(&status))?;
    }
    macro_rules! of {
        ($client:ident, $method:ident, $request:expr) => {
            pages(async |page_token: String| {
                let request = $request;
                let request = request(page_token);
                let reply = $client::new(person.wire()).$method(request).await?.into_inner();
                Ok((reply.records, reply.next_page_token))
            })
            .await?
        };
    }
    let page_size = PAGE;
    let roster = of!(RosterClient, export_teacher, |page_token| roster::ExportTeacherRequest {
        teacher: teacher.to_owned(),
        page_size,
        page_token
    });
    let account = roster.iter().find_map(|one: &roster::ExportedRecord| match &one.record {
        Some(Record::Facts(facts)) => Some(facts.account.clone()),
        _ => None,
    });
    let account = account.unwrap_or_default();
    let enrollment = of!(EnrollmentClient, export_teacher, |page_token| enrollment::ExportTeacherRequest {
        teacher: teacher.to_owned(),
        page_size,
        page_token
    });
    let credit = of!(CreditClient, export_teacher, |page_token| credit::ExportTeacherRequest {
        teacher: teacher.to_owned(),
        page_size,
        page_token
    });
    // The catalog and the gateway know accounts alone.
    let catalog = if account.is_empty() {
        Vec::new()
    } else {
        of!(CatalogClient, export_account, |page_token| catalog::ExportAccountRequest {
            account: account.clone(),
            page_size,
            page_token
        })
    };
    let sessions = of!(GatewayClient, export_teacher, |page_token| gateway::ExportTeacherRequest {
        teacher: teacher.to_owned(),
        page_size,
        page_token
    });
    Ok(json!({
        "format": FORMAT,
        "teacher": teacher,
        "exported_by": person.account,
        "roster": by_kind(&roster)?,
        "catalog": by_kind(&catalog)?,
        "enrollment": by_kind(&enrollment)?,
        "credit": by_kind(&credit)?,
        "gateway": by_kind(&sessions)?,
    }))
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
    let pool = chassis::contract::pool();
    let descriptor = pool.get_message_by_name(&R::full_name()).context("a record of no contract")?;
    let options = SerializeOptions::new().use_proto_field_name(true).stringify_64_bit_integers(false);
    let mut kinds = BTreeMap::<String, Vec<Value>>::new();
    for record in records {
        let message = DynamicMessage::decode(descriptor.clone(), record.encode_to_vec().as_slice())?;
        let value = message.serialize_with_options(serde_json::value::Serializer, &options)?;
        let Value::Object(fields) = value else { anyhow::bail!("a record that is no object") };
        for (kind, value) in fields {
            kinds.entry(kind).or_default().push(value);
        }
    }
    Ok(serde_json::to_value(kinds)?)
}
