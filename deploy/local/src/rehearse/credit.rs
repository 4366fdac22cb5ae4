//! The books of credit: what comes from before, what schools add, and what the bureau puts right.

use proto::common::v1::{Credit, Reason, Role};
use proto::credit::v1::ledger_service_client::LedgerServiceClient;
use proto::credit::v1::{
    Entry, ListEntriesRequest, OpenBalanceRequest, RecordSchoolBasedRequest, ReverseEntryRequest, entry,
};

use super::caller::{Caller, call};
use super::programme::{ENTRY_REVERSED, OPEN_OWN_BALANCE, REVERSE_TWICE};
use super::stage::Stage;

/// The bureau enters opening balances with their evidence.
pub async fn open_balances(stage: &Stage<'_>) -> Option<()> {
    let officer = stage.staff(Role::BureauOfficer).await?;
    let officer = &officer;
    let balances = stage.county.teachers.iter().filter_map(|person| Some((person, person.opening?)));
    stage
        .all(balances.map(|(person, opening)| async move {
            let number = person.teacher.name.rsplit('/').next().unwrap_or_default();
            let request = OpenBalanceRequest {
                teacher: person.teacher.name.clone(),
                base: Some(Credit { hundredths: opening.base }),
                awarded: Some(Credit { hundredths: opening.awarded }),
                effective_on: Some(opening.effective_on.into()),
                intensive: opening.intensive,
                evidence: format!("示例档案-{number}"),
                request_id: format!("open-{number}"),
                practice: None,
            };
            stage.books.must("enter an opening balance", call!(officer, LedgerServiceClient.open_balance(request)))
        }))
        .await;

    let person = stage.county.teachers.last()?;
    let teacher = stage.person(&person.login).await?;
    let request = OpenBalanceRequest {
        teacher: person.teacher.name.clone(),
        base: Some(Credit { hundredths: 36_000 }),
        awarded: Some(Credit { hundredths: 36_000 }),
        effective_on: Some(stage.folder.first_day.into()),
        evidence: "自述".to_owned(),
        request_id: "open-own".to_owned(),
        ..OpenBalanceRequest::default()
    };
    let outcome = call!(teacher, LedgerServiceClient.open_balance(request));
    stage.books.mistake(OPEN_OWN_BALANCE, outcome);
    Some(())
}

/// Schools record school-based training (校本研修).
pub async fn school_based(stage: &Stage<'_>) {
    let today = proto::jiff_instant(stage.now()).to_zoned_datetime(stage.folder.zone.clone()).date();
    let reviewed = |school: &str| Some(school) != stage.cast.orphaned;
    let recorded = stage.county.teachers.iter().filter(|person| person.school_based > 0);
    let recorded = recorded.filter(|person| reviewed(&person.teacher.school));
    stage
        .all(recorded.map(|person| async move {
            let me = stage.reviewer(&person.teacher.school, Role::SchoolAdmin).await?;
            let number = person.teacher.name.rsplit('/').next().unwrap_or_default();
            let request = RecordSchoolBasedRequest {
                teacher: person.teacher.name.clone(),
                awarded: Some(Credit { hundredths: person.school_based }),
                effective_on: Some(today.into()),
                source: format!("示例校本研修-{number}"),
                request_id: format!("school-based-{number}"),
                practice: None,
            };
            // Who has gone to another school, or left, is not this school's any more.
            let gone = [Reason::OutOfScope, Reason::TeacherNotActive, Reason::StateConflict];
            let outcome = call!(me, LedgerServiceClient.record_school_based(request));
            stage.books.may("record school-based training", &gone, outcome)
        }))
        .await;
}

/// The bureau undoes an entry that a project brought, and learns that it can be undone once.
pub async fn reverse(stage: &Stage<'_>) -> Option<()> {
    let officer = stage.staff(Role::BureauOfficer).await?;
    for person in &stage.county.teachers {
        if person.habits.wishes.is_empty() {
            continue;
        }
        let entries = entries(stage, &officer, &person.teacher.name).await?;
        let Some(entry) = entries.into_iter().find(|entry| entry.kind() == entry::Kind::Project) else { continue };
        let undo = |request_id: &str| ReverseEntryRequest {
            name: entry.name.clone(),
            reason: "重复认定".to_owned(),
            request_id: request_id.to_owned(),
        };
        stage.books.must("reverse an entry", call!(officer, LedgerServiceClient.reverse_entry(undo("reverse"))))?;
        stage.books.happened(ENTRY_REVERSED);
        let again = call!(officer, LedgerServiceClient.reverse_entry(undo("reverse-again")));
        stage.books.mistake(REVERSE_TWICE, again);
        return Some(());
    }
    None
}

async fn entries(stage: &Stage<'_>, me: &Caller, teacher: &str) -> Option<Vec<Entry>> {
    let request = ListEntriesRequest { teacher: teacher.to_owned(), page_size: 100, page_token: String::new() };
    Some(stage.books.must("read a ledger", call!(me, LedgerServiceClient.list_entries(request)))?.entries)
}
