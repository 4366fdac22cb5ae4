//! From the roster: organisations, and teachers with where they were, are and will be.

use std::collections::BTreeMap;

use chassis::{
    Failure, Mirror,
    changes::decode,
    db::{Rows, Tx, forget},
    export,
};
use jiff::civil::{Date, date};
use proto::{
    common::v1::Change,
    roster::v1::{self as roster, OrganizationFacts, TeacherFacts, teacher::Status},
};

use crate::{
    books::Books,
    domain::{
        cycle::Leave,
        teacher::{Profile, Stay, Teacher},
    },
    rules::Rules,
    store::{
        entries, organizations,
        teachers::{self, Kept},
    },
    wire,
};

/// The first day of a stay that reaches back without end.
const BEGINNING: Date = date(1, 1, 1);

/// Mirrors organisations and teachers.
#[derive(Debug)]
pub struct RosterMirror;

#[tonic::async_trait]
impl Mirror for RosterMirror {
    fn source(&self) -> &'static str {
        "roster"
    }

    async fn apply(&self, tx: &mut Tx, change: &Change) -> Result<(), Failure> {
        self.apply_all(tx, std::slice::from_ref(change)).await
    }

    async fn apply_all(&self, tx: &mut Tx, changes: &[Change]) -> Result<(), Failure> {
        let mut told = Vec::new();
        for change in changes {
            // What follows from the change carries its instant.
            if export::mirror(tx, change).await? {
                continue;
            }
            let at = change.at.as_ref().map_or_else(|| tx.at(), proto::instant);
            tx.set_at(at);
            if let Some(facts) = decode::<TeacherFacts>(change)? {
                told.push((at, facts));
            } else if let Some(facts) = decode::<OrganizationFacts>(change)? {
                organizations::put(tx, &facts).await?;
            }
        }
        if told.is_empty() { Ok(()) } else { keep(tx, told).await }
    }
}

/// Keeps teachers as they were told, then draws up their books anew: the cycle or the school may have changed. What people wrote
/// about the erased goes.
async fn keep(tx: &mut Tx, told: Vec<(i64, TeacherFacts)>) -> Result<(), Failure> {
    let rules = Rules::of_mirror(tx).await?;
    let names = Rows::texts(told.iter().map(|(_, facts)| &facts.name));
    let erased = told.iter().filter(|(_, facts)| facts.erased);
    let erased: Vec<_> = erased.map(|(_, facts)| (facts.name.clone(), facts.account.clone())).collect();
    teachers::lock(tx, &names).await?;
    let mut kept = teachers::load(tx, &names).await?;
    for (at, facts) in told {
        take(&mut kept, facts, rules.day(at));
    }
    Books::of_locked(tx, kept).await?.keep(tx, &rules).await?;
    if !erased.is_empty() {
        entries::erase(tx, &Rows::texts(erased.iter().map(|(teacher, _)| teacher))).await?;
        let persons: Vec<_> = erased.iter().flat_map(|(teacher, account)| [teacher.as_str(), account]).collect();
        forget(tx, &persons).await?;
    }
    Ok(())
}

fn take(kept: &mut BTreeMap<String, Kept>, facts: TeacherFacts, today: Date) {
    let before = kept.remove(&facts.name);
    let on_roster = matches!(facts.status(), Status::Active | Status::OnLeave | Status::Unspecified);
    let (mut stays, told) = before.map(|before| (before.teacher.stays, before.told)).unwrap_or_default();
    if facts.stays.is_empty() {
        // Told before the roster kept stays: the day of the change is all that is known.
        move_to(&mut stays, today, if on_roster { &facts.school } else { "" });
    } else {
        stays = known_anew(stays, &facts.stays);
    }
    let leaves = facts
        .leaves
        .iter()
        .filter_map(|leave| Some(Leave { first_on: wire::day(leave.first_on)?, last_on: wire::day(leave.last_on) }));
    let teacher = Teacher {
        entered_on: wire::day(facts.platform_entered_on),
        employed_on: wire::day(facts.employed_on),
        principal_appointed_on: wire::day(facts.principal_appointed_on),
        joined_on: wire::day(facts.joined_on),
        leaves: leaves.collect(),
        name: facts.name.clone(),
        employment: facts.employment,
        stays,
        profile: Profile { tier: facts.tier, category: facts.category, stages: facts.stages, subjects: facts.subjects },
    };
    let (school, path, erased) = (facts.school, facts.path, facts.erased);
    kept.insert(facts.name, Kept { teacher, school, path, told, erased });
}

/// The stays as they are known now: what is told replaces everything from its first day on, what was before that stays.
fn known_anew(mut stays: Vec<Stay>, told: &[roster::Stay]) -> Vec<Stay> {
    let school =
        |stay: &roster::Stay| if stay.status() == Status::Active { stay.school.clone() } else { String::new() };
    let told =
        told.iter().map(|stay| Stay { from_on: wire::day(stay.from_on).unwrap_or(BEGINNING), school: school(stay) });
    let told: Vec<Stay> = told.collect();
    let Some(first) = told.first() else { return stays };
    if let Some(earliest) = stays.first_mut().filter(|_| first.from_on > BEGINNING) {
        // It reaches back without end, also where it was noted later than a stay that is dated back.
        earliest.from_on = BEGINNING;
        stays.retain(|stay| stay.from_on < first.from_on);
    } else {
        stays.clear();
    }
    stays.extend(told);
    stays.dedup_by(|later, earlier| later.school == earlier.school);
    stays
}

/// From `today` on at `school`: a second move on a day replaces the first.
fn move_to(stays: &mut Vec<Stay>, today: Date, school: &str) {
    if stays.last().is_some_and(|last| last.school == school) {
        return;
    }
    stays.retain(|stay| stay.from_on < today);
    stays.push(Stay { from_on: today, school: school.to_owned() });
}
