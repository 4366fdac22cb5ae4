//! docs/faults.md, made of the table and of what else is asserted.

use std::{fmt::Write as _, time::Duration};

use cluster::{RETRIEVE_RETRY, TTL};

use crate::table::{AT_ONCE, Act, COSTS, FAILOVER, Fault, GOES_ON, Meets, NOTICED, RECOVERED, STEPS_DOWN};

/// docs/faults.md.
#[must_use]
pub fn page() -> String {
    let mut text = String::from(HEAD);
    let reasons = |meets: Meets| match meets {
        Meets::GoesOn => "goes on".to_owned(),
        Meets::Away(name) => format!("`UNAVAILABLE`: {name}"),
        Meets::Nobody => "no answer".to_owned(),
    };
    for cost in &COSTS {
        let mut lost: Vec<(String, Vec<&str>)> = Vec::new();
        for (act, meets) in cost.lost {
            let reason = reasons(*meets);
            match lost.iter_mut().find(|(known, _)| *known == reason) {
                Some((_, acts)) => acts.push(act.word()),
                None => lost.push((reason, vec![act.word()])),
            }
        }
        let lost: Vec<_> = lost.into_iter().map(|(reason, acts)| format!("{}: {reason}", acts.join(", "))).collect();
        let goes_on: Vec<_> =
            Act::ALL.into_iter().filter(|act| cost.of(Fault::Stopped, *act) == Meets::GoesOn).map(Act::word).collect();
        let goes_on = if goes_on.is_empty() { "nothing".to_owned() } else { goes_on.join(", ") };
        let dropped = cost.dropped().unwrap_or("nobody");
        let (name, lost) = (cost.target.name(), lost.join("; "));
        // Writing to a String cannot fail.
        let _ = writeln!(text, "| {name} | {lost} | {goes_on} | {dropped} | {} |", cost.note);
    }
    let bounds = [
        ("{AT_ONCE}", AT_ONCE),
        ("{NOTICED}", NOTICED),
        ("{GOES_ON}", GOES_ON),
        ("{RECOVERED}", RECOVERED),
        ("{FAILOVER}", FAILOVER),
        ("{STEPS_DOWN}", STEPS_DOWN),
    ];
    let rest = [SPEED, NOTICE, PRIMARY, ETCD, TAIL].concat();
    let rest =
        bounds.into_iter().fold(rest, |rest, (name, bound): (_, Duration)| rest.replace(name, &format!("{bound:?}")));
    text + &rest.replace("{TTL}", &TTL.to_string()).replace("{RETRIEVE_RETRY}", RETRIEVE_RETRY)
}

const HEAD: &str = "\
# Faults

What it costs the people of the first round when a part of the system is away. Generated from the table that `tests/faults` asserts
(`UPDATE_DOCS=1 cargo nextest run --workspace -E 'package(faults) & test(page)'` writes this page anew).

Each part is *stopped* (killed with -9), *frozen* (SIGSTOP), *cut off* (nothing passes, nobody is told) and *slowed* (each message late:
by 100 ms for a service, by 25 ms for a database) while teachers select. The first three cost the same, as below; slowed, everything
goes on. Every refusal names what is away, in the person's words, and says when to try again (`RetryInfo`); none is waited for until a
deadline. After each fault: what was refused is repeated under its request id and goes well, every selection that was acknowledged is
there once, all mirrors have caught up, and the changes verify.

| away | not there meanwhile | goes on | not ready | besides |
| --- | --- | --- | --- | --- |
";

const SPEED: &str = "
## How fast

| what | within |
| --- | --- |
| refused, where the fault shows by itself (a program that has ended) | {AT_ONCE} |
| refused, where it says nothing (frozen, cut off): the first calls | {NOTICED} |
| the same, once it was noticed | {AT_ONCE} |
| answered, where it goes on: the callers' deadline | {GOES_ON} |
| everything goes on, after the fault has ended | {RECOVERED} |
| the first write, after the death of the primary's machine | {FAILOVER} |
| the primary steps down, once etcd is lost and a standby away | {STEPS_DOWN} |
| the first write, after etcd's return | {FAILOVER} |
";

const NOTICE: &str = "
## How it is noticed

