//! The first operator of an empty database: who creates the organisations and appoints the first bureau officers.

use anyhow::Context as _;
use chassis::db::Record;
use proto::{common::v1::Role, roster::v1::account::State};

use crate::{
    api::{Service, facts},
    config::Bootstrap,
    domain::account::{RoleHeld, is_login, is_password},
    store::accounts::{self, Account},
};

/// Creates the operator, unless there is any account.
///
/// # Errors
/// If login or password are not fit to be used, or the database fails.
pub async fn run(service: &Service, bootstrap: &Bootstrap) -> anyhow::Result<()> {
    if accounts::any(&mut service.db.reader()).await? {
        return Ok(());
    }
    anyhow::ensure!(is_login(&bootstrap.login), "bootstrap.login: 3 to 64 letters, digits, or any of . _ - @");
    anyhow::ensure!(is_password(&bootstrap.password), "bootstrap.password: 8 to 128 characters");
    let password = service.passwords.hash(&bootstrap.password).await?;
    let role = RoleHeld { role: Role::Operator, organization: String::new(), from: None, until: None };
    let account = Account {
        name: "accounts/operator".to_owned(),
        login: bootstrap.login.clone(),
        display_name: "操作员".to_owned(),
        teacher: String::new(),
        state: State::Active,
        password,
        version: 1,
        roles: vec![role],
    };
    let mut tx = service.db.begin_own(service.db.env().clock.now(), "bootstrap").await?;
    // Another replica may have been first.
    if accounts::insert(&mut tx, std::slice::from_ref(&account)).await? == 1 {
        tx.record(Record::of(&account.name, "created", &facts::account(&account)).reason("bootstrap"));
        tx.finish().await.context("creating the operator")?;
    }
    Ok(())
}
