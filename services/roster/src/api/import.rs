//! `ImportTeachers`: a roster file as a stream, taken whole or not at all.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use chassis::{
    Admission, Call, Failure,
    changes::feed,
    db::{Queries, Record, Scope, Tx},
};
use jiff::civil::Date;
use prost::Message as _;
use proto::{
    Actor,
    common::v1::{Reason, Role},
    roster::v1::{
        self as pb, ImportTeachersRequest, ImportTeachersResponse, account::State, import_teachers_request::Header,
    },
};
use tonic::{Request, Response, Status, Streaming};

use super::{
    Service, Term, facts,
    roster_file::{self, File, body_digest},
    teachers::{fresh, sealed},
    told, wire,
};
use crate::{
    domain::{
        account::{RoleHeld, imported_login, is_login},
        correction,
        fault::{Defect, Fault},
        field::{Entry, Field},
        identity_number::IdentityNumber,
        import::{Plan, Roster, Row, RowFault, complete, plan},
        organization::Organization,
        scope,
        teacher::Teacher,
    },
    store::{
        accounts::{self, Account},
        organizations, teachers,
    },
};

/// Bytes of faults that a dry run's reply carries; no message has more than 4 MiB.
const LISTED_BYTES: usize = 3 << 20;
/// Bytes that a fault takes in a reply beside its own.
const FRAMING: usize = 4;
/// Faults that an error lists at most, which travels in a header; it counts them all, and a dry run lists them.
const LISTED_IN_ERROR: usize = 40;

pub async fn import_teachers(
    service: &Service,
    request: Request<Streaming<ImportTeachersRequest>>,
) -> Result<Response<ImportTeachersResponse>, Status> {
    let admission = chassis::admission(&request)?;
    // Who comes at the wrong time is told so before he has sent a whole file.
    let call = Call { admission, message: () };
    let opened = service.db.read(&call, Scope::AnyTerm).await;
    let (metadata, extensions, stream) = request.into_parts();
    if let Err(refusal) = opened {
        let Some(header) = roster_file::header(stream).await? else { return Err(refusal.into()) };
        return Ok(Response::new(answered_before(service, &call.admission, &header, refusal).await?));
    }
    let file = Arc::new(roster_file::receive(stream).await?);
    let request = Request::from_parts(metadata, extensions, file);
    // The work owns what it needs, so that it does not matter how long the stream's own borrow lives.
    let service = service.clone();
    chassis::answer_stream(request, move |call| {
        let service = service.clone();
        async move { import(&service, call).await }
    })
    .await
}

/// The window may have closed between the first answer, which was lost, and this call: what stands in the header is enough to
/// give it again. Otherwise the refusal stands.
async fn answered_before(
    service: &Service,
    admission: &Admission,
    header: &Header,
    refusal: Failure,
) -> Result<ImportTeachersResponse, Failure> {
    if header.dry_run || header.request_id.is_empty() {
        return Err(refusal);
    }
    let (id, digest) = (&header.request_id, body_digest(header));
    match service.db.begin_stream(admission, Scope::AnyTerm, id, &digest).await {
        // The refusal as it was: it has opened since.
        Ok(tx) => {
            tx.abandon().await;
            Err(refusal)
        }
        Err(failure) => chassis::replayed(failure),
    }
}

async fn import(service: &Service, call: Call<Arc<File>>) -> Result<ImportTeachersResponse, Failure> {
    let file = Arc::clone(&call.message);
    let (id, digest) = (&file.header.request_id, body_digest(&file.header));
    if !file.header.dry_run {
        // A file that was taken before gets its first reply, whatever it would be found to be today.
        service.db.begin_stream(&call.admission, Scope::AnyTerm, id, &digest).await?.abandon().await;
    }
    // Faults are found, and passwords made, before anybody has to wait for this file's transaction.
    let mut reader = service.db.read(&call, Scope::AnyTerm).await?;
    let ground = Ground {
        term: service.term(reader.gates().ok().as_deref(), reader.at())?,
        actor: reader.actor().clone(),
        head: feed::head(&mut reader).await?,
    };
    let mut prepared = prepare(&mut reader, service, &ground, &file).await?;
    if file.header.dry_run {
        return Ok(prepared.dry_run(usize::try_from(file.header.faults_from_row).unwrap_or(0)));
    }
    prepared.check()?;
    let passwords = match prepared.accounts_to_create() {
        0 => Vec::new(),
        count => service.passwords.hash_many(&file.header.initial_password, count).await?,
    };
    let mut tx = service.db.begin_stream(&call.admission, Scope::AnyTerm, id, &digest).await?;
    let now = Ground {
        term: service.term(tx.gates().ok().as_deref(), tx.at())?,
        actor: tx.actor().clone(),
        head: feed::head(&mut tx).await?,
    };
    if now != ground {
        prepared = prepare(&mut tx, service, &now, &file).await?;
        prepared.check()?;
        if prepared.accounts_to_create() > passwords.len() {
            return Err(wire::changed("teachers"));
        }
    }
    let reply = take(service, &mut tx, prepared, passwords, now.term.today).await?;
    tx.commit(reply).await
}

/// What a file is held against. While it stays the same, so does what was found: nothing of the roster changes without a change in
/// its feed.
#[derive(PartialEq)]
struct Ground {
    term: Term,
    actor: Actor,
    /// Of the roster's feed.
    head: i64,
}

