//! Whether PostgreSQL's log gets into its archive, without which there is no way back to a point in time. The server keeps what the
//! archive does not take, and says nothing, until its disk is full. `pg_stat_archiver` tells everybody, whoever archives and where to.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use opentelemetry::KeyValue;
use tokio_util::sync::CancellationToken;

use super::{Db, Engine, Queries, args};
use crate::{failure::Failure, telemetry::meter};

/// Between two looks.
const EVERY: Duration = Duration::from_secs(15);

/// A server that archives nothing has no row; a standby archives what its primary does not, and is not asked.
const LOOK: &str = "SELECT pg_walfile_name(pg_current_wal_lsn()) AS current, COALESCE(last_archived_wal, '') AS archived,
            COALESCE(last_failed_time > COALESCE(last_archived_time, '-infinity'), FALSE) AS fails,
            CAST(EXTRACT(EPOCH FROM clock_timestamp() - COALESCE(last_archived_time, pg_postmaster_start_time())) AS BIGINT) AS since,
            (SELECT CAST(setting AS BIGINT) FROM pg_settings WHERE name = 'wal_segment_size') AS size
     FROM pg_stat_archiver WHERE current_setting('archive_mode') <> 'off' AND NOT pg_is_in_recovery()";

/// How the archive of a server's log stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Archive {
    /// Full files of the log that it does not have.
    pub waiting: i64,
    /// Seconds since it took something; if it never did, since the server's start.
    pub since: i64,
}

impl Db {
    /// How the archive of the log stands; `None` where there is none to speak of: an embedded database, a standby, a server that
    /// archives nothing.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn archive(&self) -> Result<Option<Archive>, Failure> {
        if self.engine() == Engine::Sqlite {
            return Ok(None);
        }
        let Some(row) = self.reader().one(LOOK, args![]).await? else { return Ok(None) };
        let (current, archived) = (row.get::<String>("current")?, row.get::<String>("archived")?);
        let waiting = waiting(&current, &archived, row.get("size")?);
        // What fails waits, also where names do not tell it: a timeline's history, a backup's label.
        let waiting = waiting.max(i64::from(row.get::<bool>("fails")?));
        Ok(Some(Archive { waiting, since: row.get("since")? }))
    }
}

/// Full files between the one that is written and the newest that is archived. After one that has no place among them, or none at all,
/// it is not known: a server archives nothing of what it wrote before it was told to.
fn waiting(current: &str, archived: &str, size: i64) -> i64 {
    match (number(current, size), number(archived, size)) {
        (Some(current), Some(archived)) => current.saturating_sub(archived).saturating_sub(1).max(0),
        _ => 0,
    }
}

/// The number of a file of the log among all, by its name: timeline, then the place of 4 GiB, then the file in it, eight digits each.
fn number(name: &str, size: i64) -> Option<i64> {
    let part = |from: usize| i64::from_str_radix(name.get(from..from.checked_add(8)?)?, 16).ok();
    let in_a_place = (1_i64 << 32).checked_div(size)?;
    part(0)?;
    part(8)?.checked_mul(in_a_place)?.checked_add(part(16)?)
}

/// What was seen last.
type Seen = Arc<Mutex<Option<Archive>>>;

/// Shows how the archive stands, until the end. What could not be asked is not shown: DependencyAway tells of that.
pub(crate) async fn watch(db: Db, ending: CancellationToken) {
    if db.engine() == Engine::Sqlite {
        return;
    }
    let (seen, service) = (Seen::default(), db.service());
    let waiting = "Full files of PostgreSQL's log that its archive lacks";
    show("shixun.database.archive.waiting", "{file}", waiting, service, &seen, |archive| archive.waiting);
    let age = "Since the archive of PostgreSQL's log took something";
    show("shixun.database.archive.age", "s", age, service, &seen, |archive| archive.since);
    let look = async {
        loop {
            let archive = db.archive().await.inspect_err(|failure| tracing::debug!(%failure, "asking for the archive"));
            *seen.lock().unwrap_or_else(PoisonError::into_inner) = archive.ok().flatten();
            tokio::time::sleep(EVERY).await;
        }
    };
    let _: Option<()> = ending.run_until_cancelled(look).await;
}

/// A figure of what is seen, for as long as somebody looks.
fn show(
    name: &'static str,
    unit: &'static str,
    what: &'static str,
    service: &'static str,
    seen: &Seen,
    told: fn(Archive) -> i64,
) {
    let (seen, label) = (Arc::downgrade(seen), [KeyValue::new("service", service)]);
    meter()
        .i64_observable_gauge(name)
        .with_unit(unit)
        .with_description(what)
        .with_callback(move |observer| {
            let seen = seen.upgrade().and_then(|seen| *seen.lock().unwrap_or_else(PoisonError::into_inner));
            if let Some(archive) = seen {
                observer.observe(told(archive), &label);
            }
        })
        .build();
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: i64 = 16 << 20;

    #[test]
    fn files_that_wait_are_counted_by_their_names() {
        for (current, archived, waits) in [
            ("000000010000000000000005", "000000010000000000000004", 0),
            ("000000010000000000000005", "000000010000000000000002", 2),
            // Past 4 GiB, and on another timeline.
            ("000000010000000100000001", "0000000100000000000000FE", 2),
            ("000000020000000000000005", "000000010000000000000004", 0),
            // A label of a backup stands in its file; a promoted server archives the rest of the file that it began in.
            ("000000010000000000000005", "000000010000000000000004.00000028.backup", 0),
            ("000000020000000000000005", "000000010000000000000004.partial", 0),
            ("000000010000000000000003", "", 0),
            // A history has no place; at the border the file before is current.
            ("000000020000000000000005", "00000002.history", 0),
            ("000000010000000000000004", "000000010000000000000004", 0),
        ] {
            assert_eq!(waiting(current, archived, SIZE), waits, "{current} after {archived}");
        }
        assert_eq!(waiting("000000010000000100000001", "00000001000000000000003E", 64 << 20), 2);
    }
}
