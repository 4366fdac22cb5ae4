//! What each fault costs whom: the one table, which the cases assert and from which docs/faults.md is made.

use std::{fmt::Write as _, time::Duration};

use cluster::{RETRIEVE_RETRY, TTL};

/// Refused within so long of a fault that says nothing: a frozen program, or a network that is gone.
pub const NOTICED: Duration = Duration::from_secs(8);
/// Once it was noticed, and where a fault shows at once.
pub const AT_ONCE: Duration = Duration::from_secs(3);
/// What goes on is answered within so long, the deadline of those who call: on a machine of two cores with other work.
pub const GOES_ON: Duration = Duration::from_secs(9);
/// After a fault has ended, everything goes on within so long.
pub const RECOVERED: Duration = Duration::from_secs(30);

/// After the death of the primary's machine the first write is acknowledged within so long.
pub const FAILOVER: Duration = Duration::from_secs(30);

/// What something of the system may be struck by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Killed with -9, and not started again.
    Stopped,
    /// Its processes stand still (SIGSTOP): connections stay, and nothing answers.
    Frozen,
    /// Each message to it and from it is late: by 100 ms for a service, by 25 ms for a database.
    Slowed,
    /// Nothing reaches it and nothing leaves it, and nobody is told.
    CutOff,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Stopped, Self::Frozen, Self::Slowed, Self::CutOff];

    /// As a test's name has it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Frozen => "frozen",
            Self::Slowed => "slowed",
            Self::CutOff => "cut off",
        }
    }
}

/// What is struck.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A service.
    Service(&'static str),
    /// The PostgreSQL of a service.
    Database(&'static str),
}

impl Target {
    /// As the table names it.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Service(service) => service.to_owned(),
            Self::Database(service) => format!("{service}'s database"),
        }
    }
}

/// What people do in the first round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// `SessionService.Login`
    Login,
    /// `SessionService.Refresh`
    Refresh,
    /// `ProjectService.ListProjects`
    Menu,
    /// `SelectionService.SubmitSelection`
    Submit,
    /// `SelectionService.WithdrawSelection`
    Withdraw,
    /// `SelectionService.ListSelections` of a school
    Review,
    /// `LedgerService.GetStatement`
    Statement,
    /// `CalendarService.GetToday`
    Today,
    /// A new `SelectionService.WatchSeats`, up to its first message
    Seats,
    /// A `SelectionService.WatchSeats` that was there before
    Watching,
}

impl Act {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Login,
        Self::Refresh,
        Self::Menu,
        Self::Submit,
        Self::Withdraw,
        Self::Review,
        Self::Statement,
        Self::Today,
        Self::Seats,
        Self::Watching,
    ];

    const fn word(self) -> &'static str {
        match self {
            Self::Login => "logging in",
            Self::Refresh => "staying logged in",
            Self::Menu => "the menu",
            Self::Submit => "selecting",
            Self::Withdraw => "withdrawing",
            Self::Review => "a school's list",
            Self::Statement => "the credit statement",
            Self::Today => "what can be done today",
            Self::Seats => "free places, newly watched",
            Self::Watching => "free places, watched before",
        }
    }
}

/// What who does it meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meets {
    /// It is done.
    GoesOn,
    /// `UNAVAILABLE`, with the name of what is away, in words, and with `RetryInfo`.
    Away(&'static str),
    /// Nobody is there to answer: the person's own client says so.
    Nobody,
}

/// What the faults of a target cost. Slowed, nothing is refused: everything goes on, more slowly.
#[derive(Debug)]
pub struct Cost {
    /// What is struck.
    pub target: Target,
    /// What is not there then; all else goes on.
    pub lost: &'static [(Act, Meets)],
    /// What else there is to say.
    pub note: &'static str,
}

impl Cost {
    /// What somebody meets while the fault lasts.
    #[must_use]
    pub fn of(&self, fault: Fault, act: Act) -> Meets {
        let lost = self.lost.iter().find(|(lost, _)| *lost == act && fault != Fault::Slowed);
        lost.map_or(Meets::GoesOn, |(_, meets)| *meets)
    }

