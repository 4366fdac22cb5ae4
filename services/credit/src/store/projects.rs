//! Training projects, as the catalog tells them.

use std::collections::BTreeMap;

use chassis::{
    Failure,
    db::{Queries, Rows, Tx, args},
};
use proto::{
    Credit,
    catalog::v1::{ProjectFacts, class, project::Form},
};

use super::{flag, from_list, list};
use crate::domain::matching::Audience;

/// What credit needs to know of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// Base credit as published.
    pub base: Credit,
    /// Its form is intensive training (集中培训).
    pub intensive_form: bool,
    /// 限定选修
    pub restricted_elective: bool,
    /// All hours; 0 where the catalog has not told them.
    pub total_hours: i64,
    /// Hours of practice among them.
    pub practice_hours: i64,
    /// Whom it is for.
    pub audience: Audience,
}

/// Keeps a project.
pub async fn put(tx: &mut Tx, facts: &ProjectFacts) -> Result<(), Failure> {
    let audience = facts.audience.clone().unwrap_or_default();
    tx.execute(
        "INSERT INTO project (name, term, level, form, base, restricted_elective, tiers, categories, stages, subjects,
            organizations, total_hours, practice_hours, ends_on)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
         ON CONFLICT (name) DO UPDATE SET level = excluded.level, form = excluded.form, base = excluded.base,
            restricted_elective = excluded.restricted_elective, tiers = excluded.tiers,
            categories = excluded.categories, stages = excluded.stages, subjects = excluded.subjects,
            organizations = excluded.organizations, total_hours = excluded.total_hours,
            practice_hours = excluded.practice_hours, ends_on = excluded.ends_on",
        args![
            &facts.name,
            &facts.term,
            facts.level,
            facts.form,
            facts.base_credit.unwrap_or_default().hundredths,
            i64::from(facts.restricted_elective),
            list(&audience.tiers)?,
            list(&audience.categories)?,
            list(&audience.stages)?,
            list(&audience.subjects)?,
            list(&audience.organizations)?,
            facts.total_hours,
            facts.practice_hours,
            last_day(facts)
        ],
    )
    .await?;
    Ok(())
}

/// The last day of the last class that is held, as text, so that its year is its beginning.
fn last_day(facts: &ProjectFacts) -> String {
    let held = facts.classes.iter().filter(|one| one.state() != class::State::Cancelled);
    held.map(|one| proto::date_text(one.ends_on.as_ref())).max().unwrap_or_default()
}

/// Those of `names` that are known.
pub async fn load(db: &mut impl Queries, names: &Rows) -> Result<BTreeMap<String, Project>, Failure> {
    let rows = db
        .all(
            "SELECT name, form, base, restricted_elective, tiers, categories, stages, subjects, organizations,
                    total_hours, practice_hours
             FROM project
             WHERE name IN (SELECT value ->> 0 FROM json_each($1)) ORDER BY name",
            args![names.json()],
        )
        .await?;
    rows.iter()
        .map(|row| {
            let project = Project {
                base: Credit(row.get("base")?),
                intensive_form: row.get::<i64>("form")? == Form::Intensive as i64,
                restricted_elective: flag(row, "restricted_elective")?,
                total_hours: row.get("total_hours")?,
                practice_hours: row.get("practice_hours")?,
                audience: Audience {
                    tiers: from_list(row, "tiers")?,
                    categories: from_list(row, "categories")?,
                    stages: from_list(row, "stages")?,
                    subjects: from_list(row, "subjects")?,
                    organizations: from_list(row, "organizations")?,
                },
            };
            Ok((row.get("name")?, project))
        })
        .collect()
}
