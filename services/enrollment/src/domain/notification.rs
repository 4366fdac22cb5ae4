//! What people are told: coded where it is written, made text where it is read.

use std::collections::BTreeMap;

use proto::{
    common::v1::Phase,
    words::{Language, in_words},
};

use super::{Event, calendar::phase_name, desk::Act};

macro_rules! kinds {
    ($($(#[$note:meta])* $variant:ident = $word:literal, $zh:literal, $en:literal;)*) => {
        /// What a notification is about. `{name}` in its text is an entry of its metadata.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Kind { $($(#[$note])* $variant),* }

        impl Kind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// As in SQL and on the wire.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }

            const fn texts(self) -> (&'static str, &'static str) {
                match self { $(Self::$variant => ($zh, $en)),* }
            }
        }
    };
}
kinds! {
    /// A window opens for him.
    WindowOpens = "window_opens", "“{phase_zh}”已开放，截止 {closes}。", "{phase_en} is open until {closes}.";
    /// A window closes soon and he has something left to do, or answers for it.
    WindowCloses = "window_closes", "“{phase_zh}”将于 {closes} 截止，请及时办理。", "{phase_en} closes at {closes}: see to what is left.";
    /// Somebody selected for him.
    SubmittedFor = "selection_submitted", "学校已为您选报“{project}”。", "{project} was selected on your behalf.";
    /// Somebody withdrew for him.
    Withdrawn = "selection_withdrawn", "您在“{project}”的选课已退选。", "Your selection of {project} was withdrawn.";
    /// The school approved.
    Approved = "selection_approved", "您选报的“{project}”已通过学校审核。", "Your school approved your selection of {project}.";
    /// The school rejected.
    Rejected = "selection_rejected", "您选报的“{project}”未通过学校审核，原因见选课详情。", "Your school rejected your selection of {project}; the selection says why.";
    /// The review was taken back.
    Reopened = "selection_reopened", "您选报的“{project}”将重新审核。", "Your selection of {project} will be reviewed again.";
    /// The bureau put it right.
    Corrected = "selection_corrected", "教育局更正了您选报的“{project}”，现为 {state}。", "The bureau corrected your selection of {project}: it is {state} now.";
    /// A place.
    Confirmed = "selection_confirmed", "您已被“{project}”录取，班级 {class}。", "You have a place in {project}, class {class}.";
    /// No place.
    Declined = "selection_declined", "“{project}”未录取您，原因见选课详情。", "{project} declined your selection; the selection says why.";
    /// Waiting.
    Waitlisted = "selection_waitlisted", "您已进入“{project}”的候补名单。", "You are on the waiting list of {project}.";
    /// Too late.
    Expired = "selection_expired", "您选报的“{project}”已失效（{reason}）。", "Your selection of {project} has expired ({reason}).";
    /// Gone.
    Cancelled = "selection_cancelled", "您选报的“{project}”已取消（{reason}）。", "Your selection of {project} was cancelled ({reason}).";
    /// Passed.
    Passed = "result_passed", "您参加的“{project}”成绩合格。", "You passed {project}.";
    /// Failed.
    Failed = "result_failed", "您参加的“{project}”成绩不合格。", "You did not pass {project}.";
    /// Did not come.
    NoShow = "result_no_show", "您未参加“{project}”，不计学分。", "You did not take part in {project}; it gives no credit.";
    /// The bureau corrected a result without turning it round.
    ResultCorrected = "result_corrected", "您参加的“{project}”的成绩已由教育局更正，成绩系数为 {coefficient}%。", "The bureau corrected your result in {project}: its coefficient is {coefficient} % now.";
    /// Transferred while the review was pending.
    Moved = "selection_moved", "因您调动，您选报的“{project}”改由“{school}”审核。", "As you were transferred, {school} reviews your selection of {project} now.";
    /// Credit by hand.
    CreditEntered = "credit_entered", "已为您登记校本研修学分 {awarded}（{effective_on}）。", "{awarded} credits of school-based training were entered for you ({effective_on}).";
    /// Credit taken back.
    CreditReversed = "credit_reversed", "您的一条学分记录（{awarded} 学分，{effective_on}）已冲销，原因见学分台账。", "An entry of {awarded} credits of yours ({effective_on}) was reversed; the ledger says why.";
    /// School or bureau changed his entry in the roster.
    RosterUpdated = "roster_updated", "学校或教育局更新了您的教师信息，请核对。", "Your school or the bureau changed your entry in the roster: check it.";
    /// What he asked for was done.
    CorrectionConfirmed = "correction_confirmed", "您申请的教师信息更正已通过审核。", "The correction that you asked for was confirmed.";
    /// What he asked for was refused.
    CorrectionRefused = "correction_refused", "您申请的教师信息更正未通过审核，原因请向学校了解。", "The correction that you asked for was refused: ask your school why.";
    /// A status event.
    Transferred = "roster_transferred", "已登记您的调动，现属“{school}”。", "Your transfer was recorded: you belong to {school} now.";
    /// A status event.
    LeaveGranted = "roster_leave_granted", "已登记您的休假。", "A leave of yours was recorded.";
    /// A status event.
    Returned = "roster_returned", "已登记您返岗。", "Your return to work was recorded.";
    /// A status event.
    Retired = "roster_retired", "已登记您退休。", "Your retirement was recorded.";
    /// A status event.
    Departed = "roster_departed", "已登记您离职。", "Your departure was recorded.";
    /// A status event of a day to come.
    EventComing = "roster_event_coming", "已登记您的任职变动，自 {effective_on} 起生效；此前一切照旧。", "A change of your employment was recorded; it takes effect on {effective_on}, and until then all is as it was.";
    /// It was taken back.
    EventWithdrawn = "roster_event_withdrawn", "此前登记的您的任职变动已撤回。", "The change of your employment that was recorded was taken back.";
    /// Nothing selected yet.
    Urged = "urged", "您在第 {round} 轮尚未选课，请尽快选报。", "You have not selected anything in round {round} yet.";
    /// The bar is lifted.
    Overridden = "override_granted", "教育局已同意您参加第 {round} 轮选课。", "The bureau lets you select in round {round}.";
    /// A training notice.
    NoticeIssued = "notice_issued", "“{project}”培训通知已发布，请查收并确认。", "The training notice of {project} is out; read and acknowledge it.";
    /// To district and bureau.
    NoReviewer = "school_without_reviewer", "“{organization}”没有可用的审核人员，请代为审核。", "{organization} has no active reviewer: review in its place.";
    /// To the bureau.
    Undecided = "projects_undecided", "项目评审已结束，您处仍有申报项目未作决定，请于 {closes} 前处理，逾期失效。", "The review of projects is over and some of yours are undecided: decide on them before {closes}, or they lapse.";
    /// To the bureau.
    Unreviewed = "unreviewed_expired", "“{organization}”有 {count} 条选课未审核而失效。", "{organization} let {count} selections expire unreviewed.";
    /// To the bureau.
    UnmatchedApproved = "unmatched_approved", "“{selection}”与教师层次类别不匹配，学校已说明理由并批准。", "{selection} does not match tier and category; the school approved it with a reason.";
    /// To provider and bureau.
    TooSmall = "class_too_small", "班级“{class}”人数不足（{participants}/{needed}），建议取消。", "{class} is too small ({participants} of {needed}): proposed for cancelling.";
    /// To the school's administrators and principal.
    MeanShort = "year_mean_short", "“{organization}”{year} 年人均学分 {value}（{state_zh}），未达到 {required}。", "The mean of {organization} in {year} is {value} credits ({state_en}): below {required}.";
    /// To the school's administrators and principal.
    ElectivesShort = "restricted_elective_short", "“{organization}”至 {year} 年，年均 {value}% 的教师完成限定选修（{state_zh}），未达到 {required}%。", "Up to {year}, {value} % of the teachers of {organization} a year complete a restricted elective ({state_en}): below {required} %.";
    /// To the provider.
    ResultsDue = "results_due", "班级“{class}”尚未确认成绩。", "The results of {class} are not confirmed yet.";
}

impl Kind {
    /// The kind of a word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.word() == word)
    }

    /// What a school is told that falls short of a requirement of compliance; `None` of those that do not warn (DESIGN §5).
    #[must_use]
    pub fn of_shortfall(requirement: &str) -> Option<Self> {
        match requirement {
            "year_mean_72" => Some(Self::MeanShort),
            "restricted_elective_21" => Some(Self::ElectivesShort),
            _ => None,
        }
    }

    /// The text with its variables filled in: (zh, en).
    #[must_use]
    pub fn render(self, metadata: &BTreeMap<String, String>) -> (String, String) {
        let fill = |template: &str, language| {
            metadata.iter().fold(template.to_owned(), |text, (key, value)| {
                let coded = ["reason", "state"].contains(&key.as_str());
                let value = if coded { &in_words(value, language) } else { value };
                text.replace(&format!("{{{key}}}"), value)
            })
        };
        let (zh, en) = self.texts();
        (fill(zh, Language::Chinese), fill(en, Language::English))
    }

    /// What the teacher is told of an act of another on his selection; `None` where he need not be told.
    #[must_use]
    pub fn of_act(act: &Act) -> Option<Self> {
        match (act.event, act.verb) {
            (Some(event), _) => Self::after(event),
            (None, "transferred") => Some(Self::Moved),
            (None, "corrected") => Some(Self::ResultCorrected),
            (None, _) => None,
        }
    }

    /// What the teacher is told of an act of another on his entry in the roster, by the verb of its change.
    #[must_use]
    pub fn of_roster(verb: &str) -> Option<Self> {
        Some(match verb {
            "updated" => Self::RosterUpdated,
            "correction_confirmed" => Self::CorrectionConfirmed,
            "correction_refused" => Self::CorrectionRefused,
            "transferred" => Self::Transferred,
            "leave_granted" => Self::LeaveGranted,
            "returned" => Self::Returned,
            "retired" => Self::Retired,
            "departed" => Self::Departed,
            "transfer_coming" | "return_coming" | "retirement_coming" | "departure_coming" => Self::EventComing,
            "event_withdrawn" => Self::EventWithdrawn,
            // Created, moved with his school, asked by himself, or dead.
            _ => return None,
        })
    }

    const fn after(event: Event) -> Option<Self> {
        Some(match event {
            Event::Approve => Self::Approved,
            Event::Reject => Self::Rejected,
            Event::Confirm => Self::Confirmed,
            Event::Decline => Self::Declined,
            Event::Waitlist => Self::Waitlisted,
            Event::Withdraw => Self::Withdrawn,
            Event::Expire => Self::Expired,
            Event::Cancel | Event::Substitute => Self::Cancelled,
            Event::MissAll => Self::NoShow,
            Event::Pass => Self::Passed,
            Event::Fail => Self::Failed,
            Event::Reopen => Self::Reopened,
            Event::CorrectToSubmitted | Event::CorrectToApproved => Self::Corrected,
            Event::Attend | Event::Credit | Event::ReverseCredit => return None,
        })
    }
}

/// Variables of a window's notifications; `closes` as people read it.
#[must_use]
pub fn of_window(phase: Phase, round: i32, closes: &str) -> BTreeMap<String, String> {
    let (zh, en) = phase_name(phase);
    let with_round = |zh: bool, name: &str| match (round, zh) {
        (0, _) => name.to_owned(),
        (_, true) => format!("{name}（第 {round} 轮）"),
        (_, false) => format!("{name} (round {round})"),
    };
    [("phase_zh", with_round(true, zh)), ("phase_en", with_round(false, en)), ("closes", closes.to_owned())]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_read_back_and_have_both_texts() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_word(kind.word()), Some(*kind));
            let (zh, en) = kind.render(&BTreeMap::new());
            assert!(!zh.is_empty() && !en.is_empty());
        }
        assert_eq!(Kind::from_word("rumour"), None);
    }

    #[test]
    fn variables_are_filled_in() {
        let (zh, en) = Kind::WindowOpens.render(&of_window(Phase::Selection, 2, "2019-09-18 00:00"));
        assert_eq!(zh, "“教师选课（第 2 轮）”已开放，截止 2019-09-18 00:00。");
        assert_eq!(en, "selection (round 2) is open until 2019-09-18 00:00.");
    }
}
