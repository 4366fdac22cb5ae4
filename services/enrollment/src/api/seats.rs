//! The seats of projects: listed, and watched by many at once.

use std::{collections::BTreeSet, pin::Pin};

use chassis::{Call, Failure, Page, admission, db::Scope, texts};
use futures::{Stream, StreamExt as _, stream};
use proto::enrollment::v1::{FreePlaces, ListSeatsRequest, ListSeatsResponse, WatchSeatsRequest, WatchSeatsResponse};
use tokio::sync::OwnedSemaphorePermit;
use tonic::{Request, Status};

use super::{Api, seat_board::Board};
use crate::store::seats as store;

/// What a watcher gets.
pub(super) type Watched = Pin<Box<dyn Stream<Item = Result<WatchSeatsResponse, Status>> + Send>>;

pub(super) async fn list(api: &Api, call: Call<ListSeatsRequest>) -> Result<ListSeatsResponse, Failure> {
    let message = &call.message;
    let bound = ListSeatsRequest { page_size: 0, page_token: String::new(), ..message.clone() };
    let page = Page::read(message.page_size, &message.page_token, &bound)?;
    let mut db = api.db.read(&call, Scope::Term(&message.parent)).await?;
    let seats = store::list(&mut db, &message.parent, &message.projects, page.after(), page.ask()).await?;
    let (seats, next_page_token) = page.cut(seats, |last| last.project.clone());
    Ok(ListSeatsResponse { seats, next_page_token })
}

/// A listener: what it wants, and what it has seen.
struct Listener {
    board: Board,
    /// Empty: all.
    projects: BTreeSet<String>,
    seen: u64,
    _place: OwnedSemaphorePermit,
}

pub(super) async fn watch(api: &Api, request: Request<WatchSeatsRequest>) -> Result<Watched, Failure> {
    let admission = admission(&request)?;
    let call = Call { admission, message: request.into_inner() };
    texts::refuse(&call.message)?;
    api.db.read(&call, Scope::Term(&call.message.parent)).await?;
    let (board, place) = api.board.listen(&call.message.parent)?;
    let projects = call.message.projects.into_iter().collect();
    let listener = Listener { board, projects, seen: 0, _place: place };
    let places = stream::unfold(listener, |mut listener| async {
        let places = listener.next().await?;
        Some((Ok(WatchSeatsResponse { places }), listener))
    });
    // A listener begins again elsewhere.
    let ended = async { Err(Failure::away("enrollment").into()) };
    Ok(Box::pin(places.take_until(api.board.ending().cancelled_owned()).chain(stream::once(ended))))
}

impl Listener {
    /// What has moved since it last looked; waits until something has. `None`: the board is taken down.
    async fn next(&mut self) -> Option<Vec<FreePlaces>> {
        loop {
            let view = self.board.borrow_and_update().clone();
            if let Some(view) = view.filter(|view| view.round() > self.seen) {
                let places = view.since(self.seen, &self.projects);
                let first = self.seen == 0;
                self.seen = view.round();
                if first || !places.is_empty() {
                    return Some(places);
                }
            }
            self.board.changed().await.ok()?;
        }
    }
}
