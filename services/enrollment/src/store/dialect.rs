//! Where the engines differ: SQLite has one writer and needs no row locks.

use chassis::db::Sql;

macro_rules! read_teachers {
    ($lock:literal) => {
        concat!(
            "SELECT t.facts AS facts, (SELECT position FROM mirror_cursor WHERE source = 'roster') AS position
             FROM teacher t WHERE t.name IN (SELECT value ->> 0 FROM json_each($1))",
            $lock
        )
    };
}

/// Locks teachers, in the order of their names. $1: names.
pub const LOCK_TEACHERS: Sql = Sql {
    sqlite: "SELECT 1 AS locked WHERE 1 = 0 AND $1 = ''",
    postgres: "SELECT name FROM teacher WHERE name IN (SELECT value ->> 0 FROM json_each($1)) ORDER BY name FOR UPDATE",
};

/// Locks teachers, in the order of their names, and reads them with the position of their mirror. $1: names.
pub const LOCK_AND_READ_TEACHERS: Sql = Sql {
    sqlite: read_teachers!(""),
    postgres: read_teachers!(" ORDER BY t.name FOR UPDATE OF t"),
};

/// Reads projects, and keeps them as they are, for any number of transactions at once. $1: names.
pub const SHARE_PROJECTS: Sql = Sql {
    sqlite: "SELECT facts FROM project WHERE name IN (SELECT value ->> 0 FROM json_each($1))",
    postgres: "SELECT facts FROM project WHERE name IN (SELECT value ->> 0 FROM json_each($1)) ORDER BY name FOR SHARE",
};

/// Locks the seat rows of projects, in the order of their names. $1: names.
pub const LOCK_PROJECTS: Sql = Sql {
    sqlite: "SELECT 1 AS locked WHERE 1 = 0 AND $1 = ''",
    postgres: "SELECT project FROM seat_count WHERE project IN (SELECT value ->> 0 FROM json_each($1))
               ORDER BY project FOR UPDATE",
};
