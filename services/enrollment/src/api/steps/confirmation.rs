//! The edges of provider confirmation: what is undecided settles, notices go out, waiting lists close.

use std::collections::BTreeSet;

use chassis::{Failure, StepOutcome, db::Tx};

use super::{Edge, PAGE, count, outcome};
use crate::{
    api::notice,
    domain::{
        Event, Selection, State,
        desk::Why,
        settlement::{self, Settled},
    },
    store::{catalog, desk as store, needs, notices, selections},
};

/// What a notice says that the provider did not write.
const DUE_NOTICE: &str = "请按课程安排准时参加培训；地点与时间见班级信息。";
/// Projects, or classes, that one page looks at.
const PROJECTS: i64 = 100;

impl Edge {
    /// PROVIDER_CONFIRMATION closes: what is undecided settles by the allocation policy, project by project.
    pub(super) async fn settle_confirmation(&self, tx: &mut Tx) -> Result<StepOutcome, Failure> {
        // A later round's confirmation may be open or to come: it is that round's, and settles what it finds.
        let still_open = self.still_open(tx, |round| round <= self.round)?;
        let Some(others) = still_open else { return Ok(StepOutcome::default()) };
        let projects = selections::unsettled_projects(tx, &self.term, self.round, &others, PROJECTS).await?;
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
    pub(super) async fn issue_due_notices(&self, tx: &mut Tx) -> Result<StepOutcome, Failure> {
        let Some(others) = self.still_open(tx, |_| true)? else { return Ok(StepOutcome::default()) };
        let due = notices::due(tx, &self.term, &others, PROJECTS).await?;
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
    pub(super) async fn freeze_waiting(&self, tx: &mut Tx) -> Result<StepOutcome, Failure> {
        let Some(others) = self.still_open(tx, |_| true)? else { return Ok(StepOutcome::default()) };
        let waiting = selections::waiting(tx, &self.term, &others, PAGE).await?;
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
}

/// Undecided, or put on the waiting list by the provider without a place in it.
fn is_unsettled(selection: &Selection, round: i32) -> bool {
    let undecided = match selection.state {
        State::SchoolApproved => true,
        State::Waitlisted => selection.waiting_position == 0,
        _ => false,
    };
    undecided && selection.round <= round
}

fn unsigned(number: i32) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
