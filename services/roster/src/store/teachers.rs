//! Teachers and their leaves.

use std::collections::{BTreeMap, BTreeSet};

use chassis::{
    Failure,
    db::{Queries, Row, Rows, Sql, Tx, args, insert, row},
};
use jiff::civil::Date;
use proto::roster::v1::teacher::Status;

use super::{CHUNK, day, day_text, history, organizations::range};
use crate::domain::{
    career::{Event, Stay},
    field::{Entry, Field},
    import::Known,
    status::Leave,
    teacher::{Sealed, Teacher},
};

/// Which teachers a listing takes.
#[derive(Debug, Default)]
pub struct Filter {
    /// Paths of organisations: at or under any of them.
    pub under: Vec<Vec<String>>,
    /// Part of a name, or a whole teacher number or login; empty for all.
    pub query: String,
    /// Among those taught; empty for all.
    pub stage: String,
    /// Among those taught; empty for all.
    pub subject: String,
    /// Unspecified for all.
    pub status: Status,
    /// The day on which `status` holds.
    pub day: Date,
}

/// A teacher by name.
///
/// # Errors
/// Those of the database.
pub async fn find(db: &mut impl Queries, name: &str) -> Result<Option<Teacher>, Failure> {
    Ok(find_all(db, [name]).await?.pop())
}

/// Takes a teacher for this transaction alone: what is read of him after it is of one state, whoever else is at it.
///
/// # Errors
/// Those of the database.
pub async fn lock(tx: &mut Tx, name: &str) -> Result<(), Failure> {
    tx.execute("UPDATE teacher SET version = version WHERE name = $1", args![name]).await?;
    Ok(())
}

/// Teachers by name; those that there are, by name.
///
/// # Errors
/// Those of the database.
pub async fn find_all(
    db: &mut impl Queries,
    names: impl IntoIterator<Item = &str> + Send,
) -> Result<Vec<Teacher>, Failure> {
    let names: Vec<&str> = names.into_iter().collect();
    let mut teachers = Vec::with_capacity(names.len());
    for chunk in names.chunks(CHUNK) {
        let sql = "SELECT * FROM teacher WHERE name IN (SELECT value ->> 0 FROM json_each($1)) ORDER BY name";
        let rows = db.all(sql, args![Rows::texts(chunk).json()]).await?;
        teachers.extend(with_leaves(db, &rows).await?);
    }
    Ok(teachers)
}

/// The teacher who has this identity number, by its index.
///
/// # Errors
/// Those of the database.
pub async fn by_identity(db: &mut impl Queries, index: &str) -> Result<Option<String>, Failure> {
    let row = db.one("SELECT name FROM teacher WHERE identity_index = $1", args![index]).await?;
    row.map(|row| row.get("name")).transpose()
}

/// Of each key that identity numbers are sealed with, the first and the last teacher's.
///
/// # Errors
/// Those of the database.
pub async fn sealed_by_each_key(db: &mut impl Queries) -> Result<Vec<(String, Sealed)>, Failure> {
    let rows = db.all(SEALED_BY_EACH_KEY, args![]).await?;
    rows.iter().map(|row| Ok((row.get("name")?, sealed(row)?))).collect()
}

/// From each key to the next one by their index: a GROUP BY would read it to the end.
pub const SEALED_BY_EACH_KEY: &str = "WITH RECURSIVE kept (id) AS (
    SELECT MIN(identity_key) FROM teacher WHERE identity_key <> ''
    UNION ALL
    SELECT (SELECT MIN(identity_key) FROM teacher WHERE identity_key > kept.id AND identity_key <> '')
    FROM kept WHERE kept.id IS NOT NULL),
ends (name) AS (
    SELECT (SELECT MIN(name) FROM teacher WHERE identity_key = kept.id AND identity_key <> '') FROM kept
    UNION
    SELECT (SELECT MAX(name) FROM teacher WHERE identity_key = kept.id AND identity_key <> '') FROM kept)
SELECT t.name, t.identity_key, t.identity_sealed, t.identity_index FROM ends JOIN teacher t ON t.name = ends.name";

