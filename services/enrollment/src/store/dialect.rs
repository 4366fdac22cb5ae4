//! Where the engines differ: SQLite has one writer and needs no row locks.

use chassis::db::Sql;

/// Locks teachers, in the order of their names. $1: names.
pub const LOCK_TEACHERS: Sql = Sql {
    sqlite: "SELECT 1 AS locked WHERE 1 = 0 AND $1 = ''",
    postgres: "SELECT name FROM teacher WHERE name IN (SELECT value ->> 0 FROM json_each($1)) ORDER BY name FOR UPDATE",
};

/// Keeps projects as they are, for any number of transactions at once. $1: names.
pub const SHARE_PROJECTS: Sql = Sql {
    sqlite: "SELECT 1 AS locked WHERE 1 = 0 AND $1 = ''",
    postgres: "SELECT name FROM project WHERE name IN (SELECT value ->> 0 FROM json_each($1)) ORDER BY name FOR SHARE",
};

/// Locks the seat rows of projects, in the order of their names. $1: names.
pub const LOCK_PROJECTS: Sql = Sql {
    sqlite: "SELECT 1 AS locked WHERE 1 = 0 AND $1 = ''",
    postgres: "SELECT project FROM seat_count WHERE project IN (SELECT value ->> 0 FROM json_each($1))
               ORDER BY project FOR UPDATE",
};
