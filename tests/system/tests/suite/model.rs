//! Random histories against the reference (`system::model`): seats and selections, the credit ledger, and the sequencer, in
//! the real running system over its real calendar. Every operation is sent twice.

#![allow(clippy::indexing_slicing, reason = "a test that indexes wrongly fails")]

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use chassis::{contract, peer::within};
use prost::Message;
use proto::{
    catalog::v1::{self as catalog, allocation::Policy},
    common::v1::{
        self as common, Credit, Reason, Role, gate_service_client::GateServiceClient,
        step_service_client::StepServiceClient,
    },
    credit::v1::{self as credit, entry::Kind},
    enrollment::v1::{self as enrollment, provider_decision::Verdict, selection::State},
    gateway::v1 as gateway,
    roster::v1 as roster,
};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use shixun::{client::Person, up::setup::reach};
use system::{
    model::{Against, Model, Offer, Open, lives},
    raw::{self, Outcome},
};

use crate::county::{Header, Stage};

const TEACHERS: usize = 40;
/// Places, intensive, first come in round 1, first come in round 2.
const OFFERS: [(i32, bool, bool, bool); 8] = [
    (1, false, true, true),
    (2, false, false, true),
    (3, true, false, true),
    (5, false, true, true),
    (4, false, false, false),
    (8, false, false, true),
    (6, true, true, true),
    (2, false, false, true),
];
/// Operations of each of the four windows.
const ACTS: usize = 200;
/// Operations on the ledger.
const ENTRIES: usize = 150;

struct Play {
    stage: Stage,
    model: Model,
    officer: Person,
    bureau: Header,
    teachers: Vec<(String, Header)>,
    schools: Vec<Header>,
    projects: Vec<String>,
    classes: Vec<String>,
    providers: Vec<Header>,
    rng: ChaCha8Rng,
    calls: usize,
    acts: usize,
}

fn encode(message: &impl Message) -> Vec<u8> {
    message.encode_to_vec()
}

