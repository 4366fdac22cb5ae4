//! The board of free places: read once for all who watch it, from the readers' side of the database and never from the
//! writer, as often as configured and only while somebody watches.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chassis::{
    CancellationToken, Failure,
    changes::feed,
    db::Db,
    places::{self, Places},
    telemetry::KeyValue,
};
use proto::{common::v1::Reason, enrollment::v1::FreePlaces};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, watch};

use crate::store::seats;

/// `[seats]` of the configuration.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SeatsConfig {
    /// Milliseconds between two looks at the seats: what moves in between is told once.
    #[schemars(range(min = 1))]
    pub interval_ms: u64,
    /// Listeners at a time; one more is refused.
    #[schemars(range(min = 1))]
    pub listeners: usize,
}

impl Default for SeatsConfig {
    fn default() -> Self {
        Self { interval_ms: 1000, listeners: 10_000 }
    }
}

/// When a refused listener should try again.
const RETRY_AFTER: Duration = Duration::from_secs(5);

const LISTENERS: places::Kind = places::Kind {
    name: "shixun.seats.listeners",
    unit: "{listener}",
    what: "Listeners to free places",
    key: "seats.listeners",
};

/// The free places of a term as of one look at them.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// Counts the looks that found something moved, from 1.
    round: u64,
    /// Free places by project, and the round in which they last moved.
    places: BTreeMap<String, (i32, u64)>,
    /// What moved in this round.
    moved: Vec<FreePlaces>,
}

impl View {
    /// Counts the looks that found something moved, from 1.
    pub const fn round(&self) -> u64 {
        self.round
    }

    /// What has moved after the round `seen`, of `projects` (empty: of all).
    pub fn since(&self, seen: u64, projects: &BTreeSet<String>) -> Vec<FreePlaces> {
        let wanted = |project: &String| projects.is_empty() || projects.contains(project);
        if seen + 1 == self.round && seen > 0 {
            return self.moved.iter().filter(|places| wanted(&places.project)).cloned().collect();
        }
        let moved = self.places.iter().filter(|(project, (_, round))| *round > seen && wanted(project));
        moved.map(|(project, (free, _))| FreePlaces { project: project.clone(), free: *free }).collect()
    }

    /// The view after another look; `None` if nothing has moved.
    fn after(&self, found: Vec<(String, i32)>) -> Option<Self> {
        let round = self.round + 1;
        let mut places = BTreeMap::new();
        let mut moved = Vec::new();
        let first = self.round == 0;
        for (project, free) in found {
            let before = self.places.get(&project);
            let since = before.filter(|(was, _)| *was == free).map_or(round, |(_, since)| *since);
            if since == round {
                moved.push(FreePlaces { project: project.clone(), free });
            }
            places.insert(project, (free, since));
        }
        (first || !moved.is_empty()).then_some(Self { round, places, moved })
    }
}

/// A listener's end of a term's board; `None` before the first look.
pub(crate) type Board = watch::Receiver<Option<Arc<View>>>;

type Boards = BTreeMap<String, watch::Sender<Option<Arc<View>>>>;

/// The boards of all terms. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SeatBoard {
    db: Db,
    interval: Duration,
    places: Arc<Places>,
    boards: Arc<Mutex<Boards>>,
    ending: CancellationToken,
}

impl SeatBoard {
    /// No board yet.
    #[must_use]
    pub fn new(db: Db, config: SeatsConfig, ending: CancellationToken) -> Self {
        Self {
            db,
            interval: Duration::from_millis(config.interval_ms.max(10)),
            places: Arc::new(Places::new(LISTENERS, config.listeners, KeyValue::new("service", "enrollment"))),
            boards: Arc::default(),
            ending,
        }
    }

    /// Cancelled when the service ends.
    pub(super) fn ending(&self) -> CancellationToken {
        self.ending.clone()
    }

