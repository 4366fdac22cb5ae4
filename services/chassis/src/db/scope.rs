//! What a call is about: a term, or nothing that belongs to one.

/// The term whose gates decide on a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope<'a> {
    /// "terms/…": a window of this term must be open.
    Term(&'a str),
    /// The method is of no term: any term with that window open will do.
    AnyTerm,
}

impl<'a> Scope<'a> {
    /// The term of a name like "terms/2019-autumn/projects/…"; a name of no term has a term that does not exist.
    #[must_use]
    pub fn of_name(name: &'a str) -> Self {
        let end = name.match_indices('/').map(|(index, _)| index).nth(1).unwrap_or(name.len());
        Self::Term(name.get(..end).unwrap_or(name))
    }

    /// The term's name; empty for none.
    #[must_use]
    pub fn term(self) -> &'a str {
        match self {
            Self::Term(term) => term,
            Self::AnyTerm => "",
        }
    }
}
