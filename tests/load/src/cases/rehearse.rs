//! rehearse: a whole term on the embedded default, in a process of its own.

use crate::{
    bench::{Bench, say},
    database::Engine,
    table::{Goal, Outcome, Pair},
};

/// Teachers of a county, if not said otherwise.
const COUNTY: u32 = 12_000;
/// Seconds that a term of such a county may take; of others in proportion.
const BOUND: f64 = 60.0;

/// The bound and ours: the whole command, from its start to its report.
///
/// # Errors
/// If the term did not go as it should.
pub async fn run(bench: &mut Bench) -> anyhow::Result<Outcome> {
    bench.quiet()?;
    let teachers = bench.options.teachers.unwrap_or(COUNTY);
    let bound = BOUND * f64::from(teachers) / f64::from(COUNTY);
    let mut outcome = Outcome::of(format!("rehearse-{teachers}"), Engine::Sqlite, "s", Goal::AtMost(1.0));
    for n in 1..=bench.options.runs {
        let (took, most) = bench.programs().rehearse(teachers).await?;
        let note = format!("run {n}: {:.1} s, at most {:.0} MB", took.as_secs_f64(), most as f64 / 1e6);
        say(&format!("rehearse {note}"));
        outcome.notes.push(note);
        outcome.pairs.push(Pair::of(bound, took.as_secs_f64()));
    }
    "no surprises".clone_into(&mut outcome.counted);
    outcome.notes.push("peer: the bound, in proportion to the teachers".to_owned());
    Ok(outcome)
}
