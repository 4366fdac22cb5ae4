//! Passwords and who an account is: for the gateway, which makes tokens of it.

use std::time::Duration;

use chassis::{Call, Failure, db::Scope};
use proto::{
    common::v1::Reason,
    roster::v1::{
        AuthenticateRequest, AuthenticateResponse, ResolveAccountRequest, ResolveAccountResponse, SetPasswordRequest,
        SetPasswordResponse, account::State,
    },
};

use super::{Service, accounts::write, appointments::scoped, told, wire};
use crate::{
    domain::{
        account::is_password,
        attempts::pause,
        fault::{Defect, Fault},
    },
    store::{
        accounts::{self, Account},
        sessions,
    },
};

impl Service {
    /// Checks a password for a login, counting failures; whether there is such an account cannot be told from the
    /// answer, nor from how long it takes.
    async fn check_password(
        &self,
        login: &str,
        account: Option<&Account>,
        password: &str,
        at: i64,
    ) -> Result<(), Failure> {
        let index = self.vault.login_index(login);
        let (failures, last_at) = sessions::failures(&mut self.db.reader(), &index, at).await?;
        let left = last_at.saturating_add(pause(failures)).saturating_sub(at);
        if left > 0 {
            let wait = Duration::from_micros(left.unsigned_abs());
            return Err(Failure::new(Reason::BadCredentials).retry_after(wait));
        }
        let fits = self.passwords.verify(password, account.map(|account| account.password.as_str())).await?;
        if fits && failures == 0 {
            return Ok(());
        }
        let mut tx = self.db.begin_own(at, "login").await?;
        if fits {
            sessions::succeeded(&mut tx, &index).await?;
        } else {
            sessions::failed(&mut tx, &index, at).await?;
        }
        tx.finish().await?;
        if fits { Ok(()) } else { Err(Failure::new(Reason::BadCredentials)) }
    }
}

pub async fn authenticate(service: &Service, call: Call<AuthenticateRequest>) -> Result<AuthenticateResponse, Failure> {
    let AuthenticateRequest { login, password } = &call.message;
    let mut db = service.db.read(&call, Scope::AnyTerm).await?;
    let account = accounts::by_login(&mut db, login).await?.filter(|account| !account.erased);
    service.check_password(login, account.as_ref(), password, call.at()).await?;
    let account = account.ok_or_else(|| Failure::new(Reason::BadCredentials))?;
    active(&account)?;
    let today = service.term(db.gates().ok().as_deref(), db.at())?.today;
    Ok(AuthenticateResponse { identity: Some(wire::identity(&account, today)) })
}

pub async fn resolve(service: &Service, call: Call<ResolveAccountRequest>) -> Result<ResolveAccountResponse, Failure> {
    let mut db = service.db.read(&call, Scope::AnyTerm).await?;
    let name = &call.message.account;
    let account = accounts::find(&mut db, name).await?.ok_or_else(|| Failure::not_found(name))?;
    active(&account)?;
    let today = service.term(db.gates().ok().as_deref(), db.at())?.today;
    Ok(ResolveAccountResponse { identity: Some(wire::identity(&account, today)) })
}

fn active(account: &Account) -> Result<(), Failure> {
    if account.state == State::Active { Ok(()) } else { Err(Failure::new(Reason::AccountSuspended)) }
}

pub async fn set_password(
    service: &Service,
    mut call: Call<SetPasswordRequest>,
) -> Result<SetPasswordResponse, Failure> {
    let (old, new) = (std::mem::take(&mut call.message.old_password), std::mem::take(&mut call.message.new_password));
    (call.message.old_password, call.message.new_password) = (service.vault.mark(&old), service.vault.mark(&new));
    let message = &call.message;
    let own = call.actor().account == message.name;
    let mut faults = Vec::new();
    if !is_password(&new) {
        faults.push(Fault::of("new_password", Defect::Malformed));
    }
    match (own, old.is_empty()) {
        (true, true) => faults.push(Fault::of("old_password", Defect::Required)),
        (false, false) => faults.push(Fault::of("old_password", Defect::Fixed)),
        _ => {}
    }
    told("", faults).check()?;
    // A repeated request gets its first reply, though the old password is no longer the one it was.
    service.db.begin(&call, Scope::AnyTerm).await?.abandon().await;
    // Before the transaction: both take their time.
    if own {
        let account = accounts::find(&mut service.db.reader(), &message.name).await?;
        let account = account.ok_or_else(|| Failure::not_found(&message.name))?;
        service.check_password(&account.login, Some(&account), &old, call.at()).await?;
    }
    let password = service.passwords.hash(&new).await?;
    let mut tx = service.db.begin(&call, Scope::AnyTerm).await?;
    let today = service.term(tx.gates().ok().as_deref(), tx.at())?.today;
    let scoped = scoped(&mut tx, &message.name).await?;
    if !own && !scoped.is_under(tx.actor(), today) {
        return Err(Failure::out_of_scope(&message.name));
    }
    let mut account = scoped.account;
    account.password = password;
    write(&mut tx, &mut account, ("password_set", ""), None).await?;
    tx.commit(SetPasswordResponse {}).await
}