/// The teacher who has this staff number at this school.
///
/// # Errors
/// Those of the database.
pub async fn by_number(db: &mut impl Queries, school: &str, number: &str) -> Result<Option<String>, Failure> {
    let sql = "SELECT name FROM teacher WHERE school = $1 AND teacher_number = $2 AND teacher_number <> ''";
    db.one(sql, args![school, number]).await?.map(|row| row.get("name")).transpose()
}

/// A page of teachers, by name.
///
/// # Errors
/// Those of the database.
pub async fn list(db: &mut impl Queries, filter: &Filter, after: &str, limit: usize) -> Result<Vec<Teacher>, Failure> {
    let mut arguments = filter_args(filter);
    arguments.extend(args![after, limit]);
    let rows = db.all(LIST, arguments).await?;
    with_leaves(db, &rows).await
}

/// How many teachers a listing takes in all.
///
/// # Errors
/// Those of the database.
pub async fn count(db: &mut impl Queries, filter: &Filter) -> Result<i64, Failure> {
    let row = db.one(COUNT, filter_args(filter)).await?;
    row.map_or(Ok(0), |row| row.get("total"))
}

// `replace` finds a part of a name, or a code of a list, in the same way on both engines, whatever characters it has.
macro_rules! filtered {
    ($select:literal, $rest:literal) => {
        concat!(
            "SELECT ",
            $select,
            " FROM teacher t JOIN organization o ON o.name = t.school
             WHERE EXISTS (SELECT 1 FROM json_each($1) AS root
                           WHERE o.path >= root.value ->> 0 AND o.path < root.value ->> 1)
               AND ($2 = '' OR replace(t.display_name, $2, '') <> t.display_name OR t.teacher_number = $2
                    OR EXISTS (SELECT 1 FROM account a WHERE a.teacher = t.name AND a.login = $2))
               AND ($3 = '' OR replace(';' || t.stages || ';', ';' || $3 || ';', '') <> ';' || t.stages || ';')
               AND ($4 = '' OR replace(';' || t.subjects || ';', ';' || $4 || ';', '') <> ';' || t.subjects || ';')
               AND ($5 = '' OR $5 = CASE WHEN t.standing = 'STATUS_ACTIVE' AND EXISTS (
                        SELECT 1 FROM teacher_leave l WHERE l.teacher = t.name AND l.first_on <= $6
                          AND (l.last_on = '' OR l.last_on >= $6)) THEN 'STATUS_ON_LEAVE' ELSE t.standing END) ",
            $rest
        )
    };
}
const LIST: &str = filtered!("t.*", "AND t.name > $7 ORDER BY t.name LIMIT $8");
const COUNT: &str = filtered!("COUNT(*) AS total", "");

fn filter_args(filter: &Filter) -> Vec<chassis::db::Value> {
    let mut roots = Rows::new();
    for path in &filter.under {
        let (low, high) = range(path);
        roots.push(row![low, high]);
    }
    let status = if filter.status == Status::Unspecified { "" } else { filter.status.as_str_name() };
    args![roots.json(), &filter.query, &filter.stage, &filter.subject, status, filter.day.to_string()]
}

/// All teachers at or under an organisation.
///
/// # Errors
/// Those of the database.
pub async fn at_or_under(db: &mut impl Queries, path: &[String]) -> Result<Vec<Teacher>, Failure> {
    let (low, high) = range(path);
    let rows = db
        .all(
            "SELECT t.* FROM teacher t JOIN organization o ON o.name = t.school
             WHERE o.path >= $1 AND o.path < $2 ORDER BY t.name",
            args![low, high],
        )
        .await?;
    with_leaves(db, &rows).await
}

