//! Gates and the fence: a term's windows as this database knows them, and whether a call falls into one.
//!
//! The fence is one row a term. Every writing transaction reads it shared and decides on the instant of admission; a
//! closing step takes it alone and marks the window settled, after which nothing of that window commits.

use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock, PoisonError},
    time::Duration,
};

use jiff::tz::TimeZone;
use prost::Message as _;
use proto::{
    Actor, Held,
    common::v1::{Gates, Phase, Reason, Role, Window, precondition::Condition},
};

use crate::{
    call::Admission,
    contract::Grant,
    db::{Db, Engine, Queries, Scope, Sql, Tx, args},
    failure::Failure,
    policy::Policy,
};

/// When to try again at a window that still waits: an opening's steps take seconds.
const WAITS: Duration = Duration::from_secs(5);

/// The gates of one term, as of one revision of its fence.
#[derive(Debug)]
pub struct TermGates {
    /// Without its windows.
    gates: Gates,
    /// Shared with every call that they let in.
    windows: Vec<Arc<Window>>,
    revision: i64,
    settled: BTreeSet<String>,
    zone: TimeZone,
    policy: OnceLock<Arc<dyn Any + Send + Sync>>,
}

impl TermGates {
    pub(crate) fn new(mut gates: Gates, settled: BTreeSet<String>, revision: i64) -> Result<Self, Failure> {
        let zone = TimeZone::get(&gates.zone).map_err(|error| Failure::internal(format!("zone: {error}")))?;
        let windows = std::mem::take(&mut gates.windows).into_iter().map(Arc::new).collect();
        Ok(Self { gates, windows, revision, settled, zone, policy: OnceLock::new() })
    }

    /// "terms/…"
    #[must_use]
    pub fn term(&self) -> &str {
        &self.gates.term
    }

    /// Version of the gates.
    #[must_use]
    pub fn version(&self) -> i64 {
        self.gates.version
    }

    /// Version of the policy.
    #[must_use]
    pub fn policy_version(&self) -> i64 {
        self.gates.policy_version
    }

    /// The policy document (TOML).
    #[must_use]
    pub fn policy_document(&self) -> &str {
        &self.gates.policy
    }

    /// The term's zone.
    #[must_use]
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// All windows of the term.
    #[must_use]
    pub fn windows(&self) -> &[Arc<Window>] {
        &self.windows
    }

    /// The ordinary window of a phase and round.
    #[must_use]
    pub fn ordinary(&self, phase: Phase, round: i32) -> Option<&Window> {
        let ordinary =
            |window: &&Arc<Window>| window.phase() == phase && window.round == round && window.organizations.is_empty();
        self.windows.iter().find(ordinary).map(Arc::as_ref)
    }

    /// Whether the closing step of a window has run here.
    #[must_use]
    pub fn is_settled(&self, window: &str) -> bool {
        self.settled.contains(window)
    }

    /// All settled windows.
    #[must_use]
    pub fn settled(&self) -> &BTreeSet<String> {
        &self.settled
    }

    /// The civil day of an instant in the term's zone.
    #[must_use]
    pub fn day(&self, at: i64) -> jiff::civil::Date {
        proto::jiff_instant(at).to_zoned_datetime(self.zone.clone()).date()
    }

    /// The policy, as the service reads it; parsed once.
    ///
    /// # Errors
    /// Internal, if the document that was checked when it was put can no longer be read.
    pub fn policy<P: Policy>(&self) -> Result<Arc<P>, Failure> {
        if let Some(known) = self.policy.get()
            && let Ok(policy) = Arc::clone(known).downcast::<P>()
        {
            return Ok(policy);
        }
        let table: toml::Table =
            self.gates.policy.parse().map_err(|error| Failure::internal(format!("policy document: {error}")))?;
        let policy = P::parse(&table).map_err(|faults| Failure::internal(format!("policy document: {faults:?}")))?;
        let policy = Arc::new(policy);
        // Another thread may have been first; both read the same document.
        let _ = self.policy.set(Arc::clone(&policy) as Arc<dyn Any + Send + Sync>);
        Ok(policy)
    }
}

