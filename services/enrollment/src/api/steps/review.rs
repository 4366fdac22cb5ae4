//! The edges of school review: who reviews where a school cannot, what expires, which classes are too small.

use std::collections::{BTreeMap, BTreeSet};

use chassis::{Failure, StepOutcome, db::Tx};
use proto::common::v1::Role;

use super::{Edge, PAGE, count, outcome};
use crate::{
    domain::{
        Desk, Event, Policy, Selection, State,
        allocation::{Allocation, allocation},
        class_size::too_small,
        desk::Why,
        eligibility::can_come_back,
        notification::Kind,
    },
    store::{
        catalog, desk as store, notifications,
        notifications::Message,
        people, seats, selections,
        training::{self, Proposed},
    },
};

/// Coded reason of a selection that the school did not review in time.
const UNREVIEWED: &str = "unreviewed";

impl Edge {
    /// SCHOOL_REVIEW opens: schools without a reviewer are listed to who may act in their place. A supplementary window brings
    /// back what expired unreviewed there.
    pub(super) async fn list_unreviewable_schools(&self, tx: &mut Tx) -> Result<StepOutcome, Failure> {
        let mut reopened = 0;
        if !self.organizations().is_empty() {
            reopened = self.reopen_expired(tx).await?;
        }
        let schools = people::schools_without_reviewer(tx, self.organizations(), &self.today).await?;
        let stand_ins = people::stand_ins(tx, &schools, &self.today).await?;
        let mut messages = Vec::new();
        for school in &schools {
            for account in stand_ins.get(school).into_iter().flatten() {
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
        let (mut reopened, policy) = (0_u64, tx.policy::<Policy>()?);
        for selection in &expired {
            let taken = desk.of_teacher(&selection.teacher).any(|other| {
                other.name != selection.name && other.project == selection.project && other.state.is_live()
            });
            let hold = desk.projects.get(&selection.project).is_some_and(|project| {
                let policy = allocation(project, &policy.allocation, selection.round);
                policy == Allocation::FirstCome
            });
            let possible = desk.projects.get(&selection.project).is_some_and(|project| {
                can_come_back(project, desk.teachers.get(&selection.teacher), &desk.zone).is_ok()
            });
            let why = Why { hold, ..Why::coded("supplementary_window") };
            if taken || !possible || desk.apply(&selection.name, Event::CorrectToSubmitted, &why).is_err() {
                // Selected again meanwhile, or place, project or teacher is gone: it stays expired, under a reason of its own.
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

    /// SCHOOL_REVIEW closes: what no window of the round can review any more expires, and is listed by school to its bureau;
    /// wherever a transfer has taken it.
    pub(super) async fn expire_unreviewed(&self, tx: &mut Tx) -> Result<StepOutcome, Failure> {
        let Some(others) = self.still_open(tx, |round| round == self.round)? else { return Ok(StepOutcome::default()) };
        let pending = selections::unreviewed(tx, &self.term, self.round, &others, PAGE).await?;
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
    pub(super) async fn propose_cancelling(&self, tx: &mut Tx, page: i32) -> Result<StepOutcome, Failure> {
        let size = usize::try_from(PAGE).unwrap_or(1);
        let policy = tx.policy::<Policy>()?;
        let projects = catalog::published_page(tx, &self.term, page, size).await?;
        let names: BTreeSet<String> = projects.iter().map(|project| project.name.clone()).collect();
        let counts = seats::counts(tx, &names).await?;
        let approved = selections::approved_by_project(tx, &names).await?;
        let (mut proposed, mut messages) = (0_u64, Vec::new());
        for project in &projects {
            let placed = |class: &str| {
                let (_, classes) = counts.get(&project.name)?;
                classes.get(class).copied()
            };
            let unplaced = approved.get(&project.name).copied().unwrap_or_default();
            let small = too_small(project, |class| placed(class).unwrap_or_default(), unplaced, &policy.class);
            let proposal = Proposed { project: &project.name, round: self.round, small: &small };
            training::propose(tx, &self.term, proposal).await?;
            for small in small {
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

    /// The desk for these selections, with the books of their projects.
    async fn desk(&self, tx: &mut Tx, selections: &[Selection]) -> Result<Desk, Failure> {
        let teachers = selections.iter().map(|selection| selection.teacher.clone()).collect();
        let projects = selections.iter().map(|selection| selection.project.clone()).collect();
        store::load(tx, &self.term, &teachers, &projects, self.policy_version).await
    }
}
