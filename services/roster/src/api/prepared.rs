//! A roster file held against the roster: what it would do, and what is wrong with it.

use std::collections::{BTreeMap, BTreeSet};

use chassis::{Failure, changes::feed, db::Queries};
use jiff::civil::Date;
use prost::Message as _;
use proto::{
    Actor,
    common::v1::Reason,
    roster::v1::{self as pb, ImportTeachersResponse},
};

use super::{Service, Term, roster_file::File, told, wire};
use crate::{
    domain::{
        account::{imported_login, is_login},
        fault::{Defect, Fault},
        field::Field,
        identity_number::IdentityNumber,
        import::{Plan, Roster, Row, RowFault, complete, plan},
        organization::Organization,
        scope,
        teacher::Teacher,
    },
    store::{accounts, organizations, teachers},
};

/// Bytes of faults that a dry run's reply carries; no message has more than 4 MiB.
const LISTED_BYTES: usize = 3 << 20;
/// Bytes that a fault takes in a reply beside its own.
const FRAMING: usize = 4;
/// Faults that an error lists at most, which travels in a header; it counts them all, and a dry run lists them.
const LISTED_IN_ERROR: usize = 40;

/// What a file is held against. While it stays the same, so does what was found: nothing of the roster changes without a change in
/// its feed.
#[derive(PartialEq)]
pub struct Ground {
    pub term: Term,
    pub actor: Actor,
    /// Of the roster's feed.
    pub head: i64,
}

/// A file held against the roster.
pub struct Prepared {
    pub rows: Vec<Row>,
    pub plans: Vec<Plan>,
    pub schools: BTreeMap<String, Organization>,
    /// The known teachers that rows mean.
    pub known: BTreeMap<String, Teacher>,
    create_accounts: bool,
    faults: Vec<RowFault>,
}

impl Prepared {
    fn created(&self) -> usize {
        self.plans.iter().filter(|plan| **plan == Plan::Create).count()
    }

    /// The rows whose teacher will get an account.
    pub fn needs_account(&self, plan: &Plan) -> bool {
        let has_one = |name: &String| self.known.get(name).is_some_and(|teacher| !teacher.account.is_empty());
        self.create_accounts && !matches!(plan, Plan::Update(name) if has_one(name))
    }

    pub fn accounts_to_create(&self) -> usize {
        self.plans.iter().filter(|plan| self.needs_account(plan)).count()
    }

    pub fn counts(&self) -> ImportTeachersResponse {
        ImportTeachersResponse {
            created: count(self.created()),
            updated: count(self.plans.len().saturating_sub(self.created())),
            fault_count: count(self.faults.len()),
            ..ImportTeachersResponse::default()
        }
    }

    /// Every fault from a row on, row by row, as far as a reply holds them; and where those that it does not hold begin.
    pub fn dry_run(&self, from_row: usize) -> ImportTeachersResponse {
        let wanted = self.faults.iter().filter(|fault| fault.row >= from_row).map(told_of_row);
        let wanted: Vec<pb::RowFault> = wanted.collect();
        let (mut listed, mut bytes) = (0_usize, 0_usize);
        for of_row in wanted.chunk_by(|one, other| one.row == other.row) {
            bytes = of_row.iter().fold(bytes, |sum, fault| sum.saturating_add(fault.encoded_len() + FRAMING));
            if bytes > LISTED_BYTES {
                break;
            }
            listed = listed.saturating_add(of_row.len());
        }
        let next_row = wanted.get(listed).map_or(0, |fault| fault.row);
        let faults_left_out = count(wanted.len().saturating_sub(listed));
        let faults = wanted.into_iter().take(listed).collect();
        ImportTeachersResponse { dry_run: true, faults, next_row, faults_left_out, ..self.counts() }
    }

    pub fn check(&self) -> Result<(), Failure> {
        let listed = self.faults.iter().take(LISTED_IN_ERROR);
        let listed =
            listed.map(|RowFault { row, fault }| Fault::of(format!("rows[{row}].{}", fault.field), fault.defect));
        let told = told("", listed).check_as(Reason::ImportFaults);
        told.map_err(|failure| failure.with("count", self.faults.len()))
    }
}

fn count(n: usize) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

fn told_of_row(RowFault { row, fault }: &RowFault) -> pb::RowFault {
    pb::RowFault { row: count(*row), field: fault.field.clone(), fault: fault.coded() }
}

/// Holds a file against the roster; once more if there are faults and something changed meanwhile. Teachers and logins are read one
/// after the other, and what another file wrote between would be told as this one's fault.
pub async fn look(
    db: &mut impl Queries,
    service: &Service,
    ground: &mut Ground,
    file: &File,
) -> Result<Prepared, Failure> {
    let prepared = prepare(db, service, ground, file).await?;
    if prepared.faults.is_empty() {
        return Ok(prepared);
    }
    let head = feed::head(db).await?;
    if head == ground.head {
        return Ok(prepared);
    }
    ground.head = head;
    prepare(db, service, ground, file).await
}