A frozen program refuses nothing. So while somebody waits for a service, the gateway asks it (by gRPC's health service), and each
service asks its PostgreSQL (on a connection of its own; the gateway while somebody waits for it): once a second, and if there is no
answer within three seconds, nor any other from it, it counts as away: four seconds after it froze, on a machine that has time. Whoever
waits is told, whoever comes is refused at once, and it is asked again until it answers (`shixun.dependency.away`, alert `DependencyAway`).

Meanwhile that service's health says NOT_SERVING to who asks for `readiness`, from within {NOTICED} of the blow until its database answers
again, so that a replica whose way to it is cut gets no calls where others' is whole. If all of them are, callers keep the addresses that
they had, and their refusals. Nobody else's readiness moves, the gateway's not even for its own database, and nobody's `liveness`: both
are asked of every service during each fault.
";

const PRIMARY: &str = "
## The primary dies

Asserted with PostgreSQL as three nodes under Patroni and etcd, `synchronous_mode` with `synchronous_mode_strict`, and a door before
them that leads new connections to whichever node Patroni calls the primary, as a load balancer or an operator's `-rw` Service does.
In the rush of the first round the primary's node is killed with -9, Patroni and PostgreSQL at once; in another one it falls silent
(SIGSTOP), and is ended (kill -9) when another one is the primary, before it can wake, as by a watchdog or by whoever switches the
machine off:

- Until a standby has taken its place whoever selects is refused: `UNAVAILABLE`: database, with `RetryInfo`. Within {FAILOVER} of
  the blow the first write is acknowledged; after it everything goes on, and no service is restarted.
- Nothing that was acknowledged is lost, since no commit is before a standby has it on its disk; nothing is there that was not
  acknowledged to whoever repeats his request; no project has more seats than places, and the changes verify.
- The heir is the synchronous standby. The dead node, started again, becomes a standby of it.
- Connections to the silent server hold no place: what was begun on one is given up within four seconds, and the connection within five
  more, so that the services have all of them for the new primary.

What it takes is Patroni's `ttl`, after which a silent primary is none any more ({TTL} s in the test; by default it is 30), and the
moment until the other standby follows the new primary (`wal_retrieve_retry_interval`, {RETRIEVE_RETRY} in the test; by default
5 s): for so long what is written is on one disk, and waits.
";

const ETCD: &str = "
## etcd is lost

Asserted with the same three nodes and `failsafe_mode`; etcd is killed with -9 as a rush of the first round begins:

- **As long as all nodes hear each other nobody notices**: the primary asks them in etcd's place. Everyone does everything once a
  second for longer than `ttl`, and nothing is refused or late. (Without `failsafe_mode` it steps down after `retry_timeout`.)
- **When a standby is away as well** nobody can know whether it is not somebody else's primary. Within {STEPS_DOWN} the primary has
  stepped down, and the menu, the credit statement and what can be done today go on, while who selects is told `UNAVAILABLE`: database.
- Within {FAILOVER} of etcd's return the first write is acknowledged, and everything goes on. Nothing acknowledged is lost, no project
  has more seats than places.
";

const TAIL: &str = "
## The sequencer is down

While the gateway's database is away no step is taken. The services go by their own clock and their own database:

- A selection window **closes to the microsecond**: asserted with the rehearsal's clock, at the instant before and at the instant.
- What needs nothing of the sequencer **opens to the microsecond**, too. What waits for a step (a selection window for its own
  opening's, the windows after a settlement for that) answers `WINDOW_NOT_READY` with `RetryInfo`, and opens when the sequencer has
  come back and done what was due: late, never wrong. Asserted with the hardest one, the second round, which opens at the very instant
  at which the first one's confirmation is to be settled: `WINDOW_CLOSED` a microsecond before, `WINDOW_NOT_READY` at it, and open as soon as
  the sequencer, which came back then, has settled that.

## A disk that fills

Asserted on both engines, on a disk of their own without a byte left: who writes is refused with `STORAGE_FULL` (`RESOURCE_EXHAUSTED`,
`RetryInfo`) and leaves nothing behind, who reads goes on; when there is room, the same request goes well, and nobody is restarted. A
PostgreSQL whose log (`pg_wal`) finds no room for its next file ends by itself, and is then a database that is stopped.

## A clock that is wrong

Services compare their clocks with their neighbours' every ten seconds, and tell what differs by more than `server.clock_tolerance_ms`:
asserted with a roster that is five minutes ahead, as its four neighbours see it in `GetStatus`, and that it ends when the clocks agree.

## Not covered

**A primary's machine that falls silent and wakes** (`cargo run --workspace --bin faults -- --only silent`: SIGSTOP of its Patroni and
PostgreSQL in the rush, SIGCONT when another one is the primary) is played by hand and asserted nowhere, since it does not end well each
time. In four of nine plays nothing was lost, and the old primary, though asked to write as it woke, acknowledged nothing and became a
standby. In three of them, as it woke, it took the leader's key back (Patroni 3.0.2 puts it into etcd without asking whose it is), the
new one stepped down, and its timeline, with what it had acknowledged, was rewound; in one the old primary was no standby within a minute;
in one nothing was written within a minute, since silent connections still held places then. What is silent and not known to be dead is
therefore to be ended before it can wake, which is asserted (*The primary dies*): by a watchdog (`watchdog.mode: required`), or by
switching the machine off.

Failover by CloudNativePG, which asks Kubernetes in etcd's place. The five programs run on one machine: a network that loses some packets
and not others.

A single replica among several that is frozen: calls that wait for it end at their deadline, or when its connection is given up (20 s);
others go to the replicas that answer. SQLite is a file in its service's process: its faults are the service's.
";
