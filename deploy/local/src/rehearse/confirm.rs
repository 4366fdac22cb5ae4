//! PROVIDER_CONFIRMATION: providers screen by need what schools approved.

use proto::enrollment::v1::confirmation_service_client::ConfirmationServiceClient;
use proto::enrollment::v1::provider_decision::Verdict;
use proto::enrollment::v1::{DecideSelectionsRequest, ProviderDecision, RankSelectionsRequest, Ranked};

use super::books::Refusal;
use super::caller::{Caller, call};
use super::programme::{DECIDE_ELSEWHERE, DECLINE_WITHOUT_REASON, DEVIATE, OVERSELL};
use super::stage::{PAGE, Stage};
use crate::people::Plan;

/// Decisions in one call.
const BATCH: usize = 200;
/// Projects, in percent, whose provider decides nothing, so that the window's close settles them.
const UNDECIDED: u64 = 8;
/// Places on a waiting list.
const WAITING: usize = 6;

/// The ranking of a project's approved selections, and its free places.
async fn rank(stage: &Stage<'_>, me: &Caller, project: &str, round: i32) -> Option<(Vec<Ranked>, usize)> {
    let (mut all, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = RankSelectionsRequest { project: project.to_owned(), round, page_size: PAGE, page_token };
        let reply = call!(me, ConfirmationServiceClient.rank_selections(request));
        let reply = stage.books.must("rank the selections of a project", reply)?;
        all.extend(reply.ranked);
        if reply.next_page_token.is_empty() {
            return Some((all, usize::try_from(reply.free).unwrap_or(0)));
        }
        page_token = reply.next_page_token;
    }
}

fn decision(ranked: &Ranked, verdict: Verdict, reason: &str) -> ProviderDecision {
    ProviderDecision {
        selection: ranked.selection.as_ref().map(|selection| selection.name.clone()).unwrap_or_default(),
        verdict: verdict.into(),
        reason: reason.to_owned(),
        class: String::new(),
    }
}

async fn decide(me: &Caller, project: &str, decisions: &[ProviderDecision], act: &str) -> Result<(), Refusal> {
    let request = DecideSelectionsRequest {
        parent: project.to_owned(),
        decisions: decisions.to_vec(),
        request_id: format!("{act}-{project}"),
    };
    call!(me, ConfirmationServiceClient.decide_selections(request)).map(drop)
}

/// Whether seats were held at submission in a round, so that everyone approved has one.
fn held(stage: &Stage<'_>, round: i32) -> bool {
    let policy: toml::Table = stage.folder.policy.parse().unwrap_or_default();
    let rounds = policy.get("allocation").and_then(|section| section.get("rounds"));
    let own = rounds.and_then(|rounds| rounds.get(round.to_string())).and_then(toml::Value::as_str);
    own.map_or(round > 1, |own| own == "FIRST_COME")
}

/// Every provider decides on its projects: by rank up to the places, then a waiting list, the rest declined. One of them
/// would rather choose himself.
pub async fn confirm(stage: &Stage<'_>, round: i32) {
    let held = held(stage, round);
    let plans = (0..).zip(&stage.county.projects).filter(|(_, plan)| plan.is_published());
    stage.all(plans.map(|(n, plan)| confirm_one(stage, n, plan, round, held))).await;
    mistakes(stage, round).await;
}

async fn confirm_one(stage: &Stage<'_>, n: usize, plan: &Plan, round: i32, held: bool) -> Option<()> {
    let project = stage.project(n)?;
    if stage.chance(&format!("undecided:{round}:{n}"), UNDECIDED) {
        return None;
    }
    let me = stage.staff_of(&plan.project.provider).await?;
    let (ranked, free) = rank(stage, &me, &project, round).await?;
    let places = if held { ranked.len() } else { free.min(ranked.len()) };
    let (placed, rest) = ranked.split_at_checked(places)?;
    if !held && !rest.is_empty() {
        deviate(stage, &me, &project, round, &ranked, free).await;
    }
    let mut decisions: Vec<ProviderDecision> =
        placed.iter().map(|ranked| decision(ranked, Verdict::Confirm, "")).collect();
    for (place, ranked) in rest.iter().enumerate() {
        decisions.push(if place < WAITING {
            decision(ranked, Verdict::Waitlist, "")
        } else {
            decision(ranked, Verdict::Decline, "名额已满")
        });
    }
    for (n, batch) in decisions.chunks(BATCH).enumerate() {
        let outcome = decide(&me, &project, batch, &format!("confirm-{round}-{n}")).await;
        stage.books.must("confirm and decline selections", outcome)?;
    }
    Some(())
}

/// The mistakes of who has more selections than places.
async fn deviate(
    stage: &Stage<'_>,
    me: &Caller,
    project: &str,
    round: i32,
    ranked: &[Ranked],
    free: usize,
) -> Option<()> {
    let all: Vec<ProviderDecision> = ranked.iter().map(|ranked| decision(ranked, Verdict::Confirm, "")).collect();
    if let Some(too_many) = all.get(..free.saturating_add(1)) {
        let outcome = decide(me, project, too_many, &format!("oversell-{round}")).await;
        stage.books.mistake(OVERSELL, outcome);
    }
    if free > 0 {
        let last = [decision(ranked.last()?, Verdict::Confirm, "")];
        let outcome = decide(me, project, &last, &format!("deviate-{round}")).await;
        stage.books.mistake(DEVIATE, outcome);
    }
    let nameless = [decision(ranked.last()?, Verdict::Decline, "")];
    let outcome = decide(me, project, &nameless, &format!("decline-{round}")).await;
    stage.books.mistake(DECLINE_WITHOUT_REASON, outcome);
    Some(())
}

/// A provider that decides on another's project.
async fn mistakes(stage: &Stage<'_>, round: i32) -> Option<()> {
    let selection = stage.memory().selections.values().flatten().find(|selection| selection.round == round).cloned()?;
    let provider = {
        let memory = stage.memory();
        let project = memory.projects.values().find(|project| project.name == selection.project)?;
        project.provider.clone()
    };
    let other = stage.county.projects.iter().find(|plan| plan.project.provider != provider)?;
    let me = stage.staff_of(&other.project.provider).await?;
    let ranked = Ranked { selection: Some(selection.clone()), ..Ranked::default() };
    let outcome =
        decide(&me, &selection.project, &[decision(&ranked, Verdict::Confirm, "")], "confirm-elsewhere").await;
    stage.books.mistake(DECIDE_ELSEWHERE, outcome);
    Some(())
}