/// The codes that teachers in service have, of fields whose lists are the deployment's.
///
/// # Errors
/// Those of the database.
pub async fn codes_in_use(db: &mut impl Queries) -> Result<BTreeSet<(Field, String)>, Failure> {
    let rows = db
        .all(
            "SELECT 'stages' AS field, stages AS codes FROM teacher WHERE standing = 'STATUS_ACTIVE'
             UNION SELECT 'subjects', subjects FROM teacher WHERE standing = 'STATUS_ACTIVE'
             UNION SELECT 'tier', tier FROM teacher WHERE standing = 'STATUS_ACTIVE'
             UNION SELECT 'category', category FROM teacher WHERE standing = 'STATUS_ACTIVE'
             UNION SELECT 'employment', employment FROM teacher WHERE standing = 'STATUS_ACTIVE'
             UNION SELECT 'post', post FROM teacher WHERE standing = 'STATUS_ACTIVE'
             UNION SELECT 'title', title FROM teacher WHERE standing = 'STATUS_ACTIVE'",
            args![],
        )
        .await?;
    let mut in_use = BTreeSet::new();
    for row in rows {
        let (field, codes) = (row.get::<String>("field")?, row.get::<String>("codes")?);
        let field = Field::of(&field).ok_or_else(|| Failure::internal("a column that is no field"))?;
        in_use.extend(codes.split(';').filter(|code| !code.is_empty()).map(|code| (field, code.to_owned())));
    }
    Ok(in_use)
}

// A union of three joins, so that each finds its index.
macro_rules! known {
    ($rows:literal) => {
        concat!(
            "WITH meant (name, school, number, identity) AS (SELECT ",
            $rows,
            "), found (name) AS (
                SELECT t.name FROM meant m JOIN teacher t ON t.name = m.name
                UNION
                SELECT t.name FROM meant m JOIN teacher t ON t.school = m.school AND t.teacher_number = m.number
                    AND t.teacher_number <> ''
                UNION
                SELECT t.name FROM meant m JOIN teacher t ON t.identity_index = m.identity)
             SELECT t.name, t.school, t.teacher_number, t.identity_index, t.platform_entered_on,
                t.principal_appointed_on, t.standing
             FROM found JOIN teacher t ON t.name = found.name"
        )
    };
}
/// The teachers whom rows may mean: of each its name, school, number and identity's index.
pub const KNOWN: Sql = Sql {
    sqlite: known!("value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each($1)"),
    postgres: known!("* FROM UNNEST($1::TEXT[], $2::TEXT[], $3::TEXT[], $4::TEXT[])"),
};

/// So many new teachers at once change what a roster is to PostgreSQL's planner.
pub const MANY: usize = 1_000;

/// Has PostgreSQL look at the table anew, after many were inserted. Plans that its connections keep from when the roster was empty
/// would read all of it for each row of the next file, until it comes to look by itself, a minute later.
///
/// # Errors
/// Those of the database.
pub async fn look_anew(tx: &mut Tx) -> Result<(), Failure> {
    // One column tells how many there are.
    let sql = Sql { sqlite: "SELECT 1", postgres: "ANALYZE teacher (name)" };
    tx.execute(sql, args![]).await.map(drop)
}

/// Whom the rows of a file may mean: by name, by school and number, by identity.
///
/// # Errors
/// Those of the database.
pub async fn known(
    db: &mut impl Queries,
    meant: impl IntoIterator<Item = (&str, &str, &str, &str)>,
) -> Result<Vec<Known>, Failure> {
    let meant: Vec<_> = meant.into_iter().collect();
    let mut known = BTreeMap::new();
    for chunk in meant.chunks(CHUNK) {
        let mut rows = Rows::new();
        for (name, school, number, index) in chunk {
            rows.push(row![*name, *school, *number, *index]);
        }
        let found = db.all(KNOWN, args![rows]).await?;
        for row in &found {
            let name: String = row.get("name")?;
            let teacher = Known {
                name: name.clone(),
                school: row.get("school")?,
                teacher_number: row.get("teacher_number")?,
                identity_index: row.get("identity_index")?,
                platform_entered_on: row.get("platform_entered_on")?,
                principal_appointed_on: row.get("principal_appointed_on")?,
                left: standing(row)? != Status::Active,
            };
            known.insert(name, teacher);
        }
    }
    Ok(known.into_values().collect())
}

