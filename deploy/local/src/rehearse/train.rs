//! TRAINING and RESULTS: attendance, results, their confirmation, and what is put right later.

use jiff::civil::Date;
use proto::catalog::v1::{Class, project};
use proto::common::v1::Role;
use proto::enrollment::v1::selection_service_client::SelectionServiceClient;
use proto::enrollment::v1::training_service_client::TrainingServiceClient;
use proto::enrollment::v1::{
    Attendance, ConfirmResultsRequest, CorrectResultRequest, ListSelectionsRequest, Participant,
    RecordAttendanceRequest, RecordResultsRequest, Result as Graded, selection,
};

use super::caller::{Caller, call};
use super::notice::{classes, participants};
use super::programme::{ATTENDANCE_AFTER_ALL, RESULT_CORRECTED};
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
    if stage.memory().weak.is_none() {
        let weak = weak(stage, &classes).await;
        stage.memory().weak = weak;
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
    stage.memory().finished.insert(class.name.clone());
    // One class does, and always the same one: acts of a wave end in any order.
    let weak = stage.memory().weak.clone();
    if graded.iter().any(|(attendance, _)| weak.as_ref() == Some(&attendance.selection)) {
        let attendance = graded.into_iter().map(|(attendance, _)| attendance).take(1).collect();
        let request =
            RecordAttendanceRequest { class: class.name, attendance, request_id: "attendance-after-all".to_owned() };
        let outcome = call!(me, TrainingServiceClient.record_attendance(request));
        books.mistake(ATTENDANCE_AFTER_ALL, outcome);
    }
    Some(())
}

/// A participant of the first classes that end who fails in any case, so that one at least does: his selection.
async fn weak(stage: &Stage<'_>, classes: &[(Caller, Class)]) -> Option<String> {
    for (me, class) in classes {
        let participants = participants(stage, me, &class.name).await?;
        if let Some(selection) = participants.into_iter().find_map(|participant| participant.selection) {
            return Some(selection.name);
        }
    }
    None
}

/// How somebody does in a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Never comes.
    Absent,
    /// Comes to half of the sessions: cannot pass.
    Lazy,
    /// Comes always and fails.
    Weak,
    Passes,
    /// Passes with distinction.
    Shines,
}

/// Most come always and pass.
fn fate(stage: &Stage<'_>, selection: &str) -> Fate {
    let chance = |what: &str, percent: u64| stage.chance(&format!("{what}:{selection}"), percent);
    match () {
        () if stage.memory().weak.as_deref() == Some(selection) => Fate::Weak,
        () if chance("absent", 3) => Fate::Absent,
        () if chance("lazy", 3) => Fate::Lazy,
        () if chance("weak", 3) => Fate::Weak,
        () if chance("strong", 20) => Fate::Shines,
        () => Fate::Passes,
    }
}

/// A participant's attendance, and the result of who was there.
fn grade(stage: &Stage<'_>, participant: &Participant, sessions: i32) -> Option<(Attendance, Option<Graded>)> {
    let selection = participant.selection.as_ref()?.name.clone();
    let fate = fate(stage, &selection);
    let sessions_attended = match fate {
        Fate::Absent => 0,
        Fate::Lazy => sessions / 2,
        _ => sessions,
    };
    let (passed, coefficient_percent) = match fate {
        Fate::Passes => (true, 100),
        Fate::Shines => (true, 110),
        _ => (false, 0),
    };
    let result = Graded { selection: selection.clone(), passed, coefficient_percent };
    Some((Attendance { selection, sessions_attended }, (sessions_attended > 0).then_some(result)))
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
    let selection = failed.into_iter().find(|selection| fate(stage, &selection.name) == Fate::Weak)?;
    let request = CorrectResultRequest {
        name: selection.name,
        passed: true,
        coefficient_percent: 100,
        reason: "成绩登记有误".to_owned(),
        request_id: "correct-result".to_owned(),
    };
    stage.books.must("correct a result", call!(officer, TrainingServiceClient.correct_result(request)))?;
    stage.books.happened(RESULT_CORRECTED);
    Some(())
}
