//! `shixun up` as a new user meets it: the banner, the calls that it prints, made by a client that knows nothing but what
//! reflection tells; and the same again the next day.

use std::{
    fs::{self, File},
    path::Path,
    process::Command,
    time::Duration,
};

use anyhow::Context as _;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, ReflectMessage as _, prost_types::FileDescriptorProto};
use proto::{
    catalog::v1::ListProjectsResponse,
    credit::v1::GetStatementResponse,
    enrollment::v1::SubmitSelectionResponse,
    gateway::v1::{GetTodayResponse, LoginResponse},
    roster::v1::SetPasswordResponse,
};
use tonic::{Request, Status, transport::Channel};
use tonic_prost::ProstCodec;
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use crate::child::Process;

/// Setting up, playing up to the first morning and starting, on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(120);

/// A client that has nothing but an address.
struct Stock {
    channel: Channel,
    pool: DescriptorPool,
    services: Vec<String>,
    token: Option<String>,
}

impl Stock {
    async fn connect(address: &str) -> anyhow::Result<Self> {
        let channel = Channel::from_shared(format!("http://{address}"))?.connect().await?;
        let mut stock = Self { channel, pool: DescriptorPool::new(), services: Vec::new(), token: None };
        let listed = stock.reflect(MessageRequest::ListServices(String::new())).await?;
        let MessageResponse::ListServicesResponse(listed) = listed else { anyhow::bail!("no list of services") };
        stock.services = listed.service.into_iter().map(|service| service.name).collect();
        Ok(stock)
    }

    async fn reflect(&self, request: MessageRequest) -> anyhow::Result<MessageResponse> {
        let request = ServerReflectionRequest { host: String::new(), message_request: Some(request) };
        let mut client = ServerReflectionClient::new(self.channel.clone());
        let mut replies = client.server_reflection_info(tokio_stream::once(request)).await?.into_inner();
        let reply = replies.message().await?.context("reflection says nothing")?;
        reply.message_response.context("an empty reply of reflection")
    }

    /// The files that define a service, what they import first.
    async fn learn(&mut self, service: &str) -> anyhow::Result<()> {
        let mut wanted = vec![MessageRequest::FileContainingSymbol(service.to_owned())];
        let mut files: Vec<FileDescriptorProto> = Vec::new();
        while let Some(request) = wanted.pop() {
            let MessageResponse::FileDescriptorResponse(reply) = self.reflect(request).await? else {
                anyhow::bail!("{service} is not known to reflection");
            };
            for file in reply.file_descriptor_proto {
                let file = FileDescriptorProto::decode(file.as_slice())?;
                let known = |name: &String| files.iter().any(|file| file.name.as_ref() == Some(name));
                let unknown = file.dependency.iter().filter(|name| !known(name)).cloned();
                wanted.extend(unknown.map(MessageRequest::FileByFilename));
                files.retain(|known| known.name != file.name);
                files.push(file);
            }
        }
        Ok(self.pool.add_file_descriptor_protos(files)?)
    }

    /// A call as it is printed: JSON and "package.Service/Method".
    async fn call<R: Message + Default + 'static>(&mut self, json: &str, method: &str) -> anyhow::Result<R> {
        let (service, name) = method.split_once('/').context("a method")?;
        assert!(self.services.iter().any(|known| known == service), "{service} is not listed");
        self.learn(service).await?;
        let described = self.pool.get_service_by_name(service).context("the service's description")?;
        let described = described.methods().find(|known| known.name() == name).context("the method's description")?;
        let mut json = serde_json::Deserializer::from_str(json);
        let message = DynamicMessage::deserialize(described.input(), &mut json)?;
        json.end()?;
        assert_eq!(message.descriptor().full_name(), described.input().full_name());
        let mut request = Request::new(message);
        if let Some(token) = &self.token {
            request.metadata_mut().insert("authorization", format!("Bearer {token}").parse()?);
        }
        let mut client = tonic::client::Grpc::new(self.channel.clone());
        client.ready().await?;
        let codec = ProstCodec::<DynamicMessage, R>::default();
        let reply: Result<_, Status> = client.unary(request, format!("/{method}").parse()?, codec).await;
        Ok(reply.with_context(|| method.to_owned())?.into_inner())
    }
}

/// A printed call: JSON and method.
fn printed<'a>(banner: &'a str, method: &str) -> anyhow::Result<(&'a str, &'a str)> {
    let line =
        banner.lines().find(|line| line.ends_with(method)).with_context(|| format!("no {method} in {banner}"))?;
    let json = line.split('\'').nth(1).context("its JSON")?;
    Ok((json, line.rsplit(' ').next().context("its method")?))
}

fn start(data: &Path, output: &Path) -> anyhow::Result<Process> {
    start_with(&["--teachers", "120"], data, output)
}

fn start_with(options: &[&str], data: &Path, output: &Path) -> anyhow::Result<Process> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shixun"));
    command.args(["up", "--listen", "127.0.0.1:0", "--data"]).arg(data).args(options);
    Process::start_into(command, File::create(output)?)
}

