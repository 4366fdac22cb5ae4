//! The store suite: what the service does with a database, on both engines.

#![allow(clippy::expect_used, clippy::panic, reason = "tests say what they expect by failing")]

mod advising;
mod hearing;
mod leaving;
mod places;
mod reviewing;
mod selecting;
#[path = "../support/mod.rs"]
mod support;
mod telling;
mod watching;

use chassis::{
    db::{Db, Queries as _, args},
    testing,
};
use enrollment::api::Api;
use proto::{
    common::v1::{Action, Phase, Precondition, Reason, Role, Window, precondition::Condition},
    credit::v1::{CreditPosition, Entry, entry},
    enrollment::v1::{
        Attendance, CheckEligibilityRequest, ConfirmResultsRequest, CorrectResultRequest, CorrectSelectionRequest,
        CreditPositionsFixed, GrantOverrideRequest, IssueNoticeRequest, ListBarredRequest, ListNonSelectorsRequest,
        ListNotificationsRequest, ListSelectionsRequest, NonSelectorsFixed, OrderSelectionsRequest,
        ProposedCancellation, RankSelectionsRequest, RecordAttendanceRequest, RecordResultsRequest, ResultFacts,
        RoundClosed, Selection, UrgeTeachersRequest, confirmation_service_server::ConfirmationService as _,
        inbox_service_server::InboxService as _, notice_service_server::NoticeService as _, provider_decision::Verdict,
        review_service_server::ReviewService as _, selection, selection_service_server::SelectionService as _,
        training_service_server::TrainingService as _,
    },
    roster::v1::{Leave, Stay, TeacherFacts, teacher},
};
use support::{
    CONFIRMATION_1, DAY, Menu, OPENS, OTHER, REVIEW_1, REVIEW_2, SCHOOL, SELECTION_1, SELECTION_2, TRAINING, World,
    admin, as_teacher, bureau, databases, other_admin, provider, reason, reasons, teacher, window, windows,
};

const fn at(days: i64) -> i64 {
    OPENS + days * DAY
}

fn menu() -> Vec<Menu> {
    let item = |id, places, credits, day| Menu { id, places, credits, day, sessions: 10 };
    vec![
        item("a", 2, 30, 40),
        item("b", 30, 30, 45),
        item("c", 30, 90, 60),
        item("d", 30, 120, 80),
        item("e", 30, 30, 100),
        item("f", 30, 30, 120),
    ]
}

macro_rules! on_both_engines {
    ($($subject:ident::$name:ident),* $(,)?) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            for (index, database) in databases().await.iter().enumerate() {
                $subject::$name(&database.db, &format!("terms/{}-{index}", stringify!($name))).await;
            }
        }
    )*};
}
on_both_engines!(
    selecting::selecting,
    selecting::a_round_opens_once_it_is_ready,
    selecting::one_request_once,
    selecting::the_last_places_under_many_replicas,
    selecting::who_comes_too_late_does_not_wait_for_the_writer,
    selecting::hanging_up,
    advising::what_should_be_known,
    advising::a_school_that_falls_short_is_told,
    advising::a_structure_that_takes_a_reason_or_is_refused,
    reviewing::reviewing,
    reviewing::the_bureau_corrects,
    reviewing::transferred_from_a_supplementary_review,
    reviewing::round_two,
    leaving::leave_by_the_day,
    leaving::gone_by_the_day,
    hearing::what_others_did_to_the_roster_is_told,
    hearing::a_file_tells_whom_it_changed,
    hearing::credit_by_hand_is_told,
    hearing::a_review_that_moves_is_told,
    places::settling_and_waiting,
    places::from_place_to_credit,
    places::what_edges_fix_is_told,
    places::people_come_and_go,
    places::projects_go,
    places::steps_run_twice,
    places::reminders_follow_the_catalog,
    telling::a_county_of_several_pages_is_told,
    watching::seats_are_watched,
);
