//! A round opens: it ranks by where each teacher stands in his present cycle.

use chassis::{Failure, StepOutcome, db::Tx};

use crate::{books::Books, rules::Rules, store::teachers};

/// Teachers in one transaction.
const PAGE: usize = 500;

/// One page of those whose cycle ended, or whose policy changed, since their position was told: nothing else happened to
/// them that would have told the new one. What is left to do is read from the database, so that any page can be repeated; the
/// cursor only spares looking again at those before it.
pub async fn renew(tx: &mut Tx, cursor: &str) -> Result<StepOutcome, Failure> {
    let rules = Rules::on(tx).await?;
    let due = teachers::moved_on(tx, &rules.policy.basis(), rules.day(tx.at()), cursor, PAGE).await?;
    let Some(last) = due.last() else { return Ok(StepOutcome::default()) };
    let books = Books::open(tx, due.iter().map(String::as_str)).await?;
    books.close(tx, &rules, None).await?;
    let changed = i32::try_from(due.len()).unwrap_or(i32::MAX);
    let mut done = StepOutcome { changed, more: true, cursor: last.clone(), ..StepOutcome::default() };
    done.counts.insert("renewed".to_owned(), changed.into());
    Ok(done)
}
