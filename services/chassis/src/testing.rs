//! For the store suites of the services: the same suite runs on a fresh database of each engine.

mod certificates;

use std::{path::PathBuf, sync::Arc};

use anyhow::Context as _;
use cluster::Cluster;
use prost::Message as _;
use proto::{
    Actor, Held,
    common::v1::{Gates, Role, WatchResponse, change_service_server::ChangeService, gate_service_server::GateService},
};

use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Status};

use crate::{
    call::{Admission, Call},
    changes::{self, ChangeApi},
    config::DatabaseConfig,
    contract,
    db::{Db, Migrations, Sql, args, request},
    env::Env,
    failure::Failure,
    gates::TermGates,
    server::gate_api::GateApi,
};

pub use certificates::{Authority, Certified};

/// What a watcher gets.
pub type Changes = ReceiverStream<Result<WatchResponse, Status>>;

/// A database that ends with the value.
#[derive(Debug)]
pub struct TestDatabase {
    /// Migrated and empty.
    pub db: Db,
    /// Where it is: for a second replica's handle, on PostgreSQL.
    pub url: String,
    _cluster: Option<Cluster>,
    _folder: Option<Folder>,
}

#[derive(Debug)]
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // Left behind, it is only litter of a temporary folder.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// One empty database of each engine for `service`, on a virtual clock that stands at `at`.
///
/// # Errors
/// If an engine cannot be started.
pub async fn databases(
    service: &'static str,
    migrations: fn() -> Migrations,
    at: i64,
) -> anyhow::Result<Vec<TestDatabase>> {
    let env = Env::rehearsal(at);
    let mark = hex::encode(env.random::<8>()?);
    let folder = Folder(std::env::temp_dir().join(format!("shixun-{service}-{mark}")));
    std::fs::create_dir_all(&folder.0)?;
    let path = format!("sqlite:{}/{service}.db", folder.0.display());
    let sqlite = open(service, path.clone(), env.clone(), migrations).await?;
    let (cluster, url) = tokio::task::spawn_blocking(move || {
        let cluster = Cluster::shared()?;
        let url = cluster.fresh_url(service)?;
        anyhow::Ok((cluster, url))
    })
    .await??;
    let postgres = open(service, url.clone(), env, migrations).await?;
    Ok(vec![
        TestDatabase { db: sqlite, url: path, _cluster: None, _folder: Some(folder) },
        TestDatabase { db: postgres, url, _cluster: Some(cluster), _folder: None },
    ])
}

async fn open(service: &'static str, url: String, env: Env, migrations: fn() -> Migrations) -> anyhow::Result<Db> {
    let config = DatabaseConfig { durable: false, connections: 4, ..DatabaseConfig::at(url) };
    let db = Db::open(service, &config, env).await?;
    db.migrate(&migrations()).await.context("migrating")?;
    Ok(db)
}

/// A person with roles.
#[must_use]
pub fn person(account: &str, teacher: &str, roles: &[(Role, &str)]) -> Actor {
    let held = |(role, organization): &(Role, &str)| Held { role: *role, organization: (*organization).to_owned() };
    Actor {
        account: account.to_owned(),
        teacher: teacher.to_owned(),
        roles: roles.iter().map(held).collect(),
        service: String::new(),
    }
}

/// A service of the house.
#[must_use]
pub fn service(name: &str) -> Actor {
    Actor { service: name.to_owned(), ..Actor::default() }
}

/// A call as it comes from the rules' layer: only the roles that the method's rule names are left.
///
/// # Errors
/// If no contract has a method at `path`.
pub fn call<M>(path: &str, actor: &Actor, at: i64, message: M) -> Result<Call<M>, Failure> {
    let method = contract::method(path).ok_or_else(|| Failure::internal(format!("no method at {path}")))?;
    let grants = method.rule.as_ref().map(|rule| rule.grants.as_slice()).unwrap_or_default();
    let mut actor = actor.clone();
    actor.roles.retain(|held| grants.iter().any(|grant| grant.roles.contains(&held.role)));
    Ok(Call { admission: Admission { method, actor: Arc::new(actor), at, deadline: None, trail: None }, message })
}

/// Puts gates as `PutGates` does.
///
/// # Errors
/// Those of the database.
pub async fn put_gates(db: &Db, mut gates: Gates) -> Result<(), Failure> {
    gates.windows.sort_by(|a, b| a.id.cmp(&b.id));
    let mut tx = db.begin_own(0, "testing").await?;
    tx.execute(
        "INSERT INTO fence (term, revision, gate_version, policy_version, gates, settled)
         VALUES ($1, 1, $2, $3, $4, '[]')
         ON CONFLICT (term) DO UPDATE SET revision = fence.revision + 1, gate_version = excluded.gate_version,
            policy_version = excluded.policy_version, gates = excluded.gates",
        args![&gates.term, gates.version, gates.policy_version, gates.encode_to_vec()],
    )
    .await?;
    tx.finish().await?;
    Ok(())
}

/// A call on the wire's side of a handler, as the rules' layer hands it on.
#[must_use]
pub fn request<M>(call: Call<M>) -> Request<M> {
    let mut request = Request::new(call.message);
    request.extensions_mut().insert(call.admission);
    request
}

/// The gates of a term as of a moment, for `gates::admit`.
///
/// # Errors
/// If the zone is none.
pub fn term_gates(gates: Gates, settled: &[&str]) -> Result<Arc<TermGates>, Failure> {
    let settled = settled.iter().map(|window| (*window).to_owned()).collect();
    TermGates::new(gates, settled, 1).map(Arc::new)
}

/// `GateService` over a database, without a server before it.
#[must_use]
pub fn gate_service(db: &Db) -> impl GateService + Clone + use<> {
    GateApi { db: db.clone(), policy: None, calendar: None }
}

/// `ChangeService` over a database, without a server before it.
#[must_use]
pub fn change_service(db: &Db) -> impl ChangeService<WatchStream = Changes> + Clone + use<> {
    ChangeApi { db: db.clone(), shutdown: CancellationToken::new() }
}

/// Statements that grow with nothing but their arguments, whatever PostgreSQL's planner knows: their parameters' types there, and the
/// texts.
#[must_use]
pub const fn planned() -> [(&'static str, Sql); 3] {
    [
        ("BIGINT, BIGINT", changes::SINCE),
        ("BIGINT, BIGINT, BIGINT, BIGINT", changes::PERIOD),
        ("TEXT[], TEXT[], TEXT[]", request::ANSWERED_AMONG),
    ]
}
