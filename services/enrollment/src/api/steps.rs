//! The sequencer's steps: each page one transaction, idempotent by itself too, since a page takes only what is still to do.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use chassis::{Failure, Faults, StepOutcome, db::Tx};
use proto::common::v1::{Action, Phase, Role, RunStepRequest, Window};

use super::notice;
use crate::{
    domain::{
        Event, Selection, State,
        class_size::too_small,
        desk::Why,
        notification::{self, Kind},
        review::SCHOOL_REVIEWERS,
        settlement::{self, Settled},
    },
    store::{
        catalog, credit, desk as store, needs, notices, notifications,
        notifications::{Message, WindowMessage},
        people, rounds, seats, selections, training,
    },
};

/// Resources of one page.
const PAGE: i64 = 500;

/// What a notice says that the provider did not write.
const DUE_NOTICE: &str = "请按课程安排准时参加培训；地点与时间见班级信息。";

/// Enrollment's share of the calendar's edges.
#[derive(Debug, Clone, Copy)]
pub struct EnrollmentSteps;

#[tonic::async_trait]
impl chassis::Steps for EnrollmentSteps {
    async fn run(&self, tx: &mut Tx, step: &RunStepRequest) -> Result<StepOutcome, Failure> {
        let edge = Edge::of(tx, step)?;
        match step.action() {
            Action::NotifyOpening => edge.notify_opening(tx).await,
            Action::Remind => edge.remind(tx).await,
            Action::FixCreditPositions => edge.fix_credit_positions(tx).await,
            Action::FixNonSelectors => edge.fix_non_selectors(tx).await,
            Action::ListUnreviewableSchools => edge.list_unreviewable_schools(tx).await,
            Action::ExpireUnreviewed => edge.expire_unreviewed(tx).await,
            Action::ProposeCancelling => edge.propose_cancelling(tx, step.page).await,
            Action::SettleConfirmation => edge.settle_confirmation(tx).await,
            Action::IssueDueNotices => edge.issue_due_notices(tx).await,
            Action::FreezeWaiting => edge.freeze_waiting(tx).await,
            Action::ListDueResults => edge.list_due_results(tx).await,
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

    /// Any window opens: all who take part are told.
    async fn notify_opening(&self, tx: &mut Tx) -> Result<StepOutcome, Failure> {
        let Some(message) = self.message(Kind::WindowOpens) else { return Ok(StepOutcome::default()) };
        let told = notifications::to_participants(tx, &message).await?;
        Ok(outcome(0, false, &[("notified", told)]))
    }

    /// Before a window closes: its owners, and those with something left to do.
    async fn remind(&self, tx: &mut Tx) -> Result<StepOutcome, Failure> {
        let Some(message) = self.message(Kind::WindowCloses) else { return Ok(StepOutcome::default()) };
        let left = match message.phase {
            Phase::Selection => notifications::to_non_selectors(tx, &message).await?,
            Phase::SchoolReview => notifications::to_pending_reviewers(tx, &message, SCHOOL_REVIEWERS).await?,
            Phase::ProviderConfirmation => {
                notifications::to_providers_with(tx, &message, &[State::SchoolApproved.word()]).await?
            }
            Phase::Training | Phase::Results => {
                let states = [State::Confirmed.word(), State::Attended.word()];
                notifications::to_providers_with(tx, &message, &states).await?
            }
            _ => 0,
        };
        let owners: Vec<Role> = self.window.iter().flat_map(|window| window.owners()).collect();
        let owning = notifications::to_roles(tx, &message, &owners).await?;
        Ok(outcome(0, false, &[("reminded", left.saturating_add(owning))]))
    }

    async fn fix_credit_positions(&self, tx: &mut Tx) -> Result<StepOutcome, Failure> {
        let fixed = credit::fix(tx, &self.term, self.round, PAGE).await?;
        Ok(outcome(fixed, fixed >= PAGE.unsigned_abs(), &[("fixed", fixed)]))
    }

    async fn fix_non_selectors(&self, tx: &mut Tx) -> Result<StepOutcome, Failure> {
        let fixed = rounds::fix_non_selectors(tx, &self.term, self.round, self.organizations()).await?;
        Ok(outcome(fixed, false, &[("non_selectors", fixed)]))
    }

    /// SCHOOL_REVIEW opens: schools without a reviewer are listed to who may act in their place. A supplementary window brings
    /// back what expired unreviewed there.
    async fn list_unreviewable_schools(&self, tx: &mut Tx) -> Result<StepOutcome, Failure> {
        let mut reopened = 0;
        if !self.organizations().is_empty() {
            reopened = self.reopen_expired(tx).await?;
        }
        let schools = people::schools_without_reviewer(tx, self.organizations(), &self.today).await?;
        let districts = people::closest(tx, Role::DistrictOfficer, &schools, &self.today).await?;
        let bureaus = people::closest(tx, Role::BureauOfficer, &schools, &self.today).await?;
        let mut messages = Vec::new();
        for school in &schools {
            let district = districts.get(school).filter(|accounts| !accounts.is_empty());
            for account in district.or_else(|| bureaus.get(school)).into_iter().flatten() {
                messages.push(Message {
                    account: account.clone(),
                    kind: Kind::NoReviewer,
                    resource: school.clone(),
                    metadata: BTreeMap::from([("organization".to_owned(), school.clone())]),
                });
            }
        }
        notifications::write(tx, &self.term, messages).await?;
        let mut outcome = outcome(
            reopened,
            reopened >= PAGE.unsigned_abs(),
            &[("schools", count(schools.len())), ("reopened", reopened)],
        );
        for school in schools {
            outcome.counts.insert(format!("unreviewable {school}"), 1);
        }
        Ok(outcome)
    }

    async fn reopen_expired(&self, tx: &mut Tx) -> Result<u64, Failure> {
        let expired = selections::in_state_of_round(
            tx,
            &self.term,
            self.round,
            State::Expired.word(),
            UNREVIEWED,
            self.organizations(),
            PAGE,
        )
        .await?;
        if expired.is_empty() {
            return Ok(0);
        }
        let mut desk = self.desk(tx, &expired).await?;
        let (mut reopened, policy) = (0_u64, tx.policy::<crate::domain::Policy>()?);
        for selection in &expired {
            let taken = desk.of_teacher(&selection.teacher).any(|other| {
                other.name != selection.name && other.project == selection.project && other.state.is_live()
            });
            let hold = desk.projects.get(&selection.project).is_some_and(|project| {
                let policy = crate::domain::allocation::allocation(project, &policy.allocation, selection.round);
                policy == crate::domain::allocation::Allocation::FirstCome
            });
            let why = Why { hold, ..Why::coded("supplementary_window") };
            if taken || desk.apply(&selection.name, Event::CorrectToSubmitted, &why).is_err() {
                // Selected again meanwhile, or the place is gone: it stays expired, under a reason of its own.
                let mut stays = selection.clone();
                "not_reopened".clone_into(&mut stays.reason);
                desk.rewrite("expired", None, stays);
                continue;
            }
            reopened = reopened.saturating_add(1);
        }
        store::finish(tx, &self.term, &mut desk, None).await?;
        Ok(reopened)
    }

    /// SCHOOL_REVIEW closes: what was not reviewed expires, and is listed by school to its bureau.
    async fn expire_unreviewed(&self, tx: &mut Tx) -> Result<StepOutcome, Failure> {
        let pending = selections::unreviewed(tx, &self.term, self.round, self.organizations(), PAGE).await?;
        let more = count(pending.len()) >= PAGE.unsigned_abs();
        let mut desk = self.desk(tx, &pending).await?;
        let mut by_school: BTreeMap<String, i64> = BTreeMap::new();
        for selection in &pending {
            desk.apply(&selection.name, Event::Expire, &Why::coded(UNREVIEWED))?;
            let of_school = by_school.entry(selection.school.clone()).or_default();
            *of_school = of_school.saturating_add(1);
        }
        store::finish(tx, &self.term, &mut desk, None).await?;
        let schools: Vec<String> = by_school.keys().cloned().collect();
        let bureaus = people::closest(tx, Role::BureauOfficer, &schools, &self.today).await?;
        let mut messages = Vec::new();
        for (school, number) in &by_school {
            for account in bureaus.get(school).into_iter().flatten() {
                messages.push(Message {
                    account: account.clone(),
                    kind: Kind::Unreviewed,
                    resource: school.clone(),
                    metadata: BTreeMap::from([
                        ("organization".to_owned(), school.clone()),
                        ("count".to_owned(), number.to_string()),
                    ]),
                });
            }
        }
        notifications::write(tx, &self.term, messages).await?;
        let mut outcome = outcome(count(pending.len()), more, &[("expired", count(pending.len()))]);
        for (school, number) in by_school {
            outcome.counts.insert(format!("expired {school}"), number);
        }
        Ok(outcome)
    }

    /// SCHOOL_REVIEW closes: classes that are too small are proposed for cancelling (policy `[class]`).
    async fn propose_cancelling(&self, tx: &mut Tx, page: i32) -> Result<StepOutcome, Failure> {
        let size = usize::try_from(PAGE).unwrap_or(1);
        let policy = tx.policy::<crate::domain::Policy>()?;
        let projects = catalog::published_page(tx, &self.term, page, size).await?;
        let names: BTreeSet<String> = projects.iter().map(|project| project.name.clone()).collect();
        let counts = seats::counts(tx, &names).await?;
        let approved = selections::approved_by_project(tx, &self.term).await?;
        let (mut proposed, mut messages) = (0_u64, Vec::new());
        for project in &projects {
            training::retract(tx, &project.name).await?;
            let placed = |class: &str| {
                let (_, classes) = counts.get(&project.name)?;
                classes.get(class).copied()
            };
            let unplaced = approved.get(&project.name).copied().unwrap_or_default();
            let small = too_small(project, |class| placed(class).unwrap_or_default(), unplaced, &policy.class);
            for small in small {
                training::propose(tx, &self.term, &project.name, self.round, &small).await?;
                proposed = proposed.saturating_add(1);
                let concerned = BTreeSet::from([project.provider.clone(), project.accepting_bureau.clone()]);
                let roles = [Role::ProviderStaff, Role::BureauOfficer];
                for holder in people::holders(tx, &roles, &concerned, &self.today).await? {
                    messages.push(Message {
                        account: holder.account,
                        kind: Kind::TooSmall,
                        resource: small.class.clone(),
                        metadata: BTreeMap::from([
                            ("class".to_owned(), small.class.clone()),
                            ("participants".to_owned(), small.participants.to_string()),
                            ("needed".to_owned(), small.needed.to_string()),
                        ]),
                    });
                }
            }
        }
        notifications::write(tx, &self.term, messages).await?;
        Ok(outcome(proposed, projects.len() == size, &[("proposed", proposed)]))
    }

    /// PROVIDER_CONFIRMATION closes: what is undecided settles by the allocation policy, project by project.
    async fn settle_confirmation(&self, tx: &mut Tx) -> Result<StepOutcome, Failure> {
        let projects =
            selections::unsettled_projects(tx, &self.term, self.round, self.organizations(), PROJECTS).await?;
        let (mut total, mut undecided) = (Settled::default(), 0);
        let mut taken = BTreeSet::new();
        for (project, number) in &projects {
            if !taken.is_empty() && number.saturating_add(undecided) > PAGE {
                break;
            }
            undecided = undecided.saturating_add(*number);
            taken.insert(project.clone());
        }
        let teachers = selections::unsettled_teachers(tx, &taken, self.round).await?;
        let mut desk = store::load(tx, &self.term, &teachers, &taken, self.policy_version).await?;
        let open: Vec<Selection> = desk
            .selections
            .values()
            .filter(|selection| taken.contains(&selection.project) && is_unsettled(selection, self.round))
            .cloned()
            .collect();
        for project in &taken {
            let of_project: Vec<&Selection> = open.iter().filter(|selection| selection.project == *project).collect();
            let ranked = needs::ranked(tx, &self.term, &of_project).await?;
            let ranked: Vec<String> = ranked.into_iter().map(|need| need.selection).collect();
            let settled = settlement::settle(&mut desk, project, self.round, &ranked);
            total.confirmed = total.confirmed.saturating_add(settled.confirmed);
            total.waitlisted = total.waitlisted.saturating_add(settled.waitlisted);
        }
        let changed = count(desk.touched().count());
        store::finish(tx, &self.term, &mut desk, None).await?;
        let counts = [("confirmed", unsigned(total.confirmed)), ("waitlisted", unsigned(total.waitlisted))];
        Ok(outcome(changed, taken.len() < projects.len() || count(projects.len()) >= PROJECTS.unsigned_abs(), &counts))
    }

    /// The last PROVIDER_CONFIRMATION closes: notices that the provider has not issued.
    async fn issue_due_notices(&self, tx: &mut Tx) -> Result<StepOutcome, Failure> {
        let due = notices::due(tx, &self.term, PROJECTS).await?;
        let projects = due.iter().map(|(_, project)| project.clone()).collect();
        let projects = catalog::projects(tx, &projects).await?;
        let (mut issued, mut recipients) = (0_u64, 0_u64);
        for (class, project) in &due {
            let Some(class) = projects.get(project).and_then(|project| project.classes.get(class)) else { continue };
            if let Some(notice) = notice::send(tx, &self.term, class, DUE_NOTICE, None).await? {
                issued = issued.saturating_add(1);
                recipients = recipients.saturating_add(unsigned(notice.recipients));
            }
        }
        let more = count(due.len()) >= PROJECTS.unsigned_abs() && issued > 0;
        Ok(outcome(issued, more, &[("issued", issued), ("recipients", recipients)]))
    }

    /// The last PROVIDER_CONFIRMATION closes: who still waits has waited in vain.
    async fn freeze_waiting(&self, tx: &mut Tx) -> Result<StepOutcome, Failure> {
        let waiting = selections::in_state(tx, &self.term, State::Waitlisted.word(), PAGE).await?;
        let teachers = waiting.iter().map(|selection| selection.teacher.clone()).collect();
        // Without the books nobody is promoted any more.
        let mut desk = store::load(tx, &self.term, &teachers, &BTreeSet::new(), self.policy_version).await?;
        for selection in &waiting {
            desk.apply(&selection.name, Event::Expire, &Why::coded("waiting_list_closed"))?;
        }
        store::finish(tx, &self.term, &mut desk, None).await?;
        let frozen = count(waiting.len());
        Ok(outcome(frozen, frozen >= PAGE.unsigned_abs(), &[("frozen", frozen)]))
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

    /// The desk for these selections, with the books of their projects.
    async fn desk(&self, tx: &mut Tx, selections: &[Selection]) -> Result<crate::domain::Desk, Failure> {
        let teachers = selections.iter().map(|selection| selection.teacher.clone()).collect();
        let projects = selections.iter().map(|selection| selection.project.clone()).collect();
        store::load(tx, &self.term, &teachers, &projects, self.policy_version).await
    }
}

/// Coded reason of a selection that the school did not review in time.
const UNREVIEWED: &str = "unreviewed";
/// Projects, or classes, that one page looks at.
const PROJECTS: i64 = 100;

/// Undecided, or put on the waiting list by the provider without a place in it.
fn is_unsettled(selection: &Selection, round: i32) -> bool {
    let undecided = match selection.state {
        State::SchoolApproved => true,
        State::Waitlisted => selection.waiting_position == 0,
        _ => false,
    };
    undecided && selection.round <= round
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn unsigned(number: i32) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn outcome(changed: u64, more: bool, counts: &[(&str, u64)]) -> StepOutcome {
    let counts = counts.iter().map(|(key, value)| ((*key).to_owned(), i64::try_from(*value).unwrap_or(i64::MAX)));
    StepOutcome { changed: i32::try_from(changed).unwrap_or(i32::MAX), more, counts: counts.collect() }
}
