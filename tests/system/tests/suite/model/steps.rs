//! The sequencer: each step once in effect.

use std::collections::BTreeMap;

use anyhow::Context as _;
use proto::{
    common::v1::{
        Action, RunStepRequest, SettleWindowRequest, gate_service_client::GateServiceClient,
        step_service_client::StepServiceClient,
    },
    gateway::v1::{GetCalendarRequest, GetCalendarResponse},
};
use system::plan;

use super::{Play, encode};

impl Play {
    /// Each step of the pure plan that is due was done, exactly once, and nothing else; results as often as they were told.
    pub(super) async fn steps(&self) -> anyhow::Result<()> {
        let now = self.stage.world.system.status("gateway").await?.now.as_ref().map_or(0, proto::instant);
        let request = GetCalendarRequest { name: format!("{}/calendar", self.stage.term), version: 0 };
        let path = "/shixun.gateway.v1.CalendarService/GetCalendar";
        let reply: GetCalendarResponse = self.must(&self.bureau, path, encode(&request)).await?;
        let calendar = reply.calendar.context("no calendar")?;
        let changes = self.stage.world.system.all_changes().await?;
        let planned = plan::planned(&calendar, &changes)?;
        let due = planned.iter().filter(|step| step.due <= now);
        let once: BTreeMap<String, usize> = due.map(|step| (step.name.clone(), 1)).collect();
        let done = plan::done(&changes)?;
        let differs = |(name, times): &(&String, &usize)| once.get(*name) != Some(*times);
        anyhow::ensure!(done == once, "done: {:?}", done.iter().filter(differs).collect::<Vec<_>>());
        let revisions = planned.iter().filter(|step| step.name.ends_with("-recognize-results")).count();
        let told = self.trained + self.corrections;
        anyhow::ensure!(revisions == told, "results were told {told} times, and looked at {revisions} times");
        Ok(())
    }

    /// The services' side of the sequencer: a step that comes again by its id changes nothing.
    pub(super) async fn repeat_steps(&mut self) -> anyhow::Result<()> {
        let edges = [
            (Action::ExpireUnreviewed, "school-review-1", 1),
            (Action::ExpireUnreviewed, "school-review-2", 2),
            (Action::SettleConfirmation, "provider-confirmation-1", 1),
            (Action::SettleConfirmation, "provider-confirmation-2", 2),
            (Action::FreezeWaiting, "provider-confirmation-2", 2),
        ];
        let within = |message| chassis::peer::within(std::time::Duration::from_secs(10), message);
        let peer = self.stage.world.peer("gateway", "enrollment")?;
        for (action, window, round) in edges {
            let settle =
                SettleWindowRequest { term: self.stage.term.clone(), window: window.to_owned(), gate_version: 1 };
            let mut client = GateServiceClient::new(peer.clone());
            let settle = || chassis::peer::within(std::time::Duration::from_secs(10), settle.clone());
            let first = client.settle_window(settle()).await?.into_inner();
            let again = client.settle_window(settle()).await?.into_inner();
            anyhow::ensure!(first == again, "{window} settled twice: {first:?}, {again:?}");
            let step = RunStepRequest {
                term: self.stage.term.clone(),
                action: action.into(),
                window: window.to_owned(),
                round,
                due: Some(proto::timestamp("2019-09-23T00:00:00Z".parse::<jiff::Timestamp>()?.as_microsecond())),
                gate_version: 1,
                request_id: format!("again-{window}-{}", action.as_str_name()),
                ..RunStepRequest::default()
            };
            let mut client = StepServiceClient::new(peer.clone());
            let first = client.run_step(within(step.clone())).await?.into_inner();
            // By another id it finds only what was put right since.
            match action {
                Action::ExpireUnreviewed => self.model.expire(round),
                Action::SettleConfirmation => self.model.settle(round),
                _ => self.model.freeze(),
            }
            self.compare().await.with_context(|| format!("{action:?} once more"))?;
            let head = self.look("enrollment").await?;
            let again = client.run_step(within(step)).await?.into_inner();
            let same = head == self.look("enrollment").await?;
            anyhow::ensure!(first == again && same, "{first:?}, again {again:?}");
        }
        self.compare().await
    }
}
