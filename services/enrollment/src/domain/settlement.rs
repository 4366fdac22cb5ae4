//! What a closing confirmation window leaves undecided settles by the allocation policy.

use super::{Desk, Event, State, desk::Why, seats::Seat};

/// What settling a project did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Settled {
    /// Got a place.
    pub confirmed: i32,
    /// Wait.
    pub waitlisted: i32,
}

/// Settles `project` for the rounds up to `round`. Freed seats go to the waiting list of the earlier rounds first; a held seat
/// is its holder's; what is then free goes to the undecided in the order of `ranked` (names of the undecided and of those whom
/// the provider waitlisted without a place in the list); the rest wait, in that order.
pub fn settle(desk: &mut Desk, project: &str, round: i32, ranked: &[String]) -> Settled {
    let mut settled = Settled::default();
    desk.promote(project);
    let holders = |desk: &Desk, seat: bool| -> Vec<String> {
        let undecided = |name: &&String| {
            desk.selections.get(name).is_some_and(|selection| {
                selection.project == project
                    && selection.round <= round
                    && (selection.seat == Seat::Held) == seat
                    && (selection.state == State::SchoolApproved
                        || (selection.state == State::Waitlisted && selection.waiting_position == 0))
            })
        };
        ranked.iter().filter(undecided).cloned().collect()
    };
    for name in holders(desk, true).into_iter().chain(holders(desk, false)) {
        if desk.apply(&name, Event::Confirm, &Why::coded("settled")).is_ok() {
            settled.confirmed = settled.confirmed.saturating_add(1);
        }
    }
    // What is left has no place: it is given one in the list, behind those who wait already.
    let mut position = desk
        .selections
        .values()
        .filter(|selection| selection.project == project && selection.state == State::Waitlisted)
        .map(|selection| selection.waiting_position)
        .max()
        .unwrap_or_default();
    for name in holders(desk, true).into_iter().chain(holders(desk, false)) {
        let Some(selection) = desk.selections.get(&name) else { continue };
        if selection.state == State::SchoolApproved {
            if desk.apply(&name, Event::Waitlist, &Why::coded("settled")).is_err() {
                continue;
            }
            settled.waitlisted = settled.waitlisted.saturating_add(1);
        }
        let Some(selection) = desk.selections.get(&name) else { continue };
        position = position.saturating_add(1);
        let mut waiting = selection.clone();
        waiting.waiting_position = position;
        desk.rewrite("listed", None, waiting);
    }
    desk.promote(project);
    settled
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::domain::{Project, Selection, project::Class, seats::Book};

    fn desk(places: i32, selections: Vec<Selection>) -> Desk {
        let class = Class { name: "c".to_owned(), places, active: true, ..Class::default() };
        let classes = BTreeMap::from([("c".to_owned(), class)]);
        let project = Project { name: "p".to_owned(), open: true, classes, ..Project::default() };
        let held = selections.iter().filter(|selection| selection.seat == Seat::Held).count();
        let book = Book::open(&project, i32::try_from(held).unwrap_or(0), &BTreeMap::new());
        let (projects, books) = (BTreeMap::from([("p".to_owned(), project)]), BTreeMap::from([("p".to_owned(), book)]));
        Desk::new(selections, projects, books, 0)
    }

    fn selection(name: &str, state: State, seat: Seat) -> Selection {
        Selection { state, seat, ..Selection::submitted(name, name, "p", 1, 0) }
    }

    #[test]
    fn places_go_by_rank_and_the_rest_wait_in_order() {
        let names = ["a", "b", "c", "d"];
        let mut desk = desk(2, names.iter().map(|name| selection(name, State::SchoolApproved, Seat::None)).collect());
        let ranked: Vec<_> = ["c", "a", "d", "b"].map(str::to_owned).into();
        assert_eq!(settle(&mut desk, "p", 1, &ranked), Settled { confirmed: 2, waitlisted: 2 });
        let state = |name: &str| (desk.selections[name].state, desk.selections[name].waiting_position);
        assert_eq!(state("c"), (State::Confirmed, 0));
        assert_eq!(state("a"), (State::Confirmed, 0));
        assert_eq!(state("d"), (State::Waitlisted, 1));
        assert_eq!(state("b"), (State::Waitlisted, 2));
    }

    #[test]
    fn a_held_seat_is_its_holders_whatever_the_rank() {
        let mut desk = desk(
            1,
            vec![
                selection("held", State::SchoolApproved, Seat::Held),
                selection("first", State::SchoolApproved, Seat::None),
            ],
        );
        settle(&mut desk, "p", 1, &["first".to_owned(), "held".to_owned()]);
        assert_eq!(desk.selections["held"].state, State::Confirmed);
        assert_eq!(desk.selections["first"].state, State::Waitlisted);
    }

    proptest! {
        /// After a settlement nobody is undecided, nothing is oversold, and nobody waits while a place is free.
        #[test]
        fn nothing_is_left_undecided(places in 0..6_i32, kinds in proptest::collection::vec(0..4_u8, 0..12)) {
            let mut held = 0;
            let selections: Vec<_> = kinds
                .iter()
                .enumerate()
                .map(|(index, kind)| {
                    let name = format!("{index:02}");
                    match kind {
                        0 if held < places => {
                            held += 1;
                            selection(&name, State::SchoolApproved, Seat::Held)
                        }
                        1 => selection(&name, State::Waitlisted, Seat::None),
                        2 => Selection { waiting_position: i32::try_from(index).unwrap_or(0) + 1, ..selection(&name, State::Waitlisted, Seat::None) },
                        _ => selection(&name, State::SchoolApproved, Seat::None),
                    }
                })
                .collect();
            let ranked: Vec<_> = selections.iter().map(|selection| selection.name.clone()).collect();
            let mut desk = desk(places, selections);
            settle(&mut desk, "p", 1, &ranked);
            let count = |state| desk.selections.values().filter(|selection| selection.state == state).count();
            prop_assert_eq!(count(State::SchoolApproved), 0);
            prop_assert_eq!(count(State::Confirmed), kinds.len().min(usize::try_from(places).unwrap_or(0)));
            let mut positions: Vec<_> = desk
                .selections
                .values()
                .filter(|selection| selection.state == State::Waitlisted)
                .map(|selection| selection.waiting_position)
                .collect();
            let waiting = positions.len();
            positions.sort_unstable();
            positions.dedup();
            prop_assert_eq!(positions.len(), waiting, "places in the list are distinct");
            prop_assert!(positions.iter().all(|position| *position > 0));
        }
    }
}
