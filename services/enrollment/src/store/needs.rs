//! What a ranking compares, as it was when the round opened.

use std::collections::{BTreeMap, BTreeSet};

use chassis::{Failure, db::Queries};

use super::credit::{self, Position};
use crate::domain::{
    Selection,
    ranking::{Need, rank},
};

/// The needs behind these selections, in order of need. A teacher without a fixed position counts as one without credit.
pub async fn ranked(db: &mut impl Queries, term: &str, selections: &[&Selection]) -> Result<Vec<Need>, Failure> {
    let mut by_round: BTreeMap<i32, BTreeSet<String>> = BTreeMap::new();
    for selection in selections {
        by_round.entry(selection.round).or_default().insert(selection.teacher.clone());
    }
    let mut positions: BTreeMap<(i32, String), Position> = BTreeMap::new();
    for (round, teachers) in by_round {
        let fixed = credit::fixed(db, term, round, &teachers).await?;
        positions.extend(fixed.into_iter().map(|(teacher, position)| ((round, teacher), position)));
    }
    let need = |selection: &&Selection| {
        let key = (selection.round, selection.teacher.clone());
        let position = positions.get(&key).copied().unwrap_or_default();
        Need {
            selection: selection.name.clone(),
            lacks_intensive: !position.has_intensive,
            matched: selection.matched,
            cycle_ends_on: position.cycle_ends_on,
            cycle_credit: position.cycle_awarded,
            submitted_at: selection.submitted_at,
        }
    };
    let mut needs: Vec<Need> = selections.iter().map(need).collect();
    rank(&mut needs);
    Ok(needs)
}
