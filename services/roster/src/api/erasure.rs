//! Erasing persons: one at an officer's word, many when a term ends.

use std::collections::BTreeMap;

use chassis::{
    Call, Failure, Faults, StepOutcome,
    db::{Record, Scope, Tx, forget},
};
use jiff::{ToSpan as _, civil::Date};
use proto::{
    Held,
    common::v1::Reason,
    roster::v1::{
        EraseAccountRequest, EraseAccountResponse, EraseTeacherRequest, EraseTeacherResponse, account::State,
    },
};

use super::{
    Service,
    appointments::{governing, scoped},
    facts,
    teachers::{Found, find},
    wire,
};
use crate::{
    domain::{erasure::erase, scope, teacher::Teacher},
    policy::Policy,
    store::{
        accounts::{self, Account},
        erasure::{self, Cutoffs},
        teachers,
    },
};

/// Persons of one page of the step: each page looks through all kept replies once.
const PAGE: usize = 25;

pub async fn erase_teacher(
    service: &Service,
    call: Call<EraseTeacherRequest>,
) -> Result<EraseTeacherResponse, Failure> {
    let EraseTeacherRequest { name, reason, .. } = &call.message;
    check_reason(reason)?;
    let mut tx = service.db.begin(&call, Scope::AnyTerm).await?;
    let today = service.term(tx.gates().ok().as_deref(), tx.at())?.today;
    let found = find(&mut tx, name).await?;
    let actor = tx.actor().clone();
    let held = scope::governs(&actor, &found.school.path).ok_or_else(|| Failure::out_of_scope(name))?.clone();
    let account = found.teacher.account.clone();
    let teacher = carry_out(service, &mut tx, found, reason, Some(&held), today).await?;
    forget(&mut tx, &[name, &account]).await?;
    let teacher = wire::teacher(&teacher, &service.vault, &actor, today);
    tx.commit(EraseTeacherResponse { teacher: Some(teacher) }).await
}

pub async fn erase_account(
    service: &Service,
    call: Call<EraseAccountRequest>,
) -> Result<EraseAccountResponse, Failure> {
    let EraseAccountRequest { name, reason, .. } = &call.message;
    check_reason(reason)?;
    let mut tx = service.db.begin(&call, Scope::AnyTerm).await?;
    let scoped = scoped(&mut tx, name).await?;
    let actor = tx.actor().clone();
    let held = governing(&mut tx, &scoped, &actor).await?;
    let mut account = scoped.account;
    if account.erased {
        return Err(Failure::new(Reason::PersonErased).with("resource", name));
    }
    if !account.teacher.is_empty() {
        let mut faults = Faults::new();
        faults.add(
            "name",
            "这是教师的账号，请删除该教师的个人信息",
            "is a teacher's: erase the teacher, and it goes with him",
        );
        faults.check()?;
    }
    if account.state != State::Suspended {
        return Err(Failure::state(name, account.state.as_str_name(), "erase"));
    }
    put_out(service, &mut tx, &mut account, reason, Some(&held)).await?;
    forget(&mut tx, &[name]).await?;
    tx.commit(EraseAccountResponse { account: Some(wire::account(&account, &actor)) }).await
}

fn check_reason(reason: &str) -> Result<(), Failure> {
    let mut faults = Faults::new();
    faults.required("reason", reason);
    wire::coded_reason("reason", reason, &mut faults);
    faults.check()
}

/// The term ends: whoever has been gone for as long as its policy says is erased.
pub async fn erase_due(service: &Service, tx: &mut Tx) -> Result<StepOutcome, Failure> {
    let gates = tx.gates()?;
    let today = gates.day(tx.at());
    let retention = tx.policy::<Policy>()?.retention;
    let ago = |years: i16| today.checked_sub(i64::from(years).years()).map_err(Failure::internal);
    let cutoffs = Cutoffs {
        retired: ago(retention.retired_years)?,
        departed: ago(retention.departed_years)?,
        deceased: ago(retention.deceased_years)?,
    };
    let due = erasure::due(tx, cutoffs, PAGE).await?;
    let mut persons = Vec::with_capacity(due.len() * 2);
    for name in &due {
        let found = find(tx, name).await?;
        persons.extend([name.clone(), found.teacher.account.clone()]);
        carry_out(service, tx, found, "retention", None, today).await?;
    }
    forget(tx, &persons.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    let erased = i32::try_from(due.len()).map_err(Failure::internal)?;
    let counts = BTreeMap::from([("erased".to_owned(), i64::from(erased))]);
    Ok(StepOutcome { changed: erased, more: due.len() == PAGE, counts, ..StepOutcome::default() })
}

/// Erases a teacher and his account, and tells of it.
async fn carry_out(
    service: &Service,
    tx: &mut Tx,
    Found { teacher, school }: Found,
    reason: &str,
    held: Option<&Held>,
    today: Date,
) -> Result<Teacher, Failure> {
    if teacher.erased {
        return Err(Failure::new(Reason::PersonErased).with("resource", &teacher.name));
    }
    let mut erased = erase(&teacher, today).map_err(|status| {
        Failure::new(Reason::StillOnRoster).with("resource", &teacher.name).with("status", status.as_str_name())
    })?;
    erased.version = erased.version.saturating_add(1);
    if teachers::update(tx, std::slice::from_ref(&erased)).await? != 1 {
        return Err(wire::changed(&teacher.name));
    }
    erasure::teacher(tx, &erased).await?;
    let actor = tx.actor().clone();
    let record = Record::of(&erased.name, "erased", &facts::teacher(&erased, &school.path, today));
    tx.record(record.reason(reason).by(&actor, held));
    if let Some(mut account) = accounts::find(tx, &erased.account).await? {
        put_out(service, tx, &mut account, reason, held).await?;
    }
    Ok(erased)
}

/// Erases an account, and tells of it.
async fn put_out(
    service: &Service,
    tx: &mut Tx,
    account: &mut Account,
    reason: &str,
    held: Option<&Held>,
) -> Result<(), Failure> {
    let login_index = service.vault.login_index(&account.login);
    (account.state, account.erased) = (State::Suspended, true);
    account.login.clone_from(&account.name);
    account.display_name.clear();
    account.roles.clear();
    account.version = account.version.saturating_add(1);
    if !erasure::account(tx, account, &login_index).await? {
        return Err(wire::changed(&account.name));
    }
    let actor = tx.actor().clone();
    tx.record(Record::of(&account.name, "erased", &facts::account(account)).reason(reason).by(&actor, held));
    Ok(())
}
