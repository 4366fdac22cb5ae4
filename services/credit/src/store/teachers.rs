//! Teachers, as the roster tells them, and what was last told of each.

use std::collections::BTreeMap;

use chassis::{
    Failure,
    db::{Queries, Row, Rows, Tx, Value, args, insert, keyed, row},
};
use jiff::civil::Date;
use proto::Credit;

use super::{day, dialect::LOCK_TEACHERS, flag, from_list, known_day, list, text};
use crate::domain::{
    cycle::Leave,
    statement::Position,
    teacher::{Profile, Stay, Teacher},
};

/// A teacher as this database keeps him.
#[derive(Debug, Clone)]
pub struct Kept {
    /// What the rules need.
    pub teacher: Teacher,
    /// The present school, or the last one.
    pub school: String,
    /// The school's ancestors and itself, root first.
    pub path: Vec<String>,
    /// The position last told; none yet of a new teacher.
    pub told: Option<Position>,
    /// The person was erased.
    pub erased: bool,
}

/// What of teachers is told.
#[derive(Debug)]
pub struct Told<'a> {
    /// Their positions, by name.
    pub positions: BTreeMap<&'a str, Position>,
    /// The last year of their standings.
    pub through: i16,
    /// The policy's values that both rest on.
    pub basis: String,
}

/// Takes teachers for this transaction alone.
pub async fn lock(tx: &mut Tx, names: &Rows) -> Result<(), Failure> {
    tx.all(LOCK_TEACHERS, args![names.clone()]).await?;
    Ok(())
}

/// Those of `names` that are known.
pub async fn load(db: &mut impl Queries, names: &Rows) -> Result<BTreeMap<String, Kept>, Failure> {
    let rows = db
        .all(
            keyed!(
                "SELECT t.name AS name, t.school AS school, t.tier AS tier, t.category AS category, t.stages AS stages,
                    t.subjects AS subjects, t.employment AS employment, t.entered_on AS entered_on,
                    t.employed_on AS employed_on, t.joined_on AS joined_on, t.leaves AS leaves,
                    t.principal_appointed_on AS principal_appointed_on,
                    t.position_ends_on AS position_ends_on,
                    t.position_awarded AS position_awarded, t.position_intensive AS position_intensive, t.erased AS erased,
                    COALESCE(o.path, '[]') AS path
             FROM teacher t LEFT JOIN organization o ON o.name = t.school WHERE ",
                "t.name",
                "$1",
                " ORDER BY t.name"
            ),
            args![names.clone()],
        )
        .await?;
    let mut kept = BTreeMap::new();
    for row in &rows {
        kept.insert(row.get::<String>("name")?, read(row)?);
    }
    let stays =
        keyed!("SELECT teacher, from_on, school FROM stay WHERE ", "teacher", "$1", " ORDER BY teacher, from_on");
    let stays = db.all(stays, args![names.clone()]).await?;
    for row in &stays {
        if let Some(kept) = kept.get_mut(&row.get::<String>("teacher")?) {
            kept.teacher.stays.push(Stay { from_on: known_day(row, "from_on")?, school: row.get("school")? });
        }
    }
    Ok(kept)
}

fn read(row: &Row) -> Result<Kept, Failure> {
    let leaves: Vec<(Date, Option<Date>)> =
        serde_json::from_str(&row.get::<String>("leaves")?).map_err(Failure::internal)?;
    let told = match row.get::<Option<String>>("position_ends_on")? {
        Some(_) => Some(Position {
            cycle_ends_on: day(row, "position_ends_on")?,
            cycle_awarded: Credit(row.get("position_awarded")?),
            has_intensive: flag(row, "position_intensive")?,
        }),
        None => None,
    };
    Ok(Kept {
        teacher: Teacher {
            name: row.get("name")?,
            entered_on: day(row, "entered_on")?,
            employed_on: day(row, "employed_on")?,
            joined_on: day(row, "joined_on")?,
            principal_appointed_on: day(row, "principal_appointed_on")?,
            employment: row.get("employment")?,
            leaves: leaves.into_iter().map(|(first_on, last_on)| Leave { first_on, last_on }).collect(),
            stays: Vec::new(),
            profile: Profile {
                tier: row.get("tier")?,
                category: row.get("category")?,
                stages: from_list(row, "stages")?,
                subjects: from_list(row, "subjects")?,
            },
        },
        school: row.get("school")?,
        path: from_list(row, "path")?,
        told,
        erased: flag(row, "erased")?,
    })
}

