//! Under which policy, and in which zone, something is decided.

use std::{borrow::Borrow, sync::Arc};

use chassis::{Failure, db::Tx, gates::TermGates};
use jiff::{civil::Date, tz::TimeZone};
use proto::common::v1::{Phase, Reason};
use sha2::{Digest as _, Sha256};

use crate::{
    domain::policy::Policy,
    store::policies::{self, Version},
};

/// The policy in force, its version, and the zone of its term. Before any term there are the defaults, version 0, in UTC.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The policy.
    pub policy: Arc<Policy>,
    /// Its version within the term.
    pub version: i64,
    zone: TimeZone,
}

impl Rules {
    /// Of the gates that a reader or a transaction found.
    ///
    /// # Errors
    /// Internal, if the policy cannot be read.
    pub fn of<G: Borrow<Arc<TermGates>>>(gates: Result<G, Failure>) -> Result<Self, Failure> {
        match gates {
            Ok(gates) => {
                let gates = gates.borrow();
                Ok(Self { policy: gates.policy()?, version: gates.policy_version(), zone: gates.zone().clone() })
            }
            Err(failure) if failure.reason() == Some(Reason::TermUnknown) => {
                Ok(Self { policy: Arc::default(), version: 0, zone: TimeZone::UTC })
            }
            Err(failure) => Err(failure),
        }
    }

    /// Of a writing transaction, which notes the version under which it decides.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn on(tx: &mut Tx) -> Result<Self, Failure> {
        let gates = tx.gates();
        if let Ok(gates) = &gates {
            note(tx, gates).await?;
        }
        Self::of(gates)
    }

    /// Of a mirror's transaction, which stands under no term: those of the term that ends last.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn of_mirror(tx: &mut Tx) -> Result<Self, Failure> {
        let mut newest: Option<Arc<TermGates>> = None;
        for term in policies::terms(tx).await? {
            let gates = tx.gates_of(&term).await?;
            if newest.as_ref().is_none_or(|newest| last_opening(newest) <= last_opening(&gates)) {
                newest = Some(gates);
            }
        }
        Self::of(newest.ok_or_else(|| Failure::new(Reason::TermUnknown)))
    }

    /// The civil day of an instant, in the term's zone.
    #[must_use]
    pub fn day(&self, at: i64) -> Date {
        proto::jiff_instant(at).to_zoned_datetime(self.zone.clone()).date()
    }
}

fn last_opening(gates: &TermGates) -> Option<i64> {
    gates.windows().iter().filter_map(|window| window.opens.as_ref().map(proto::instant)).max()
}

async fn note(tx: &mut Tx, gates: &TermGates) -> Result<(), Failure> {
    let version = Version {
        term: gates.term().to_owned(),
        version: gates.policy_version(),
        digest: Sha256::digest(gates.policy_document()).to_vec(),
        in_force_from: tx.at(),
    };
    policies::note(tx, &version, &training_years(gates)).await
}

/// The calendar years that a term trains in; of a term without training, those of all its windows.
#[must_use]
pub fn training_years(gates: &TermGates) -> Vec<i16> {
    let years = |training: bool| {
        let edges = gates.windows().iter().filter(|window| !training || window.phase() == Phase::Training);
        let edges = edges.filter_map(|window| {
            let (opens, closes) = (window.opens.as_ref()?, window.closes.as_ref()?);
            // A window closes before the midnight that it names.
            Some((gates.day(proto::instant(opens)), gates.day(proto::instant(closes).saturating_sub(1))))
        });
        let edges: Vec<_> = edges.collect();
        let first = edges.iter().map(|(opens, _)| opens.year()).min();
        let last = edges.iter().map(|(_, closes)| closes.year()).max();
        first.zip(last)
    };
    years(true).or_else(|| years(false)).map(|(first, last)| (first..=last).collect()).unwrap_or_default()
}