/// Inserts teachers; how many, which is fewer where a name, a staff number or an identity number is taken.
///
/// # Errors
/// Those of the database.
pub async fn insert(tx: &mut Tx, teachers: &[Teacher]) -> Result<usize, Failure> {
    let mut inserted = 0;
    for chunk in teachers.chunks(CHUNK) {
        let rows = rows_of(chunk)?;
        let insert = insert!(
            "teacher",
            [
                name TEXT, display_name TEXT, sex TEXT, identity_key TEXT, identity_sealed BYTEA, identity_index TEXT,
                birth_year BIGINT, phone TEXT, school TEXT, teacher_number TEXT, employment TEXT, tier TEXT,
                category TEXT, stages TEXT, subjects TEXT, title TEXT, education TEXT, post TEXT, employed_on TEXT,
                platform_entered_on TEXT, joined_on TEXT, standing TEXT, pending TEXT, account TEXT, version BIGINT,
                principal_appointed_on TEXT
            ],
            "ON CONFLICT DO NOTHING"
        );
        inserted += tx.insert(insert, rows).await?;
    }
    Ok(usize::try_from(inserted).unwrap_or(usize::MAX))
}

/// Writes teachers over their versions before; how many, which is fewer where that is no longer the current one.
///
/// # Errors
/// Those of the database.
pub async fn update(tx: &mut Tx, teachers: &[Teacher]) -> Result<usize, Failure> {
    let mut updated = 0;
    for chunk in teachers.chunks(CHUNK) {
        let rows = rows_of(chunk)?;
        updated += tx
            .execute(
                "UPDATE teacher SET display_name = v ->> 1, sex = v ->> 2, identity_key = v ->> 3,
                    identity_sealed = unhex(v ->> 4), identity_index = v ->> 5, birth_year = CAST(v ->> 6 AS BIGINT),
                    phone = v ->> 7, school = v ->> 8, teacher_number = v ->> 9, employment = v ->> 10, tier = v ->> 11,
                    category = v ->> 12, stages = v ->> 13, subjects = v ->> 14, title = v ->> 15, education = v ->> 16,
                    post = v ->> 17, employed_on = v ->> 18, platform_entered_on = v ->> 19, standing = v ->> 21,
                    pending = v ->> 22, account = v ->> 23, version = CAST(v ->> 24 AS BIGINT),
                    principal_appointed_on = v ->> 25
                 FROM (SELECT value AS v FROM json_each($1)) AS given
                 WHERE teacher.name = v ->> 0 AND teacher.version = CAST(v ->> 24 AS BIGINT) - 1",
                args![rows.json()],
            )
            .await?;
    }
    Ok(usize::try_from(updated).unwrap_or(usize::MAX))
}

/// Writes a teacher's leaves and stays as they are now: events add to them, and alter those of their day.
///
/// # Errors
/// Those of the database.
pub async fn put_career(tx: &mut Tx, Teacher { name, leaves, stays, .. }: &Teacher) -> Result<(), Failure> {
    let mut rows = Rows::new();
    for stay in stays {
        let standing = stay.standing.as_str_name();
        rows.push(row![name.as_str(), day_text(stay.from_on), stay.school.as_str(), standing]);
    }
    tx.execute(
        "INSERT INTO teacher_stay (teacher, from_on, school, standing)
         SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each($1) WHERE TRUE
         ON CONFLICT (teacher, from_on) DO UPDATE SET school = excluded.school, standing = excluded.standing",
        args![rows.json()],
    )
    .await?;
    let mut rows = Rows::new();
    for leave in leaves {
        rows.push(row![name.as_str(), leave.first_on.to_string(), day_text(leave.last_on)]);
    }
    tx.execute(
        "INSERT INTO teacher_leave (teacher, first_on, last_on)
         SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each($1) WHERE TRUE
         ON CONFLICT (teacher, first_on) DO UPDATE SET last_on = excluded.last_on",
        args![rows.json()],
    )
    .await?;
    Ok(())
}

fn rows_of(teachers: &[Teacher]) -> Result<Rows, Failure> {
    let mut rows = Rows::new();
    for teacher in teachers {
        push(&mut rows, teacher)?;
    }
    Ok(rows)
}

/// The pending fields as SQL keeps them: a JSON object of field and value.
pub(super) fn pending_text(pending: &Entry) -> Result<String, Failure> {
    let pending: BTreeMap<&str, &str> = pending.iter().map(|(field, value)| (field.name(), value)).collect();
    serde_json::to_string(&pending).map_err(Failure::internal)
}