    /// Listens to a term's board, which is put up with its first listener.
    ///
    /// # Errors
    /// `OVERLOADED` if as many listen as are allowed.
    pub(super) fn listen(&self, term: &str) -> Result<(Board, OwnedSemaphorePermit), Failure> {
        let full = || Failure::new(Reason::Overloaded).retry_after(RETRY_AFTER);
        let place = self.places.take().ok_or_else(full)?;
        let mut boards = self.boards.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(board) = boards.get(term) {
            return Ok((board.subscribe(), place));
        }
        let (board, listener) = watch::channel(None);
        boards.insert(term.to_owned(), board.clone());
        let (keeper, term) = (self.clone(), term.to_owned());
        tokio::spawn(async move { keeper.keep(&term, &board).await });
        Ok((listener, place))
    }

    /// Looks at the seats until nobody listens any more.
    async fn keep(&self, term: &str, board: &watch::Sender<Option<Arc<View>>>) {
        let mut view = Arc::new(View::default());
        let mut position = -1;
        let mut ticks = tokio::time::interval(self.interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.ending.cancelled() => return,
            }
            if !self.is_wanted(term, board) {
                return;
            }
            match self.look(term, &view, &mut position).await {
                Ok(Some(next)) => {
                    view = Arc::new(next);
                    board.send_replace(Some(Arc::clone(&view)));
                }
                Ok(None) => {}
                // The listeners keep what they know; the next look may find the database again.
                Err(failure) => tracing::debug!(%failure, "looking at the seats"),
            }
        }
    }

    /// Whether somebody listens; if not, the board is taken down, under the lock that a new listener takes.
    fn is_wanted(&self, term: &str, board: &watch::Sender<Option<Arc<View>>>) -> bool {
        let mut boards = self.boards.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = board.receiver_count() > 0;
        if !wanted {
            boards.remove(term);
        }
        wanted
    }

    /// What the seats are now, if they moved. No seat moves without a change in the feed.
    async fn look(&self, term: &str, view: &View, position: &mut i64) -> Result<Option<View>, Failure> {
        let mut reader = self.db.reader();
        let head = feed::head(&mut reader).await?;
        if head == *position {
            return Ok(None);
        }
        let found = seats::free_of_term(&mut reader, term).await?;
        *position = head;
        Ok(view.after(found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(places: &[(&str, i32)]) -> Vec<(String, i32)> {
        places.iter().map(|(project, free)| ((*project).to_owned(), *free)).collect()
    }

    fn told(view: &View, seen: u64, projects: &[&str]) -> Vec<(String, i32)> {
        let projects = projects.iter().map(|project| (*project).to_owned()).collect();
        view.since(seen, &projects).into_iter().map(|places| (places.project, places.free)).collect()
    }

    #[test]
    fn a_listener_is_told_what_moved_since_it_looked() {
        let first = View::default().after(found(&[("a", 3), ("b", 5)])).expect("the first look");
        assert_eq!(told(&first, 0, &[]), found(&[("a", 3), ("b", 5)]));
        assert!(first.after(found(&[("a", 3), ("b", 5)])).is_none(), "nothing moved");
        let second = first.after(found(&[("a", 2), ("b", 5)])).expect("a moved");
        let third = second.after(found(&[("a", 1), ("b", 5), ("c", 9)])).expect("a moved, c came");
        assert_eq!(told(&second, 1, &[]), found(&[("a", 2)]));
        assert_eq!(told(&third, 2, &[]), found(&[("a", 1), ("c", 9)]));
        // Who missed a round gets what stands now, once.
        assert_eq!(told(&third, 1, &[]), found(&[("a", 1), ("c", 9)]));
        assert_eq!(told(&third, 1, &["b", "c"]), found(&[("c", 9)]));
        assert_eq!(told(&third, 0, &["b"]), found(&[("b", 5)]));
    }

    #[test]
    fn an_empty_term_is_told_as_empty() {
        let view = View::default().after(Vec::new()).expect("the first look");
        assert_eq!(told(&view, 0, &[]), Vec::new());
    }
}
