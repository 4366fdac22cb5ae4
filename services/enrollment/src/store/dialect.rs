//! Where the engines differ: SQLite has one writer and needs no row locks.

use chassis::db::{Sql, keyed};

const NOTHING: &str = "SELECT 1 AS locked WHERE 1 = 0 AND $1 = ''";

macro_rules! read_teachers {
    () => {
        "SELECT t.facts AS facts, (SELECT position FROM mirror_cursor WHERE source = 'roster') AS position,
                COALESCE((SELECT p.cycle_ends_on FROM credit_position p WHERE p.teacher = t.name), '') AS cycle_ends_on
         FROM teacher t WHERE "
    };
}

/// What a project's places add up to.
macro_rules! read_seats {
    () => {
        "SELECT project, held, granted FROM seat_count WHERE "
    };
}
pub(super) use read_seats;

/// Locks teachers, in the order of their names. $1: names.
pub const LOCK_TEACHERS: Sql = Sql {
    sqlite: NOTHING,
    postgres: keyed!("SELECT name FROM teacher WHERE ", "name", "$1", " ORDER BY name FOR UPDATE").postgres,
};

/// Locks teachers, in the order of their names, and reads them with the position of their mirror and the ends of their cycles. $1: names.
pub const LOCK_AND_READ_TEACHERS: Sql = Sql {
    sqlite: keyed!(read_teachers!(), "t.name", "$1", "").sqlite,
    postgres: keyed!(read_teachers!(), "t.name", "$1", " ORDER BY t.name FOR UPDATE OF t").postgres,
};

/// Reads projects, and keeps them as they are, for any number of transactions at once. $1: names.
pub const SHARE_PROJECTS: Sql = Sql {
    sqlite: keyed!("SELECT facts FROM project WHERE ", "name", "$1", "").sqlite,
    postgres: keyed!("SELECT facts FROM project WHERE ", "name", "$1", " ORDER BY name FOR SHARE").postgres,
};

/// Locks the seat rows of projects, in the order of their names, and reads them. $1: names.
pub const LOCK_SEATS: Sql = Sql {
    sqlite: keyed!(read_seats!(), "project", "$1", "").sqlite,
    postgres: keyed!(read_seats!(), "project", "$1", " ORDER BY project FOR UPDATE").postgres,
};
