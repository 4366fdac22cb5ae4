//! Where the engines differ.

use chassis::db::Sql;

/// Takes teachers for this transaction alone, in the order of their names: who adds to a ledger has seen all of it.
pub const LOCK_TEACHERS: Sql = Sql {
    // The one writer is lock enough.
    sqlite: "SELECT 1 AS locked WHERE $1 = ''",
    postgres: "SELECT name FROM teacher WHERE name = ANY($1) ORDER BY name FOR UPDATE",
};