/// Whether `at` lies in the window: opens ≤ at < closes.
#[must_use]
pub fn is_open(window: &Window, at: i64) -> bool {
    let edge = |edge: &Option<prost_types::Timestamp>| edge.as_ref().map(proto::instant);
    matches!((edge(&window.opens), edge(&window.closes)), (Some(opens), Some(closes)) if opens <= at && at < closes)
}

/// Whether a window lets a role in by its organisations. Who is over schools gets into every window of a round that is for
/// named ones: he may have to act in the place of one, and which it is the service asks on the row ([`Admitted::window`]).
#[must_use]
pub fn is_for(window: &Window, held: &Held) -> bool {
    let over = matches!(held.role, Role::BureauOfficer | Role::DistrictOfficer) && window.round > 0;
    window.organizations.is_empty() || over || window.organizations.contains(&held.organization)
}

/// A caller, and what lets him in.
#[derive(Debug, Clone)]
pub struct Admitted {
    /// With the roles that allow the call now.
    pub actor: Arc<Actor>,
    /// The open windows that it may use.
    pub windows: Vec<Arc<Window>>,
}

impl Admitted {
    /// The open window of `phase` and `round`, ordinary or for one of `organizations`.
    #[must_use]
    pub fn window(&self, phase: Phase, round: i32, organizations: &[String]) -> Option<&Arc<Window>> {
        self.windows.iter().find(|window| {
            window.phase() == phase
                && window.round == round
                && (window.organizations.is_empty()
                    || window.organizations.iter().any(|named| organizations.contains(named)))
        })
    }
}

/// Decides on a call: which of the caller's roles are allowed now, and through which windows.
///
/// # Errors
/// Why it is not: closed, settled, or not ready.
pub fn admit(
    admission: &Admission,
    gates: &[Arc<TermGates>],
    positions: &BTreeMap<String, i64>,
) -> Result<Admitted, Failure> {
    let Some(rule) = &admission.method.rule else {
        return Err(Failure::internal(format!("{} has no rule", admission.method.path)));
    };
    let mut roles: Vec<Held> = Vec::new();
    let mut windows: Vec<Arc<Window>> = Vec::new();
    let mut any = rule.public;
    let mut phases: Vec<Phase> = Vec::new();
    for grant in &rule.grants {
        let held = held_by(grant, &admission.actor);
        if held.is_empty() && !serves(grant, &admission.actor) {
            continue;
        }
        if grant.phases.contains(&Phase::Any) {
            any = true;
            roles.extend(held);
            continue;
        }
        phases.extend(&grant.phases);
        for term in gates {
            for window in term.windows() {
                if !grant.phases.contains(&window.phase()) || !usable(term, window, admission.at, positions) {
                    continue;
                }
                let through: Vec<_> = held.iter().filter(|held| is_for(window, held)).cloned().collect();
                if !through.is_empty() {
                    roles.extend(through);
                    windows.push(Arc::clone(window));
                }
            }
        }
    }
    if !any && windows.is_empty() {
        return Err(refusal(gates, admission.at, &phases, None, positions));
    }
    roles.sort();
    roles.dedup();
    windows.dedup_by(|a, b| a.id == b.id);
    let all = admission.actor.roles == roles;
    let actor = || Arc::new(Actor { roles, ..Actor::clone(&admission.actor) });
    Ok(Admitted { actor: if all { Arc::clone(&admission.actor) } else { actor() }, windows })
}

fn held_by(grant: &Grant, actor: &Actor) -> Vec<Held> {
    actor.roles.iter().filter(|held| grant.roles.contains(&held.role)).cloned().collect()
}

/// Whether the grant admits the calling service.
#[must_use]
pub fn serves(grant: &Grant, actor: &Actor) -> bool {
    !actor.service.is_empty()
        && grant.roles.contains(&Role::Service)
        && (grant.services.is_empty() || grant.services.contains(&actor.service))
}

/// Whether the window lets anybody in at `at`: it is open, not settled, and waits for nothing.
#[must_use]
pub fn usable(term: &TermGates, window: &Window, at: i64, positions: &BTreeMap<String, i64>) -> bool {
    is_open(window, at) && !term.is_settled(&window.id) && waits_for(term, window, positions).is_none()
}

