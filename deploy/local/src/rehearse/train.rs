//! TRAINING and RESULTS: attendance, results, their confirmation, and what is put right later.

use jiff::civil::Date;
use proto::catalog::v1::{Class, project};
use proto::common::v1::{Reason, Role};
use proto::enrollment::v1::selection_service_client::SelectionServiceClient;
use proto::enrollment::v1::training_service_client::TrainingServiceClient;
use proto::enrollment::v1::{
    Attendance, ConfirmResultsRequest, CorrectResultRequest, ListSelectionsRequest, Participant,
    RecordAttendanceRequest, RecordResultsRequest, Result as Graded, selection,
};

use super::caller::{Caller, call};
use super::notice::{classes, participants};
use super::stage::Stage;

/// Participants in one call.
const BATCH: usize = 200;

/// Which classes a wave finishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Those that have ended, but for the late ones.
    Ended,
    /// The late ones, but for the last, whose results never come.
    Late,
}

/// Whether a provider is late with the results of a class.
fn is_late(stage: &Stage<'_>, class: &str) -> bool {
    stage.chance(&format!("late:{class}"), 4)
}

/// Attendance and results of classes that have ended, and their confirmation.
pub async fn finish(stage: &Stage<'_>, which: Which) {
    let today = proto::jiff_instant(stage.now()).to_zoned_datetime(stage.folder.zone.clone()).date();
    let ended = |class: &Class| class.ends_on.and_then(|day| Date::try_from(day).ok()).is_some_and(|day| day < today);
    let mut classes = classes(stage, project::State::Running).await;
    {
        let memory = stage.memory();
        let late = |class: &Class| is_late(stage, &class.name) == (which == Which::Late);
        classes.retain(|(_, class)| ended(class) && late(class) && !memory.finished.contains(&class.name));
    }
    if which == Which::Late {
        classes.pop();
    }
    stage.all(classes.into_iter().map(|(me, class)| finish_one(stage, me, class))).await;
}

async fn finish_one(stage: &Stage<'_>, me: Caller, class: Class) -> Option<()> {
    let participants = participants(stage, &me, &class.name).await?;
    if participants.is_empty() {
        return None;
    }
    let books = &stage.books;
    let sessions = i32::try_from(class.sessions.len()).unwrap_or(i32::MAX);
    let graded: Vec<(Attendance, Option<Graded>)> =
        participants.iter().filter_map(|participant| grade(stage, participant, sessions)).collect();
    for (n, batch) in graded.chunks(BATCH).enumerate() {
        let request = RecordAttendanceRequest {
            class: class.name.clone(),
            attendance: batch.iter().map(|(attendance, _)| attendance.clone()).collect(),
            request_id: format!("attendance-{n}-{}", class.name),
        };
        books.must("record attendance", call!(me, TrainingServiceClient.record_attendance(request)))?;
        let results: Vec<Graded> = batch.iter().filter_map(|(_, result)| result.clone()).collect();
        if results.is_empty() {
            continue;
        }
        let request = RecordResultsRequest {
            class: class.name.clone(),
            results,
            request_id: format!("results-{n}-{}", class.name),
        };
        books.must("record results", call!(me, TrainingServiceClient.record_results(request)))?;
    }
    let request = ConfirmResultsRequest { class: class.name.clone(), request_id: format!("confirm-{}", class.name) };
    books.must("confirm the results of a class", call!(me, TrainingServiceClient.confirm_results(request)))?;
    let first = stage.memory().finished.is_empty();
    stage.memory().finished.insert(class.name.clone());
    if first {
        let attendance = graded.into_iter().map(|(attendance, _)| attendance).take(1).collect();
        let request =
            RecordAttendanceRequest { class: class.name, attendance, request_id: "attendance-after-all".to_owned() };
        let outcome = call!(me, TrainingServiceClient.record_attendance(request));
        books.mistake("record attendance after confirming", &[Reason::ResultsConfirmed], outcome);
    }
    Some(())
}

/// How a participant did: most came always and passed; who never came has no result.
fn grade(stage: &Stage<'_>, participant: &Participant, sessions: i32) -> Option<(Attendance, Option<Graded>)> {
    let selection = participant.selection.as_ref()?;
    let (absent, lazy, weak, strong) = (
        stage.chance(&format!("absent:{}", selection.name), 3),
        stage.chance(&format!("lazy:{}", selection.name), 3),
        stage.chance(&format!("weak:{}", selection.name), 3),
        stage.chance(&format!("strong:{}", selection.name), 20),
    );
    let sessions_attended = match (absent, lazy) {
        (true, _) => 0,
        (_, true) => sessions / 2,
        _ => sessions,
    };
    let passed = !lazy && !weak;
    let result = Graded {
        selection: selection.name.clone(),
        passed,
        coefficient_percent: match (passed, strong) {
            (false, _) => 0,
            (true, true) => 110,
            (true, false) => 100,
        },
    };
    let attendance = Attendance { selection: selection.name.clone(), sessions_attended };
    Some((attendance, (sessions_attended > 0).then_some(result)))
}

/// The bureau corrects a result: who failed has passed.
pub async fn correct(stage: &Stage<'_>) -> Option<()> {
    let officer = stage.staff(Role::BureauOfficer).await?;
    let request = ListSelectionsRequest {
        parent: stage.term.clone(),
        organization: "organizations/county".to_owned(),
        state: selection::State::Failed.into(),
        page_size: 1_000,
        ..ListSelectionsRequest::default()
    };
    let reply = call!(officer, SelectionServiceClient.list_selections(request));
    let mut failed = stage.books.must("list who failed", reply)?.selections;
    failed.sort_by(|one, other| one.name.cmp(&other.name));
    // Who was there too seldom stays failed.
    let weak = |name: &str| !stage.chance(&format!("lazy:{name}"), 3);
    let Some(selection) = failed.into_iter().find(|selection| weak(&selection.name)) else {
        stage.books.surprise("nobody failed");
        return None;
    };
    let request = CorrectResultRequest {
        name: selection.name,
        passed: true,
        coefficient_percent: 100,
        reason: "成绩登记有误".to_owned(),
        request_id: "correct-result".to_owned(),
    };
    stage.books.must("correct a result", call!(officer, TrainingServiceClient.correct_result(request))).map(drop)
}
