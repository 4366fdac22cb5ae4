//! Accounts: who appoints whom, who gets in.

use chassis::testing::{person, service};
use proto::{
    Actor,
    common::v1::{Reason, Role, RoleGrant},
    roster::v1::{
        Account, AccountFacts, AuthenticateRequest, CreateAccountRequest, GetAccountRequest, GrantRoleRequest,
        Identity, ListAccountsRequest, ResolveAccountRequest, RevokeRoleRequest, RoleHeld, SetAccountStateRequest,
        SetPasswordRequest, account::State, account_service_server::AccountService as _,
    },
};
use tonic::Status;

use crate::world::{AT, COUNTY, DAY, ELSEWHERE, PASSWORD, SCHOOL, World, day, fields, on_both, reason, reply};

fn held(role: Role, organization: &str) -> RoleHeld {
    let grant = RoleGrant { role: role.into(), organization: organization.into() };
    RoleHeld { grant: Some(grant), from: None, until: None }
}

async fn create(world: &World, actor: &Actor, login: &str, roles: Vec<RoleHeld>) -> Result<Account, Status> {
    let account = Account { login: login.into(), display_name: "示例".into(), roles, ..Account::default() };
    let message = CreateAccountRequest {
        account: Some(account),
        password: PASSWORD.into(),
        request_id: format!("{login}-{}", actor.account),
    };
    let request = world.request("AccountService/CreateAccount", actor, message);
    Ok(world.service.create_account(request).await?.into_inner().account.unwrap())
}

async fn login_at(world: &World, at: i64, login: &str, password: &str) -> Result<Identity, Status> {
    let message = AuthenticateRequest { login: login.into(), password: password.into() };
    let request = world.request_at("AccountService/Authenticate", &service("gateway"), at, message);
    Ok(world.service.authenticate(request).await?.into_inner().identity.unwrap())
}

async fn login(world: &World, login: &str, password: &str) -> Result<Identity, Status> {
    login_at(world, AT, login, password).await
}

async fn set_password(world: &World, actor: &Actor, name: &str, old: &str, new: &str) -> Result<(), Status> {
    let message = SetPasswordRequest {
        name: name.into(),
        old_password: old.into(),
        new_password: new.into(),
        request_id: format!("{}-{name}-{old}-{new}", actor.account),
    };
    let request = world.request("AccountService/SetPassword", actor, message);
    world.service.set_password(request).await.map(drop)
}

#[tokio::test]
async fn an_operator_sets_up_and_sees_no_person() {
    on_both(async |world| {
        let officer =
            create(&world, &world.operator, "officer-1", vec![held(Role::BureauOfficer, COUNTY)]).await.unwrap();
        assert_eq!((officer.login.as_str(), officer.display_name.as_str()), ("", ""), "personal data is not shown");
        let outcome = create(&world, &world.operator, "admin-1", vec![held(Role::SchoolAdmin, SCHOOL)]).await;
        assert_eq!(reason(outcome), Reason::OutOfScope);
        let admin = create(&world, &world.officer, "admin-1", vec![held(Role::SchoolAdmin, SCHOOL)]).await.unwrap();
        assert_eq!(admin.login, "admin-1");
        let provider = vec![held(Role::ProviderStaff, "organizations/provider")];
        create(&world, &world.officer, "staff-1", provider).await.unwrap();
        let outcome = create(&world, &world.officer, "admin-2", vec![held(Role::SchoolAdmin, ELSEWHERE)]).await;
        assert_eq!(reason(outcome), Reason::OutOfScope);
        let outcome = create(
            &world,
            &world.officer,
            "admin-1",
            vec![held(Role::SchoolAdmin, SCHOOL), held(Role::Principal, COUNTY)],
        )
        .await;
        assert_eq!(reason(outcome), Reason::RequestIdReused);
        let wrong = vec![held(Role::Principal, COUNTY), held(Role::Teacher, SCHOOL), held(Role::Service, SCHOOL)];
        assert_eq!(
            fields(create(&world, &world.officer, "wrong", wrong).await),
            [
                "account.roles[0].grant.organization",
                "account.roles[1].grant.organization",
                "account.roles[2].grant.role"
            ]
        );
        let outcome = create(&world, &world.officer, "x", vec![]).await;
        assert_eq!(fields(outcome), ["account.login", "account.roles"]);
        let taken = person("accounts/officer-2", "", &[(Role::BureauOfficer, COUNTY)]);
        assert_eq!(
            reason(create(&world, &taken, "admin-1", vec![held(Role::SchoolAdmin, SCHOOL)]).await),
            Reason::LoginTaken
        );
        let names = |actor: &Actor| {
            let message = ListAccountsRequest::default();
            world.request("AccountService/ListAccounts", actor, message)
        };
        assert_eq!(reply(world.service.list_accounts(names(&world.operator)).await).accounts.len(), 3);
        let of_county = reply(world.service.list_accounts(names(&world.officer)).await).accounts;
        assert_eq!(of_county.len(), 2, "the provider lies outside the county");
    })
    .await;
}

