//! The board of free places, as those who watch it see it.

use enrollment::api::{SeatBoard, SeatsConfig};
use futures::StreamExt as _;
use proto::enrollment::v1::WatchSeatsRequest;
use tonic::{Code, Status};

use super::*;

type Told = Option<Result<Vec<(String, i32)>, Code>>;

/// What a watcher is told next, by project.
async fn next(
    stream: &mut (impl futures::Stream<Item = Result<proto::enrollment::v1::WatchSeatsResponse, Status>> + Unpin),
) -> Told {
    let told = tokio::time::timeout(std::time::Duration::from_secs(20), stream.next()).await.expect("in time")?;
    let places = |reply: proto::enrollment::v1::WatchSeatsResponse| {
        reply.places.into_iter().map(|places| (places.project, places.free)).collect()
    };
    Some(told.map(places).map_err(|status| status.code()))
}

pub async fn seats_are_watched(db: &Db, term: &str) {
    let world = World::new(db, term, &["t1", "t2"], &menu()).await;
    let ending = chassis::CancellationToken::new();
    let board = SeatBoard::new(db.clone(), SeatsConfig { interval_ms: 10, listeners: 2 }, ending.clone());
    let api = Api::new(db.clone(), support::intake(db), board);
    let watch = |projects: &[&str]| {
        let path = "/shixun.enrollment.v1.SelectionService/WatchSeats";
        let projects = projects.iter().map(|id| world.project(id)).collect();
        let message = WatchSeatsRequest { parent: world.term.clone(), projects };
        let request = world.request(path, &as_teacher("t1"), at(SELECTION_2), message);
        let api = api.clone();
        async move { api.watch_seats(request).await.map(tonic::Response::into_inner) }
    };

    let mut all = watch(&[]).await.expect("a place");
    let mut of_two = watch(&["a", "c"]).await.expect("a place");
    assert_eq!(watch(&[]).await.err().map(|status| status.code()), Some(Code::ResourceExhausted), "two may listen");
    let free = [("a", 2), ("b", 30), ("c", 30), ("d", 30), ("e", 30), ("f", 30)];
    let named = |places: &[(&str, i32)]| -> Told {
        Some(Ok(places.iter().map(|(id, free)| (world.project(id), *free)).collect()))
    };
    assert_eq!(next(&mut all).await, named(&free));
    assert_eq!(next(&mut of_two).await, named(&[("a", 2), ("c", 30)]));

    // The first round has no upper limit: nothing is held, and nobody is told anything before the second one's seats.
    let mut chosen = Vec::new();
    for id in ["t1", "t2"] {
        chosen.push(world.submit(id, "f", at(7)).await.expect("no upper limit").name);
    }
    let approved: Vec<_> = chosen.iter().map(|name| (name.as_str(), true, "")).collect();
    world.review(&admin(), &approved, at(8)).await.expect("approved");
    world.submit("t1", "e", at(SELECTION_2)).await.expect("a free place");
    assert_eq!(next(&mut all).await, named(&[("e", 29)]));
    let held = world.submit("t2", "a", at(SELECTION_2)).await.expect("a free place");
    assert_eq!(next(&mut all).await, named(&[("a", 1)]));
    assert_eq!(next(&mut of_two).await, named(&[("a", 1)]), "not told of e");
    world.withdraw(&as_teacher("t2"), &held.name, at(SELECTION_2)).await.expect("his own");
    assert_eq!(next(&mut of_two).await, named(&[("a", 2)]));

    // A place on the board is free again with its listener, and who comes later sees what stands.
    drop(all);
    let mut later = watch(&["a", "e"]).await.expect("a free place to listen");
    assert_eq!(next(&mut later).await, named(&[("a", 2), ("e", 29)]));
    ending.cancel();
    assert_eq!(next(&mut later).await, Some(Err(Code::Unavailable)), "to begin again elsewhere");
    assert_eq!(next(&mut later).await, None);
}
