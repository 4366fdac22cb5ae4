//! What teachers, schools, providers and the bureau do with selections.

use anyhow::Context as _;
use prost::Message as _;
use proto::enrollment::v1::{self as enrollment, provider_decision::Verdict, selection::State};
use system::model::{Against, By, Open, lives};

use super::{Play, attempt::Act, encode};

const OTHERWISE: &str = "别的";

impl Play {
    /// One random operation.
    pub(super) async fn act(&mut self, open: Open) -> anyhow::Result<()> {
        let submits = if matches!(open, Open::Selecting(_)) { 42 } else { 5 };
        match self.any(100) {
            dice if dice < submits => self.submit(open).await,
            dice if dice < submits + 8 => self.happen().await,
            dice if dice < submits + 10 => self.let_in().await,
            _ => self.decide(open).await,
        }
    }

    async fn submit(&mut self, open: Open) -> anyhow::Result<()> {
        let (teacher, project) = (self.any(self.teachers.len()), self.any(self.model.offers.len()));
        let against = self.model.against(teacher, project, open);
        let request = enrollment::SubmitSelectionRequest {
            parent: self.stage.term.clone(),
            project: self.model.offers[project].name.clone(),
            teacher: String::new(),
            request_id: format!("act-{}", self.acts),
        };
        let named = self.teachers[teacher].name.clone();
        let other = enrollment::SubmitSelectionRequest { teacher: named, ..request.clone() };
        let act = Act {
            kind: "submit",
            service: Some("enrollment"),
            header: self.teachers[teacher].header.clone(),
            path: "/shixun.enrollment.v1.SelectionService/SubmitSelection",
            message: encode(&request),
            other: Some(encode(&other)),
        };
        let outcome = self.attempt(act, &against, &format!("teacher {teacher}, project {project}, {open:?}")).await?;
        if let (true, Open::Selecting(round)) = (against.is_empty(), open) {
            let reply =
                enrollment::SubmitSelectionResponse::decode(outcome.reply)?.selection.context("no selection")?;
            let at = reply.submitted_at.as_ref().map_or(0, proto::instant);
            self.model.submit(reply.name, at, teacher, project, round);
        }
        Ok(())
    }

    /// A selection: most often one that is in one of these states, or at least lives.
    fn pick(&mut self, states: &[State]) -> Option<usize> {
        let dice = self.any(100);
        let fits = |row: &usize| {
            let state = self.model.rows[*row].state;
            if dice < 60 { states.contains(&state) } else { dice >= 90 || lives(state) }
        };
        let rows: Vec<usize> = (0..self.model.rows.len()).filter(fits).collect();
        if rows.is_empty() { None } else { Some(rows[self.any(rows.len())]) }
    }

    /// A school: most often the one that reviews the selection.
    fn reviewer(&mut self, row: usize) -> usize {
        if self.chance(90) { self.model.rows[row].school } else { self.any(self.schools.len()) }
    }

    /// Somebody decides on a selection.
    async fn decide(&mut self, open: Open) -> anyhow::Result<()> {
        use State::{Confirmed, Declined, Expired, SchoolApproved, SchoolRejected, Submitted, Waitlisted};
        type Way = fn(&mut Play, usize, Open) -> (Act, Against);
        let selecting = matches!(open, Open::Selecting(_));
        let (way, states): (Way, &[State]) = match (self.any(100), selecting) {
            (0..10, _) => (Self::withdraw, &[Submitted, SchoolApproved, Waitlisted, Confirmed]),
            (10..24, _) => (Self::correct, &[Expired, SchoolRejected, Declined]),
            (24..32, true) => (Self::reopen, &[SchoolApproved, SchoolRejected]),
            (32..95, true) | (24..28, false) => (Self::review, &[Submitted]),
            _ => (Self::screen, &[SchoolApproved, Waitlisted]),
        };
        let Some(row) = self.pick(states) else { return Ok(()) };
        let was = self.model.rows[row].clone();
        let (act, against) = way(self, row, open);
        self.attempt(act, &against, &format!("{was:?}, {open:?}")).await?;
        Ok(())
    }

    fn name(&self, row: usize) -> (String, String, String) {
        (self.model.rows[row].name.clone(), "理由".to_owned(), format!("act-{}", self.acts))
    }

