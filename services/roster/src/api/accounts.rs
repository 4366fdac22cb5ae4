//! `AccountService`; authentication and passwords have a file of their own.

use chassis::{
    Call, Failure, Faults, Page,
    db::{Record, Scope, Tx},
};
use proto::{
    Held,
    common::v1::{Reason, Role},
    roster::v1::{
        AuthenticateRequest, AuthenticateResponse, CreateAccountRequest, CreateAccountResponse, GetAccountRequest,
        GetAccountResponse, GrantRoleRequest, GrantRoleResponse, ListAccountsRequest, ListAccountsResponse,
        ResolveAccountRequest, ResolveAccountResponse, RevokeRoleRequest, RevokeRoleResponse, SetAccountStateRequest,
        SetAccountStateResponse, SetPasswordRequest, SetPasswordResponse, account::State,
        account_service_server::AccountService,
    },
};
use tonic::{Request, Response, Status};

use super::{
    Service,
    appointments::{Scoped, appointment, place, scoped},
    facts, sessions,
    teachers::{self as teacher_api, Found},
    told, wire,
};
use crate::{
    domain::{
        account::{RoleHeld, appoints, is_login, is_password},
        fault::{Defect, Fault},
        organization::is_resource_name,
        scope,
        teacher::is_name,
    },
    store::{
        accounts::{self, Account, Filter},
        organizations,
    },
};

#[tonic::async_trait]
impl AccountService for Service {
    async fn create_account(
        &self,
        request: Request<CreateAccountRequest>,
    ) -> Result<Response<CreateAccountResponse>, Status> {
        chassis::answer(request, |call| create(self, call)).await
    }

    async fn get_account(&self, request: Request<GetAccountRequest>) -> Result<Response<GetAccountResponse>, Status> {
        chassis::answer(request, |call| get(self, call)).await
    }

    async fn list_accounts(
        &self,
        request: Request<ListAccountsRequest>,
    ) -> Result<Response<ListAccountsResponse>, Status> {
        chassis::answer(request, |call| list(self, call)).await
    }

    async fn grant_role(&self, request: Request<GrantRoleRequest>) -> Result<Response<GrantRoleResponse>, Status> {
        chassis::answer(request, |call| grant(self, call)).await
    }

    async fn revoke_role(&self, request: Request<RevokeRoleRequest>) -> Result<Response<RevokeRoleResponse>, Status> {
        chassis::answer(request, |call| revoke(self, call)).await
    }

    async fn set_password(
        &self,
        request: Request<SetPasswordRequest>,
    ) -> Result<Response<SetPasswordResponse>, Status> {
        chassis::answer(request, |call| sessions::set_password(self, call)).await
    }

    async fn set_account_state(
        &self,
        request: Request<SetAccountStateRequest>,
    ) -> Result<Response<SetAccountStateResponse>, Status> {
        chassis::answer(request, |call| set_state(self, call)).await
    }

    async fn authenticate(
        &self,
        request: Request<AuthenticateRequest>,
    ) -> Result<Response<AuthenticateResponse>, Status> {
        chassis::answer(request, |call| sessions::authenticate(self, call)).await
    }

    async fn resolve_account(
        &self,
        request: Request<ResolveAccountRequest>,
    ) -> Result<Response<ResolveAccountResponse>, Status> {
        chassis::answer(request, |call| sessions::resolve(self, call)).await
    }
}

/// Writes an account over its version before, and tells of it.
pub(super) async fn write(
    tx: &mut Tx,
    account: &mut Account,
    (verb, reason): (&str, &str),
    held: Option<&Held>,
) -> Result<(), Failure> {
    if account.erased {
        return Err(Failure::new(Reason::PersonErased).with("resource", &account.name));
    }
    account.version = account.version.saturating_add(1);
    account.roles.sort();
    if !accounts::update(tx, account).await? {
        return Err(wire::changed(&account.name));
    }
    let actor = tx.actor().clone();
    tx.record(Record::of(&account.name, verb, &facts::account(account)).reason(reason).by(&actor, held));
    Ok(())
}