#[tokio::test]
async fn only_who_may_looks_at_an_account() {
    on_both(async |world| {
        let admin = create(&world, &world.officer, "admin-1", vec![held(Role::SchoolAdmin, SCHOOL)]).await.unwrap();
        let get = async |actor: &Actor, name: &str| {
            let request = world.request("AccountService/GetAccount", actor, GetAccountRequest { name: name.into() });
            world.service.get_account(request).await
        };
        let himself = person(&admin.name, "", &[(Role::SchoolAdmin, SCHOOL)]);
        assert_eq!(reply(get(&himself, &admin.name).await).account.unwrap().login, "admin-1");
        assert_eq!(reply(get(&world.operator, &admin.name).await).account.unwrap().login, "");
        let elsewhere = person("accounts/e", "", &[(Role::BureauOfficer, "organizations/elsewhere")]);
        assert_eq!(reason(get(&elsewhere, &admin.name).await), Reason::OutOfScope);
        assert_eq!(reason(get(&world.admin, &admin.name).await), Reason::OutOfScope);
        assert_eq!(reason(get(&world.admin, "accounts/none").await), Reason::OutOfScope, "nor that there is none");
    })
    .await;
}

#[tokio::test]
async fn a_delegation_counts_on_its_days() {
    on_both(async |world| {
        let account = create(&world, &world.officer, "deputy", vec![held(Role::SchoolAdmin, SCHOOL)]).await.unwrap();
        let role =
            RoleHeld { from: Some(day(2019, 6, 18)), until: Some(day(2019, 6, 19)), ..held(Role::Principal, SCHOOL) };
        let grant = |actor: &Actor, role: RoleHeld| {
            let message = GrantRoleRequest { name: account.name.clone(), role: Some(role), request_id: "grant".into() };
            world.request("AccountService/GrantRole", actor, message)
        };
        let elsewhere = person("accounts/e", "", &[(Role::BureauOfficer, "organizations/elsewhere")]);
        assert_eq!(reason(world.service.grant_role(grant(&elsewhere, role.clone())).await), Reason::OutOfScope);
        reply(world.service.grant_role(grant(&world.officer, role)).await);
        let himself = person(&account.name, "", &[(Role::BureauOfficer, COUNTY)]);
        let own = world.service.grant_role(grant(&himself, held(Role::Principal, SCHOOL))).await;
        assert_eq!(fields(own), ["name"], "nobody appoints himself");
        let (verb, facts) = world.last::<AccountFacts>(&account.name).await;
        assert_eq!((verb.as_str(), facts.roles.len()), ("role_granted", 2));
        let roles = async |at: i64| login_at(&world, at, "deputy", PASSWORD).await.unwrap().roles.len();
        assert_eq!(
            [roles(AT).await, roles(AT + DAY).await, roles(AT + 2 * DAY).await, roles(AT + 3 * DAY).await],
            [1, 2, 2, 1]
        );
        let grant = RoleGrant { role: Role::Principal.into(), organization: SCHOOL.into() };
        let message = RevokeRoleRequest { name: account.name.clone(), grant: Some(grant), request_id: "revoke".into() };
        let revoke = || world.request("AccountService/RevokeRole", &world.officer, message.clone());
        reply(world.service.revoke_role(revoke()).await);
        reply(world.service.revoke_role(revoke()).await);
        assert_eq!(world.last::<AccountFacts>(&account.name).await.1.roles.len(), 1);
        assert_eq!(roles(AT + DAY).await, 1);
        let again = RevokeRoleRequest { request_id: "revoke-2".into(), ..message };
        let again = world.request("AccountService/RevokeRole", &world.officer, again);
        assert_eq!(reason(world.service.revoke_role(again).await), Reason::StateConflict);
    })
    .await;
}

