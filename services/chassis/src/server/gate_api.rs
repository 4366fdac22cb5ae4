//! `GateService` of every server: gates come in, windows are settled on the fence, status goes out.

use std::{
    collections::BTreeSet,
    sync::{Arc, MutexGuard, PoisonError},
    time::Duration,
};

use prost::Message as _;
use proto::common::v1::{
    ClockSkew, Gates, GetStatusRequest, GetStatusResponse, MirrorPosition, PutGatesRequest, PutGatesResponse, Reason,
    SettleWindowRequest, SettleWindowResponse, TermStatus, WaitMirrorRequest, WaitMirrorResponse,
    gate_service_server::GateService,
};
use tonic::{Request, Response, Status};

use crate::{
    call::{Call, answer},
    changes::feed,
    db::{Db, Queries, Scope, args},
    failure::{Failure, Faults},
    gates::{self, TermGates},
    policy::PolicyFault,
};

/// How a service checks its sections of a policy.
pub type PolicyCheck = fn(&toml::Table) -> Vec<PolicyFault>;

/// How a service checks what a calendar and its policy name by the data that it has.
#[tonic::async_trait]
pub trait CalendarCheck: Send + Sync + 'static {
    /// Every fault; the keys begin with "window.", "contact[" or "policy.".
    ///
    /// # Errors
    /// Those of the database.
    async fn faults(&self, calendar: &PutGatesRequest) -> Result<Vec<PolicyFault>, Failure>;
}

#[derive(Clone)]
pub(crate) struct GateApi {
    pub db: Db,
    pub policy: Option<PolicyCheck>,
    pub calendar: Option<Arc<dyn CalendarCheck>>,
}

#[tonic::async_trait]
impl GateService for GateApi {
    async fn put_gates(&self, request: Request<PutGatesRequest>) -> Result<Response<PutGatesResponse>, Status> {
        answer(request, |call| put(self, call)).await
    }

    async fn settle_window(
        &self,
        request: Request<SettleWindowRequest>,
    ) -> Result<Response<SettleWindowResponse>, Status> {
        answer(request, |call| settle(self, call)).await
    }

    async fn get_status(&self, request: Request<GetStatusRequest>) -> Result<Response<GetStatusResponse>, Status> {
        answer(request, |_| status(self)).await
    }

    async fn wait_mirror(&self, request: Request<WaitMirrorRequest>) -> Result<Response<WaitMirrorResponse>, Status> {
        answer(request, |call| wait(self, call)).await
    }
}

fn faults_of(api: &GateApi, gates: &Gates) -> Faults {
    let mut faults = Faults::new();
    faults.required("gates.term", &gates.term);
    if jiff::tz::TimeZone::get(&gates.zone).is_err() {
        faults.add("gates.zone", "不是 IANA 时区", "is no IANA zone");
    }
    let mut ids = BTreeSet::new();
    for (index, window) in gates.windows.iter().enumerate() {
        if !ids.insert(&window.id) {
            faults.add(format!("gates.windows[{index}].id"), "编号重复", "is another window's id, too");
        }
        if window.opens.is_none() || window.closes.is_none() || window.id.is_empty() {
            faults.add(format!("gates.windows[{index}]"), "缺少编号或时间", "needs an id and both instants");
        }
    }
    match gates.policy.parse::<toml::Table>() {
        Ok(document) => {
            for fault in api.policy.map(|check| check(&document)).unwrap_or_default() {
                faults.add(format!("policy.{}", fault.key), fault.zh, fault.en);
            }
        }
        Err(error) => faults.add("policy", format!("不是 TOML：{}", error.message()), error.message()),
    }
    faults
}

