//! The ledger: entries by hand, once for each source; entries undone at most once; sums.

use std::collections::BTreeSet;

use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use prost::Message as _;
use proto::{
    common::v1::Credit,
    credit::v1::{self as credit, Statement, entry::Kind},
    enrollment::v1::selection::State,
};
use system::model::Line;

use super::{
    ENTRIES, Play,
    attempt::{AT_ONCE, Act},
    encode,
};

/// Operations of each sort between two looks at the whole.
const TOGETHER: usize = 8;
/// Teachers for whom entries are made by hand: few, so that sources meet.
const BY_HAND: usize = 8;

impl Play {
    /// Entries, reversals and corrected results in turn.
    pub(super) async fn keep_books(&mut self) -> anyhow::Result<()> {
        self.settled().await?;
        for teacher in 0..self.teachers.len() {
            self.learn_names(teacher).await?;
        }
        self.balance().await?;
        let begun = self.acts;
        while self.acts - begun < ENTRIES {
            for _ in 0..TOGETHER {
                self.enter().await?;
            }
            for _ in 0..TOGETHER {
                self.reverse().await?;
            }
            self.repeat().await?;
            // What was credited is passed again before anybody corrects it.
            self.settled().await?;
            let mut moved = BTreeSet::new();
            for _ in 0..TOGETHER {
                moved.extend(self.correct_result(&moved).await?);
            }
            self.settled().await?;
            self.repeat().await?;
            for teacher in moved {
                self.learn_names(teacher).await?;
            }
            let all = format!("after {} acts", self.acts);
            self.compare().await.with_context(|| all.clone())?;
            self.balance().await.context(all)?;
        }
        Ok(())
    }

    async fn enter(&mut self) -> anyhow::Result<()> {
        let teacher = self.any(BY_HAND);
        let amount = 100 * i64::try_from(1 + self.any(30))?;
        let (awarded, source) = (Some(Credit { hundredths: amount }), format!("doc-{}", self.any(12)));
        let effective_on = Some(proto::google::r#type::Date { year: 2019, month: 10, day: 1 });
        let (name, request_id) = (self.teachers[teacher].name.clone(), format!("act-{}", self.acts));
        let (kind, counted, path, message, other) = if self.chance(50) {
            let request = credit::OpenBalanceRequest {
                teacher: name,
                base: awarded,
                awarded,
                effective_on,
                intensive: false,
                evidence: source.clone(),
                request_id,
                practice: None,
            };
            let other = credit::OpenBalanceRequest { evidence: "别的".to_owned(), ..request.clone() };
            let path = "/shixun.credit.v1.LedgerService/OpenBalance";
            (Kind::OpeningBalance, "opening balance", path, encode(&request), encode(&other))
        } else {
            let request = credit::RecordSchoolBasedRequest {
                teacher: name,
                awarded,
                effective_on,
                source: source.clone(),
                request_id,
                practice: awarded,
            };
            let other = credit::RecordSchoolBasedRequest { source: "别的".to_owned(), ..request.clone() };
            let path = "/shixun.credit.v1.LedgerService/RecordSchoolBased";
            (Kind::SchoolBased, "school-based", path, encode(&request), encode(&other))
        };
        let against = self.ledger.against(teacher, kind, &source);
        let header = self.bureau.clone();
        let act = Act { kind: counted, service: Some("credit"), header, path, message, other: Some(other) };
        let outcome = self.attempt(act, &against, &format!("teacher {teacher}, {source}")).await?;
        if against.is_empty() {
            // Both replies carry one entry in field 1.
            let entry = credit::OpenBalanceResponse::decode(outcome.reply)?.entry.context("no entry")?;
            self.ledger.enter(teacher, entry.name, kind, &source, amount);
        }
        Ok(())
    }

    /// An entry is undone: half of the time one that results made.
    async fn reverse(&mut self) -> anyhow::Result<()> {
        let results = self.chance(50);
        let fits = |line: &Line| (line.kind == Kind::Project) == results;
        let lines: Vec<(usize, usize)> = (0..self.teachers.len())
            .flat_map(|teacher| self.ledger.of(teacher).iter().enumerate().map(move |(n, line)| (teacher, n, line)))
            .filter(|(_, _, line)| fits(line))
            .map(|(teacher, n, _)| (teacher, n))
            .collect();
        if lines.is_empty() {
            return Ok(());
        }
        let (teacher, line) = lines[self.any(lines.len())];
        let against = self.ledger.against_reversal(teacher, line);
        let request = credit::ReverseEntryRequest {
            name: self.ledger.of(teacher)[line].name.clone(),
            reason: "有误".to_owned(),
            request_id: format!("act-{}", self.acts),
        };
        let other = credit::ReverseEntryRequest { reason: "别的".to_owned(), ..request.clone() };
        let act = Act {
            kind: "reverse",
            service: Some("credit"),
            header: self.bureau.clone(),
            path: "/shixun.credit.v1.LedgerService/ReverseEntry",
            message: encode(&request),
            other: Some(encode(&other)),
        };
        let outcome = self.attempt(act, &against, &format!("teacher {teacher}, line {line}")).await?;
        if against.is_empty() {
            let entry = credit::ReverseEntryResponse::decode(outcome.reply)?.entry.context("no entry")?;
            if let Some(selection) = self.ledger.reverse(teacher, line, entry.name) {
                let row = self.model.rows.iter_mut().find(|row| row.name == selection);
                row.context("credit of no selection")?.state = State::Passed;
            }
        }
        Ok(())
    }

    pub(super) async fn statement(&self, teacher: usize) -> anyhow::Result<Statement> {
        let on = Some(proto::google::r#type::Date { year: 2019, month: 12, day: 31 });
        let request =
            credit::GetStatementRequest { teacher: self.teachers[teacher].name.clone(), on, recorded_by: None };
        let path = "/shixun.credit.v1.LedgerService/GetStatement";
        let reply: credit::GetStatementResponse = self.must(&self.bureau, path, encode(&request)).await?;
        reply.statement.context("no statement")
    }

    /// The ledger's sums are the reference's, for everybody.
    async fn balance(&self) -> anyhow::Result<()> {
        let hundredths = |credit: Option<Credit>| credit.unwrap_or_default().hundredths;
        let statements = (0..self.teachers.len()).map(|teacher| self.statement(teacher));
        let statements: Vec<_> = stream::iter(statements).buffered(AT_ONCE).try_collect().await?;
        for (teacher, statement) in statements.into_iter().enumerate() {
            let mut found: Vec<_> = statement
                .entries
                .iter()
                .map(|entry| {
                    (entry.name.as_str(), entry.kind(), hundredths(entry.awarded), !entry.reversed_by.is_empty())
                })
                .collect();
            let lines = self.ledger.of(teacher);
            let mut meant: Vec<_> =
                lines.iter().map(|line| (line.name.as_str(), line.kind, line.awarded, line.reversed)).collect();
            found.sort();
            meant.sort();
            anyhow::ensure!(found == meant, "teacher {teacher}: {found:?}, the model has {meant:?}");
            let counted = (hundredths(statement.cycle_awarded), hundredths(statement.school_based_not_counted));
            let meant = self.ledger.counted(teacher);
            anyhow::ensure!(counted == meant, "teacher {teacher} has {counted:?}, the model {meant:?}");
        }
        Ok(())
    }
}
