//! What everyone does when the window opens, as requests made beforehand, and what they may be answered.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use proto::{
    common::v1::Reason,
    enrollment::v1::{
        CheckEligibilityRequest, CheckEligibilityResponse, SubmitSelectionRequest, SubmitSelectionResponse,
    },
};
use rand::{RngExt as _, SeedableRng as _, seq::SliceRandom as _};
use rand_chacha::ChaCha12Rng;
use tonic_types::StatusExt as _;

use crate::{
    drive::{Answer, Client, Shot},
    peer::Aim,
    table::Goal,
    town::{EACH, Lot, Teacher, Town},
    verify::Found,
    zipf::Zipf,
};

/// `SubmitSelection`
pub const SUBMIT: &str = "shixun.enrollment.v1.SelectionService/SubmitSelection";
/// `CheckEligibility`
const CHECK: &str = "shixun.enrollment.v1.SelectionService/CheckEligibility";
/// Callers that ask before the window opens.
const EARLY: usize = 64;

/// What everyone submits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// One project after the other, everyone each of them.
    Hot,
    /// The same, with places for five of six.
    Short,
    /// Three of 500, the popular ones more often; a seat is held.
    Spread,
    /// The same in a round without upper limit.
    Uncapped,
    /// Projects that are full.
    Full,
}

impl Work {
    /// As its case is called.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hot => "rush-hot",
            Self::Short => "rush-short",
            Self::Spread => "rush-spread",
            Self::Uncapped => "rush-uncapped",
            Self::Full => "refuse",
        }
    }

    /// What the peer does.
    #[must_use]
    pub const fn aim(self) -> Aim {
        match self {
            Self::Hot | Self::Short => Aim::One,
            Self::Spread => Aim::Spread,
            Self::Uncapped => Aim::Uncapped,
            Self::Full => Aim::Full,
        }
    }

    /// What ours should be to pgbench.
    #[must_use]
    pub const fn goal(self) -> Goal {
        match self {
            Self::Hot | Self::Short => Goal::AtLeast(10.0),
            Self::Spread | Self::Uncapped => Goal::AtLeast(1.5),
            Self::Full => Goal::AtLeast(1.0),
        }
    }

    const fn lot(self) -> Lot {
        match self {
            Self::Hot => Lot::Hot,
            Self::Short => Lot::Short,
            Self::Spread => Lot::Spread,
            Self::Uncapped => Lot::Uncapped,
            Self::Full => Lot::Full,
        }
    }

    /// The requests of a run, in volleys that are sent one after the other: everyone's first, then everyone's second.
    ///
    /// # Errors
    /// If the town has too few projects.
    pub fn volleys(self, town: &Town, gateway: SocketAddr) -> anyhow::Result<Vec<Arc<Vec<Shot>>>> {
        let mut rng = ChaCha12Rng::seed_from_u64(1);
        let projects = town.projects(self.lot());
        let zipf = Zipf::new(projects.len());
        let mut wishes = |_: &Teacher| match self {
            Self::Hot | Self::Short | Self::Full => [0, 1, 2],
            Self::Spread | Self::Uncapped => different(&zipf, &mut rng),
        };
        let wishes: Vec<[usize; EACH]> = town.teachers.iter().map(&mut wishes).collect();
        let mut volleys = Vec::new();
        for place in 0..EACH {
            let mut shots = Vec::with_capacity(town.teachers.len());
            for (teacher, wishes) in town.teachers.iter().zip(&wishes) {
                let project = wishes.get(place).and_then(|wish| projects.get(*wish)).context("too few projects")?;
                shots.push(submission(town, gateway, teacher, project)?);
            }
            shots.shuffle(&mut rng);
            volleys.push(Arc::new(shots));
        }
        Ok(volleys)
    }

    /// Reads the answers: names of the selections that were acknowledged; every other answer that was not meant is a fault.
    pub fn judge<'a>(self, answers: impl IntoIterator<Item = &'a Answer>) -> Verdicts {
        let mut verdicts = Verdicts::default();
        for answer in answers {
            match verdict(answer) {
                Ok(name) if self != Self::Full => verdicts.acknowledged.push(name),
                Ok(_) => *verdicts.unmeant.entry("a place in a full project".to_owned()).or_default() += 1,
                Err(reason) if reason == Reason::Full.as_str_name() && matches!(self, Self::Full | Self::Short) => {
                    verdicts.full += 1
                }
                Err(reason) => *verdicts.unmeant.entry(reason).or_default() += 1,
            }
        }
        verdicts
    }
}

/// What many answers come to.
#[derive(Debug, Clone, Default)]
pub struct Verdicts {
    /// Names of the selections.
    pub acknowledged: Vec<String>,
    /// How many were told that the project is full, and should have been.
    pub full: usize,
    /// Answers that were not meant, by reason.
    pub unmeant: BTreeMap<String, usize>,
}

impl Verdicts {
    /// Adds what was not meant to what the independent reader found wrong.
    pub fn tell(&self, found: &mut Found) {
        found.faults.extend(self.unmeant.iter().map(|(reason, count)| format!("{count} × answered with {reason}")));
    }
}

/// The name of the selection.
///
/// # Errors
/// The reason of the refusal, or what else stood in the place of an answer.
pub fn verdict(answer: &Answer) -> Result<String, String> {
    match answer.decode::<SubmitSelectionResponse>() {
        Ok(reply) => Ok(reply.selection.unwrap_or_default().name),
        Err(status) => Err(status.get_details_error_info().map_or_else(|| status.to_string(), |info| info.reason)),
    }
}

/// A teacher selects a project; the request id is the pair's.
///
/// # Errors
/// None that is known: a token is a header's value.
pub fn submission(town: &Town, gateway: SocketAddr, teacher: &Teacher, project: &str) -> anyhow::Result<Shot> {
    let message = SubmitSelectionRequest {
        parent: town.term.clone(),
        project: project.to_owned(),
        teacher: String::new(),
        request_id: format!("{project}-{}", teacher.name),
    };
    Shot::new(gateway, SUBMIT, &teacher.token, &message)
}

/// Everyone asks whether he may select: tokens are then known, and what is read often has been read.
///
/// # Errors
/// If someone is refused an answer.
pub async fn before_the_window(client: &Client, town: &Town, gateway: SocketAddr) -> anyhow::Result<()> {
    let project = town.projects(Lot::Hot).first().context("no project")?;
    let mut shots = Vec::with_capacity(town.teachers.len());
    for teacher in &town.teachers {
        let message = CheckEligibilityRequest { project: project.clone(), teacher: String::new() };
        shots.push(Shot::new(gateway, CHECK, &teacher.token, &message)?);
    }
    let volley = client.closed(&Arc::new(shots), EARLY, Duration::MAX).await?;
    for (_, answer) in &volley.answers {
        answer.decode::<CheckEligibilityResponse>()?;
    }
    Ok(())
}

fn different(zipf: &Zipf, rng: &mut ChaCha12Rng) -> [usize; EACH] {
    let mut chosen = [usize::MAX; EACH];
    for place in 0..EACH {
        let fresh = std::iter::repeat_with(|| zipf.draw(rng.random())).find(|drawn| !chosen.contains(drawn));
        if let (Some(slot), Some(fresh)) = (chosen.get_mut(place), fresh) {
            *slot = fresh;
        }
    }
    chosen
}