    /// Who is not ready while the fault lasts: whose own database it is, but for the gateway, which passes calls on without.
    #[must_use]
    pub fn dropped(&self) -> Option<&'static str> {
        match self.target {
            Target::Database(service) if service != GATEWAY => Some(service),
            Target::Database(_) | Target::Service(_) => None,
        }
    }
}

/// The service that passes calls on.
const GATEWAY: &str = "gateway";

use Meets::{Away, Nobody};

/// The table.
pub const COSTS: [Cost; 10] = [
    Cost {
        target: Target::Service("roster"),
        lost: &[(Act::Login, Away("roster")), (Act::Refresh, Away("roster"))],
        note: "Who is logged in goes on until the access token ends (`session.access_seconds`); a refresh token is not used up by \
               being refused. Changes of teachers reach the others when it is back.",
    },
    Cost {
        target: Target::Service("catalog"),
        lost: &[(Act::Menu, Away("catalog"))],
        note: "Selection goes on: enrollment has its own copy of what is on the menu.",
    },
    Cost {
        target: Target::Service("enrollment"),
        lost: &[
            (Act::Submit, Away("enrollment")),
            (Act::Withdraw, Away("enrollment")),
            (Act::Review, Away("enrollment")),
            (Act::Seats, Away("enrollment")),
            (Act::Watching, Away("enrollment")),
        ],
        note: "A submission that was refused so may have been taken all the same; repeated with its request id it gets its one \
               answer.",
    },
    Cost {
        target: Target::Service("credit"),
        lost: &[(Act::Statement, Away("credit"))],
        note: "Selection goes on: rankings use the credit position that was fixed when the round opened.",
    },
    Cost {
        target: Target::Service("gateway"),
        lost: &[
            (Act::Login, Nobody),
            (Act::Refresh, Nobody),
            (Act::Menu, Nobody),
            (Act::Submit, Nobody),
            (Act::Withdraw, Nobody),
            (Act::Review, Nobody),
            (Act::Statement, Nobody),
            (Act::Today, Nobody),
            (Act::Seats, Nobody),
            (Act::Watching, Nobody),
        ],
        note: "It is the one door: production runs at least two, and a client that finds one away tries the other. Windows close on \
               time without it (below).",
    },
    Cost {
        target: Target::Database("roster"),
        lost: &[(Act::Login, Away("roster")), (Act::Refresh, Away("roster"))],
        note: "As the roster itself.",
    },
    Cost {
        target: Target::Database("catalog"),
        lost: &[(Act::Menu, Away("database"))],
        note: "As the catalog itself.",
    },
    Cost {
        target: Target::Database("enrollment"),
        lost: &[
            (Act::Submit, Away("database")),
            (Act::Withdraw, Away("database")),
            (Act::Review, Away("database")),
            (Act::Seats, Away("database")),
        ],
        note: "Who watches free places keeps what was told last, and hears of what moved when the database is back.",
    },
    Cost { target: Target::Database("credit"), lost: &[(Act::Statement, Away("database"))], note: "As credit itself." },
    Cost {
        target: Target::Database("gateway"),
        lost: &[(Act::Login, Away("database")), (Act::Refresh, Away("database")), (Act::Today, Away("database"))],
        note: "Calls are passed on: tokens are checked without it. The sequencer stands still: windows close on time all the same \
               (below).",
    },
];

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
        // Writing to a String cannot fail.
        let dropped = cost.dropped().unwrap_or("nobody");
        let (name, lost) = (cost.target.name(), lost.join("; "));
        let _ = writeln!(text, "| {name} | {lost} | {goes_on} | {dropped} | {} |", cost.note);
    }
    let _ = write!(
        text,
        "\n## How fast\n\n\
         | what | within |\n| --- | --- |\n\
         | refused, where the fault shows by itself (a program that has ended) | {AT_ONCE:?} |\n\
         | refused, where it says nothing (frozen, cut off): the first calls | {NOTICED:?} |\n\
         | the same, once it was noticed | {AT_ONCE:?} |\n\
         | answered, where it goes on: the callers' deadline | {GOES_ON:?} |\n\
         | everything goes on, after the fault has ended | {RECOVERED:?} |\n\
         | the first write, after the death of the primary's machine | {FAILOVER:?} |\n\
         {}\n\
         ## The primary dies\n\n\
         Asserted with PostgreSQL as three nodes under Patroni and etcd, `synchronous_mode` with `synchronous_mode_strict`, and a door before\n\
         them that leads new connections to whichever node Patroni calls the primary, as a load balancer or an operator's `-rw` Service does.\n\
         In the rush of the first round the primary's node is killed with -9, Patroni and PostgreSQL at once:\n\n\
         - Until a standby has taken its place whoever selects is refused: `UNAVAILABLE`: database, with `RetryInfo`. Within {FAILOVER:?} of\n  \
         the blow the first write is acknowledged; after it everything goes on, and no service is restarted.\n\
         - Nothing that was acknowledged is lost, since no commit is before a standby has it on its disk; nothing is there that was not\n  \
         acknowledged to whoever repeats his request; no project has more seats than places, and the changes verify.\n\
         - The heir is the synchronous standby. The dead node, started again, becomes a standby of it (played by hand:\n  \
         `cargo run --workspace --bin faults -- --only failover`).\n\n\
         What it takes is Patroni's `ttl`, after which a silent primary is none any more ({TTL} s in the test; by default it is 30), and the\n\
         moment until the other standby follows the new primary (`wal_retrieve_retry_interval`, {RETRIEVE_RETRY} in the test; by default\n\
         5 s): for so long what is written is on one disk, and waits.\n\
         {TAIL}",
        NOTICE.replace("{NOTICED:?}", &format!("{NOTICED:?}"))
    );
    text
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