    fn withdraw(&mut self, row: usize, open: Open) -> (Act, Against) {
        let (name, reason, request_id) = self.name(row);
        let (by, kind, header) = match self.any(4) {
            0 => (By::Bureau, "withdraw by the bureau", self.bureau.clone()),
            1 => {
                let school = self.reviewer(row);
                (By::School(school), "withdraw by the school", self.schools[school].1.clone())
            }
            _ => {
                let teacher = self.model.rows[row].teacher;
                (By::Teacher, "withdraw by the teacher", self.teachers[teacher].header.clone())
            }
        };
        let request = enrollment::WithdrawSelectionRequest { name, reason, request_id };
        let other = enrollment::WithdrawSelectionRequest { reason: OTHERWISE.to_owned(), ..request.clone() };
        let act = Act {
            kind,
            service: Some("enrollment"),
            header,
            path: "/shixun.enrollment.v1.SelectionService/WithdrawSelection",
            message: encode(&request),
            other: Some(encode(&other)),
        };
        (act, self.model.withdraw(row, by, open))
    }

    fn correct(&mut self, row: usize, _: Open) -> (Act, Against) {
        let (name, reason, request_id) = self.name(row);
        let (state, kind) = if self.chance(60) {
            (State::SchoolApproved, "correct to approved")
        } else {
            (State::Submitted, "correct to submitted")
        };
        let request = enrollment::CorrectSelectionRequest { name, state: state.into(), reason, request_id };
        let other = enrollment::CorrectSelectionRequest { reason: OTHERWISE.to_owned(), ..request.clone() };
        let act = Act {
            kind,
            service: Some("enrollment"),
            header: self.bureau.clone(),
            path: "/shixun.enrollment.v1.ReviewService/CorrectSelection",
            message: encode(&request),
            other: Some(encode(&other)),
        };
        (act, self.model.correct(row, state))
    }

    fn reopen(&mut self, row: usize, open: Open) -> (Act, Against) {
        let (name, reason, request_id) = self.name(row);
        let school = self.reviewer(row);
        let request = enrollment::ReopenReviewRequest { name, reason, request_id };
        let other = enrollment::ReopenReviewRequest { reason: OTHERWISE.to_owned(), ..request.clone() };
        let act = Act {
            kind: "reopen",
            service: Some("enrollment"),
            header: self.schools[school].1.clone(),
            path: "/shixun.enrollment.v1.ReviewService/ReopenReview",
            message: encode(&request),
            other: Some(encode(&other)),
        };
        (act, self.model.reopen(row, school, open))
    }

    fn review(&mut self, row: usize, open: Open) -> (Act, Against) {
        let (selection, reason, request_id) = self.name(row);
        let (school, approved) = (self.reviewer(row), self.chance(75));
        let decisions = vec![enrollment::Decision { selection, approved, reason }];
        let parent = self.stage.term.clone();
        let request = enrollment::ReviewSelectionsRequest { parent, decisions, request_id };
        let act = Act {
            kind: if approved { "approve" } else { "reject" },
            service: Some("enrollment"),
            header: self.schools[school].1.clone(),
            path: "/shixun.enrollment.v1.ReviewService/ReviewSelections",
            message: encode(&request),
            other: None,
        };
        (act, self.model.review(row, school, approved, open))
    }

    fn screen(&mut self, row: usize, open: Open) -> (Act, Against) {
        let (selection, reason, request_id) = self.name(row);
        let (verdict, to, kind) = match self.any(10) {
            0..5 => (Verdict::Confirm, State::Confirmed, "confirm"),
            5..7 => (Verdict::Decline, State::Declined, "decline"),
            _ => (Verdict::Waitlist, State::Waitlisted, "waitlist"),
        };
        let (project, class) = (self.model.rows[row].project, String::new());
        let decision = enrollment::ProviderDecision { selection, verdict: verdict.into(), reason, class };
        let (parent, decisions) = (self.model.offers[project].name.clone(), vec![decision]);
        let request = enrollment::DecideSelectionsRequest { parent, decisions, request_id };
        let act = Act {
            kind,
            service: Some("enrollment"),
            header: self.providers[project].clone(),
            path: "/shixun.enrollment.v1.ConfirmationService/DecideSelections",
            message: encode(&request),
            other: None,
        };
        (act, self.model.decide(row, to, open))
    }
}