/// A file held against the roster.
struct Prepared {
    rows: Vec<Row>,
    plans: Vec<Plan>,
    schools: BTreeMap<String, Organization>,
    /// The known teachers that rows mean.
    known: BTreeMap<String, Teacher>,
    create_accounts: bool,
    faults: Vec<RowFault>,
}

impl Prepared {
    fn created(&self) -> usize {
        self.plans.iter().filter(|plan| **plan == Plan::Create).count()
    }

    /// The rows whose teacher will get an account.
    fn needs_account(&self, plan: &Plan) -> bool {
        let has_one = |name: &String| self.known.get(name).is_some_and(|teacher| !teacher.account.is_empty());
        self.create_accounts && !matches!(plan, Plan::Update(name) if has_one(name))
    }

    fn accounts_to_create(&self) -> usize {
        self.plans.iter().filter(|plan| self.needs_account(plan)).count()
    }

    fn counts(&self) -> ImportTeachersResponse {
        ImportTeachersResponse {
            created: count(self.created()),
            updated: count(self.plans.len().saturating_sub(self.created())),
            fault_count: count(self.faults.len()),
            ..ImportTeachersResponse::default()
        }
    }

    /// Every fault from a row on, row by row, as far as a reply holds them; and where those that it does not hold begin.
    fn dry_run(&self, from_row: usize) -> ImportTeachersResponse {
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

    fn check(&self) -> Result<(), Failure> {
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

fn login(row: &Row) -> String {
    imported_login(&row.school, row.entry.get(Field::TeacherNumber))
}

/// Writes a faultless file: teachers, accounts, and a change for each.
async fn take(
    service: &Service,
    tx: &mut Tx,
    mut prepared: Prepared,
    passwords: Vec<String>,
    today: Date,
) -> Result<ImportTeachersResponse, Failure> {
    let reply = prepared.counts();
    let mut passwords = passwords.into_iter();
    let (mut created, mut updated, mut new_accounts) = (Vec::new(), Vec::new(), Vec::new());
    let rows = std::mem::take(&mut prepared.rows);
    let plans = std::mem::take(&mut prepared.plans);
    for (row, plan) in rows.into_iter().zip(&plans) {
        let account = prepared.needs_account(plan).then(|| (tx.id("accounts"), login(&row)));
        let mut teacher = match plan {
            Plan::Create => {
                let name = if row.name.is_empty() { tx.id("teachers") } else { row.name };
                fresh(service, name, &row.school, row.entry, today)?
            }
            Plan::Update(name) => {
                let known =
                    prepared.known.remove(name).ok_or_else(|| Failure::internal("a known teacher is not there"))?;
                renewed(service, known, row.entry, &row.identity_index, today)?
            }
        };
        if let Some((name, login)) = account {
            let password = passwords.next().ok_or_else(|| Failure::internal("too few passwords"))?;
            teacher.account.clone_from(&name);
            new_accounts.push(account_of(&teacher, name, login, password));
        }
        if *plan == Plan::Create { created.push(teacher) } else { updated.push(teacher) }
    }
    if teachers::insert(tx, &created).await? != created.len()
        || teachers::update(tx, &updated).await? != updated.len()
        || accounts::insert(tx, &new_accounts).await? != new_accounts.len()
    {
        return Err(wire::changed("teachers"));
    }
    if created.len() >= teachers::MANY {
        teachers::look_anew(tx).await?;
    }
    let actor = tx.actor().clone();
    let changed =
        created.iter().map(|teacher| ("created", teacher)).chain(updated.iter().map(|teacher| ("updated", teacher)));
    for (verb, teacher) in changed {
        let path = prepared.schools.get(&teacher.school).map(|school| school.path.as_slice()).unwrap_or_default();
        let facts = facts::teacher(teacher, path, today);
        let held = scope::keeps(&actor, path);
        tx.record(Record::of(&teacher.name, verb, &facts).reason("import").by(&actor, held));
    }
    for account in &new_accounts {
        tx.record(Record::of(&account.name, "created", &facts::account(account)).reason("import"));
    }
    Ok(reply)
}

/// A known teacher with a row's fields; what a teacher asked of a field that the row leaves as it is, still waits.
fn renewed(
    service: &Service,
    known: Teacher,
    mut entry: Entry,
    identity_index: &str,
    today: Date,
) -> Result<Teacher, Failure> {
    let (identity, birth_year) = if known.identity.index == identity_index {
        entry.remove(Field::IdentityNumber);
        (known.identity.clone(), known.birth_year)
    } else {
        sealed(service, &known.name, &mut entry, today)?
    };
    let changes: Entry = entry.iter().filter(|(field, value)| known.entry.get(*field) != *value).collect();
    let after = correction::by_school(&known.entry, &known.pending, &changes);
    let version = known.version.saturating_add(1);
    Ok(Teacher { entry: after.entry, pending: after.pending, identity, birth_year, version, ..known })
}

fn account_of(teacher: &Teacher, name: String, login: String, password: String) -> Account {
    let role = RoleHeld { role: Role::Teacher, organization: teacher.school.clone(), from: None, until: None };
    Account {
        name,
        login,
        display_name: teacher.entry.get(Field::DisplayName).to_owned(),
        teacher: teacher.name.clone(),
        state: State::Active,
        password,
        version: 1,
        erased: false,
        roles: vec![role],
    }
}
