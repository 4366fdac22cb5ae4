//! The system's selections and seats beside the model's.

use std::collections::BTreeMap;

use anyhow::Context as _;
use proto::enrollment::v1::{self as enrollment, selection::State};
use system::model::lives;

use super::{Play, encode};

impl Play {
    /// State and reviewing school by name.
    async fn selections(&self) -> anyhow::Result<BTreeMap<String, (State, String)>> {
        let (mut found, mut page_token) = (BTreeMap::new(), String::new());
        loop {
            let (parent, page_size) = (self.stage.term.clone(), 1000);
            let request = enrollment::ListSelectionsRequest { parent, page_size, page_token, ..Default::default() };
            let path = "/shixun.enrollment.v1.SelectionService/ListSelections";
            let reply: enrollment::ListSelectionsResponse = self.must(&self.bureau, path, encode(&request)).await?;
            found.extend(reply.selections.into_iter().map(|one| (one.name.clone(), (one.state(), one.school))));
            page_token = reply.next_page_token;
            if page_token.is_empty() {
                return Ok(found);
            }
        }
    }

    /// States, schools and seats are those of the model, and nobody sits on another's seat.
    pub(super) async fn compare(&self) -> anyhow::Result<()> {
        let found = self.selections().await?;
        for row in &self.model.rows {
            let (state, school) = found.get(&row.name).with_context(|| format!("no {row:?}"))?;
            let same = *state == row.state && *school == self.schools[row.school].0;
            anyhow::ensure!(same, "{state:?} at {school}, but {row:?}");
        }
        anyhow::ensure!(
            found.len() == self.model.rows.len(),
            "{} selections, the model has {}",
            found.len(),
            self.model.rows.len()
        );
        let (parent, page_size) = (self.stage.term.clone(), 500);
        let request = enrollment::ListSeatsRequest { parent, page_size, ..Default::default() };
        let path = "/shixun.enrollment.v1.SelectionService/ListSeats";
        let reply: enrollment::ListSeatsResponse = self.must(&self.bureau, path, encode(&request)).await?;
        for (project, offer) in self.model.offers.iter().enumerate() {
            let seats = reply.seats.iter().find(|seats| seats.project == offer.name);
            let seats = seats.context("a project without seats")?;
            let live = self.model.rows.iter().filter(|row| row.project == project && lives(row.state)).count();
            anyhow::ensure!((seats.held, seats.granted) == self.model.taken(project), "project {project}: {seats:?}");
            anyhow::ensure!(seats.capacity == offer.places, "project {project}: {seats:?}");
            anyhow::ensure!(seats.held + seats.granted <= seats.capacity, "oversold: {seats:?}");
            anyhow::ensure!(
                usize::try_from(seats.live_selections)? == live,
                "project {project}, {live} live: {seats:?}"
            );
        }
        Ok(())
    }
}
