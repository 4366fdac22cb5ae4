//! `ImportTeachers`: a roster file as a stream, taken whole or not at all.

use std::sync::Arc;

use chassis::{
    Admission, Call, Failure,
    changes::feed,
    db::{Record, Scope, Tx},
};
use jiff::civil::Date;
use proto::{
    common::v1::Role,
    roster::v1::{ImportTeachersRequest, ImportTeachersResponse, account::State, import_teachers_request::Header},
};
use tonic::{Request, Response, Status, Streaming};

use super::{
    Service, facts,
    prepared::{Ground, Prepared, login, look},
    roster_file::{self, File, body_digest},
    teachers::{fresh, sealed},
    wire,
};
use crate::{
    domain::{
        account::RoleHeld,
        correction,
        field::{Entry, Field},
        import::Plan,
        scope,
        teacher::Teacher,
    },
    store::{
        accounts::{self, Account},
        teachers,
    },
};

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
    let mut ground = Ground {
        term: service.term(reader.gates().ok().as_deref(), reader.at())?,
        actor: reader.actor().clone(),
        head: feed::head(&mut reader).await?,
    };
    let mut prepared = look(&mut reader, service, &mut ground, &file).await?;
    if file.header.dry_run {
        return Ok(prepared.dry_run(usize::try_from(file.header.faults_from_row).unwrap_or(0)));
    }
    prepared.check()?;
    let passwords = match prepared.accounts_to_create() {
        0 => Vec::new(),
        count => service.passwords.hash_many(&file.header.initial_password, count).await?,
    };
    let mut tx = service.db.begin_stream(&call.admission, Scope::AnyTerm, id, &digest).await?;
    let mut now = Ground {
        term: service.term(tx.gates().ok().as_deref(), tx.at())?,
        actor: tx.actor().clone(),
        head: feed::head(&mut tx).await?,
    };
    if now != ground {
        prepared = look(&mut tx, service, &mut now, &file).await?;
        prepared.check()?;
        if prepared.accounts_to_create() > passwords.len() {
            return Err(wire::changed("teachers"));
        }
    }
    let reply = take(service, &mut tx, prepared, passwords, now.term.today).await?;
    tx.commit(reply).await
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
