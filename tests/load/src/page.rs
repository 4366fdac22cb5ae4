//! The part of docs/performance.md that the cases write themselves: a table, a row for each case and engine.

use std::{collections::BTreeMap, path::Path};

use anyhow::Context as _;

use crate::table::{COLUMNS, Outcome, row};

const BEGIN: &str = "<!-- written by `load --page`: begin -->";
const END: &str = "<!-- written by `load --page`: end -->";

/// Writes the outcomes into a page: rows of cases that were not measured now stay as they are.
///
/// # Errors
/// If the page cannot be read or written, or has no place for the table.
pub fn write(path: &Path, outcomes: &[Outcome], order: &[String]) -> anyhow::Result<()> {
    let page = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let page = renewed(&page, outcomes, order)?;
    std::fs::write(path, page).with_context(|| path.display().to_string())
}

fn renewed(page: &str, outcomes: &[Outcome], order: &[String]) -> anyhow::Result<String> {
    let (before, rest) = page.split_once(BEGIN).with_context(|| format!("the page has no {BEGIN:?}"))?;
    let (old, after) = rest.split_once(END).with_context(|| format!("the page has no {END:?}"))?;
    let mut rows: BTreeMap<(usize, String, String), String> = BTreeMap::new();
    let mut put = |cells: Vec<String>| {
        let [case, engine, ..] = cells.as_slice() else { return };
        // A case of several rows names them all with its own name first.
        let place = order.iter().position(|name| case.starts_with(name.as_str())).unwrap_or(order.len());
        rows.insert((place, case.clone(), engine.clone()), format!("| {} |", cells.join(" | ")));
    };
    for line in old.lines().skip_while(|line| !line.starts_with("| ---")).skip(1) {
        if let Some(cells) = line.strip_prefix("| ").and_then(|line| line.strip_suffix(" |")) {
            put(cells.split(" | ").map(str::to_owned).collect());
        }
    }
    outcomes.iter().for_each(|outcome| put(row(outcome).to_vec()));
    let head = format!("| {} |", COLUMNS.join(" | "));
    let rule = format!("| {} |", COLUMNS.map(|_| "---").join(" | "));
    let rows: Vec<String> = [head, rule].into_iter().chain(rows.into_values()).collect();
    Ok(format!("{before}{BEGIN}\n\n{}\n\n{END}{after}", rows.join("\n")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        database::Engine,
        table::{Goal, Pair},
    };

    fn outcome(case: &str, ours: f64) -> Outcome {
        let pairs = vec![Pair::of(10.0, ours)];
        Outcome { pairs, ..Outcome::of(case, Engine::Postgres, "1/s", Goal::AtLeast(1.0)) }
    }

    #[test]
    fn a_row_is_renewed_and_the_others_stay() {
        let order = ["rush", "idle"].map(str::to_owned);
        let page = format!("before\n{BEGIN}\n{END}\nafter\n");
        let page = renewed(&page, &[outcome("idle-start", 5.0), outcome("rush", 20.0)], &order).unwrap();
        let page = renewed(&page, &[outcome("rush", 30.0)], &order).unwrap();
        let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| ")).collect();
        assert_eq!(rows.len(), 4, "{page}");
        assert!(rows[2].starts_with("| rush | postgres | 10.0 | 30.0 |"), "{page}");
        assert!(rows[3].starts_with("| idle-start | postgres | 10.0 | 5.00 |"), "{page}");
        assert!(page.starts_with("before\n") && page.ends_with("after\n"), "{page}");
        assert!(renewed("no place", &[], &order).is_err());
    }
}
