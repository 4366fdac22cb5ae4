//! Teachers' years, and what they add up to: one aggregate statement a question, whatever the size of the area.

use std::collections::BTreeMap;

use chassis::{
    Failure,
    db::{Queries, Row, Rows, Sql, Tx, args, insert, keyed, row},
};
use proto::{common::v1::Credit, credit::v1 as pb};

use super::flag;
use crate::domain::{compliance::Tally, policy::Policy, standing::Standing};

/// Replaces all years of these teachers.
pub async fn replace(tx: &mut Tx, teachers: &Rows, standings: &[(&str, Standing)]) -> Result<(), Failure> {
    tx.execute(keyed!("DELETE FROM standing WHERE ", "teacher", "$1", ""), args![teachers.clone()]).await?;
    let mut rows = Rows::new();
    for (teacher, standing) in standings {
        let member = standing.member.clone().unwrap_or_default();
        let ended = member.ended.unwrap_or_default();
        rows.push(row![
            *teacher,
            standing.year,
            standing.school.as_str(),
            standing.months,
            standing.awarded.0,
            standing.participations,
            standing.matched,
            i64::from(standing.member.is_some()),
            member.year_awarded.0,
            member.electives,
            member.cycle_from_year,
            i64::from(member.ended.is_some()),
            ended.awarded.0,
            ended.intensive,
            member.counts_in
        ]);
    }
    let insert = insert!(
        "standing",
        [
            teacher TEXT, year BIGINT, school TEXT, months BIGINT, awarded BIGINT, participations BIGINT,
            matched BIGINT, member BIGINT, year_awarded BIGINT, electives BIGINT, cycle_from_year BIGINT,
            cycle_ended BIGINT, cycle_awarded BIGINT, intensive BIGINT, counts_in BIGINT
        ],
        ""
    );
    tx.insert(insert, rows).await?;
    Ok(())
}

/// A statement about the standings of an area's schools ($1 is a year): of one organisation's
/// ($2), found by the index of schools, so that a school's answer does not grow with its region; or of all.
macro_rules! of_area {
    ($head:expr, $school:literal, $tail:expr) => {
        (
            Sql {
                sqlite: concat!(
                    $head,
                    " AND ",
                    $school,
                    " IN (SELECT organization FROM ancestor WHERE ancestor = $2)",
                    $tail
                ),
                postgres: concat!(
                    $head,
                    " AND ",
                    $school,
                    " = ANY(ARRAY(SELECT organization FROM ancestor WHERE ancestor = $2))",
                    $tail
                ),
            },
            Sql::from(concat!($head, " AND $2 = ''", $tail)),
        )
    };
}