const NOTICE: &str = "
## How it is noticed

A frozen program refuses nothing. So while somebody waits for a service, the gateway asks it (by gRPC's health service), and each
service asks its PostgreSQL (on a connection of its own; the gateway while somebody waits for it): once a second, and if there is no
answer within three seconds, nor any other from it, it counts as away: four seconds after it froze, on a machine that has time. Whoever
waits is told, whoever comes is refused at once, and it is asked again until it answers (`shixun.dependency.away`, alert `DependencyAway`).

Meanwhile that service's health says NOT_SERVING to who asks for `readiness`, from within {NOTICED:?} of the blow until its database answers
again, so that a replica whose way to it is cut gets no calls where others' is whole. If all of them are, callers keep the addresses that
they had, and their refusals. Nobody else's readiness moves, the gateway's not even for its own database, and nobody's `liveness`: both
are asked of every service during each fault.
";

const TAIL: &str = "
## The sequencer is down

While the gateway's database is away no step is taken. The services go by their own clock and their own database:

- A selection window **closes to the microsecond**: asserted with the rehearsal's clock, at the instant before and at the instant.
- What needs nothing of the sequencer **opens to the microsecond**, too. What waits for a step (a selection window for its own
  opening's, the windows after a settlement for that) answers `WINDOW_NOT_READY` with `RetryInfo`, and opens when the sequencer has
  come back and done what was due: late, never wrong.

## A disk that fills

Asserted on both engines, on a disk of their own without a byte left: who writes is refused with `STORAGE_FULL` (`RESOURCE_EXHAUSTED`,
`RetryInfo`) and leaves nothing behind, who reads goes on; when there is room, the same request goes well, and nobody is restarted. A
PostgreSQL whose log (`pg_wal`) finds no room for its next file ends by itself, and is then a database that is stopped.

## A clock that is wrong

Services compare their clocks with their neighbours' every ten seconds, and tell what differs by more than `server.clock_tolerance_ms`:
asserted with a roster that is five minutes ahead, as its four neighbours see it in `GetStatus`, and that it ends when the clocks agree.

## Not covered

A primary's machine that falls silent instead of dying, the loss of etcd, and failover by CloudNativePG. The five programs run on one
machine: a network that loses some packets and not others.

A single replica among several that is frozen: calls that wait for it end at their deadline, or when its connection is given up (20 s);
others go to the replicas that answer. SQLite is a file in its service's process: its faults are the service's.
";