/// What a window still waits for, if anything.
fn waits_for(term: &TermGates, window: &Window, positions: &BTreeMap<String, i64>) -> Option<String> {
    window.preconditions.iter().find_map(|precondition| match &precondition.condition {
        Some(Condition::SettledWindow(other)) => (!term.is_settled(other)).then(|| format!("settled({other})")),
        Some(Condition::Mirrored(mirror)) => {
            let reached = positions.get(&mirror.source).copied().unwrap_or_default();
            (reached < mirror.position).then(|| format!("mirrored({}, {})", mirror.source, mirror.position))
        }
        None => Some("an unknown precondition".to_owned()),
    })
}

/// Why no window of these phases lets a call in at `at`.
#[must_use]
pub fn refusal(
    gates: &[Arc<TermGates>],
    at: i64,
    phases: &[Phase],
    round: Option<i32>,
    positions: &BTreeMap<String, i64>,
) -> Failure {
    let of_phase =
        |window: &&Arc<Window>| phases.contains(&window.phase()) && round.is_none_or(|round| window.round == round);
    let names: Vec<_> = phases.iter().map(Phase::as_str_name).collect();
    for term in gates {
        for window in term.windows().iter().filter(of_phase).filter(|window| is_open(window, at)) {
            if term.is_settled(&window.id) {
                return Failure::new(Reason::WindowSettled).with("window", &window.id);
            }
            if let Some(waits_for) = waits_for(term, window, positions) {
                let failure = Failure::new(Reason::WindowNotReady).with("window", &window.id);
                return failure.with("waits_for", waits_for).retry_after(WAITS);
            }
        }
    }
    let next = gates
        .iter()
        .flat_map(|term| term.windows().iter().filter(of_phase).map(move |window| (term, window)))
        .filter_map(|(term, window)| window.opens.as_ref().map(|opens| (proto::instant(opens), term)))
        .filter(|(opens, _)| *opens > at)
        .min_by_key(|(opens, _)| *opens)
        .map_or_else(
            || "—".to_owned(),
            |(opens, term)| {
                proto::jiff_instant(opens).to_zoned_datetime(term.zone.clone()).strftime("%F %R %Z").to_string()
            },
        );
    Failure::new(Reason::WindowClosed).with("phase", names.join(", ")).with("opens", next)
}

const FENCE_SHARED: Sql = Sql {
    sqlite: "SELECT term, revision FROM fence WHERE term = $1 OR $1 = '' ORDER BY term",
    postgres: "SELECT term, revision FROM fence WHERE term = $1 OR $1 = '' ORDER BY term FOR SHARE",
};
const FENCE_ALONE: Sql = Sql {
    sqlite: "SELECT term, revision FROM fence WHERE term = $1 OR $1 = '' ORDER BY term",
    postgres: "SELECT term, revision FROM fence WHERE term = $1 OR $1 = '' ORDER BY term FOR UPDATE",
};
const FENCE_READ: &str = "SELECT term, revision FROM fence WHERE term = $1 OR $1 = '' ORDER BY term";

/// Queues for the fence: PostgreSQL lets those that share a row pass whoever waits for it alone, for ever under a rush; for
/// a table it keeps the order. Readers without a lock pass, and an embedded database has one writer anyhow.
pub(crate) async fn queue_for_fence(tx: &mut Tx) -> Result<(), Failure> {
    if tx.engine() == Engine::Postgres {
        tx.execute("LOCK TABLE fence IN EXCLUSIVE MODE", args![]).await?;
    }
    Ok(())
}

/// The gates of the scope's term (of no term: of all), under the fence's lock.
pub(crate) async fn load_on_fence(
    tx: &mut Tx,
    db: &Db,
    scope: Scope<'_>,
    alone: bool,
) -> Result<Vec<Arc<TermGates>>, Failure> {
    if alone {
        queue_for_fence(tx).await?;
    }
    load(tx, db, scope, if alone { FENCE_ALONE } else { FENCE_SHARED }).await
}