/// A year's tallies by school, of the schools under `organization`; of all schools if that is empty.
pub async fn tallies(
    db: &mut impl Queries,
    year: i16,
    organization: &str,
    policy: &Policy,
) -> Result<BTreeMap<String, Tally>, Failure> {
    let (one, all) = of_area!(
        "SELECT school, CAST(SUM(member) AS BIGINT) AS teachers, CAST(SUM(months) AS BIGINT) AS months,
                CAST(SUM(awarded) AS BIGINT) AS awarded,
                CAST(SUM(CASE WHEN member = 1 AND year_awarded >= $3 THEN 1 ELSE 0 END) AS BIGINT) AS year_met,
                CAST(SUM(cycle_ended) AS BIGINT) AS cycles,
                CAST(SUM(CASE WHEN cycle_ended = 1 AND cycle_awarded >= $4 THEN 1 ELSE 0 END) AS BIGINT) AS cycle_met,
                CAST(SUM(CASE WHEN cycle_ended = 1 AND intensive > 0 THEN 1 ELSE 0 END) AS BIGINT) AS intensive_met,
                CAST(SUM(CASE WHEN electives > 0 THEN 1 ELSE 0 END) AS BIGINT) AS elective_year,
                CAST(SUM(participations) AS BIGINT) AS participations, CAST(SUM(matched) AS BIGINT) AS matched
         FROM standing WHERE year = $1",
        "school",
        " GROUP BY school ORDER BY school"
    );
    let sql = if organization.is_empty() { all } else { one };
    let args = args![i64::from(year), organization, policy.year_each.0, policy.cycle_credits.0];
    let rows = db.all(sql, args).await?;
    let mut tallies = BTreeMap::new();
    for row in &rows {
        let tally = Tally {
            teachers: row.get("teachers")?,
            months: row.get("months")?,
            awarded: row.get("awarded")?,
            year_met: row.get("year_met")?,
            cycles: row.get("cycles")?,
            cycle_met: row.get("cycle_met")?,
            intensive_met: row.get("intensive_met")?,
            elective_year: row.get("elective_year")?,
            participations: row.get("participations")?,
            matched: row.get("matched")?,
            ..Tally::default()
        };
        tallies.insert(row.get::<String>("school")?, tally);
    }
    // The elapsed years of each teacher's cycle, each at the school where he was then.
    let (one, all) = of_area!(
        "SELECT school, CAST(COUNT(*) AS BIGINT) AS elapsed,
                CAST(SUM(CASE WHEN electives > 0 THEN 1 ELSE 0 END) AS BIGINT) AS elapsed_elective
         FROM standing WHERE year BETWEEN $1 - 60 AND $1 AND (counts_in >> CAST($1 - year AS INTEGER)) & 1 = 1",
        "school",
        " GROUP BY school ORDER BY school"
    );
    let sql = if organization.is_empty() { all } else { one };
    let rows = db.all(sql, args![i64::from(year), organization]).await?;
    for row in &rows {
        let tally = tallies.entry(row.get("school")?).or_default();
        tally.elapsed = row.get("elapsed")?;
        tally.elapsed_elective = row.get("elapsed_elective")?;
    }
    let (one, all) = of_area!(
        "SELECT a.school AS school, CAST(COUNT(*) AS BIGINT) AS approved, CAST(SUM(a.matched) AS BIGINT) AS matched
         FROM approval a JOIN project p ON p.name = a.project
         WHERE substr(p.ends_on, 1, 4) = CAST($1 AS TEXT) AND p.base >= $3",
        "a.school",
        " GROUP BY a.school ORDER BY a.school"
    );
    let sql = if organization.is_empty() { all } else { one };
    let rows = db.all(sql, args![format!("{year:04}"), organization, policy.intensive_base.0]).await?;
    for row in &rows {
        let tally = tallies.entry(row.get("school")?).or_default();
        tally.approved = row.get("approved")?;
        tally.approved_matched = row.get("matched")?;
    }
    Ok(tallies)
}

/// One teacher behind a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Behind {
    /// "teachers/…"
    pub teacher: String,
    /// What he has.
    pub numerator: i64,
    /// Of what.
    pub denominator: i64,
}

/// Which teachers are asked for.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// "organizations/…"
    pub organization: &'a str,
    /// Calendar year.
    pub year: i16,
    /// Key of the requirement.
    pub requirement: &'a str,
    /// numerator × scale ≥ required × denominator: met.
    pub scale: i64,
    /// See `scale`.
    pub required: i64,
    /// Those who meet it, or those who do not.
    pub met: bool,
}

