//! The sequencer's steps: each page one transaction, idempotent by itself too, since a page takes only what is still to do.

mod confirmation;
mod review;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use chassis::{
    Failure, Faults, StepOutcome,
    db::{Record, Tx},
    policy::Retention,
};
use proto::{
    common::v1::{Action, Phase, Role, RunStepRequest, Window},
    enrollment::v1::{CreditPositionsFixed, FixedPosition, NonSelectorsFixed, RoundClosed},
};

use crate::{
    api::bar::bars,
    domain::{
        Policy, State,
        calendar::participants,
        notification::{self, Kind},
        review::SCHOOL_REVIEWERS,
    },
    store::{
        credit, notifications,
        notifications::{Message, WindowMessage},
        people, roster,
        rounds::{self, Fixed},
        selections, training,
    },
};

/// Whom the catalog leaves something to do.
const TASKED: [Role; 2] = [Role::ProviderStaff, Role::BureauOfficer];
/// Resources of one page.
const PAGE: i64 = 500;
/// What names of teachers begin with, and so where their pages begin.
const TEACHERS: &str = "teachers/";
/// Messages of one page of purging.
const PURGED: u64 = 5_000;

/// Enrollment's share of the calendar's edges.
#[derive(Debug, Clone, Copy)]
pub struct EnrollmentSteps;

#[tonic::async_trait]
impl chassis::Steps for EnrollmentSteps {
    async fn run(&self, tx: &mut Tx, step: &RunStepRequest) -> Result<StepOutcome, Failure> {
        let edge = Edge::of(tx, step)?;
        match step.action() {
            Action::NotifyOpening => edge.notify_opening(tx, &step.cursor).await,
            Action::Remind => edge.remind(tx, &step.cursor).await,
            Action::TellOfUndecidedProjects => edge.tell_of_undecided_projects(tx).await,
            Action::FixCreditPositions => edge.fix_credit_positions(tx).await,
            Action::FixNonSelectors => edge.fix_non_selectors(tx).await,
            Action::ListUnreviewableSchools => edge.list_unreviewable_schools(tx).await,
            Action::ExpireUnreviewed => edge.expire_unreviewed(tx).await,
            Action::ProposeCancelling => edge.propose_cancelling(tx, step.page).await,
            Action::SettleConfirmation => edge.settle_confirmation(tx).await,
            Action::IssueDueNotices => edge.issue_due_notices(tx).await,
            Action::FreezeWaiting => edge.freeze_waiting(tx).await,
            Action::ListDueResults => edge.list_due_results(tx).await,
            Action::PurgeInboxes => purge_inboxes(tx).await,
            _ => {
                let mut faults = Faults::new();
                faults.add("action", "本服务没有此步骤", "this service has no such step");
                faults.check()?;
                Ok(StepOutcome::default())
            }
        }
    }
}

/// The edge at which a step stands.
struct Edge {
    term: String,
    round: i32,
    window: Option<Arc<Window>>,
    policy_version: i64,
    today: String,
    closes: String,
}

impl Edge {
    fn of(tx: &Tx, step: &RunStepRequest) -> Result<Self, Failure> {
        let gates = tx.gates()?;
        let window = gates.windows().iter().find(|window| window.id == step.window).cloned();
        let closes = window.as_ref().and_then(|window| window.closes.as_ref()).map(proto::instant);
        let closes = closes.map(|closes| {
            let local = proto::jiff_instant(closes).to_zoned_datetime(gates.zone().clone());
            local.strftime("%F %R").to_string()
        });
        Ok(Self {
            term: step.term.clone(),
            round: window.as_ref().map_or(step.round, |window| window.round),
            window,
            policy_version: gates.policy_version(),
            today: gates.day(tx.at()).to_string(),
            closes: closes.unwrap_or_default(),
        })
    }

    fn organizations(&self) -> &[String] {
        self.window.as_ref().map_or(&[], |window| &window.organizations)
    }

