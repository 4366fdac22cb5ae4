//! The places of one project: a book of holds, grants and releases that never gives more than there is.

use std::collections::BTreeMap;

use super::{Ground, project::Project, selection::Selection};

/// What a selection has of the project's places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Seat {
    /// Nothing.
    #[default]
    None,
    /// A place is kept for it.
    Held,
    /// It has a place.
    Granted,
}

impl Seat {
    /// Every value.
    pub const ALL: &'static [Self] = &[Self::None, Self::Held, Self::Granted];

    /// As in SQL.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Held => "held",
            Self::Granted => "granted",
        }
    }
}

/// What a line of the ledger says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A place is kept.
    Hold,
    /// A place is given; one that was held is held no more.
    Grant,
    /// A held place is free again.
    ReleaseHold,
    /// A given place is free again.
    ReleaseGrant,
}

impl Kind {
    /// As in SQL.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Grant => "grant",
            Self::ReleaseHold => "release_hold",
            Self::ReleaseGrant => "release_grant",
        }
    }
}

/// A line of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What.
    pub kind: Kind,
    /// For which selection.
    pub selection: String,
    /// The class; empty for a hold.
    pub class: String,
    /// Change of the places held.
    pub held: i32,
    /// Change of the places given.
    pub granted: i32,
}

/// Places of a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Places {
    /// In all; 0 if it is cancelled.
    pub places: i32,
    /// Given.
    pub granted: i32,
}

/// The book of a project: `held + granted ≤ capacity` and, in each class, `granted ≤ places`, after every entry.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Book {
    project: String,
    capacity: i32,
    held: i32,
    granted: i32,
    classes: BTreeMap<String, Places>,
    lines: Vec<Line>,
}

impl Book {
    /// The book of `project` as it stands: held, and granted by class.
    #[must_use]
    pub fn open(project: &Project, held: i32, granted_by_class: &BTreeMap<String, i32>) -> Self {
        let active: BTreeMap<_, _> = project.active().map(|class| (class.name.as_str(), class.places.max(0))).collect();
        let classes: BTreeMap<_, _> = project
            .classes
            .keys()
            .map(|name| {
                let granted = granted_by_class.get(name).copied().unwrap_or_default();
                (name.clone(), Places { places: active.get(name.as_str()).copied().unwrap_or_default(), granted })
            })
            .collect();
        let granted = classes.values().fold(0_i32, |sum, class| sum.saturating_add(class.granted));
        Self { project: project.name.clone(), capacity: project.capacity(), held, granted, classes, lines: Vec::new() }
    }

    /// The same for whoever only holds places: it tells nothing of its classes, so that none is given in them.
    #[must_use]
    pub fn to_hold(project: &Project, held: i32, granted: i32) -> Self {
        Self { project: project.name.clone(), capacity: project.capacity(), held, granted, ..Self::default() }
    }

    /// Places in all.
    #[must_use]
    pub const fn capacity(&self) -> i32 {
        self.capacity
    }

    /// Places held.
    #[must_use]
    pub const fn held(&self) -> i32 {
        self.held
    }

    /// Places given.
    #[must_use]
    pub const fn granted(&self) -> i32 {
        self.granted
    }

    /// Places that are neither held nor given; negative only after the capacity was lowered.
    #[must_use]
    pub const fn free(&self) -> i32 {
        self.capacity.saturating_sub(self.held).saturating_sub(self.granted)
    }

    /// The classes, by name.
    #[must_use]
    pub const fn classes(&self) -> &BTreeMap<String, Places> {
        &self.classes
    }

    /// What was entered since it was opened.
    #[must_use]
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// Keeps a place for a selection that has none.
    ///
    /// # Errors
    /// `FULL`.
    pub fn hold(&mut self, selection: &mut Selection) -> Result<(), Ground> {
        if selection.seat != Seat::None {
            return Ok(());
        }
        if self.free() < 1 {
            return Err(Ground::full(&self.project));
        }
        selection.seat = Seat::Held;
        self.enter(Kind::Hold, selection, "", 1, 0);
        Ok(())
    }

    /// Gives a place in `class`, the held one if there is one.
    ///
    /// # Errors
    /// `FULL`, of the project or the class; then nothing is entered.
    pub fn grant(&mut self, selection: &mut Selection, class: &str) -> Result<(), Ground> {
        let held = match selection.seat {
            Seat::Granted => return Ok(()),
            Seat::Held => 1,
            Seat::None => 0,
        };
        let fits = self.free().saturating_add(held) >= 1;
        let Some(places) = self.classes.get_mut(class).filter(|places| fits && places.granted < places.places) else {
            return Err(Ground::full(&self.project));
        };
        places.granted = places.granted.saturating_add(1);
        selection.seat = Seat::Granted;
        class.clone_into(&mut selection.class);
        self.enter(Kind::Grant, selection, class, -held, 1);
        Ok(())
    }