pub async fn create(service: &Service, mut call: Call<CreateAccountRequest>) -> Result<CreateAccountResponse, Failure> {
    let given = call.message.account.clone().unwrap_or_default();
    let password = std::mem::take(&mut call.message.password);
    call.message.password = service.vault.mark(&password);
    let mut faults = Vec::new();
    if !is_login(&given.login) {
        faults.push(Fault::of("account.login", Defect::Malformed));
    }
    if !is_name(&given.display_name) {
        faults.push(Fault::of("account.display_name", Defect::Malformed));
    }
    if !is_password(&password) {
        faults.push(Fault::of("password", Defect::Malformed));
    }
    if !given.name.is_empty() && !is_resource_name("accounts", &given.name) {
        faults.push(Fault::of("account.name", Defect::Malformed));
    }
    if given.roles.is_empty() && given.teacher.is_empty() {
        faults.push(Fault::of("account.roles", Defect::Required));
    }
    told("", faults.clone()).check()?;
    // Before the transaction: it takes its time.
    let password = service.passwords.hash(&password).await?;

    let mut tx = service.db.begin(&call, Scope::AnyTerm).await?;
    let today = service.term(tx.gates().ok().as_deref(), tx.at())?.today;
    let actor = tx.actor().clone();
    let mut teacher = match given.teacher.as_str() {
        "" => None,
        name => Some(teacher_api::find(&mut tx, name).await?),
    };
    if let Some(Found { teacher, school }) = &teacher {
        scope::governs(&actor, &school.path).ok_or_else(|| Failure::out_of_scope(&teacher.name))?;
        if !teacher.account.is_empty() {
            return Err(Failure::new(Reason::AlreadyExists).with("resource", &teacher.account));
        }
    }
    let school = teacher.as_ref().map(|found| found.school.name.clone());
    let mut roles = Vec::new();
    let mut by = None;
    for (index, role) in given.roles.iter().enumerate() {
        match appointment(&mut tx, role, school.as_deref()).await? {
            Ok((role, held)) => {
                roles.push(role);
                by = by.or(Some(held));
            }
            Err(wrong) => faults.extend(
                wrong
                    .into_iter()
                    .map(|fault| Fault::of(format!("account.roles[{index}].{}", fault.field), fault.defect)),
            ),
        }
    }
    // A teacher's account acts as that teacher.
    if let Some(school) = school.filter(|_| roles.iter().all(|held| held.role != Role::Teacher)) {
        roles.push(RoleHeld { role: Role::Teacher, organization: school, from: None, until: None });
    }
    roles.sort();
    if roles.windows(2).any(|pair| matches!(pair, [a, b] if a.role == b.role && a.organization == b.organization)) {
        faults.push(Fault::of("account.roles", Defect::Repeated));
    }
    told("", faults).check()?;

    let account = Account {
        name: if given.name.is_empty() { tx.id("accounts") } else { given.name },
        login: given.login,
        display_name: given.display_name,
        teacher: given.teacher,
        state: State::Active,
        password,
        version: 1,
        erased: false,
        roles,
    };
    if accounts::by_login(&mut tx, &account.login).await?.is_some() {
        return Err(Failure::new(Reason::LoginTaken));
    }
    if accounts::insert(&mut tx, std::slice::from_ref(&account)).await? != 1 {
        return Err(Failure::new(Reason::AlreadyExists).with("resource", &account.name));
    }
    tx.record(Record::of(&account.name, "created", &facts::account(&account)).by(&actor, by.as_ref()));
    if let Some(Found { teacher, school }) = &mut teacher {
        teacher.account.clone_from(&account.name);
        teacher_api::write(&mut tx, teacher, &school.path, ("updated", "account"), by.as_ref(), today).await?;
    }
    tx.commit(CreateAccountResponse { account: Some(wire::account(&account, &actor)) }).await
}

pub async fn get(service: &Service, call: Call<GetAccountRequest>) -> Result<GetAccountResponse, Failure> {
    let mut db = service.db.read(&call, Scope::AnyTerm).await?;
    let name = &call.message.name;
    // Others learn of an account neither what it is nor that it is.
    let hidden = || Failure::out_of_scope(name);
    if name != &db.actor().account && !db.actor().is(Role::BureauOfficer) && !db.actor().is(Role::Operator) {
        return Err(hidden());
    }
    let scoped = scoped(&mut db, name).await?;
    if !scoped.is_seen_by(db.actor()) {
        return Err(hidden());
    }
    Ok(GetAccountResponse { account: Some(wire::account(&scoped.account, db.actor())) })
}

