//! `ClockService`: moves a rehearsal's clock. The new time is durable before the answer.

use proto::common::v1::{AdvanceRequest, AdvanceResponse, clock_service_server::ClockService};
use tonic::{Request, Response, Status};

use super::due::Carrier;
use crate::{
    call::{Call, answer},
    db::{Db, Queries, args},
    env::{Clock, RehearsalClock},
    failure::{Failure, Faults},
};

#[derive(Debug, Clone)]
pub(super) struct ClockApi {
    pub db: Db,
    pub due: Option<Carrier>,
}

#[tonic::async_trait]
impl ClockService for ClockApi {
    async fn advance(&self, request: Request<AdvanceRequest>) -> Result<Response<AdvanceResponse>, Status> {
        answer(request, |call| advance(self, call)).await
    }
}

async fn advance(api: &ClockApi, call: Call<AdvanceRequest>) -> Result<AdvanceResponse, Failure> {
    let Clock::Rehearsal(clock) = &api.db.env().clock else {
        return Err(Failure::internal("Advance without a rehearsal's clock"));
    };
    let Some(to) = call.message.to.as_ref().map(proto::instant) else {
        let mut faults = Faults::new();
        faults.required("to", "");
        return Err(faults.check().err().unwrap_or_else(|| Failure::internal("no fault")));
    };
    // Read together, before anything is waited for: a restart counts from `since` on, and must not come out behind what was
    // shown meanwhile.
    let since = api.db.env().wall_micros();
    let to = to.max(clock.now());
    let mut tx = api.db.begin_own(to, "clock").await?;
    tx.execute(
        "INSERT INTO rehearsal_clock (id, at, running, since) VALUES (1, $1, $2, $3)
         ON CONFLICT (id) DO UPDATE SET running = excluded.running, since = excluded.since,
             at = CASE WHEN excluded.at > rehearsal_clock.at THEN excluded.at ELSE rehearsal_clock.at END",
        args![to, i64::from(call.message.running), since],
    )
    .await?;
    tx.finish().await?;
    let now = clock.advance(to, call.message.running);
    if let Some(due) = &api.due {
        due.carry_out().await?;
    }
    Ok(AdvanceResponse { now: Some(proto::timestamp(now)) })
}

/// Puts the clock where the database last had it; one that ran has run on meanwhile, so that it never goes back.
pub(super) async fn restore(db: &Db, clock: &RehearsalClock) -> Result<(), Failure> {
    if let Some(row) = db.reader().one("SELECT at, running, since FROM rehearsal_clock WHERE id = 1", args![]).await? {
        let running = row.get::<i64>("running")? == 1;
        let run = if running { db.env().wall_micros().saturating_sub(row.get("since")?).max(0) } else { 0 };
        let _ = clock.advance(row.get::<i64>("at")?.saturating_add(run), running);
    }
    Ok(())
}