/// Keeps teachers as the roster describes them now, no teacher twice, with what is told of each; their stays too.
///
/// # Errors
/// Those of the database; internal if nothing is told of one.
pub async fn put<'a>(
    tx: &mut Tx,
    kept: impl Iterator<Item = &'a Kept> + Send,
    Told { positions, through, basis }: &Told<'_>,
) -> Result<(), Failure> {
    let (mut names, mut rows, mut stays) = (Rows::new(), Rows::new(), Rows::new());
    for Kept { teacher, school, erased, .. } in kept {
        let position = positions.get(teacher.name.as_str());
        let position = position.ok_or_else(|| Failure::internal("nothing is told of a teacher"))?;
        names.push(row![teacher.name.as_str()]);
        let leaves: Vec<_> = teacher.leaves.iter().map(|leave| (leave.first_on, leave.last_on)).collect();
        rows.push(row![
            teacher.name.as_str(),
            school.as_str(),
            teacher.profile.tier.as_str(),
            teacher.profile.category.as_str(),
            list(&teacher.profile.stages)?,
            list(&teacher.profile.subjects)?,
            teacher.employment.as_str(),
            text(teacher.entered_on),
            text(teacher.employed_on),
            text(teacher.joined_on),
            serde_json::to_string(&leaves).map_err(Failure::internal)?,
            text(teacher.principal_appointed_on),
            i64::from(*erased),
            text(position.cycle_ends_on),
            position.cycle_awarded.0,
            i64::from(position.has_intensive),
            *through,
            basis.as_str()
        ]);
        for stay in &teacher.stays {
            stays.push(row![teacher.name.as_str(), stay.from_on.to_string(), stay.school.as_str()]);
        }
    }
    let insert = insert!(
        "teacher",
        [
            name TEXT, school TEXT, tier TEXT, category TEXT, stages TEXT, subjects TEXT, employment TEXT,
            entered_on TEXT, employed_on TEXT, joined_on TEXT, leaves TEXT, principal_appointed_on TEXT, erased BIGINT,
            position_ends_on TEXT, position_awarded BIGINT, position_intensive BIGINT, standing_through BIGINT, basis TEXT
        ],
        "ON CONFLICT (name) DO UPDATE SET school = excluded.school, tier = excluded.tier, category = excluded.category,
            stages = excluded.stages, subjects = excluded.subjects, employment = excluded.employment,
            entered_on = excluded.entered_on, employed_on = excluded.employed_on, joined_on = excluded.joined_on,
            leaves = excluded.leaves, principal_appointed_on = excluded.principal_appointed_on,
            erased = excluded.erased, position_ends_on = excluded.position_ends_on,
            position_awarded = excluded.position_awarded, position_intensive = excluded.position_intensive,
            standing_through = excluded.standing_through, basis = excluded.basis"
    );
    tx.insert(insert, rows).await?;
    // A stay may have been dated back, or not come about.
    tx.execute(keyed!("DELETE FROM stay WHERE ", "teacher", "$1", ""), args![names]).await?;
    let insert = insert!("stay", [teacher TEXT, from_on TEXT, school TEXT], "");
    tx.insert(insert, stays).await?;
    Ok(())
}

/// Notes what of these teachers is told.
///
/// # Errors
/// Those of the database.
pub async fn note(tx: &mut Tx, Told { positions, through, basis }: &Told<'_>) -> Result<(), Failure> {
    let mut rows = Rows::new();
    for (teacher, position) in positions {
        rows.push(row![
            *teacher,
            text(position.cycle_ends_on),
            position.cycle_awarded.0,
            i64::from(position.has_intensive)
        ]);
    }
    tx.execute(
        "UPDATE teacher SET position_ends_on = told.ends_on, position_awarded = told.awarded,
            position_intensive = told.intensive, standing_through = $2, basis = $3
         FROM (SELECT value ->> 0 AS name, value ->> 1 AS ends_on, CAST(value ->> 2 AS BIGINT) AS awarded,
                      CAST(value ->> 3 AS BIGINT) AS intensive FROM json_each($1)) AS told
         WHERE teacher.name = told.name",
        args![rows.json(), i64::from(*through), basis],
    )
    .await?;
    Ok(())
}

macro_rules! told_otherwise {
    ($more:literal) => {
        concat!(
            "SELECT name FROM teacher WHERE (basis <> $1 OR (position_ends_on <> '' AND position_ends_on < $2) ",
            $more,
            ") AND name > $3 ORDER BY name LIMIT $4"
        )
    };
}

/// At most `limit` teachers whose position was told on another basis than `basis`, or in a cycle that ended before `today`,
/// by name, from after `after`; if there are none, from the beginning: whoever came meanwhile is not passed over.
pub async fn moved_on(
    db: &mut impl Queries,
    basis: &str,
    today: Date,
    after: &str,
    limit: usize,
) -> Result<Vec<String>, Failure> {
    let args = |after: &str| args![basis, today.to_string(), after, limit];
    onwards(db, told_otherwise!(""), args, after).await
}

/// These, and teachers whose standings do not reach `through`.
pub async fn stale(
    db: &mut impl Queries,
    through: i16,
    basis: &str,
    today: Date,
    after: &str,
    limit: usize,
) -> Result<Vec<String>, Failure> {
    let args = |after: &str| args![basis, today.to_string(), after, limit, i64::from(through)];
    onwards(db, told_otherwise!("OR standing_through < $5"), args, after).await
}

async fn onwards(
    db: &mut impl Queries,
    sql: &'static str,
    args: impl Fn(&str) -> Vec<Value>,
    after: &str,
) -> Result<Vec<String>, Failure> {
    let mut rows = db.all(sql, args(after)).await?;
    if rows.is_empty() && !after.is_empty() {
        rows = db.all(sql, args("")).await?;
    }
    rows.iter().map(|row| row.get("name")).collect()
}