    /// The organisations that windows of this one's phase, in `rounds`, are for, and are open or to come after it: what is
    /// theirs is not settled yet. `None`: everyone's.
    fn still_open(&self, tx: &Tx, rounds: impl Fn(i32) -> bool) -> Result<Option<Vec<String>>, Failure> {
        let gates = tx.gates()?;
        let Some(this) = &self.window else { return Ok(Some(Vec::new())) };
        let mut others = Vec::new();
        for window in gates.windows() {
            let same = window.phase() == this.phase() && window.id != this.id && rounds(window.round);
            let closes = window.closes.as_ref().map_or(i64::MIN, proto::instant);
            if !same || closes <= tx.at() || gates.is_settled(&window.id) {
                continue;
            }
            if window.organizations.is_empty() {
                return Ok(None);
            }
            others.extend(window.organizations.iter().cloned());
        }
        Ok(Some(others))
    }

    fn message(&self, kind: Kind) -> Option<WindowMessage<'_>> {
        let window = self.window.as_ref()?;
        Some(WindowMessage {
            kind,
            term: &self.term,
            window: &window.id,
            phase: window.phase(),
            round: window.round,
            organizations: &window.organizations,
            metadata: notification::of_window(window.phase(), window.round, &self.closes),
            today: self.today.clone(),
        })
    }

    /// Any window opens: all who may act in it are told, page by page, since a county's teachers may be among them. In a later
    /// round, whom its bar keeps out is not.
    async fn notify_opening(&self, tx: &mut Tx, cursor: &str) -> Result<StepOutcome, Failure> {
        let Some(message) = self.message(Kind::WindowOpens) else { return Ok(StepOutcome::default()) };
        let barring = message.phase == Phase::Selection && message.round > 1;
        let (told, next) = if cursor.starts_with(TEACHERS) {
            self.tell_teachers(tx, &message, cursor).await?
        } else {
            let roles = participants(message.phase).iter().copied();
            let roles: Vec<Role> = roles.filter(|role| !(barring && *role == Role::Teacher)).collect();
            let (told, next) = tell_holders(tx, &message, &roles, cursor).await?;
            (told, if next.is_empty() && barring { TEACHERS.to_owned() } else { next })
        };
        Ok(until(next, &[("notified", told)]))
    }

    /// Teachers whom the round's bar does not keep out, from after `cursor`: how many were told, and where to go on.
    async fn tell_teachers(
        &self,
        tx: &mut Tx,
        message: &WindowMessage<'_>,
        cursor: &str,
    ) -> Result<(u64, String), Failure> {
        let (gates, policy) = (tx.gates()?, tx.policy::<Policy>()?);
        let teachers = roster::active_page(tx, &self.today, cursor, PAGE).await?;
        let barred = bars(tx, &self.term, self.round, (&gates, &policy), &teachers, gates.day(tx.at())).await?;
        let named = |path: &[String]| {
            message.organizations.is_empty() || message.organizations.iter().any(|one| path.contains(one))
        };
        let accounts = teachers.iter().filter(|one| named(&one.path) && !barred.contains_key(&one.name));
        let accounts = accounts.map(|teacher| teacher.account.as_str()).filter(|account| !account.is_empty());
        let told = notifications::to_accounts(tx, message, accounts).await?;
        Ok((told, next(&teachers, |teacher| &teacher.name)))
    }

    /// PROJECT_REVIEW closes: bureaus may decide until PUBLICATION closes; then what is undecided lapses.
    async fn tell_of_undecided_projects(&self, tx: &mut Tx) -> Result<StepOutcome, Failure> {
        let Some(mut message) = self.message(Kind::Undecided) else { return Ok(StepOutcome::default()) };
        let gates = tx.gates()?;
        let closes =
            gates.ordinary(Phase::Publication, 0).and_then(|window| window.closes.as_ref()).map(proto::instant);
        let closes = closes.map(|closes| proto::jiff_instant(closes).to_zoned_datetime(gates.zone().clone()));
        let closes = closes.map(|closes| closes.strftime("%F %R").to_string()).unwrap_or_default();
        message.metadata = BTreeMap::from([("closes".to_owned(), closes)]);
        let told = notifications::to_those_with_tasks(tx, &message, &[Role::BureauOfficer]).await?;
        Ok(outcome(0, false, &[("told", told)]))
    }

    /// Before a window closes: those with something left to do, and its owners; page by page, teachers last.
    async fn remind(&self, tx: &mut Tx, cursor: &str) -> Result<StepOutcome, Failure> {
        let Some(message) = self.message(Kind::WindowCloses) else { return Ok(StepOutcome::default()) };
        if cursor.starts_with(TEACHERS) {
            let teachers = notifications::non_selectors(tx, &message, cursor, PAGE).await?;
            let accounts = teachers.iter().map(|(_, account)| account.as_str());
            let told = notifications::to_accounts(tx, &message, accounts).await?;
            return Ok(until(next(&teachers, |(name, _)| name), &[("reminded", told)]));
        }
        let left = if cursor.is_empty() { self.remind_of_tasks(tx, &message).await? } else { 0 };
        let owners: Vec<Role> = self.window.iter().flat_map(|window| window.owners()).collect();
        let (owning, mut next) = tell_holders(tx, &message, &owners, cursor).await?;
        if next.is_empty() && message.phase == Phase::Selection {
            TEACHERS.clone_into(&mut next);
        }
        Ok(until(next, &[("reminded", left.saturating_add(owning))]))
    }

    /// Those whom projects, selections or results wait for.
    async fn remind_of_tasks(&self, tx: &mut Tx, message: &WindowMessage<'_>) -> Result<u64, Failure> {
        match message.phase {
            Phase::Declaration | Phase::ProjectReview | Phase::ExpansionDecision => {
                notifications::to_those_with_tasks(tx, message, &TASKED).await
            }
            Phase::SchoolReview => {
                let told = notifications::to_pending_reviewers(tx, message, SCHOOL_REVIEWERS).await?;
                Ok(told.saturating_add(self.remind_in_the_schools_place(tx, message).await?))
            }
            Phase::ProviderConfirmation => {
                notifications::to_providers_with(tx, message, &[State::SchoolApproved.word()]).await
            }
            Phase::Training | Phase::Results => {
                let states = [State::Confirmed.word(), State::Attended.word()];
                notifications::to_providers_with(tx, message, &states).await
            }
            _ => Ok(0),
        }
    }

    /// Those who review in a school's place, where something waits for them: the bureau what principals selected, the stand-ins
    /// of schools without a reviewer the rest.
    async fn remind_in_the_schools_place(&self, tx: &mut Tx, message: &WindowMessage<'_>) -> Result<u64, Failure> {
        let pending = selections::pending_by_school(tx, &self.term, self.round, self.organizations()).await?;
        let teachers = pending.values().flatten().cloned().collect();
        let principals = people::principals(tx, &teachers, &self.today).await?;
        let without = people::schools_without_reviewer(tx, self.organizations(), &self.today).await?;
        let (mut of_principals, mut stood_in_for) = (Vec::new(), Vec::new());
        for (school, teachers) in &pending {
            if teachers.iter().any(|teacher| principals.contains(teacher)) {
                of_principals.push(school.clone());
            }
            if without.contains(school) && teachers.iter().any(|teacher| !principals.contains(teacher)) {
                stood_in_for.push(school.clone());
            }
        }
        let bureaus = people::closest(tx, Role::BureauOfficer, &of_principals, &self.today).await?;
        let stand_ins = people::stand_ins(tx, &stood_in_for, &self.today).await?;
        let accounts: BTreeSet<&str> =
            bureaus.values().chain(stand_ins.values()).flatten().map(String::as_str).collect();
        notifications::to_accounts(tx, message, accounts).await
    }

    async fn fix_credit_positions(&self, tx: &mut Tx) -> Result<StepOutcome, Failure> {
        let positions = credit::fix(tx, &self.term, self.round, PAGE).await?;
        let fixed = count(positions.len());
        if fixed > 0 {
            let positions = positions.into_iter().map(|(teacher, position)| FixedPosition {
                teacher,
                cycle_ends_on: position.cycle_ends_on.map(Into::into),
                cycle_awarded: Some(position.cycle_awarded.into()),
                has_intensive: position.has_intensive,
            });
            let facts =
                CreditPositionsFixed { term: self.term.clone(), round: self.round, positions: positions.collect() };
            tx.record(Record::of(&self.resource(), "credit_positions_fixed", &facts));
        }
        Ok(outcome(fixed, fixed >= PAGE.unsigned_abs(), &[("fixed", fixed)]))
    }

    async fn fix_non_selectors(&self, tx: &mut Tx) -> Result<StepOutcome, Failure> {
        let Fixed { by_school, closed } =
            rounds::fix_non_selectors(tx, &self.term, self.round, self.organizations()).await?;
        let fixed: u64 = by_school.values().map(|teachers| count(teachers.len())).sum();
        let (term, round, resource) = (&self.term, self.round, self.resource());
        if closed || fixed > 0 {
            let facts = RoundClosed {
                term: term.clone(),
                round,
                organizations: self.organizations().to_vec(),
                non_selectors: i32::try_from(fixed).unwrap_or(i32::MAX),
            };
            tx.record(Record::of(&resource, "closed", &facts));
        }
        for (school, teachers) in by_school {
            let facts = NonSelectorsFixed { term: term.clone(), round, school, teachers };
            tx.record(Record::of(&resource, "non_selectors_fixed", &facts));
        }
        Ok(outcome(fixed, false, &[("non_selectors", fixed)]))
    }

    /// The round, as changes name it.
    fn resource(&self) -> String {
        format!("{}/rounds/{}", self.term, self.round)
    }

    /// TRAINING closes: classes whose results are not confirmed, by provider.
    async fn list_due_results(&self, tx: &mut Tx) -> Result<StepOutcome, Failure> {
        let due = training::due(tx, &self.term).await?;
        let providers: BTreeSet<String> = due.iter().map(|(_, provider)| provider.clone()).collect();
        let staff = people::holders(tx, &[Role::ProviderStaff], &providers, &self.today).await?;
        let mut messages = Vec::new();
        for (class, provider) in &due {
            for holder in staff.iter().filter(|holder| holder.organization == *provider) {
                messages.push(Message {
                    account: holder.account.clone(),
                    kind: Kind::ResultsDue,
                    resource: class.clone(),
                    metadata: BTreeMap::from([("class".to_owned(), class.clone())]),
                });
            }
        }
        notifications::write(tx, &self.term, messages).await?;
        let mut outcome = outcome(0, false, &[("due", count(due.len()))]);
        for (_, provider) in due {
            let of_provider = outcome.counts.entry(format!("due {provider}")).or_default();
            *of_provider = of_provider.saturating_add(1);
        }
        Ok(outcome)
    }
}

