//! Two ways to the writer. Where crowds wait for few projects, one that nobody waits for goes aside of them: its submissions are a
//! transaction of their own beside the crowds'. All of one project go the same way as long as any of them has no answer, so that
//! they are decided in the order of arrival.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use chassis::db::Lane;

/// Submissions to one project that are a crowd.
const CROWD: usize = 32;

#[derive(Debug, Default)]
struct Waiting {
    /// On the main way.
    main: usize,
    /// Those of them that are in crowds.
    crowded: usize,
    projects: HashMap<String, (Lane, usize)>,
}

/// Who has no answer yet, of each project. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Lanes(Arc<Mutex<Waiting>>);

/// A submission's place on its way, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    lanes: Lanes,
    project: String,
    pub lane: Lane,
}

impl Lanes {
    /// A place on the way of those who wait for this project.
    pub fn enter(&self, project: &str) -> Place {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // What is spread over many projects is done sooner together than apart.
        let free = if waiting.crowded * 2 > waiting.main { Lane::Aside } else { Lane::Main };
        let (lane, count) = waiting.projects.entry(project.to_owned()).or_insert((free, 0));
        let (lane, before) = (*lane, *count);
        *count += 1;
        if lane == Lane::Main {
            waiting.main += 1;
            waiting.crowded += crowded(before + 1) - crowded(before);
        }
        Place { lanes: self.clone(), project: project.to_owned(), lane }
    }
}

/// How many of a project's submissions are in a crowd.
const fn crowded(count: usize) -> usize {
    if count < CROWD { 0 } else { count }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut waiting = self.lanes.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((_, count)) = waiting.projects.get_mut(&self.project) else { return };
        let before = *count;
        *count = before.saturating_sub(1);
        let after = *count;
        if after == 0 {
            waiting.projects.remove(&self.project);
        }
        if self.lane == Lane::Main {
            waiting.main = waiting.main.saturating_sub(1);
            waiting.crowded = waiting.crowded.saturating_sub(crowded(before) - crowded(after));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beside_a_crowd_a_quiet_project_goes_aside_and_each_keeps_its_way() {
        let lanes = Lanes::default();
        let early = lanes.enter("early");
        let mut crowd: Vec<Place> = (0..CROWD).map(|_| lanes.enter("hot")).collect();
        assert!(crowd.iter().all(|place| place.lane == Lane::Main), "the crowd stays together");
        assert_eq!(lanes.enter("early").lane, Lane::Main, "one of it waits there");
        drop(early);
        let quiet = lanes.enter("quiet");
        assert_eq!(quiet.lane, Lane::Aside);
        assert_eq!(lanes.enter("early").lane, Lane::Aside, "nobody waits for it any more");
        crowd.truncate(1);
        assert_eq!(lanes.enter("quiet").lane, Lane::Aside, "one of it waits there");
        drop(quiet);
        assert_eq!(lanes.enter("quiet").lane, Lane::Main, "nobody waits, and there is no crowd");
        drop(crowd);
        let waiting = lanes.0.lock().unwrap();
        assert!(waiting.projects.is_empty() && waiting.main == 0 && waiting.crowded == 0, "{waiting:?}");
    }

    #[test]
    fn many_who_are_spread_are_no_crowd() {
        let lanes = Lanes::default();
        let _crowd: Vec<Place> = (0..CROWD).map(|_| lanes.enter("popular")).collect();
        let spread: Vec<Place> = (0..CROWD).map(|n| lanes.enter(&format!("project {n}"))).collect();
        assert!(spread.iter().all(|place| place.lane == Lane::Aside), "beside the crowd");
        drop(spread);
        let lanes = Lanes::default();
        let _spread: Vec<Place> = (0..CROWD).map(|n| lanes.enter(&format!("project {n}"))).collect();
        let crowd: Vec<Place> = (0..CROWD).map(|_| lanes.enter("popular")).collect();
        assert!(crowd.iter().all(|place| place.lane == Lane::Main));
        assert_eq!(lanes.enter("quiet").lane, Lane::Main, "as many are spread");
    }
}
