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
        erased: false,
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

#[cfg(test)]
mod tests {
    use chassis::{
        Steps as _,
        db::{Queries as _, args},
        testing,
    };
    use proto::common::v1::{Action, RunStepRequest};

    use super::*;
    use crate::{Passwords, api::RosterSteps, config::PasswordConfig, vault::tests::vault};

    const AT: i64 = 1_560_733_200_000_000;

    fn bootstrap(login: &str) -> Bootstrap {
        Bootstrap { login: login.into(), password: "shixun-2019".into() }
    }

    #[tokio::test]
    async fn an_empty_database_gets_one_operator_and_a_position() {
        for database in testing::databases("roster", crate::migrations, AT).await.unwrap() {
            let env = database.db.env().clone();
            let least = PasswordConfig { memory_kib: 8, passes: 1, lanes: 1 };
            let service = Service {
                db: database.db.clone(),
                vault: std::sync::Arc::new(vault()),
                passwords: Passwords::new(least, env).unwrap(),
                zone: jiff::tz::TimeZone::UTC,
            };
            assert!(run(&service, &bootstrap("no login")).await.is_err());
            run(&service, &bootstrap("operator")).await.unwrap();
            run(&service, &bootstrap("second")).await.unwrap();
            let account = accounts::by_login(&mut service.db.reader(), "operator").await.unwrap().unwrap();
            assert_eq!(account.roles.iter().map(|held| held.role).collect::<Vec<_>>(), [Role::Operator]);
            assert!(accounts::by_login(&mut service.db.reader(), "second").await.unwrap().is_none());

            let step = RunStepRequest {
                term: "terms/t".into(),
                action: Action::RecordRosterPosition.into(),
                window: "roster-update".into(),
                gate_version: 3,
                ..RunStepRequest::default()
            };
            for changed in [1, 0] {
                let mut tx = service.db.begin_own(AT, "step").await.unwrap();
                let outcome = RosterSteps(service.clone()).run(&mut tx, &step).await.unwrap();
                assert_eq!((outcome.changed, outcome.more), (changed, false));
                tx.finish().await.unwrap();
            }
            let sql = "SELECT position, gate_version FROM roster_position WHERE term = $1";
            let row = service.db.reader().one(sql, args!["terms/t"]).await.unwrap().unwrap();
            assert_eq!((row.get::<i64>("position").unwrap(), row.get::<i64>("gate_version").unwrap()), (1, 3));
            let mut tx = service.db.begin_own(AT, "step").await.unwrap();
            let other = RunStepRequest { action: Action::Remind.into(), ..step };
            assert!(RosterSteps(service.clone()).run(&mut tx, &other).await.is_err(), "another service's step");
        }
    }
}
