//! Failures on the wire: one reason, both languages, every fault at once.

use std::time::Duration;

use chassis::{Failure, Faults, Metadata, failure::localized};
use proptest::prelude::*;
use proto::common::v1::{Reason, Role};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tonic::{Code, Status};
use tonic_types::{ErrorDetail, StatusExt as _};

use crate::fixture::databases;

fn reasons() -> impl Iterator<Item = Reason> {
    (1..1000).filter_map(|number| Reason::try_from(number).ok())
}

#[test]
fn every_reason_has_exactly_one_error_info_and_both_languages() {
    for reason in reasons() {
        let status = Status::from(Failure::new(reason).with("resource", "teachers/1"));
        let details = status.get_error_details_vec();
        let infos: Vec<_> = details
            .iter()
            .filter_map(|detail| if let ErrorDetail::ErrorInfo(info) = detail { Some(info) } else { None })
            .collect();
        assert_eq!(infos.len(), 1, "{reason:?}");
        assert_eq!((infos[0].reason.as_str(), infos[0].domain.as_str()), (reason.as_str_name(), "shixun"));
        assert_eq!(infos[0].metadata.get("resource").map(String::as_str), Some("teachers/1"));
        let locales: Vec<_> = details
            .iter()
            .filter_map(|detail| match detail {
                ErrorDetail::LocalizedMessage(text) if !text.message.is_empty() => Some(text.locale.as_str()),
                _ => None,
            })
            .collect();
        assert_eq!(locales, ["zh-CN", "en"], "{reason:?}");
        assert!(status.code() != Code::Unknown && status.code() != Code::Ok, "{reason:?}");
    }
}

#[test]
fn every_fault_is_told_at_once() {
    let mut faults = Faults::new();
    faults.required("teacher.name", "");
    faults.required("teacher.title", "given");
    faults.add("teacher.stage", "学段不存在", "is no stage");
    let status = Status::from(faults.check().expect_err("two faults"));
    let details = status.get_error_details();
    let violations: Vec<_> = details
        .bad_request()
        .map(|bad| bad.field_violations.iter().map(|one| (one.field.as_str(), one.description.as_str())).collect())
        .unwrap_or_default();
    assert_eq!(violations, [("teacher.name", "必填 / required"), ("teacher.stage", "学段不存在 / is no stage")]);
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("teacher.name, teacher.stage"), "{}", status.message());
    assert!(Faults::new().check().is_ok());
}

