//! What came of it: seats and states, as callers see them and as the database has them.

use std::collections::BTreeMap;

use chassis::db::{Queries as _, args};
use proto::enrollment::v1::{ListSeatsRequest, Seats, selection_service_server::SelectionService as _};

use super::{OPENS, World, bureau};

impl World {
    pub async fn seats(&self) -> BTreeMap<String, Seats> {
        let path = "/shixun.enrollment.v1.SelectionService/ListSeats";
        let message = ListSeatsRequest { parent: self.term.clone(), page_size: 1000, ..ListSeatsRequest::default() };
        let reply = self.api.list_seats(self.request(path, &bureau(), OPENS, message)).await.expect("seats");
        reply.into_inner().seats.into_iter().map(|seats| (seats.project.clone(), seats)).collect()
    }

    pub async fn state(&self, name: &str) -> String {
        let mut reader = self.db.reader();
        let row = reader.one("SELECT state FROM selection WHERE name = $1", args![name]).await.expect("a row");
        row.expect("a selection").get("state").expect("a state")
    }

    /// What the database says of seats, from three sides: the ledger's sums, the counts, and the selections themselves.
    pub async fn check_seats(&self) {
        let mut reader = self.db.reader();
        let rows = reader
            .all(
                "SELECT c.project AS project, c.capacity AS capacity, c.held AS held, c.granted AS granted,
                    (SELECT COUNT(*) FROM selection s WHERE s.project = c.project AND s.seat = 'held') AS holders,
                    (SELECT COUNT(*) FROM selection s WHERE s.project = c.project AND s.seat = 'granted') AS grantees,
                    (SELECT CAST(COALESCE(SUM(l.held), 0) AS BIGINT) FROM seat_ledger l WHERE l.project = c.project) AS ledger_held,
                    (SELECT CAST(COALESCE(SUM(l.granted), 0) AS BIGINT) FROM seat_ledger l WHERE l.project = c.project) AS ledger_granted,
                    (SELECT CAST(COALESCE(SUM(k.granted), 0) AS BIGINT) FROM class_count k WHERE k.project = c.project) AS in_classes
                 FROM seat_count c WHERE c.term = $1 ORDER BY c.project",
                args![&self.term],
            )
            .await
            .expect("counts");
        for row in rows {
            let get = |column: &'static str| row.get::<i64>(column).expect("a number");
            let project: String = row.get("project").expect("a name");
            assert!(get("held") + get("granted") <= get("capacity"), "{project} is oversold");
            assert_eq!(get("held"), get("holders"), "{project}: held");
            assert_eq!(get("held"), get("ledger_held"), "{project}: ledger of holds");
            assert_eq!(get("granted"), get("grantees"), "{project}: granted");
            assert_eq!(get("granted"), get("ledger_granted"), "{project}: ledger of grants");
            assert_eq!(get("granted"), get("in_classes"), "{project}: classes");
        }
    }
}
