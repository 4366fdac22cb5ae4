//! `LedgerService`: statements, and entries by hand.

use chassis::{
    Call, Failure, Faults, Page, answer,
    db::{Reader, Rows, Scope, Tx},
};
use jiff::civil::Date;
use proto::{
    Credit, Held,
    common::v1::Reason,
    credit::v1::{
        Entry as Line, GetStatementRequest, GetStatementResponse, ListEntriesRequest, ListEntriesResponse,
        OpenBalanceRequest, OpenBalanceResponse, RecordSchoolBasedRequest, RecordSchoolBasedResponse,
        ReverseEntryRequest, ReverseEntryResponse, Statement, ledger_service_server::LedgerService,
    },
};
use tonic::{Request, Response, Status};

use super::{Api, day, scope};
use crate::{
    books::{Book, Books, read},
    domain::{
        entry::{Entry, Kind},
        policy::Policy,
        shortfall,
        statement::draw_up,
        teacher::Teacher,
    },
    rules::Rules,
    store::{
        entries,
        teachers::{self, Kept},
    },
    wire,
};

/// No single entry is larger: a slip of the pen.
const MOST: Credit = Credit::whole(10_000);
/// Longest text that a person gives, in bytes.
const LONGEST: usize = 600;

#[tonic::async_trait]
impl LedgerService for Api {
    async fn get_statement(
        &self,
        request: Request<GetStatementRequest>,
    ) -> Result<Response<GetStatementResponse>, Status> {
        answer(request, |call| statement(self, call)).await
    }

    async fn list_entries(
        &self,
        request: Request<ListEntriesRequest>,
    ) -> Result<Response<ListEntriesResponse>, Status> {
        answer(request, |call| list(self, call)).await
    }

    async fn open_balance(
        &self,
        request: Request<OpenBalanceRequest>,
    ) -> Result<Response<OpenBalanceResponse>, Status> {
        answer(request, |call| open_balance(self, call)).await
    }

    async fn record_school_based(
        &self,
        request: Request<RecordSchoolBasedRequest>,
    ) -> Result<Response<RecordSchoolBasedResponse>, Status> {
        answer(request, |call| record_school_based(self, call)).await
    }

    async fn reverse_entry(
        &self,
        request: Request<ReverseEntryRequest>,
    ) -> Result<Response<ReverseEntryResponse>, Status> {
        answer(request, |call| reverse(self, call)).await
    }
}

pub(crate) async fn statement(api: &Api, call: Call<GetStatementRequest>) -> Result<GetStatementResponse, Failure> {
    let mut db = api.db.read(&call, Scope::AnyTerm).await?;
    let request = call.message;
    let mut faults = Faults::new();
    let on = day(&mut faults, "on", request.on);
    faults.check()?;
    let rules = Rules::of(db.gates())?;
    let on = on.unwrap_or_else(|| rules.day(db.at()));
    let recorded_by = request.recorded_by.as_ref().map_or(i64::MAX, proto::instant);
    let book = book(&mut db, &request.teacher, recorded_by).await?;
    scope::over_teacher(db.actor(), &book.kept)?;
    Ok(GetStatementResponse { statement: Some(drawn_up(&book, on, &rules)) })
}

/// A book's statement as of a day.
pub(super) fn drawn_up(book: &Book, on: Date, rules: &Rules) -> Statement {
    let drawn_up = draw_up(&book.kept.teacher, &book.entries, on, &rules.policy);
    let short = shortfall::of_teacher(&drawn_up.requirements, &rules.policy);
    Statement {
        teacher: book.kept.teacher.name.clone(),
        on: Some(on.into()),
        cycle: drawn_up.cycle.map_or(0, |cycle| i32::try_from(cycle.ordinal).unwrap_or(i32::MAX)),
        cycle_starts_on: drawn_up.cycle.map(|cycle| cycle.first_on.into()),
        cycle_ends_on: drawn_up.cycle.and_then(|cycle| cycle.ends_on()).map(Into::into),
        cycle_awarded: Some(drawn_up.cycle_awarded.into()),
        year_awarded: Some(drawn_up.year_awarded.into()),
        school_based_counted: Some(drawn_up.school_based_counted.into()),
        school_based_not_counted: Some(drawn_up.school_based_not_counted.into()),
        warnings: short.iter().map(|short| wire::warning(short, on.year().into())).collect(),
        requirements: drawn_up.requirements.iter().map(wire::requirement).collect(),
        entries: book.entries.iter().filter(|entry| entry.effective_on <= on).map(wire::entry).collect(),
    }
}

/// A teacher's book as it was known then.
pub(super) async fn book(db: &mut Reader, teacher: &str, recorded_by: i64) -> Result<Book, Failure> {
    let mut books = read(db, &Rows::texts([teacher]), recorded_by).await?;
    books.remove(teacher).ok_or_else(|| Failure::not_found(teacher))
}