#[tokio::test]
async fn wrong_passwords_make_the_next_try_wait() {
    on_both(async |world| {
        let account = create(&world, &world.officer, "admin-1", vec![held(Role::SchoolAdmin, SCHOOL)]).await.unwrap();
        let identity = login(&world, "admin-1", PASSWORD).await.unwrap();
        assert_eq!((identity.account, identity.roles.len()), (account.name, 1));
        // An unknown login answers as a known one does, at every step.
        for _ in 0..5 {
            for name in ["admin-1", "nobody"] {
                assert_eq!(reason(login(&world, name, "wrong password").await), Reason::BadCredentials);
            }
        }
        let waits = |outcome: Result<Identity, Status>| {
            use tonic_types::StatusExt as _;
            outcome.err().and_then(|status| status.get_details_retry_info()).is_some()
        };
        assert!(waits(login(&world, "admin-1", PASSWORD).await), "even with the right password");
        assert!(waits(login(&world, "nobody", PASSWORD).await));
        assert!(login_at(&world, AT + 5_000_000, "admin-1", PASSWORD).await.is_ok(), "after the pause");
        assert_eq!(reason(login_at(&world, AT + 5_000_000, "admin-1", "wrong password").await), Reason::BadCredentials);
        assert!(login_at(&world, AT + 5_000_000, "admin-1", PASSWORD).await.is_ok(), "a success forgets the failures");
    })
    .await;
}

#[tokio::test]
async fn passwords_are_changed_by_their_owner_or_by_who_is_above() {
    on_both(async |world| {
        let admin = create(&world, &world.officer, "admin-1", vec![held(Role::SchoolAdmin, SCHOOL)]).await.unwrap();
        let himself = person(&admin.name, "", &[(Role::SchoolAdmin, SCHOOL)]);
        assert_eq!(
            fields(set_password(&world, &himself, &admin.name, "", "short").await),
            ["new_password", "old_password"]
        );
        let outcome = set_password(&world, &himself, &admin.name, "not my password", "a new password").await;
        assert_eq!(reason(outcome), Reason::BadCredentials);
        set_password(&world, &himself, &admin.name, PASSWORD, "a new password").await.unwrap();
        set_password(&world, &himself, &admin.name, PASSWORD, "a new password").await.unwrap();
        assert!(login(&world, "admin-1", "a new password").await.is_ok());
        assert_eq!(reason(login(&world, "admin-1", PASSWORD).await), Reason::BadCredentials);

        assert_eq!(
            reason(set_password(&world, &world.operator, &admin.name, "", "another password").await),
            Reason::OutOfScope
        );
        assert_eq!(
            reason(set_password(&world, &world.admin, &admin.name, "", "another password").await),
            Reason::OutOfScope
        );
        set_password(&world, &world.officer, &admin.name, "", "another password").await.unwrap();
        assert!(login(&world, "admin-1", "another password").await.is_ok());
        // A county does not get hold of who is more than it.
        let city = create(&world, &world.operator, "city-1", vec![held(Role::BureauOfficer, "organizations/city")])
            .await
            .unwrap();
        assert_eq!(
            reason(set_password(&world, &world.officer, &city.name, "", "another password").await),
            Reason::OutOfScope
        );
    })
    .await;
}

#[tokio::test]
async fn a_suspended_account_gets_in_nowhere() {
    on_both(async |world| {
        let admin = create(&world, &world.officer, "admin-1", vec![held(Role::SchoolAdmin, SCHOOL)]).await.unwrap();
        let set = async |state: State, request_id: &str| {
            let message = SetAccountStateRequest {
                name: admin.name.clone(),
                state: state.into(),
                reason: "left".into(),
                request_id: request_id.into(),
            };
            let request = world.request("AccountService/SetAccountState", &world.officer, message);
            world.service.set_account_state(request).await
        };
        let resolve = async || {
            let message = ResolveAccountRequest { account: admin.name.clone() };
            world
                .service
                .resolve_account(world.request("AccountService/ResolveAccount", &service("gateway"), message))
                .await
        };
        assert_eq!(reply(resolve().await).identity.unwrap().roles.len(), 1);
        reply(set(State::Suspended, "a").await);
        assert_eq!(reason(login(&world, "admin-1", PASSWORD).await), Reason::AccountSuspended);
        assert_eq!(reason(login(&world, "admin-1", "wrong password").await), Reason::BadCredentials);
        assert_eq!(reason(resolve().await), Reason::AccountSuspended);
        assert_eq!(fields(set(State::Unspecified, "b").await), ["state"]);
        reply(set(State::Active, "c").await);
        assert!(login(&world, "admin-1", PASSWORD).await.is_ok());
        assert_eq!(world.last::<AccountFacts>(&admin.name).await.0, "activated");
    })
    .await;
}