/// The same without a lock.
pub(crate) async fn load_for_reading(
    reader: &mut impl Queries,
    db: &Db,
    scope: Scope<'_>,
) -> Result<Vec<Arc<TermGates>>, Failure> {
    load(reader, db, scope, FENCE_READ.into()).await
}

async fn load(queries: &mut impl Queries, db: &Db, scope: Scope<'_>, sql: Sql) -> Result<Vec<Arc<TermGates>>, Failure> {
    if scope == Scope::Term("") {
        return Err(Failure::new(Reason::TermUnknown).with("term", ""));
    }
    let rows = queries.all(sql, args![scope.term()]).await?;
    if rows.is_empty() && scope != Scope::AnyTerm {
        return Err(Failure::new(Reason::TermUnknown).with("term", scope.term()));
    }
    let mut gates = Vec::with_capacity(rows.len());
    for row in &rows {
        let (term, revision) = (row.get::<String>("term")?, row.get::<i64>("revision")?);
        let known = db.inner().gates.read().unwrap_or_else(PoisonError::into_inner).get(&term).cloned();
        match known {
            Some(known) if known.revision == revision => gates.push(known),
            _ => gates.push(reload(queries, db, &term).await?),
        }
    }
    Ok(gates)
}

async fn reload(queries: &mut impl Queries, db: &Db, term: &str) -> Result<Arc<TermGates>, Failure> {
    let row = queries
        .one("SELECT revision, gates, settled FROM fence WHERE term = $1", args![term])
        .await?
        .ok_or_else(|| Failure::new(Reason::TermUnknown).with("term", term))?;
    let gates = Gates::decode(row.get::<Vec<u8>>("gates")?.as_slice()).map_err(Failure::internal)?;
    let settled = serde_json::from_str(&row.get::<String>("settled")?).map_err(Failure::internal)?;
    let gates = Arc::new(TermGates::new(gates, settled, row.get("revision")?)?);
    let mut cache = db.inner().gates.write().unwrap_or_else(PoisonError::into_inner);
    cache.insert(term.to_owned(), Arc::clone(&gates));
    Ok(gates)
}

/// Of several terms' gates, those with the policy that was put last.
pub(crate) fn newest_policy(gates: &[Arc<TermGates>]) -> Option<&Arc<TermGates>> {
    let latest_opening = |gates: &Arc<TermGates>| {
        gates.windows().iter().filter_map(|window| window.opens.as_ref().map(proto::instant)).max()
    };
    gates.iter().max_by_key(|gates| latest_opening(gates))
}

/// Positions of the mirrors, as far as any window asks for one. A mirror never goes back: what it was seen to have reached is
/// not asked for again.
pub(crate) async fn mirror_positions(
    queries: &mut impl Queries,
    db: &Db,
    gates: &[Arc<TermGates>],
) -> Result<BTreeMap<String, i64>, Failure> {
    let asked = || {
        let windows = gates.iter().flat_map(|gates| gates.windows());
        windows.flat_map(|window| &window.preconditions).filter_map(|precondition| match &precondition.condition {
            Some(Condition::Mirrored(mirror)) => Some(mirror),
            _ => None,
        })
    };
    let seen = || db.inner().positions.lock().unwrap_or_else(PoisonError::into_inner);
    {
        let seen = seen();
        if asked().all(|mirror| seen.get(&mirror.source).is_some_and(|reached| *reached >= mirror.position)) {
            return Ok(seen.clone());
        }
    }
    let found = all_positions(queries).await?;
    for (source, reached) in &found {
        seen().entry(source.clone()).and_modify(|seen| *seen = (*seen).max(*reached)).or_insert(*reached);
    }
    Ok(found)
}

/// How far each source is mirrored: whole batches only.
pub(crate) async fn all_positions(queries: &mut impl Queries) -> Result<BTreeMap<String, i64>, Failure> {
    let rows = queries.all("SELECT source, position, finished FROM mirror_cursor ORDER BY source", args![]).await?;
    rows.iter()
        .map(|row| {
            let position = row.get::<i64>("position")?;
            let finished = row.get::<i64>("finished")? == 1;
            Ok((row.get("source")?, if finished { position } else { position - 1 }))
        })
        .collect()
}
