//! Selections by name, and by their teachers.

use std::{collections::BTreeMap, ops::Index};

use super::Selection;

/// Selections, found by name or by teacher.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selections {
    by_name: BTreeMap<String, Selection>,
    /// Names by teacher. Whose selection it is never changes, and none is ever taken away.
    by_teacher: BTreeMap<String, Vec<String>>,
}

impl Selections {
    /// The selection of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Selection> {
        self.by_name.get(name)
    }

    /// The selection of this name, to be changed; its name and teacher stay.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Selection> {
        self.by_name.get_mut(name)
    }

    /// Takes a selection in place of the one of its name.
    pub fn insert(&mut self, selection: Selection) {
        let name = selection.name.clone();
        let teacher = selection.teacher.clone();
        if self.by_name.insert(name.clone(), selection).is_none() {
            let names = self.by_teacher.entry(teacher).or_default();
            let place = names.partition_point(|other| *other < name);
            names.insert(place, name);
        }
    }

    /// All, by name.
    pub fn values(&self) -> impl Iterator<Item = &Selection> {
        self.by_name.values()
    }

    /// Those of a teacher, by name.
    pub fn of_teacher<'a>(&'a self, teacher: &str) -> impl Iterator<Item = &'a Selection> + use<'a> {
        let names = self.by_teacher.get(teacher).map_or(&[][..], Vec::as_slice);
        names.iter().filter_map(|name| self.by_name.get(name))
    }
}

impl FromIterator<Selection> for Selections {
    fn from_iter<T: IntoIterator<Item = Selection>>(selections: T) -> Self {
        let mut all = Self::default();
        selections.into_iter().for_each(|selection| all.insert(selection));
        all
    }
}

impl Index<&str> for Selections {
    type Output = Selection;

    /// The selection of this name, which is known to be there.
    fn index(&self, name: &str) -> &Selection {
        &self.by_name[name]
    }
}