    /// Frees what the selection has, if anything.
    pub fn release(&mut self, selection: &mut Selection) {
        match selection.seat {
            Seat::None => return,
            Seat::Held => self.enter(Kind::ReleaseHold, selection, "", -1, 0),
            Seat::Granted => {
                let class = selection.class.clone();
                if let Some(places) = self.classes.get_mut(&class) {
                    places.granted = places.granted.saturating_sub(1);
                }
                self.enter(Kind::ReleaseGrant, selection, &class, 0, -1);
            }
        }
        selection.seat = Seat::None;
    }

    /// The class with most free places among those that `suits`; the first by name where several have as many.
    #[must_use]
    pub fn roomiest(&self, suits: impl Fn(&str) -> bool) -> Option<String> {
        let mut best: Option<(&String, i32)> = None;
        for (name, places) in &self.classes {
            let room = places.places.saturating_sub(places.granted);
            if room > best.map_or(0, |(_, most)| most) && suits(name) {
                best = Some((name, room));
            }
        }
        best.map(|(name, _)| name.clone())
    }

    fn enter(&mut self, kind: Kind, selection: &Selection, class: &str, held: i32, granted: i32) {
        self.held = self.held.saturating_add(held);
        self.granted = self.granted.saturating_add(granted);
        let (selection, class) = (selection.name.clone(), class.to_owned());
        self.lines.push(Line { kind, selection, class, held, granted });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::project::Class;

    pub(super) fn project(places: &[i32]) -> Project {
        let class = |(index, places): (usize, &i32)| {
            let name = format!("p/classes/{index}");
            (name.clone(), Class { name, places: *places, active: true, ..Class::default() })
        };
        Project {
            name: "p".to_owned(),
            open: true,
            classes: places.iter().enumerate().map(class).collect(),
            ..Project::default()
        }
    }

    #[derive(Debug, Clone, Copy)]
    enum Act {
        Hold(usize),
        Grant(usize, usize),
        Release(usize),
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            (0..12_usize).prop_map(Act::Hold),
            (0..12_usize, 0..3_usize).prop_map(|(one, class)| Act::Grant(one, class)),
            (0..12_usize).prop_map(Act::Release),
        ]
    }

    #[test]
    fn the_roomiest_class_is_chosen_and_ties_break_by_name() {
        let mut book = Book::open(&project(&[2, 3, 3]), 0, &BTreeMap::new());
        assert_eq!(book.roomiest(|_| true).as_deref(), Some("p/classes/1"));
        let mut selection = Selection::submitted("s", "t", "p", 1, 0);
        book.grant(&mut selection, "p/classes/1").expect("free");
        assert_eq!(book.roomiest(|_| true).as_deref(), Some("p/classes/2"));
        assert_eq!(book.roomiest(|name| name.ends_with('0')).as_deref(), Some("p/classes/0"));
        assert_eq!(Book::open(&project(&[0]), 0, &BTreeMap::new()).roomiest(|_| true), None);
    }

    proptest! {
        /// Whatever is asked: never oversold, and the ledger's sums are the book.
        #[test]
        fn never_oversold(places in proptest::collection::vec(0..4_i32, 1..4), acts in proptest::collection::vec(act(), 0..200)) {
            let project = project(&places);
            let mut book = Book::open(&project, 0, &BTreeMap::new());
            let mut selections: Vec<_> =
                (0..12).map(|index| Selection::submitted(&format!("s{index}"), "t", "p", 1, 0)).collect();
            for act in acts {
                match act {
                    Act::Hold(one) => {
                        let (free, had) = (book.free(), selections[one].seat);
                        let held = book.hold(&mut selections[one]);
                        prop_assert_eq!(held.is_err(), had == Seat::None && free < 1);
                    }
                    Act::Grant(one, class) => {
                        let before = book.clone();
                        if book.grant(&mut selections[one], &format!("p/classes/{class}")).is_err() {
                            prop_assert_eq!(&before, &book);
                        }
                    }
                    Act::Release(one) => {
                        book.release(&mut selections[one]);
                        prop_assert_eq!(selections[one].seat, Seat::None);
                    }
                }
                prop_assert!(book.held() >= 0 && book.granted() >= 0);
                prop_assert!(book.held() + book.granted() <= book.capacity());
                prop_assert!(book.classes().values().all(|class| class.granted <= class.places));
                let count = |seat| i32::try_from(selections.iter().filter(|selection| selection.seat == seat).count());
                prop_assert_eq!(count(Seat::Held), Ok(book.held()));
                prop_assert_eq!(count(Seat::Granted), Ok(book.granted()));
                prop_assert_eq!(book.lines().iter().map(|line| line.held).sum::<i32>(), book.held());
                prop_assert_eq!(book.lines().iter().map(|line| line.granted).sum::<i32>(), book.granted());
            }
        }
    }
}