/// Why it does not start.
async fn refused(options: &[&str], data: &Path) -> anyhow::Result<String> {
    let mut arguments = vec!["up", "--listen", "127.0.0.1:0", "--data", data.to_str().context("a path")?];
    arguments.extend(options);
    said(&arguments).await
}

/// What a command that is refused says.
pub async fn said(arguments: &[&str]) -> anyhow::Result<String> {
    let folder = tempfile::tempdir()?;
    let errors = folder.path().join("errors");
    let mut command = Command::new(env!("CARGO_BIN_EXE_shixun"));
    command.args(arguments).env("SHIXUN_OPERATOR_PASSWORD", "p-the-operators-password");
    command.stderr(File::create(&errors)?);
    let mut process = Process::start_into(command, File::create(folder.path().join("output"))?)?;
    let status = process.ended(Duration::from_secs(20)).await?;
    let said = fs::read_to_string(&errors)?;
    anyhow::ensure!(status.code() == Some(1), "{status}: {said}");
    Ok(said)
}

async fn end(mut process: Process) -> anyhow::Result<()> {
    process.terminate()?;
    assert_eq!(process.ended(Duration::from_secs(10)).await?.code(), Some(0));
    Ok(())
}

/// The banner, once it is whole.
async fn banner(process: &mut Process, output: &Path) -> anyhow::Result<String> {
    let whole = async {
        loop {
            let text = fs::read_to_string(output)?;
            if text.contains("Ctrl-C") {
                return anyhow::Ok(text);
            }
            process.check()?;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, whole).await.context("no banner")?
}

async fn log_in(banner: &str) -> anyhow::Result<Stock> {
    let listens = banner.lines().find_map(|line| line.split_once("listens on ")).context("no address")?.1;
    let mut stock = Stock::connect(listens.split(' ').next().context("no address")?).await?;
    let (json, method) = printed(banner, "SessionService/Login")?;
    let session = stock.call::<LoginResponse>(json, method).await?.session.context("a session")?;
    stock.token = Some(session.access_token);
    Ok(stock)
}

async fn today(stock: &mut Stock) -> anyhow::Result<GetTodayResponse> {
    stock.call("{}", "shixun.gateway.v1.CalendarService/GetToday").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_user_comes_and_comes_back() -> anyhow::Result<()> {
    chassis::install_crypto();
    let folder = tempfile::tempdir()?;
    let (data, output) = (folder.path().join("data"), folder.path().join("output"));

    let mut process = start(&data, &output)?;
    let first = banner(&mut process, &output).await?;
    let mut stock = log_in(&first).await?;
    let (json, method) = printed(&first, "ProjectService/ListProjects")?;
    let projects = stock.call::<ListProjectsResponse>(json, method).await?.projects;
    assert!(!projects.is_empty(), "the search that the banner shows finds nothing");
    let (json, method) = printed(&first, "SelectionService/SubmitSelection")?;
    // As it is printed, it is taken.
    let submitted = stock.call::<SubmitSelectionResponse>(json, method).await?.selection.context("a selection")?;
    assert!(!submitted.name.is_empty());
    let now = today(&mut stock).await?.now.context("the time")?;
    process.terminate()?;
    assert_eq!(process.ended(Duration::from_secs(10)).await?.code(), Some(0));

    // The next day: nothing is set up again, the time has gone on, what was there is there.
    let mut process = start(&data, &output)?;
    let second = banner(&mut process, &output).await?;
    let accounts = |banner: &str| {
        let lines = banner.lines().skip_while(|line| !line.starts_with("Accounts")).take_while(|line| !line.is_empty());
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(accounts(&second), accounts(&first));
    let mut stock = log_in(&second).await?;
    let later = today(&mut stock).await?.now.context("the time")?;
    assert!(proto::instant(&later) > proto::instant(&now), "the clock did not go on");
    let (json, method) = printed(&first, "SelectionService/SubmitSelection")?;
    let again = stock.call::<SubmitSelectionResponse>(json, method).await?.selection.context("the selection")?;
    assert_eq!(again, submitted);
    process.terminate()?;
    assert_eq!(process.ended(Duration::from_secs(10)).await?.code(), Some(0));
    Ok(())
}

/// A window for a school that there is not.
const NOWHERE: &str = r#"
[[window]]
id = "selection-1-flood"
phase = "SELECTION"
round = 1
first_day = 2019-09-03
last_day = 2019-09-06
owners = ["BUREAU_OFFICER"]
organizations = ["organizations/nowhere"]
"#;

/// A term of one's own, before anything can be selected: each of the three calls is answered; and the folder knows its term.
#[tokio::test(flavor = "multi_thread")]
async fn a_term_of_ones_own_before_its_selection() -> anyhow::Result<()> {
    chassis::install_crypto();
    let folder = tempfile::tempdir()?;
    let (data, output, term) =
        (folder.path().join("data"), folder.path().join("output"), folder.path().join("own-term"));
    copy_sample(&term)?;
    let at = ["--at", "2019-06-20T01:00:00Z"];
    let options = [&["--term", term.to_str().context("a path")?, "--teachers", "18"], at.as_slice()].concat();
    // What the system alone can tell is told by it; mended, the same command goes on.
    let calendar = fs::read_to_string(term.join("calendar.toml"))?;
    fs::write(term.join("calendar.toml"), format!("{calendar}{NOWHERE}"))?;
    let told = refused(&options, &data).await?;
    assert!(
        told.contains("window.selection-1-flood.organizations: ") && told.contains("organizations/nowhere"),
        "{told}"
    );
    copy_sample(&term)?;
    let mut process = start_with(&options, &data, &output)?;
    let first = banner(&mut process, &output).await?;
    let mut stock = log_in(&first).await?;
    assert_eq!(first.lines().filter(|line| line.contains("  grpcurl ")).count(), 3, "{first}");
    assert!(!first.contains('…'), "{first}");
    let (json, method) = printed(&first, "CalendarService/GetToday")?;
    stock.call::<GetTodayResponse>(json, method).await?;
    let (json, method) = printed(&first, "LedgerService/GetStatement")?;
    stock.call::<GetStatementResponse>(json, method).await?;

    // Whoever comes meanwhile is told why not, and leaves the way to what runs as it is.
    let addresses = fs::read_to_string(data.join("addresses.toml"))?;
    assert!(refused(&[], &data).await?.contains("is in use by another process"));
    assert_eq!(fs::read_to_string(data.join("addresses.toml"))?, addresses);

    // A password of one's own.
    let password = first.split_once("password of all: ").and_then(|(_, rest)| rest.split(')').next()).context("it")?;
    let json = format!(r#"{{"login":"operator","password":"{password}"}}"#);
    let session = stock.call::<LoginResponse>(&json, "shixun.gateway.v1.SessionService/Login").await?.session;
    let session = session.context("a session")?;
    stock.token = Some(session.access_token);
    let json = format!(
        r#"{{"name":"{}","old_password":"{password}","new_password":"of-my-own-1","request_id":"1"}}"#,
        session.account
    );
    stock.call::<SetPasswordResponse>(&json, "shixun.roster.v1.AccountService/SetPassword").await?;
    end(process).await?;

    // Nobody would play what lies between.
    for other in ["2019-09-12T00:00:00Z", "2019-06-18T00:00:00Z"] {
        assert!(refused(&["--at", other], &data).await?.contains("leave --at out"));
    }
    let keys = data.join("keys");
    fs::rename(&keys, folder.path().join("kept"))?;
    let missing = refused(&[], &data).await?;
    assert!(missing.contains("identity-numbers.toml") && missing.contains("gateway.key"), "{missing}");
    assert!(!keys.exists(), "keys were made");
    fs::rename(folder.path().join("kept"), &keys)?;
    // Another's, under the same names: what was sealed would not be opened.
    let numbers = keys.join("identity-numbers.toml");
    let own = fs::read_to_string(&numbers)?;
    let mut table: toml::Table = own.parse()?;
    table["keys"]["1"] = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=".into();
    fs::write(&numbers, table.to_string())?;
    let other = refused(&[], &data).await?;
    assert!(other.contains("roster did not start") && other.contains("identity.keys.1"), "{other}");
    fs::write(&numbers, own)?;

    let mut process = start_with(&at, &data, &output)?;
    let second = banner(&mut process, &output).await?;
    let line = second.lines().find(|line| line.contains("  operator")).context("the operator's line")?;
    assert!(line.contains("password changed"), "{second}");
    assert!(second.contains("roster-update"), "{second}");
    log_in(&second).await?;
    end(process).await
}

/// The documents of the sample term, as a folder of somebody's own.
pub fn copy_sample(to: &Path) -> anyhow::Result<()> {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("terms/2019-autumn");
    fs::create_dir_all(to)?;
    for document in ["calendar.toml", "policy.toml", "roster.toml", "projects.toml"] {
        fs::write(to.join(document), fs::read_to_string(sample.join(document))?)?;
    }
    Ok(())
}

/// SIGTERM while the county is being set up ends it well; the same command goes on with it.
#[tokio::test(flavor = "multi_thread")]
async fn interrupted_while_setting_up() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (data, output) = (folder.path().join("data"), folder.path().join("output"));
    let mut process = start(&data, &output)?;
    while !data.join("addresses.toml").exists() {
        process.check()?;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    process.terminate()?;
    assert_eq!(process.ended(Duration::from_secs(5)).await?.code(), Some(0));
    let mut process = start(&data, &output)?;
    banner(&mut process, &output).await?;
    process.terminate()?;
    assert_eq!(process.ended(Duration::from_secs(10)).await?.code(), Some(0));
    Ok(())
}