async fn prepare(
    db: &mut impl Queries,
    service: &Service,
    Ground { term, actor, .. }: &Ground,
    file: &File,
) -> Result<Prepared, Failure> {
    let mut rows: Vec<Row> = file.teachers.iter().map(|teacher| row(service, teacher, term.today)).collect();
    for zero in &file.zeros {
        if let Some(row) = zero.row.checked_sub(1).and_then(|index| rows.get_mut(index)) {
            row.without_zeros();
        }
    }
    let mut names: Vec<&str> = rows.iter().map(|row| row.school.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let mut schools = wire::by_name(organizations::find_all(db, names).await?);
    schools.retain(|_, organization| organization.is_school());
    let mut roster = Roster::default();
    for (name, school) in &schools {
        roster.schools.insert(name.clone());
        if scope::keeps(actor, &school.path).is_some() {
            roster.kept_schools.insert(name.clone());
        }
    }
    let meant = rows.iter().map(|row| {
        (row.name.as_str(), row.school.as_str(), row.entry.get(Field::TeacherNumber), row.identity_index.as_str())
    });
    for known in teachers::known(db, meant.collect::<Vec<_>>()).await? {
        roster.add(known);
    }
    complete(&mut rows, &roster, term.today);
    let (plans, mut faults) = plan(&rows, &roster, &term.codes, term.today);
    let updated = plans.iter().filter_map(|plan| match plan {
        Plan::Update(name) => Some(name.as_str()),
        Plan::Create => None,
    });
    let known = teachers::find_all(db, updated.collect::<Vec<_>>()).await?;
    let known: BTreeMap<_, _> = known.into_iter().map(|teacher| (teacher.name.clone(), teacher)).collect();
    let erased = |plan: &Plan| matches!(plan, Plan::Update(name) if known.get(name).is_some_and(|known| known.erased));
    let erased = (1..).zip(&plans).filter(|(_, plan)| erased(plan));
    faults.extend(erased.map(|(row, _)| RowFault { row, fault: Fault::of("name", Defect::Erased) }));
    let create_accounts = file.header.create_accounts;
    let mut prepared = Prepared { rows, plans, schools, known, create_accounts, faults: Vec::new() };
    faults.extend(login_faults(db, &prepared).await?);
    // Of a text that holds U+0000 nothing else is told: what it would be without is not known.
    let place = |fault: &RowFault| (fault.row, fault.fault.field.split('[').next().unwrap_or_default().to_owned());
    let zeros: BTreeSet<_> = file.zeros.iter().map(place).collect();
    if !zeros.is_empty() {
        // A login is made of school and number.
        let made_of =
            |row: usize| ["school", "teacher_number"].iter().any(|field| zeros.contains(&(row, (*field).into())));
        let follows = |fault: &RowFault| fault.fault.field == "login" && made_of(fault.row);
        faults.retain(|fault| !zeros.contains(&place(fault)) && !follows(fault));
        faults.extend(file.zeros.iter().cloned());
    }
    faults.sort_by(|a, b| (a.row, &a.fault).cmp(&(b.row, &b.fault)));
    prepared.faults = faults;
    Ok(prepared)
}

fn row(service: &Service, teacher: &pb::Teacher, today: Date) -> Row {
    let entry = wire::entry(teacher);
    let number = IdentityNumber::parse(entry.get(Field::IdentityNumber), today);
    Row {
        name: teacher.name.clone(),
        school: teacher.school.clone(),
        identity_index: number.map(|number| service.vault.index(number.text())).unwrap_or_default(),
        entry,
    }
}

/// Logins of the accounts to be created that are taken, or would be none.
async fn login_faults(db: &mut impl Queries, prepared: &Prepared) -> Result<Vec<RowFault>, Failure> {
    let logins: Vec<(usize, String)> = prepared
        .rows
        .iter()
        .zip(&prepared.plans)
        .enumerate()
        .filter(|(_, (_, plan))| prepared.needs_account(plan))
        .map(|(index, (row, _))| (index.saturating_add(1), login(row)))
        .collect();
    let asked: Vec<String> = logins.iter().map(|(_, login)| login.clone()).collect();
    let taken = accounts::taken_logins(db, &asked).await?;
    let fault = |(row, login): &(usize, String)| {
        let defect = if !is_login(login) {
            Defect::Malformed
        } else if taken.binary_search(login).is_ok() {
            Defect::Taken
        } else {
            return None;
        };
        Some(RowFault { row: *row, fault: Fault::of("login", defect) })
    };
    Ok(logins.iter().filter_map(fault).collect())
}

pub fn login(row: &Row) -> String {
    imported_login(&row.school, row.entry.get(Field::TeacherNumber))
}