async fn put(api: &GateApi, call: Call<PutGatesRequest>) -> Result<PutGatesResponse, Failure> {
    let mut faults = faults_of(api, call.message.gates.as_ref().unwrap_or(&Gates::default()));
    if call.message.validate_only
        && let Some(check) = &api.calendar
    {
        for fault in check.faults(&call.message).await? {
            faults.add(fault.key, fault.zh, fault.en);
        }
    }
    faults.check()?;
    let mut gates = call.message.gates.unwrap_or_default();
    if call.message.validate_only {
        return Ok(PutGatesResponse { version: gates.version });
    }
    // The order of windows is part of what is compared below.
    gates.windows.sort_by(|a, b| a.id.cmp(&b.id));
    let version = gates.version;
    let body = gates.encode_to_vec();
    let mut tx = api.db.begin_own(call.admission.at, "gates").await?;
    // Transactions that stand under the old gates end first.
    gates::queue_for_fence(&mut tx).await?;
    tx.execute(
        "INSERT INTO fence (term, revision, gate_version, policy_version, gates, settled)
         VALUES ($1, 0, -1, 0, $2, '[]') ON CONFLICT DO NOTHING",
        args![&gates.term, Vec::<u8>::new()],
    )
    .await?;
    let moved = tx
        .execute(
            "UPDATE fence SET revision = revision + 1, gate_version = $2, policy_version = $3, gates = $4
             WHERE term = $1 AND gate_version < $2",
            args![&gates.term, version, gates.policy_version, body.clone()],
        )
        .await?;
    if moved == 0 {
        let current = tx.one("SELECT gate_version, gates FROM fence WHERE term = $1", args![&gates.term]).await?;
        let current = current.ok_or_else(|| Failure::internal("the fence is gone"))?;
        if current.get::<i64>("gate_version")? != version || current.get::<Vec<u8>>("gates")? != body {
            let current = current.get::<i64>("gate_version")?;
            return Err(Failure::new(Reason::VersionOutdated).with("version", version).with("current", current));
        }
    }
    tx.finish().await?;
    Ok(PutGatesResponse { version })
}

async fn settle(api: &GateApi, call: Call<SettleWindowRequest>) -> Result<SettleWindowResponse, Failure> {
    let SettleWindowRequest { term, window, gate_version } = call.message;
    let mut tx = api.db.begin_exclusive(&term, call.admission.at).await?;
    let gates = tx.gates()?;
    if gates.version() != gate_version {
        let failure = Failure::new(Reason::VersionOutdated).with("version", gate_version);
        return Err(failure.with("current", gates.version()));
    }
    if !gates.windows().iter().any(|known| known.id == window) {
        return Err(Failure::not_found(&window));
    }
    if !gates.is_settled(&window) {
        let mut settled = gates.settled().clone();
        settled.insert(window);
        let settled = serde_json::to_string(&settled).map_err(Failure::internal)?;
        tx.execute("UPDATE fence SET revision = revision + 1, settled = $2 WHERE term = $1", args![&term, settled])
            .await?;
    }
    let position = feed::head(&mut tx).await?;
    tx.finish().await?;
    Ok(SettleWindowResponse { position })
}

async fn status(api: &GateApi) -> Result<GetStatusResponse, Failure> {
    let mut reader = api.db.reader();
    let positions = gates::all_positions(&mut reader).await?;
    let terms = gates::load_for_reading(&mut reader, &api.db, Scope::AnyTerm).await?;
    let term_status = |gates: &std::sync::Arc<TermGates>| TermStatus {
        term: gates.term().to_owned(),
        gate_version: gates.version(),
        policy_version: gates.policy_version(),
        settled_windows: gates.settled().iter().cloned().collect(),
    };
    Ok(GetStatusResponse {
        position: feed::head(&mut reader).await?,
        mirrors: positions.into_iter().map(|(source, position)| MirrorPosition { source, position }).collect(),
        terms: terms.iter().map(term_status).collect(),
        now: Some(proto::timestamp(api.db.env().clock.now())),
        clock_skews: skews(&api.db),
        halted_mirrors: halted(&api.db).iter().map(|source| (*source).to_owned()).collect(),
    })
}

fn skews(db: &Db) -> Vec<ClockSkew> {
    let skews = db.inner().skews.lock().unwrap_or_else(PoisonError::into_inner);
    skews.iter().map(|(service, ahead)| ClockSkew { service: (*service).to_owned(), ahead_ms: ahead / 1000 }).collect()
}

/// The sources that lack what was taken from them.
pub(super) fn halted(db: &Db) -> MutexGuard<'_, BTreeSet<&'static str>> {
    db.inner().halted.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn wait(api: &GateApi, call: Call<WaitMirrorRequest>) -> Result<WaitMirrorResponse, Failure> {
    let mut moved = api.db.inner().mirrored.subscribe();
    loop {
        moved.mark_unchanged();
        let positions = gates::all_positions(&mut api.db.reader()).await?;
        let reached = positions.get(&call.message.source).copied().unwrap_or_default();
        if reached >= call.message.position {
            return Ok(WaitMirrorResponse { position: reached });
        }
        // It will not come: better told than waited for.
        if halted(&api.db).contains(call.message.source.as_str()) {
            return Err(Failure::new(Reason::FeedDiffers)
                .with("service", call.message.source)
                .with("position", reached));
        }
        if call.admission.expired() {
            return Err(Failure::new(Reason::DeadlineExceeded));
        }
        // Another replica may be the one that mirrors: look at the database now and then.
        let _ = tokio::time::timeout(Duration::from_millis(50), moved.changed()).await;
    }
}