fn push(rows: &mut Rows, teacher: &Teacher) -> Result<(), Failure> {
    let field = |field| teacher.entry.get(field);
    rows.push(row![
        teacher.name.as_str(),
        field(Field::DisplayName),
        field(Field::Sex),
        teacher.identity.key.as_str(),
        teacher.identity.sealed.as_slice(),
        teacher.identity.index.as_str(),
        teacher.birth_year,
        field(Field::Phone),
        teacher.school.as_str(),
        field(Field::TeacherNumber),
        field(Field::Employment),
        field(Field::Tier),
        field(Field::Category),
        field(Field::Stages),
        field(Field::Subjects),
        field(Field::Title),
        field(Field::Education),
        field(Field::Post),
        field(Field::EmployedOn),
        field(Field::PlatformEnteredOn),
        day_text(teacher.joined_on),
        teacher.standing.as_str_name(),
        pending_text(&teacher.pending)?,
        teacher.account.as_str(),
        teacher.version,
        field(Field::PrincipalAppointedOn),
    ]);
    Ok(())
}

async fn with_leaves(db: &mut impl Queries, rows: &[Row]) -> Result<Vec<Teacher>, Failure> {
    let mut teachers = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let mut leaves: BTreeMap<String, Vec<Leave>> = BTreeMap::new();
    let mut stays: BTreeMap<String, Vec<Stay>> = BTreeMap::new();
    let mut coming: BTreeMap<String, Vec<Event>> = BTreeMap::new();
    for chunk in teachers.chunks(CHUNK) {
        let names = Rows::texts(chunk.iter().map(|teacher| &teacher.name)).json();
        let sql = "SELECT * FROM teacher_leave WHERE teacher IN (SELECT value ->> 0 FROM json_each($1)) ORDER BY teacher, first_on";
        for row in &db.all(sql, args![&names]).await? {
            let Some(first_on) = day(&row.get::<String>("first_on")?)? else { continue };
            let leave = Leave { first_on, last_on: day(&row.get::<String>("last_on")?)? };
            leaves.entry(row.get("teacher")?).or_default().push(leave);
        }
        let sql = "SELECT * FROM teacher_stay WHERE teacher IN (SELECT value ->> 0 FROM json_each($1)) ORDER BY teacher, from_on";
        for row in &db.all(sql, args![&names]).await? {
            let stay = Stay {
                from_on: day(&row.get::<String>("from_on")?)?,
                school: row.get("school")?,
                standing: standing(row)?,
            };
            stays.entry(row.get("teacher")?).or_default().push(stay);
        }
        for (teacher, event) in history::coming(db, &names).await? {
            coming.entry(teacher).or_default().push(event);
        }
    }
    for teacher in &mut teachers {
        teacher.leaves = leaves.remove(&teacher.name).unwrap_or_default();
        teacher.stays = stays.remove(&teacher.name).unwrap_or_default();
        teacher.coming = coming.remove(&teacher.name).unwrap_or_default();
    }
    Ok(teachers)
}

fn standing(row: &Row) -> Result<Status, Failure> {
    Ok(Status::from_str_name(&row.get::<String>("standing")?).unwrap_or_default())
}

fn sealed(row: &Row) -> Result<Sealed, Failure> {
    Ok(Sealed { key: row.get("identity_key")?, sealed: row.get("identity_sealed")?, index: row.get("identity_index")? })
}

fn read(row: &Row) -> Result<Teacher, Failure> {
    let mut entry = Entry::default();
    for field in Field::ALL.into_iter().filter(|field| *field != Field::IdentityNumber) {
        entry.set(field, row.get::<String>(field.name())?);
    }
    let pending: BTreeMap<String, String> =
        serde_json::from_str(&row.get::<String>("pending")?).map_err(Failure::internal)?;
    Ok(Teacher {
        name: row.get("name")?,
        school: row.get("school")?,
        entry,
        identity: sealed(row)?,
        birth_year: i16::try_from(row.get::<i64>("birth_year")?).map_err(Failure::internal)?,
        joined_on: day(&row.get::<String>("joined_on")?)?,
        standing: standing(row)?,
        leaves: Vec::new(),
        stays: Vec::new(),
        coming: Vec::new(),
        pending: pending.into_iter().filter_map(|(name, value)| Some((Field::of(&name)?, value))).collect(),
        account: row.get("account")?,
        version: row.get("version")?,
        erased: row.get::<i64>("erased_at")? != 0,
    })
}