/// The term ends: messages go, once they are as old as the policy says.
async fn purge_inboxes(tx: &mut Tx) -> Result<StepOutcome, Failure> {
    let kept = i64::from(tx.policy::<Retention>()?.inbox_days).saturating_mul(86_400_000_000);
    let before = tx.at().saturating_sub(kept);
    let purged = notifications::purge(tx, before, PURGED).await?;
    Ok(outcome(purged, purged == PURGED, &[("purged", purged)]))
}

/// Tells a page of those who hold one of `roles`, from after the account `cursor`: how many, and where to go on.
async fn tell_holders(
    tx: &mut Tx,
    message: &WindowMessage<'_>,
    roles: &[Role],
    cursor: &str,
) -> Result<(u64, String), Failure> {
    let accounts = notifications::holders(tx, message, roles, cursor, PAGE).await?;
    let told = notifications::to_accounts(tx, message, accounts.iter().map(String::as_str)).await?;
    Ok((told, next(&accounts, |account| account)))
}

/// Where the next page begins: after the last of a full one; empty if this was the last.
fn next<T>(page: &[T], name: impl Fn(&T) -> &str) -> String {
    if count(page.len()) < PAGE.unsigned_abs() {
        return String::new();
    }
    page.last().map(|last| name(last).to_owned()).unwrap_or_default()
}

/// A page's outcome, which changed no resource; the next one goes on at `cursor`, if there is one.
fn until(cursor: String, counts: &[(&str, u64)]) -> StepOutcome {
    StepOutcome { cursor: cursor.clone(), ..outcome(0, !cursor.is_empty(), counts) }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn outcome(changed: u64, more: bool, counts: &[(&str, u64)]) -> StepOutcome {
    let counts = counts.iter().map(|(key, value)| ((*key).to_owned(), i64::try_from(*value).unwrap_or(i64::MAX)));
    StepOutcome {
        changed: i32::try_from(changed).unwrap_or(i32::MAX),
        more,
        counts: counts.collect(),
        cursor: String::new(),
    }
}
