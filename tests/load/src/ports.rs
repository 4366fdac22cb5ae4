//! Ports of the worlds' services: below those that the kernel hands out by itself, so that nobody gets one while its service is away.
//! Two runs at once, and two worlds of one run, look in different places.

use std::{
    net::{SocketAddr, TcpListener},
    sync::atomic::{AtomicU32, Ordering},
};

const FIRST: u16 = 21_000;
const LAST: u16 = 32_700;
/// Ports of a place.
const EACH: u16 = 16;
const PLACES: u32 = 700;
/// How many places on the next world of the same run looks: a port is free to look at while its service is not started.
const APART: u32 = 101;
static WORLDS: AtomicU32 = AtomicU32::new(0);

/// Ports for a world of this run.
///
/// # Errors
/// If fewer than `count` are free.
pub fn choose(count: usize) -> anyhow::Result<Vec<SocketAddr>> {
    let first = first(std::process::id(), WORLDS.fetch_add(1, Ordering::Relaxed))?;
    let free = (first..LAST).filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    let ports: Vec<_> = free.map(|port| SocketAddr::from(([127, 0, 0, 1], port))).take(count).collect();
    anyhow::ensure!(ports.len() == count, "no free ports");
    Ok(ports)
}

/// Where the `nth` world of a process begins to look.
fn first(process: u32, nth: u32) -> anyhow::Result<u16> {
    let place = (process % PLACES + nth % PLACES * APART) % PLACES;
    Ok(FIRST + u16::try_from(place)? * EACH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worlds_of_one_run_have_ports_of_their_own() {
        for process in [0, 1, PLACES - 1, u32::MAX] {
            let mut places: Vec<u16> = (0..PLACES).map(|nth| first(process, nth).unwrap()).collect();
            places.sort_unstable();
            assert!(places.windows(2).all(|two| matches!(two, [one, next] if next - one >= EACH)), "{process}");
            assert!(places.iter().all(|first| (FIRST..=LAST - EACH).contains(first)));
        }
    }
}