impl Play {
    async fn set(engine: &str) -> anyhow::Result<Self> {
        let entered = proto::google::r#type::Date { year: 2019, month: 6, day: 1 };
        // All alike in what ranks them, so that the order of submission is the order of need.
        let stage = Stage::set(engine, 60, |county| {
            for person in &mut county.teachers {
                person.teacher.platform_entered_on = Some(entered);
                // Past the year of probation, whose credit is of no cycle.
                person.teacher.employed_on = Some(proto::google::r#type::Date { year: 2018, ..entered });
            }
        });
        let stage = stage.await?;
        let officer = stage.county.staff_with(Role::BureauOfficer).context("no officer")?;
        let officer = Person::login(&stage.channel("gateway")?, &officer.login, &stage.county.password).await?;
        let bureau = stage.person(Role::BureauOfficer)?;
        let header = |account: &str, teacher: &str, role: Role, organization: &str| {
            let token = stage.world.token(account, teacher, &[(role, organization)])?;
            anyhow::Ok(Some(("authorization", format!("Bearer {token}"))))
        };
        let (mut teachers, mut schools) = (Vec::new(), Vec::new());
        for person in stage.county.teachers.iter().filter(|person| person.roles.is_empty()).take(TEACHERS) {
            let (name, school) = (person.teacher.name.clone(), person.teacher.school.clone());
            let account = format!("accounts/of-{}", name.replace('/', "-"));
            teachers.push((name.clone(), header(&account, &name, Role::Teacher, &school)?));
            schools.push(header("accounts/reviewer", "", Role::SchoolAdmin, &school)?);
        }
        anyhow::ensure!(teachers.len() == TEACHERS, "only {} teachers are only that", teachers.len());
        let mut play = Self {
            model: Model::default(),
            officer,
            bureau,
            teachers,
            schools,
            projects: Vec::new(),
            classes: Vec::new(),
            providers: Vec::new(),
            rng: ChaCha8Rng::seed_from_u64(42),
            calls: 0,
            acts: 0,
            stage,
        };
        play.declare().await?;
        Ok(play)
    }

    async fn call(&self, header: &Header, path: &str, message: Vec<u8>) -> anyhow::Result<Outcome> {
        let method = contract::method(path).with_context(|| format!("no {path}"))?;
        raw::call(self.stage.channel("gateway")?, method, header.clone(), message).await
    }

    /// What must go.
    async fn must<R: Message + Default>(&self, header: &Header, path: &str, message: Vec<u8>) -> anyhow::Result<R> {
        let outcome = self.call(header, path, message).await?;
        anyhow::ensure!(outcome.code == tonic::Code::Ok, "{path}: {outcome:?}");
        Ok(R::decode(outcome.reply)?)
    }

    /// The head of a service's feed; of none, while others write too: always the same.
    async fn head(&self, service: &str) -> anyhow::Result<i64> {
        if service.is_empty() {
            return Ok(0);
        }
        Ok(self.stage.world.system.status(service).await?.position)
    }

    /// One operation, sent twice: the second time it gets the first reply, or is refused alike, and nothing changes;
    /// `other` is another body under the same id.
    async fn twice(
        &mut self,
        service: &str,
        header: &Header,
        path: &str,
        message: Vec<u8>,
        other: Option<Vec<u8>>,
    ) -> anyhow::Result<Outcome> {
        let before = self.head(service).await?;
        let first = self.call(header, path, message.clone()).await?;
        let between = self.head(service).await?;
        let second = self.call(header, path, message).await?;
        anyhow::ensure!(between == self.head(service).await?, "{path} changed something twice: {first:?}, {second:?}");
        anyhow::ensure!(first == second, "{path} twice: {first:?}, {second:?}");
        let went = first.code == tonic::Code::Ok;
        anyhow::ensure!(went || before == between, "{path} was refused, and something changed: {first:?}");
        if let (true, Some(other)) = (went, other) {
            let reused = self.call(header, path, other).await?;
            anyhow::ensure!(reused.reason == "REASON_REQUEST_ID_REUSED", "{path} with another body: {reused:?}");
        }
        self.calls += 2;
        self.acts += 1;
        Ok(first)
    }

    async fn reach(&self, at: &str) -> anyhow::Result<()> {
        let at = at.parse::<jiff::Timestamp>()?.as_microsecond();
        reach(&self.stage.world.system, &self.officer, &self.stage.term, at).await
    }

    /// The projects, declared, accepted, approved and published.
    async fn declare(&mut self) -> anyhow::Result<()> {
        let instant =
            |text: String| anyhow::Ok(Some(proto::timestamp(text.parse::<jiff::Timestamp>()?.as_microsecond())));
        let officers = self.stage.county.staff.iter().filter(|staff| staff.role == Role::BureauOfficer);
        let bureau =
            officers.map(|staff| staff.organization.clone()).find(|organization| organization.ends_with("/county"));
        let bureau = bureau.context("the county has no bureau")?;
        for (n, (places, intensive, first, second)) in OFFERS.into_iter().enumerate() {
            let pattern = &self.stage.county.projects[n].project;
            let mut staff = self.stage.county.staff.iter().filter(|staff| staff.role == Role::ProviderStaff);
            let provider = staff.find(|staff| staff.organization == pattern.provider).context("no provider's staff")?;
            let token = self.stage.world.token(&provider.account, "", &[(provider.role, &provider.organization)])?;
            let header = Some(("authorization", format!("Bearer {token}")));
            let day = n + 10;
            let session = catalog::Session {
                starts: instant(format!("2019-10-{day}T01:00:00Z"))?,
                ends: instant(format!("2019-10-{day}T03:00:00Z"))?,
            };
            let class = catalog::Class {
                places,
                sessions: vec![session],
                ends_on: Some(proto::google::r#type::Date { year: 2019, month: 10, day: i32::try_from(day)? }),
                ..Default::default()
            };
            let policy = |held: bool| if held { Policy::FirstCome } else { Policy::UncappedThenScreen };
            let allocation = |round, held| catalog::Allocation { round, policy: policy(held).into() };
            let project = catalog::Project {
                title: format!("模型项目{n}"),
                audience: None,
                accepting_bureau: bureau.clone(),
                base_credit: Some(Credit { hundredths: if intensive { 9_000 } else { 2_000 } }),
                difficulty_percent: 100,
                classes: vec![class],
                allocations: vec![allocation(1, first), allocation(2, second)],
                ..pattern.clone()
            };
            let (parent, request_id) = (self.stage.term.clone(), format!("declare-{n}"));
            let request =
                catalog::CreateProjectRequest { parent, project: Some(project), request_id: request_id.clone() };
            let path = |name: &str| format!("/shixun.catalog.v1.ProjectService/{name}");
            let created: catalog::CreateProjectResponse =
                self.must(&header, &path("CreateProject"), encode(&request)).await?;
            let created = created.project.context("no project")?;
            let name = created.name.clone();
            let request = catalog::SubmitProjectRequest { name: name.clone(), request_id: request_id.clone() };
            let _: catalog::SubmitProjectResponse =
                self.must(&header, &path("SubmitProject"), encode(&request)).await?;
            let request = catalog::AcceptProjectRequest { name: name.clone(), request_id };
            let _: catalog::AcceptProjectResponse =
                self.must(&self.bureau, &path("AcceptProject"), encode(&request)).await?;
            self.classes.push(created.classes[0].name.clone());
            self.projects.push(name);
            self.providers.push(header);
            self.model.offers.push(Offer { places, intensive, first_come: [first, second] });
        }
        self.reach("2019-07-02T01:00:00Z").await?;
        for name in &self.projects {
            let (reason, request_id) = ("急需".to_owned(), format!("approve-{name}"));
            let request = catalog::ApproveProjectRequest { name: name.clone(), reason, request_id };
            let path = "/shixun.catalog.v1.ProjectService/ApproveProject";
            let _: catalog::ApproveProjectResponse = self.must(&self.bureau, path, encode(&request)).await?;
        }
        Ok(())
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.rng.random_range(0..100) < percent
    }

    /// A selection, most often one that lives.
    fn pick(&mut self) -> Option<usize> {
        let living = self.chance(75);
        let rows = 0..self.model.rows.len();
        let rows: Vec<usize> = rows.filter(|row| !living || lives(self.model.rows[*row].state)).collect();
        if rows.is_empty() { None } else { Some(rows[self.rng.random_range(0..rows.len())]) }
    }

    /// One random operation; the system and the model agree whether it goes and, if not, why.
    async fn act(&mut self, open: Open) -> anyhow::Result<()> {
        let selecting = matches!(open, Open::Selecting(_));
        let dice = self.rng.random_range(0..100);
        let request_id = format!("act-{}", self.acts);
        let submits = if selecting { 45 } else { 5 };
        if dice < submits {
            return self.submit(open, request_id).await;
        }
        let Some(row) = self.pick() else { return Ok(()) };
        let (name, teacher) = (self.model.rows[row].name.clone(), self.model.rows[row].teacher);
        let yes = self.chance(80);
        let reason = "理由".to_owned();
        let dice = self.rng.random_range(0..100);
        let review = "/shixun.enrollment.v1.ReviewService";
        let (header, path, message, other, against) = match (dice, selecting) {
            (0..8, _) => {
                let bureau = self.chance(25);
                let request = enrollment::WithdrawSelectionRequest { name, reason, request_id };
                let other = enrollment::WithdrawSelectionRequest { reason: "别的".to_owned(), ..request.clone() };
                let header = if bureau { self.bureau.clone() } else { self.teachers[teacher].1.clone() };
                let path = "/shixun.enrollment.v1.SelectionService/WithdrawSelection".to_owned();
                (header, path, encode(&request), Some(encode(&other)), self.model.withdraw(row, bureau, open))
            }
            (8..20, _) => {
                let state = if yes { State::SchoolApproved } else { State::Submitted };
                let request = enrollment::CorrectSelectionRequest { name, state: state.into(), reason, request_id };
                let other = enrollment::CorrectSelectionRequest { reason: "别的".to_owned(), ..request.clone() };
                let path = format!("{review}/CorrectSelection");
                (
                    self.bureau.clone(),
                    path,
                    encode(&request),
                    Some(encode(&other)),
                    self.model.correct(row, state, open),
                )
            }
            (20..28, true) => {
                let request = enrollment::ReopenReviewRequest { name, reason, request_id };
                let other = enrollment::ReopenReviewRequest { reason: "别的".to_owned(), ..request.clone() };
                let (header, path) = (self.schools[teacher].clone(), format!("{review}/ReopenReview"));
                (header, path, encode(&request), Some(encode(&other)), self.model.reopen(row, open))
            }
            (28..95, true) | (20..24, false) => {
                let decisions = vec![enrollment::Decision { selection: name, approved: yes, reason }];
                let parent = self.stage.term.clone();
                let request = enrollment::ReviewSelectionsRequest { parent, decisions, request_id };
                let (header, path) = (self.schools[teacher].clone(), format!("{review}/ReviewSelections"));
                (header, path, encode(&request), None, self.model.review(row, yes, open))
            }
            _ => {
                let (verdict, to) = match self.rng.random_range(0..10) {
                    0..5 => (Verdict::Confirm, State::Confirmed),
                    5..7 => (Verdict::Decline, State::Declined),
                    _ => (Verdict::Waitlist, State::Waitlisted),
                };
                let project = self.model.rows[row].project;
                let class = String::new();
                let decision = enrollment::ProviderDecision { selection: name, verdict: verdict.into(), reason, class };
                let (parent, decisions) = (self.projects[project].clone(), vec![decision]);
                let request = enrollment::DecideSelectionsRequest { parent, decisions, request_id };
                let path = "/shixun.enrollment.v1.ConfirmationService/DecideSelections".to_owned();
                (self.providers[project].clone(), path, encode(&request), None, self.model.decide(row, to, open))
            }
        };
        let was = self.model.rows[row].clone();
        let outcome = self.twice("enrollment", &header, &path, message, other).await?;
        agree(&outcome, &against, &format!("{path} in {open:?}, the model then says {was:?}"))
    }

    async fn submit(&mut self, open: Open, request_id: String) -> anyhow::Result<()> {
        let teacher = self.rng.random_range(0..TEACHERS);
        let project = self.rng.random_range(0..OFFERS.len());
        let against = self.model.against(teacher, project, open);
        let (name, header) = self.teachers[teacher].clone();
        let (parent, chosen) = (self.stage.term.clone(), self.projects[project].clone());
        let request =
            enrollment::SubmitSelectionRequest { parent, project: chosen, teacher: String::new(), request_id };
        let other = enrollment::SubmitSelectionRequest { teacher: name, ..request.clone() };
        let path = "/shixun.enrollment.v1.SelectionService/SubmitSelection";
        let outcome = self.twice("enrollment", &header, path, encode(&request), Some(encode(&other))).await?;
        agree(&outcome, &against, &format!("teacher {teacher} submits project {project} in {open:?}"))?;
        if let (true, Open::Selecting(round)) = (against.is_empty(), open) {
            let reply =
                enrollment::SubmitSelectionResponse::decode(outcome.reply)?.selection.context("no selection")?;
            let at = reply.submitted_at.as_ref().map_or(0, proto::instant);
            self.model.submit(reply.name, at, teacher, project, round);
        }
        Ok(())
    }

    /// A teacher with something selected retires; the enrollment learns of it.
    async fn leave(&mut self) -> anyhow::Result<()> {
        let live: Vec<usize> = self.model.rows.iter().filter(|row| lives(row.state)).map(|row| row.teacher).collect();
        let (teacher, request_id) = (live[self.rng.random_range(0..live.len())], format!("leave-{}", self.acts));
        let now = self.stage.world.system.status("roster").await?.now.as_ref().map_or(0, proto::instant);
        let today = proto::jiff_instant(now).to_zoned_datetime(self.stage.folder.zone.clone()).date();
        let event = roster::StatusEvent {
            kind: roster::status_event::Kind::Retirement.into(),
            effective_on: Some(today.into()),
            reason: "age".to_owned(),
            ..Default::default()
        };
        let name = self.teachers[teacher].0.clone();
        let request = roster::RecordStatusEventRequest { teacher: name, event: Some(event), request_id };
        let path = "/shixun.roster.v1.TeacherService/RecordStatusEvent";
        let bureau = self.bureau.clone();
        let outcome = self.twice("roster", &bureau, path, encode(&request), None).await?;
        agree(&outcome, &Against::new(), "a teacher retires")?;
        self.stage.world.system.catch_up().await?;
        self.model.leave(teacher);
        Ok(())
    }

    async fn selections(&self) -> anyhow::Result<BTreeMap<String, State>> {
        let (mut found, mut page_token) = (BTreeMap::new(), String::new());
        loop {
            let (parent, page_size) = (self.stage.term.clone(), 500);
            let request = enrollment::ListSelectionsRequest { parent, page_size, page_token, ..Default::default() };
            let path = "/shixun.enrollment.v1.SelectionService/ListSelections";
            let reply: enrollment::ListSelectionsResponse = self.must(&self.bureau, path, encode(&request)).await?;
            found.extend(reply.selections.into_iter().map(|one| (one.name.clone(), one.state())));
            page_token = reply.next_page_token;
            if page_token.is_empty() {
                return Ok(found);
            }
        }
    }

    /// States and seats are those of the model, and nobody sits on another's seat.
    async fn compare(&self) -> anyhow::Result<()> {
        let found = self.selections().await?;
        for row in &self.model.rows {
            anyhow::ensure!(found.get(&row.name) == Some(&row.state), "{:?}, but {row:?}", found.get(&row.name));
        }
        anyhow::ensure!(
            found.len() == self.model.rows.len(),
            "{} selections too many",
            found.len() - self.model.rows.len()
        );
        let (parent, page_size) = (self.stage.term.clone(), 500);
        let request = enrollment::ListSeatsRequest { parent, page_size, ..Default::default() };
        let path = "/shixun.enrollment.v1.SelectionService/ListSeats";
        let reply: enrollment::ListSeatsResponse = self.must(&self.bureau, path, encode(&request)).await?;
        for (project, name) in self.projects.iter().enumerate() {
            let seats = reply.seats.iter().find(|seats| seats.project == *name).context("a project without seats")?;
            let live = self.model.rows.iter().filter(|row| row.project == project && lives(row.state)).count();
            anyhow::ensure!((seats.held, seats.granted) == self.model.taken(project), "project {project}: {seats:?}");
            anyhow::ensure!(seats.capacity == self.model.offers[project].places, "project {project}: {seats:?}");
            anyhow::ensure!(seats.held + seats.granted <= seats.capacity, "oversold: {seats:?}");
            anyhow::ensure!(
                usize::try_from(seats.live_selections)? == live,
                "project {project}, {live} live: {seats:?}"
            );
        }
        Ok(())
    }

    async fn window(&mut self, at: &str, open: Open) -> anyhow::Result<()> {
        self.reach(at).await?;
        self.compare().await.with_context(|| format!("when {open:?} opened"))?;
        for n in 0..ACTS {
            self.act(open).await?;
            if n == ACTS / 2 {
                self.leave().await?;
            }
            if n % 25 == 24 {
                self.compare().await.with_context(|| format!("after {} acts", self.acts))?;
            }
        }
        self.compare().await
    }
}

/// The system and the model agree on why not.
fn agree(outcome: &Outcome, against: &Against, what: &str) -> anyhow::Result<()> {
    let shut = ["REASON_WINDOW_SETTLED", "REASON_WINDOW_NOT_READY"];
    let name = |reason: &String| {
        if shut.contains(&reason.as_str()) { "REASON_WINDOW_CLOSED".to_owned() } else { reason.clone() }
    };
    let found: BTreeSet<String> = outcome.reasons.iter().map(name).collect();
    let meant: BTreeSet<String> = against.iter().map(|reason| reason.as_str_name().to_owned()).collect();
    anyhow::ensure!(found == meant, "{what}: {outcome:?}, the model refuses for {meant:?}");
    anyhow::ensure!(against.is_empty() == (outcome.code == tonic::Code::Ok), "{what}: {outcome:?}");
    Ok(())
}

/// A line of the reference ledger.
#[derive(Debug, Clone)]
struct Line {
    name: String,
    kind: Kind,
    source: String,
    awarded: i64,
    reversed: bool,
}

impl Play {
    /// What the model says is confirmed trains, with results, and becomes credit: once each.
    async fn train(&mut self, books: &mut BTreeMap<usize, Vec<Line>>) -> anyhow::Result<()> {
        let path = |name: &str| format!("/shixun.enrollment.v1.TrainingService/{name}");
        for (project, (_, intensive, ..)) in OFFERS.into_iter().enumerate() {
            let rows: Vec<usize> = (0..self.model.rows.len())
                .filter(|row| {
                    self.model.rows[*row].project == project && self.model.rows[*row].state == State::Confirmed
                })
                .collect();
            if rows.is_empty() {
                continue;
            }
            let (class, header) = (self.classes[project].clone(), self.providers[project].clone());
            let attend = |row: &usize| enrollment::Attendance {
                selection: self.model.rows[*row].name.clone(),
                sessions_attended: 1,
            };
            let attendance = rows.iter().map(attend).collect();
            let request_id = format!("train-{project}");
            let request = enrollment::RecordAttendanceRequest {
                class: class.clone(),
                attendance,
                request_id: request_id.clone(),
            };
            let outcome = self.twice("", &header, &path("RecordAttendance"), encode(&request), None).await?;
            agree(&outcome, &Against::new(), "attendance")?;
            let mut results = Vec::new();
            for row in &rows {
                let passed = self.chance(80);
                let coefficient_percent = if self.chance(50) { 100 } else { 80 };
                let one = &mut self.model.rows[*row];
                one.state = if passed { State::Credited } else { State::Failed };
                let selection = one.name.clone();
                if passed {
                    let base = if intensive { 9_000 } else { 2_000 };
                    let awarded = base * i64::from(coefficient_percent) / 100;
                    let line = Line {
                        name: String::new(),
                        kind: Kind::Project,
                        source: selection.clone(),
                        awarded,
                        reversed: false,
                    };
                    books.entry(one.teacher).or_default().push(line);
                }
                results.push(enrollment::Result { selection, passed, coefficient_percent });
            }
            let request =
                enrollment::RecordResultsRequest { class: class.clone(), results, request_id: request_id.clone() };
            let outcome = self.twice("", &header, &path("RecordResults"), encode(&request), None).await?;
            agree(&outcome, &Against::new(), "results")?;
            let request = enrollment::ConfirmResultsRequest { class, request_id };
            let _: enrollment::ConfirmResultsResponse =
                self.must(&header, &path("ConfirmResults"), encode(&request)).await?;
            let _: enrollment::ConfirmResultsResponse =
                self.must(&header, &path("ConfirmResults"), encode(&request)).await?;
        }
        Ok(())
    }

    /// Waits until what was passed is credit.
    async fn credited(&self) -> anyhow::Result<()> {
        for _ in 0..600 {
            let found = self.selections().await?;
            if self.model.rows.iter().all(|row| found.get(&row.name) == Some(&row.state)) {
                return Ok(());
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        anyhow::bail!("the results do not become credit")
    }

    /// Random entries by hand: once for each source, undone at most once.
    async fn enter(&mut self, books: &mut BTreeMap<usize, Vec<Line>>) -> anyhow::Result<()> {
        let teacher = self.rng.random_range(0..8);
        let (name, request_id) = (self.teachers[teacher].0.clone(), format!("entry-{}", self.acts));
        let lines = books.entry(teacher).or_default();
        let effective_on = Some(proto::google::r#type::Date { year: 2019, month: 10, day: 1 });
        let amount: i64 = 100 * self.rng.random_range(1..=30);
        let (awarded, source) = (Some(Credit { hundredths: amount }), format!("doc-{}", self.rng.random_range(0..6)));
        let by_hand: Vec<usize> = (0..lines.len()).filter(|line| lines[*line].kind != Kind::Project).collect();
        let once = |kind: Kind| {
            let taken = lines.iter().any(|line| line.kind == kind && line.source == source && !line.reversed);
            if taken { Against::from([Reason::AlreadyExists]) } else { Against::new() }
        };
        let bureau = self.bureau.clone();
        let path = |name: &str| format!("/shixun.credit.v1.LedgerService/{name}");
        let dice = self.rng.random_range(0..10);
        if dice < 4 && !by_hand.is_empty() {
            let line = by_hand[self.rng.random_range(0..by_hand.len())];
            let against = match &lines[line] {
                Line { kind: Kind::Reversal, .. } => Against::from([Reason::StateConflict]),
                Line { reversed: true, .. } => Against::from([Reason::AlreadyReversed]),
                _ => Against::new(),
            };
            let (undone, undo) = (lines[line].name.clone(), -lines[line].awarded);
            let request = credit::ReverseEntryRequest { name: undone.clone(), reason: "有误".to_owned(), request_id };
            let other = credit::ReverseEntryRequest { reason: "别的".to_owned(), ..request.clone() };
            let outcome =
                self.twice("credit", &bureau, &path("ReverseEntry"), encode(&request), Some(encode(&other))).await?;
            agree(&outcome, &against, "an entry is reversed")?;
            if against.is_empty() {
                let entry = credit::ReverseEntryResponse::decode(outcome.reply)?.entry.context("no entry")?;
                lines[line].reversed = true;
                lines.push(Line {
                    name: entry.name,
                    kind: Kind::Reversal,
                    source: undone,
                    awarded: undo,
                    reversed: false,
                });
            }
            return Ok(());
        }
        let (kind, outcome, against) = if dice < 7 {
            let against = once(Kind::OpeningBalance);
            let request = credit::OpenBalanceRequest {
                teacher: name,
                base: awarded,
                awarded,
                effective_on,
                intensive: false,
                evidence: source.clone(),
                request_id,
            };
            let other = credit::OpenBalanceRequest { evidence: "别的".to_owned(), ..request.clone() };
            let path = path("OpenBalance");
            let outcome = self.twice("credit", &bureau, &path, encode(&request), Some(encode(&other))).await?;
            (Kind::OpeningBalance, outcome, against)
        } else {
            let against = once(Kind::SchoolBased);
            let request = credit::RecordSchoolBasedRequest {
                teacher: name,
                awarded,
                effective_on,
                source: source.clone(),
                request_id,
            };
            let other = credit::RecordSchoolBasedRequest { source: "别的".to_owned(), ..request.clone() };
            let path = path("RecordSchoolBased");
            let outcome = self.twice("credit", &bureau, &path, encode(&request), Some(encode(&other))).await?;
            (Kind::SchoolBased, outcome, against)
        };
        agree(&outcome, &against, "an entry by hand")?;
        if against.is_empty() {
            // Both replies carry one entry in field 1.
            let entry = credit::OpenBalanceResponse::decode(outcome.reply)?.entry.context("no entry")?;
            lines.push(Line { name: entry.name, kind, source, awarded: amount, reversed: false });
        }
        Ok(())
    }

    /// The ledger's sums are the reference's, for everybody.
    async fn balance(&self, books: &BTreeMap<usize, Vec<Line>>) -> anyhow::Result<()> {
        for (teacher, (name, _)) in self.teachers.iter().enumerate() {
            let lines = books.get(&teacher).map_or(&[][..], Vec::as_slice);
            let on = Some(proto::google::r#type::Date { year: 2019, month: 12, day: 31 });
            let request = credit::GetStatementRequest { teacher: name.clone(), on, recorded_by: None };
            let path = "/shixun.credit.v1.LedgerService/GetStatement";
            let reply: credit::GetStatementResponse = self.must(&self.bureau, path, encode(&request)).await?;
            let statement = reply.statement.context("no statement")?;
            let hundredths = |credit: Option<Credit>| credit.unwrap_or_default().hundredths;
            let mut found: Vec<_> = statement
                .entries
                .iter()
                .map(|entry| (entry.kind(), hundredths(entry.awarded), !entry.reversed_by.is_empty()))
                .collect();
            let mut meant: Vec<_> = lines.iter().map(|line| (line.kind, line.awarded, line.reversed)).collect();
            found.sort();
            meant.sort();
            anyhow::ensure!(found == meant, "teacher {teacher}: {found:?}, the model has {meant:?}");
            let sum = |kinds: &[Kind]| -> i64 {
                lines.iter().filter(|line| kinds.contains(&line.kind) && !line.reversed).map(|line| line.awarded).sum()
            };
            let school = sum(&[Kind::SchoolBased]);
            let total = sum(&[Kind::OpeningBalance, Kind::Project]) + school.min(12_000);
            let counted = hundredths(statement.cycle_awarded);
            anyhow::ensure!(counted == total, "teacher {teacher} has {counted}, the model {total}");
            let rest = hundredths(statement.school_based_not_counted);
            anyhow::ensure!(rest == (school - 12_000).max(0), "teacher {teacher}: {rest} of {school} do not count");
        }
        Ok(())
    }

    /// Each step of the pure plan that is due was done, exactly once; nothing else was but what classes and versions bring.
    async fn steps(&self, classes: usize) -> anyhow::Result<()> {
        let now = self.stage.world.system.status("gateway").await?.now.as_ref().map_or(0, proto::instant);
        let request = gateway::GetCalendarRequest { name: format!("{}/calendar", self.stage.term), version: 0 };
        let path = "/shixun.gateway.v1.CalendarService/GetCalendar";
        let reply: gateway::GetCalendarResponse = self.must(&self.bureau, path, encode(&request)).await?;
        let gates = common::Gates {
            term: self.stage.term.clone(),
            version: 1,
            zone: "Asia/Shanghai".to_owned(),
            windows: reply.calendar.context("no calendar")?.windows,
            ..Default::default()
        };
        let planned =
            ::gateway::sequencer::plan(&gates, &BTreeSet::from([1]), &::gateway::sequencer::Gated::by_contract());
        let mut done: BTreeMap<String, usize> = BTreeMap::new();
        for (service, change) in self.stage.world.system.all_changes().await? {
            let is_step = change.after.as_ref().is_some_and(|after| after.type_url.ends_with("gateway.v1.Step"));
            if service == "gateway" && is_step && change.verb == "done" {
                *done.entry(change.resource).or_default() += 1;
            }
        }
        for step in &planned {
            let count = done.remove(&step.name).unwrap_or_default();
            anyhow::ensure!(count == usize::from(step.due <= now), "{} was done {count} times", step.title);
        }
        let version = ::gateway::sequencer::calendar_steps(&self.stage.term, 1, 0).len();
        let class = ::gateway::sequencer::recognition_steps(&self.stage.term, "class", 1, 0).len();
        anyhow::ensure!(done.len() == version + classes * class, "{} other steps: {:?}", done.len(), done.keys());
        anyhow::ensure!(done.values().all(|count| *count == 1), "done more than once: {done:?}");
        Ok(())
    }

    /// The services' side of the sequencer: a step that comes again by its id changes nothing.
    async fn repeat_steps(&mut self) -> anyhow::Result<()> {
        let edges = [
            (common::Action::ExpireUnreviewed, "school-review-1", 1),
            (common::Action::ExpireUnreviewed, "school-review-2", 2),
            (common::Action::SettleConfirmation, "provider-confirmation-1", 1),
            (common::Action::SettleConfirmation, "provider-confirmation-2", 2),
            (common::Action::FreezeWaiting, "provider-confirmation-2", 2),
        ];
        let patience = std::time::Duration::from_secs(10);
        let peer = self.stage.world.peer("gateway", "enrollment")?;
        for (action, window, round) in edges {
            let settle = common::SettleWindowRequest {
                term: self.stage.term.clone(),
                window: window.to_owned(),
                gate_version: 1,
            };
            let mut client = GateServiceClient::new(peer.clone());
            let first = client.settle_window(within(patience, settle.clone())).await?.into_inner();
            let again = client.settle_window(within(patience, settle)).await?.into_inner();
            anyhow::ensure!(first == again, "{window} settled twice: {first:?}, {again:?}");
            let step = common::RunStepRequest {
                term: self.stage.term.clone(),
                action: action.into(),
                window: window.to_owned(),
                round,
                due: Some(proto::timestamp("2019-09-23T00:00:00Z".parse::<jiff::Timestamp>()?.as_microsecond())),
                gate_version: 1,
                page: 0,
                subject: String::new(),
                request_id: format!("again-{window}-{}", action.as_str_name()),
            };
            let mut client = StepServiceClient::new(peer.clone());
            let first = client.run_step(within(patience, step.clone())).await?.into_inner();
            // By another id it finds only what was put right since.
            match action {
                common::Action::ExpireUnreviewed => self.model.expire(round),
                common::Action::SettleConfirmation => self.model.settle(round),
                _ => self.model.freeze(),
            }
            self.compare().await.with_context(|| format!("{action:?} once more"))?;
            let head = self.head("enrollment").await?;
            let again = client.run_step(within(patience, step)).await?.into_inner();
            anyhow::ensure!(first == again && head == self.head("enrollment").await?, "{first:?}, again {again:?}");
        }
        self.compare().await
    }
}

async fn history(engine: &str) -> anyhow::Result<()> {
    let mut play = Play::set(engine).await?;
    play.window("2019-09-02T01:00:00Z", Open::Selecting(1)).await?;
    play.model.expire(1);
    play.window("2019-09-13T01:00:00Z", Open::Confirming(1)).await?;
    play.model.settle(1);
    play.window("2019-09-15T01:00:00Z", Open::Selecting(2)).await?;
    play.model.expire(2);
    play.window("2019-09-19T01:00:00Z", Open::Confirming(2)).await?;
    play.model.settle(2);
    play.model.freeze();
    play.reach("2019-09-23T01:00:00Z").await?;
    play.compare().await.context("when all was settled")?;
    play.repeat_steps().await?;

    play.reach("2019-10-20T01:00:00Z").await?;
    let mut books = BTreeMap::new();
    play.train(&mut books).await?;
    play.reach("2019-10-20T01:00:01Z").await?;
    play.credited().await?;
    play.reach("2019-10-20T01:00:02Z").await?;
    play.balance(&books).await?;
    for _ in 0..ENTRIES {
        play.enter(&mut books).await?;
    }
    play.balance(&books).await?;
    let trained: BTreeSet<usize> = play
        .model
        .rows
        .iter()
        .filter(|row| matches!(row.state, State::Credited | State::Failed))
        .map(|row| row.project)
        .collect();
    play.steps(trained.len()).await?;

    assert!(play.acts > 600 && play.calls > 1200, "only {} acts", play.acts);
    let reached: BTreeSet<State> = play.model.rows.iter().map(|row| row.state).collect();
    for state in [State::Credited, State::Expired, State::Withdrawn, State::Declined, State::Cancelled] {
        assert!(reached.contains(&state), "no history leads to {state:?}");
    }
    play.stage.world.verify().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_system_does_as_the_model_says_on_sqlite() -> anyhow::Result<()> {
    history("sqlite").await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_system_does_as_the_model_says_on_postgres() -> anyhow::Result<()> {
    history("postgres").await
}