pub(crate) async fn list(api: &Api, call: Call<ListEntriesRequest>) -> Result<ListEntriesResponse, Failure> {
    let mut db = api.db.read(&call, Scope::AnyTerm).await?;
    let request = call.message;
    let bound = ListEntriesRequest { page_size: 0, page_token: String::new(), ..request.clone() };
    let page = Page::read(request.page_size, &request.page_token, &bound)?;
    let kept = teachers::load(&mut db, &Rows::texts([&request.teacher])).await?.remove(&request.teacher);
    let kept = kept.ok_or_else(|| Failure::not_found(&request.teacher))?;
    scope::over_teacher(db.actor(), &kept)?;
    let after = page.after().split_once(' ').and_then(|(at, name)| Some((at.parse().ok()?, name)));
    let after = after.unwrap_or((i64::MIN, ""));
    let found = entries::page(&mut db, &request.teacher, after, page.ask()).await?;
    let recorded_at = |entry: &Line| entry.recorded_at.as_ref().map(proto::instant).unwrap_or_default();
    let key = |last: &Line| format!("{} {}", recorded_at(last), last.name);
    let (entries, next_page_token) = page.cut(found.iter().map(wire::entry).collect(), key);
    Ok(ListEntriesResponse { entries, next_page_token })
}

/// What a person enters by hand.
struct ByHand {
    teacher: String,
    kind: Kind,
    base: Credit,
    awarded: Credit,
    practice: Credit,
    effective_on: Option<Date>,
    intensive: bool,
    /// The field that names the source, and what it says.
    source: (&'static str, String),
}

pub(crate) async fn open_balance(api: &Api, call: Call<OpenBalanceRequest>) -> Result<OpenBalanceResponse, Failure> {
    let mut tx = api.db.begin(&call, Scope::AnyTerm).await?;
    let request = call.message;
    let mut faults = Faults::new();
    let by_hand = ByHand {
        teacher: request.teacher,
        kind: Kind::OpeningBalance,
        base: request.base.unwrap_or_default().into(),
        awarded: request.awarded.unwrap_or_default().into(),
        practice: request.practice.unwrap_or_default().into(),
        effective_on: day(&mut faults, "effective_on", request.effective_on),
        intensive: request.intensive,
        source: ("evidence", request.evidence),
    };
    let entry = enter(&mut tx, faults, by_hand).await?;
    tx.commit(OpenBalanceResponse { entry: Some(wire::entry(&entry)) }).await
}

pub(crate) async fn record_school_based(
    api: &Api,
    call: Call<RecordSchoolBasedRequest>,
) -> Result<RecordSchoolBasedResponse, Failure> {
    let mut tx = api.db.begin(&call, Scope::AnyTerm).await?;
    let request = call.message;
    let mut faults = Faults::new();
    let awarded = Credit::from(request.awarded.unwrap_or_default());
    let by_hand = ByHand {
        teacher: request.teacher,
        kind: Kind::SchoolBased,
        base: awarded,
        awarded,
        practice: request.practice.unwrap_or_default().into(),
        effective_on: day(&mut faults, "effective_on", request.effective_on),
        intensive: false,
        source: ("source", request.source),
    };
    let entry = enter(&mut tx, faults, by_hand).await?;
    tx.commit(RecordSchoolBasedResponse { entry: Some(wire::entry(&entry)) }).await
}

/// Enters by hand: within the caller's area, once for each source.
async fn enter(tx: &mut Tx, mut faults: Faults, by_hand: ByHand) -> Result<Entry, Failure> {
    let rules = Rules::on(tx).await?;
    let mut books = Books::open(tx, [by_hand.teacher.as_str()]).await?;
    let book = books.of(&by_hand.teacher)?;
    let held = scope::over_teacher(tx.actor(), &book.kept)?;
    not_erased(&book.kept)?;
    check(&mut faults, &by_hand, &rules, tx.at());
    faults.check()?;
    let effective_on = within_a_cycle(&book.kept.teacher, by_hand.effective_on, &rules.policy)?;
    let mut entry = Entry {
        name: String::new(),
        kind: by_hand.kind,
        base: by_hand.base,
        awarded: by_hand.awarded,
        practice: by_hand.practice,
        effective_on,
        recorded_at: tx.at(),
        source: by_hand.source.1,
        revision: 1,
        intensive: by_hand.intensive,
        restricted_elective: false,
        matched: false,
        project: String::new(),
        reverses: String::new(),
        reversed_by: String::new(),
        actor: tx.actor().acting_as(Some(&held)),
        reason: String::new(),
        reason_text: String::new(),
        policy_version: rules.version,
        school: book.kept.teacher.school_on(effective_on).to_owned(),
        teacher: by_hand.teacher,
    };
    let once = entry.once();
    let same: Vec<_> = book.entries.iter().filter(|other| other.kind == entry.kind && other.once() == once).collect();
    if let Some(live) = same.iter().find(|other| other.is_live()) {
        return Err(Failure::new(Reason::AlreadyExists).with("resource", &live.name));
    }
    // What was reversed may be entered again.
    entry.revision = same.iter().map(|other| other.revision).max().unwrap_or(0).saturating_add(1);
    entry.name = fresh_name(tx, &entry.teacher);
    books.enter(entry.clone())?;
    books.close(tx, &rules, Some(&held)).await?;
    Ok(entry)
}

/// Of who was erased nobody writes any more; what results were worth, the sequencer goes on to recognise.
fn not_erased(kept: &Kept) -> Result<(), Failure> {
    let name = &kept.teacher.name;
    if kept.erased { Err(Failure::new(Reason::PersonErased).with("resource", name)) } else { Ok(()) }
}

fn check(faults: &mut Faults, by_hand: &ByHand, rules: &Rules, at: i64) {
    let mut amount = |field: &str, amount: Credit| {
        if amount <= Credit::ZERO || amount > MOST {
            let (zh, en) = ("应大于 0，不超过 10000 学分", "must be above 0 and at most 10000 credits");
            faults.add(field, zh, en);
        }
    };
    if by_hand.kind == Kind::OpeningBalance {
        amount("base", by_hand.base);
    }
    amount("awarded", by_hand.awarded);
    if by_hand.practice < Credit::ZERO || by_hand.practice > by_hand.awarded {
        faults.add("practice", "应在 0 与认定学分之间", "must lie between 0 and what is awarded");
    }
    if by_hand.intensive && by_hand.base < rules.policy.intensive_base {
        let need = rules.policy.intensive_base.0 / 100;
        faults.add(
            "intensive",
            format!("集中培训的基础学分不低于 {need}"),
            format!("needs a base of at least {need} credits"),
        );
    }
    match by_hand.effective_on {
        None => faults.required("effective_on", ""),
        Some(day) if day > rules.day(at) => faults.add("effective_on", "不能晚于今天", "must not lie in the future"),
        Some(_) => {}
    }
    text(faults, by_hand.source.0, &by_hand.source.1);
}

fn text(faults: &mut Faults, field: &str, text: &str) {
    faults.required(field, text.trim());
    if text.len() > LONGEST {
        faults.add(field, format!("不超过 {LONGEST} 字节"), format!("at most {LONGEST} bytes"));
    }
}

/// Credit by hand belongs into a cycle: without a platform entry, or before it, there is none.
fn within_a_cycle(teacher: &Teacher, effective_on: Option<Date>, policy: &Policy) -> Result<Date, Failure> {
    let cycles = teacher.cycles(policy).ok_or_else(|| Failure::new(Reason::NoCycle).with("resource", &teacher.name))?;
    let mut faults = Faults::new();
    match effective_on {
        Some(day) if cycles.on(day).is_some() => return Ok(day),
        _ => faults.add("effective_on", "不能早于入平台日期", "must not lie before the entry into the platform"),
    }
    faults.check()?;
    Err(Failure::internal("a fault that was none"))
}

pub(crate) async fn reverse(api: &Api, call: Call<ReverseEntryRequest>) -> Result<ReverseEntryResponse, Failure> {
    let mut tx = api.db.begin(&call, Scope::AnyTerm).await?;
    let ReverseEntryRequest { name, reason, .. } = call.message;
    let mut faults = Faults::new();
    text(&mut faults, "reason", &reason);
    faults.check()?;
    let teacher = name.split_once("/entries/").map(|(teacher, _)| teacher).ok_or_else(|| Failure::not_found(&name))?;
    let rules = Rules::on(&mut tx).await?;
    let mut books = Books::open(&mut tx, [teacher]).await?;
    let book = books.of(teacher)?;
    let held = scope::over_teacher(tx.actor(), &book.kept)?;
    not_erased(&book.kept)?;
    let undone = book.entries.iter().find(|entry| entry.name == name).ok_or_else(|| Failure::not_found(&name))?;
    if undone.kind == Kind::Reversal {
        return Err(Failure::state(&name, "reversal", "reverse"));
    }
    let reversal = undo(&mut tx, undone, &held, "revoked", &rules);
    let reversal = Entry { reason_text: reason, ..reversal };
    books.enter(reversal.clone())?;
    books.close(&mut tx, &rules, Some(&held)).await?;
    tx.commit(ReverseEntryResponse { entry: Some(wire::entry(&reversal)) }).await
}

fn undo(tx: &mut Tx, undone: &Entry, held: &Held, reason: &str, rules: &Rules) -> Entry {
    let name = fresh_name(tx, &undone.teacher);
    undone.reversal(name, tx.at(), tx.actor().acting_as(Some(held)), reason, rules.version)
}

/// "teachers/…/entries/…"
pub(super) fn fresh_name(tx: &mut Tx, teacher: &str) -> String {
    format!("{teacher}/{}", tx.id("entries"))
}
