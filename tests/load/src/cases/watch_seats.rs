//! watch-seats: rush-hot with 5,000 listeners to the free places, beside the same without them.

use std::time::Duration;

use proto::enrollment::v1::WatchSeatsRequest;

use super::rush;
use crate::{
    bench::{Bench, say},
    database::Engine,
    drive::{self, Client, Shot},
    opening,
    table::{Goal, Latency, Outcome, Pair},
    work::Work,
};

const WATCH: &str = "shixun.enrollment.v1.SelectionService/WatchSeats";
const LISTENERS: usize = 5_000;
/// Connections of the listeners: a connection carries at most 1,024 streams.
const CONNECTIONS: usize = 8;
const WORK: Work = Work::Hot;

/// Without and with listeners in turn.
///
/// # Errors
/// If something cannot be started, or fails other than in what is measured.
pub async fn run(bench: &mut Bench) -> anyhow::Result<Outcome> {
    let (callers, _, tried) = rush::callers(bench, Engine::Postgres, WORK).await?;
    let within = Duration::from_secs(bench.options.seconds);
    let mut outcome = Outcome::of("watch-seats", Engine::Postgres, "1/s", Goal::AtLeast(0.9));
    let mut latency = drive::histogram()?;
    let (mut kept, mut messages) = (0, 0);
    for n in 1..=bench.options.runs {
        let alone = opening::run(bench, Engine::Postgres, WORK, callers, within).await?;

        let (client, town, world) = opening::ready(bench, Engine::Postgres).await?;
        let gateway = world.gateway()?;
        let request = WatchSeatsRequest { parent: town.term.clone(), projects: Vec::new() };
        let watchers = town.teachers.iter().cycle().take(LISTENERS);
        let watches = watchers.map(|teacher| Shot::new(gateway, WATCH, &teacher.token, &request));
        let watches = watches.collect::<anyhow::Result<Vec<_>>>()?;
        let mut listeners = Client::connect(gateway, CONNECTIONS).await?.listen(&watches).await?;
        let before = listeners.messages();
        let watched = opening::rush(&client, town, world, WORK, callers, within).await?;
        let (heard, ended) = (listeners.messages() - before, listeners.ended());
        if ended > 0 {
            outcome.faults.push(format!("{ended} listeners' streams ended"));
        }
        if heard < LISTENERS {
            outcome.faults.push(format!("{heard} messages to {LISTENERS} listeners"));
        }
        let (peer, ours) = (alone.volley.rate(), watched.volley.rate());
        say(&format!("watch-seats run {n}: alone {peer:.0}/s, with listeners {ours:.0}/s, {heard} messages"));
        latency.add(&watched.volley.latency)?;
        kept += watched.found.kept;
        messages += heard;
        outcome.faults.extend(alone.found.faults.into_iter().chain(watched.found.faults));
        outcome.pairs.push(Pair { peer, ours, cpu: watched.cpu, peer_cpu: alone.cpu });
    }
    outcome.latency = Some(Latency::from(&latency));
    outcome.counted = format!("{kept} kept, {messages} messages");
    outcome.notes = vec![
        format!("peer: rush-hot; ours: the same while {LISTENERS} streams listen to all projects of the term"),
        format!("{callers} callers; tried {tried}; the listeners are in the client's process, on the same two cores"),
    ];
    Ok(outcome)
}