pub async fn list(service: &Service, call: Call<ListAccountsRequest>) -> Result<ListAccountsResponse, Failure> {
    let message = &call.message;
    let query = ListAccountsRequest { page_size: 0, page_token: String::new(), ..message.clone() };
    let page = Page::read(message.page_size, &message.page_token, &query)?;
    let Ok(role) = Role::try_from(message.role) else {
        told("", [Fault::of("role", Defect::UnknownCode)]).check()?;
        return Ok(ListAccountsResponse::default());
    };
    let mut db = service.db.read(&call, Scope::AnyTerm).await?;
    let actor = db.actor().clone();
    let operator = actor.is(Role::Operator);
    let under = match message.organization.as_str() {
        "" if operator => None,
        "" => {
            let own = actor.roles.iter().filter(|held| held.role == Role::BureauOfficer);
            let own: Vec<_> = own.map(|held| held.organization.as_str()).collect();
            Some(organizations::find_all(&mut db, own).await?)
        }
        name => {
            let root = organizations::find(&mut db, name).await?.ok_or_else(|| Failure::not_found(name))?;
            let appointed = appoints(&actor, Role::ProviderStaff, &root.path, &root.kinds);
            if !operator && appointed.is_none() {
                return Err(Failure::out_of_scope(name));
            }
            Some(vec![root])
        }
    };
    let filter = Filter { under: under.map(|roots| roots.into_iter().map(|root| root.path).collect()), role };
    let found = accounts::list(&mut db, &filter, page.after(), page.ask()).await?;
    let found = found.iter().map(|account| wire::account(account, &actor)).collect();
    let (accounts, next_page_token) = page.cut(found, |last| last.name.clone());
    Ok(ListAccountsResponse { accounts, next_page_token })
}

pub async fn grant(service: &Service, call: Call<GrantRoleRequest>) -> Result<GrantRoleResponse, Failure> {
    let mut tx = service.db.begin(&call, Scope::AnyTerm).await?;
    let given = call.message.role.clone().unwrap_or_default();
    let mut account = scoped(&mut tx, &call.message.name).await?.account;
    if account.name == tx.actor().account {
        let mut faults = Faults::new();
        faults.add("name", "不能给自己授予角色，请由他人办理", "nobody grants himself a role: ask another who may");
        faults.check()?;
    }
    let school = match account.teacher.as_str() {
        "" => None,
        teacher => Some(teacher_api::find(&mut tx, teacher).await?.school.name),
    };
    let (role, held) = match appointment(&mut tx, &given, school.as_deref()).await? {
        Ok(appointed) => appointed,
        Err(faults) => {
            told("role.", faults).check()?;
            return Err(Failure::internal("a fault was not told"));
        }
    };
    account.roles.retain(|held| held.role != role.role || held.organization != role.organization);
    account.roles.push(role.clone());
    accounts::put_roles(&mut tx, &[(account.name.as_str(), &role)]).await?;
    write(&mut tx, &mut account, ("role_granted", ""), Some(&held)).await?;
    let actor = tx.actor().clone();
    tx.commit(GrantRoleResponse { account: Some(wire::account(&account, &actor)) }).await
}

pub async fn revoke(service: &Service, call: Call<RevokeRoleRequest>) -> Result<RevokeRoleResponse, Failure> {
    let mut tx = service.db.begin(&call, Scope::AnyTerm).await?;
    let grant = call.message.grant.clone().unwrap_or_default();
    let role = Role::try_from(grant.role).unwrap_or_default();
    let Scoped { mut account, organizations, .. } = scoped(&mut tx, &call.message.name).await?;
    let actor = tx.actor().clone();
    let (path, kinds) = place(organizations.get(&grant.organization));
    let held = appoints(&actor, role, path, kinds).ok_or_else(|| Failure::out_of_scope(&account.name))?;
    let before = account.roles.len();
    account.roles.retain(|held| held.role != role || held.organization != grant.organization);
    if account.roles.len() == before {
        return Err(Failure::state(&account.name, "not_held", role.as_str_name()));
    }
    let at = tx.at();
    accounts::revoke(&mut tx, &account.name, role, &grant.organization, at).await?;
    write(&mut tx, &mut account, ("role_revoked", ""), Some(held)).await?;
    tx.commit(RevokeRoleResponse { account: Some(wire::account(&account, &actor)) }).await
}

pub async fn set_state(
    service: &Service,
    call: Call<SetAccountStateRequest>,
) -> Result<SetAccountStateResponse, Failure> {
    let message = &call.message;
    let mut faults = Faults::new();
    wire::coded_reason("reason", &message.reason, &mut faults);
    let state = wire::state(message.state);
    if state.is_none() {
        faults.add("state", Defect::UnknownCode.zh(), Defect::UnknownCode.en());
    }
    faults.check()?;
    let mut tx = service.db.begin(&call, Scope::AnyTerm).await?;
    let today = service.term(tx.gates().ok().as_deref(), tx.at())?.today;
    let scoped = scoped(&mut tx, &message.name).await?;
    let actor = tx.actor().clone();
    // Nobody locks himself out.
    if actor.account == scoped.account.name || !scoped.is_under(&actor, today) {
        return Err(Failure::out_of_scope(&message.name));
    }
    let mut account = scoped.account;
    account.state = state.unwrap_or(account.state);
    let verb = if account.state == State::Suspended { "suspended" } else { "activated" };
    write(&mut tx, &mut account, (verb, &message.reason), None).await?;
    tx.commit(SetAccountStateResponse { account: Some(wire::account(&account, &actor)) }).await
}