#[test]
fn every_rule_that_is_not_met_is_told_at_once() {
    let limit = Metadata::from([("limit".to_owned(), "3".to_owned())]);
    let failure = Failure::new(Reason::NotEligible)
        .precondition(Reason::SelectionLimit, "teachers/1", limit)
        .precondition(Reason::OnLeave, "teachers/1", Metadata::new())
        .retry_after(Duration::from_secs(2));
    let status = Status::from(failure);
    // A person reads the rules, a program their names.
    let text =
        "This project cannot be selected: At most 3 selections a round; The teacher is on leave during the sessions.";
    assert_eq!(status.message(), text);
    let details = status.get_error_details();
    let reasons = details.error_info().and_then(|info| info.metadata.get("reasons")).map(String::as_str);
    assert_eq!(reasons, Some("REASON_SELECTION_LIMIT, REASON_ON_LEAVE"));
    let failed: Vec<_> = details
        .precondition_failure()
        .map(|failed| failed.violations.iter().map(|one| (one.r#type.as_str(), one.description.as_str())).collect())
        .unwrap_or_default();
    let expected = [
        ("REASON_SELECTION_LIMIT", "本轮最多选 3 个项目。 / At most 3 selections a round."),
        ("REASON_ON_LEAVE", "培训期间处于休假。 / The teacher is on leave during the sessions."),
    ];
    assert_eq!(failed, expected);
    assert_eq!(details.retry_info().and_then(|info| info.retry_delay), Some(Duration::from_secs(2)));
}

/// Whether a text shows a name of the contract, such as PHASE_SELECTION.
fn shows_a_name(text: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split(|c| !is_part(c)).any(|word| word.contains('_') && !word.contains(|c: char| c.is_ascii_lowercase()))
}

#[test]
fn names_of_the_contract_are_told_in_words_by_every_text() {
    let named = |name: &str| ["Phase", "Role", "State", "Status", "Kind"].contains(&name);
    let enums: Vec<_> = chassis::contract::pool()
        .all_enums()
        .filter(|one| one.package_name().starts_with("shixun.") && named(one.name()))
        // Never a variable: what an organisation is, an entry of the ledger, an act, and how final compliance is.
        .filter(|one| {
            let others = ["Organization.Kind", "Entry.Kind", ".Act.Kind", "Compliance.State"];
            !others.iter().any(|other| one.full_name().ends_with(other))
        })
        .collect();
    assert!(enums.len() >= 9, "{enums:?}");
    let mut texts = 0;
    for value in enums.iter().flat_map(|one| one.values().collect::<Vec<_>>()).filter(|value| value.number() != 0) {
        let list = format!("{}, {}", value.name(), value.name());
        let metadata: Metadata =
            ["allowed", "event", "phase", "state", "status"].map(|key| (key.to_owned(), list.clone())).into();
        for reason in reasons() {
            let (zh, en) = localized(reason, &metadata);
            assert!(!shows_a_name(&zh) && !shows_a_name(&en), "{} by {reason:?}: {zh} / {en}", value.full_name());
            texts += usize::from(zh.is_ascii());
            let failure = metadata.iter().fold(Failure::new(reason), |failure, (key, value)| failure.with(key, value));
            let several = Failure::new(Reason::NotEligible).precondition(reason, "teachers/1", metadata.clone());
            for status in [Status::from(failure), Status::from(several)] {
                let details = status.get_error_details_vec();
                let localized = details.iter().filter_map(|detail| match detail {
                    ErrorDetail::LocalizedMessage(text) => Some(text.message.as_str()),
                    _ => None,
                });
                for text in localized.chain([status.message()]) {
                    assert!(!shows_a_name(text), "{} by {reason:?}: {text}", value.full_name());
                }
            }
        }
    }
    assert_eq!(texts, 0, "a Chinese text without Chinese");
}

#[test]
fn who_may_act_is_told_whole_however_many_they_are() {
    let roles: Vec<_> = (1..10).filter_map(|role| Role::try_from(role).ok()).map(|role| role.as_str_name()).collect();
    let status =
        Status::from(Failure::new(Reason::RoleNotAllowed).with("method", "X").with("allowed", roles.join(", ")));
    let text = "Your role may not do this (X); it needs: teacher, school administrator, principal, provider staff, bureau \
                officer, expert, district officer, operator, a service of the system.";
    assert_eq!(status.message(), text);
}

#[tokio::test]
async fn what_a_database_cannot_do_now_passes_and_what_it_never_can_is_a_fault() -> anyhow::Result<()> {
    let database = databases().await?.pop().expect("PostgreSQL");
    let refused = async |code: &str| -> anyhow::Result<Option<Reason>> {
        let sql = AssertSqlSafe(format!("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{code}'; END $$"));
        let mut connection = PgConnection::connect(&database.url).await?;
        Ok(Failure::from(connection.execute(sql).await.expect_err("an error")).reason())
    };
    // The server ends, or the session; there is no connection, no memory; the answer is too late.
    for passing in ["57P01", "57P02", "57P03", "08006", "53300", "53200", "53400", "57014", "25006"] {
        assert_eq!(refused(passing).await?, Some(Reason::Unavailable), "{passing}");
    }
    assert_eq!(refused("53100").await?, Some(Reason::StorageFull));
    for fault in ["25P02", "42P01", "23505", "XX000"] {
        assert_eq!(refused(fault).await?, None, "{fault}");
    }
    Ok(())
}

#[test]
fn the_cause_of_an_internal_error_stays_inside() {
    let status = Status::from(Failure::internal("secret 110101199003071234"));
    assert_eq!(status.code(), Code::Internal);
    assert!(!format!("{status:?}").contains("secret"));
}

proptest! {
    /// A value is put as it is: braces in it are no variables.
    #[test]
    fn values_are_filled_in_once(resource in ".*", state in "[^a-zA-Z]*", event in "[^a-zA-Z]*") {
        let metadata: Metadata = [("resource", &resource), ("state", &state), ("event", &event)]
            .map(|(key, value)| (key.to_owned(), value.clone()))
            .into();
        let (_, en) = localized(Reason::StateConflict, &metadata);
        prop_assert_eq!(en, format!("{resource} is {state}; {event} is not possible."));
    }
}
