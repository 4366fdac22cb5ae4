//! What each fault costs whom: the one table, which the cases assert and from which docs/faults.md is made.

use std::time::Duration;

/// Refused within so long of a fault that says nothing: a frozen program, or a network that is gone.
pub const NOTICED: Duration = Duration::from_secs(8);
/// Once it was noticed, and where a fault shows at once.
pub const AT_ONCE: Duration = Duration::from_secs(3);
/// What goes on is answered within so long, the deadline of those who call: on a machine of two cores with other work.
pub const GOES_ON: Duration = Duration::from_secs(9);
/// After a fault has ended, everything goes on within so long.
pub const RECOVERED: Duration = Duration::from_secs(30);

/// After the death of the primary's machine, and after etcd's return, the first write is acknowledged within so long.
pub const FAILOVER: Duration = Duration::from_secs(30);

/// After the loss of etcd and of a standby the primary has stepped down within so long.
pub const STEPS_DOWN: Duration = Duration::from_secs(30);

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

    pub(crate) const fn word(self) -> &'static str {
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