/// The teachers to whom a requirement applies, with what they have of it ($3: its key), or who bring something to its number
/// without counting themselves: so that the names add up to the number. The mean over elapsed years is of all these years, each
/// at the school where he was then.
macro_rules! behind {
    ($select:literal, $rest:literal) => {
        concat!(
            "WITH behind AS (
                SELECT s.teacher AS teacher,
                    CAST(SUM(CASE $3 WHEN 'cycle_360' THEN s.cycle_awarded WHEN 'year_24' THEN s.year_awarded
                        WHEN 'year_mean_72' THEN s.awarded WHEN 'intensive_90' THEN s.intensive
                        WHEN 'match_75' THEN s.matched
                        WHEN 'restricted_elective_21' THEN CASE WHEN s.electives > 0 THEN 1 ELSE 0 END
                        ELSE s.electives END) AS BIGINT) AS numerator,
                    CAST(SUM(CASE $3 WHEN 'cycle_360' THEN s.cycle_ended WHEN 'intensive_90' THEN s.cycle_ended
                        WHEN 'year_mean_72' THEN s.months WHEN 'match_75' THEN s.participations
                        ELSE s.member END) AS BIGINT) AS denominator
                FROM standing s
                WHERE s.school IN (SELECT organization FROM ancestor WHERE ancestor = $2)
                  AND CASE WHEN $3 = 'restricted_elective_21'
                        THEN s.year BETWEEN $1 - 60 AND $1 AND (s.counts_in >> CAST($1 - s.year AS INTEGER)) & 1 = 1
                        ELSE s.year = $1 END
                GROUP BY s.teacher)
             SELECT ",
            $select,
            " FROM behind WHERE (denominator > 0 OR numerator > 0)
               AND CASE WHEN numerator * $4 >= denominator * $5 THEN 1 ELSE 0 END = $6 ",
            $rest
        )
    };
}

/// The teachers behind a number, by name, after `after`.
pub async fn behind(
    db: &mut impl Queries,
    question: Question<'_>,
    after: &str,
    limit: usize,
) -> Result<Vec<Behind>, Failure> {
    let Question { organization, year, requirement, scale, required, met } = question;
    let rows = db
        .all(
            behind!("teacher, numerator, denominator", "AND teacher > $7 ORDER BY teacher LIMIT $8"),
            args![i64::from(year), organization, requirement, scale, required, i64::from(met), after, limit],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Behind {
                teacher: row.get("teacher")?,
                numerator: row.get("numerator")?,
                denominator: row.get("denominator")?,
            })
        })
        .collect()
}

/// How many there are.
pub async fn count_behind(db: &mut impl Queries, question: Question<'_>) -> Result<i64, Failure> {
    let Question { organization, year, requirement, scale, required, met } = question;
    let row = db
        .one(
            behind!("CAST(COUNT(*) AS BIGINT) AS found", ""),
            args![i64::from(year), organization, requirement, scale, required, i64::from(met)],
        )
        .await?;
    row.map_or(Ok(0), |row| row.get("found"))
}

/// A teacher's years, each at each school, from after a key.
pub async fn of_teacher(
    db: &mut impl Queries,
    teacher: &str,
    after: &str,
    limit: usize,
) -> Result<Vec<(String, pb::Standing)>, Failure> {
    let sql = "SELECT * FROM (SELECT s.*, CAST(year AS TEXT) || ' ' || school AS key FROM standing s WHERE teacher = $1) AS of
               WHERE key > $2 ORDER BY key LIMIT $3";
    let read = |row: &Row| {
        let narrow = |column| row.get::<i64>(column).and_then(|value| i32::try_from(value).map_err(Failure::internal));
        let credit = |column| Ok::<_, Failure>(Some(Credit { hundredths: row.get(column)? }));
        let standing = pb::Standing {
            year: narrow("year")?,
            school: row.get("school")?,
            months: narrow("months")?,
            awarded: credit("awarded")?,
            participations: narrow("participations")?,
            matched: narrow("matched")?,
            member: flag(row, "member")?,
            year_awarded: credit("year_awarded")?,
            electives: narrow("electives")?,
            cycle_from_year: narrow("cycle_from_year")?,
            cycle_ended: flag(row, "cycle_ended")?,
            cycle_awarded: credit("cycle_awarded")?,
            intensive: narrow("intensive")?,
        };
        Ok((row.get("key")?, standing))
    };
    db.all(sql, args![teacher, after, limit]).await?.iter().map(read).collect()
}
