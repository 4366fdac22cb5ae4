//! Training: attendance and results, confirmed, corrected, and become credit.

use std::collections::BTreeSet;

use anyhow::Context as _;
use proto::{
    common::v1::Reason,
    credit::v1::Entry,
    enrollment::v1::{self as enrollment, selection::State},
};
use shixun::up::setup::reach;
use system::model::Against;

use super::{Play, attempt::Act, encode, offers::base};

impl Play {
    /// What a result of a selection earns, in hundredths.
    fn earns(&self, row: usize, passed: bool, coefficient_percent: i32) -> Option<i64> {
        let intensive = self.model.offers[self.model.rows[row].project].intensive;
        passed.then(|| base(intensive) * i64::from(coefficient_percent) / 100)
    }

    /// The ledger takes a result, and the selection is where that brings it.
    fn recognize(&mut self, row: usize, earns: Option<i64>) {
        let one = &mut self.model.rows[row];
        one.state = self.ledger.recognize(one.teacher, &one.name, earns);
    }

    fn verdict(&mut self) -> (bool, i32) {
        let passed = self.chance(75);
        (passed, [80, 100, 120][self.any(3)])
    }

    /// What the model says is confirmed trains, with results, and becomes credit: once each.
    pub(super) async fn train(&mut self) -> anyhow::Result<()> {
        for project in 0..self.model.offers.len() {
            let confirmed = |row: &usize| {
                self.model.rows[*row].project == project && self.model.rows[*row].state == State::Confirmed
            };
            let rows: Vec<usize> = (0..self.model.rows.len()).filter(confirmed).collect();
            if rows.is_empty() {
                continue;
            }
            let (class, request_id) = (self.classes[project].clone(), format!("train-{project}"));
            let attend = |row: &usize| enrollment::Attendance {
                selection: self.model.rows[*row].name.clone(),
                sessions_attended: 1,
            };
            let attendance = rows.iter().map(attend).collect();
            let request = enrollment::RecordAttendanceRequest { class: class.clone(), attendance, request_id };
            let path = "/shixun.enrollment.v1.TrainingService/RecordAttendance";
            self.training(project, path, &request).await?;

            let mut results = Vec::new();
            for row in rows {
                let (passed, coefficient_percent) = self.verdict();
                let selection = self.model.rows[row].name.clone();
                let earns = self.earns(row, passed, coefficient_percent);
                self.recognize(row, earns);
                results.push(enrollment::Result { selection, passed, coefficient_percent });
            }
            let request_id = format!("train-{project}");
            let request =
                enrollment::RecordResultsRequest { class: class.clone(), results, request_id: request_id.clone() };
            let path = "/shixun.enrollment.v1.TrainingService/RecordResults";
            self.training(project, path, &request).await?;
            let request = enrollment::ConfirmResultsRequest { class, request_id };
            let path = "/shixun.enrollment.v1.TrainingService/ConfirmResults";
            self.training(project, path, &request).await?;
            self.trained += 1;
        }
        Ok(())
    }

    /// What the provider records, twice.
    async fn training(&self, project: usize, path: &'static str, message: &impl prost::Message) -> anyhow::Result<()> {
        let header = &self.providers[project];
        let first = self.call(false, header, path, encode(message)).await?;
        anyhow::ensure!(first.code == tonic::Code::Ok, "{path} of project {project}: {first:?}");
        let second = self.call(true, header, path, encode(message)).await?;
        anyhow::ensure!(first == second, "{path} of project {project}, twice: {first:?}, {second:?}");
        Ok(())
    }

    /// Waits until the sequencer has nothing left to do that comes of results, and everybody knows.
    pub(super) async fn settled(&mut self) -> anyhow::Result<()> {
        let system = &self.stage.world.system;
        let now = system.status("gateway").await?.now.as_ref().map_or(0, proto::instant);
        // The gateway learns of results before it has steps to do.
        system.catch_up().await?;
        reach(system, &self.officer, &self.stage.term, now).await?;
        self.heads.clear();
        Ok(())
    }

    /// A result put right, or an attempt at it, but not one whose credit is under way. Returns the teacher whose credit moves.
    pub(super) async fn correct_result(&mut self, spared: &BTreeSet<usize>) -> anyhow::Result<Option<usize>> {
        let often = self.chance(90);
        let fits = |row: &usize| {
            let row = &self.model.rows[*row];
            let judged = matches!(row.state, State::Passed | State::Failed | State::Credited);
            (judged || !often) && !spared.contains(&row.teacher)
        };
        let rows: Vec<usize> = (0..self.model.rows.len()).filter(fits).collect();
        if rows.is_empty() {
            return Ok(None);
        }
        let row = rows[self.any(rows.len())];
        let (passed, coefficient_percent) = self.verdict();
        let was = self.model.rows[row].clone();
        let request = enrollment::CorrectResultRequest {
            name: was.name.clone(),
            passed,
            coefficient_percent,
            reason: "理由".to_owned(),
            request_id: format!("act-{}", self.acts),
        };
        let other = enrollment::CorrectResultRequest { reason: "别的".to_owned(), ..request.clone() };
        // What is credit already must be reversed first.
        let against = match was.state {
            State::Passed | State::Failed => Against::new(),
            _ => Against::from([Reason::StateConflict]),
        };
        let act = Act {
            kind: if passed { "correct to passed" } else { "correct to failed" },
            // What the sequencer makes of other corrections is told meanwhile.
            service: None,
            header: self.bureau.clone(),
            path: "/shixun.enrollment.v1.TrainingService/CorrectResult",
            message: encode(&request),
            other: Some(encode(&other)),
        };
        self.attempt(act, &against, &format!("{was:?}")).await?;
        if !against.is_empty() {
            return Ok(None);
        }
        self.corrections += 1;
        let earns = self.earns(row, passed, coefficient_percent);
        self.recognize(row, earns);
        Ok(Some(was.teacher))
    }

    /// Names of the lines that the sequencer entered for a teacher.
    pub(super) async fn learn_names(&mut self, teacher: usize) -> anyhow::Result<()> {
        let statement = self.statement(teacher).await?;
        for line in self.ledger.unnamed(teacher) {
            let same = |entry: &&Entry| {
                entry.source == line.source && entry.kind() == line.kind && entry.reversed_by.is_empty()
            };
            let entry =
                statement.entries.iter().find(same).with_context(|| format!("{line:?} did not become credit"))?;
            line.name.clone_from(&entry.name);
        }
        Ok(())
    }
}
