//! A teacher as enrollment knows him from the roster: ids and codes.

use jiff::civil::Date;

/// What a teacher's employment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Status {
    /// Teaching.
    #[default]
    Active,
    /// On approved leave.
    OnLeave,
    /// Retired.
    Retired,
    /// Gone from the region.
    Departed,
    /// Dead.
    Deceased,
}

impl Status {
    /// Every status.
    pub const ALL: &'static [Self] = &[Self::Active, Self::OnLeave, Self::Retired, Self::Departed, Self::Deceased];

    /// As in SQL and in messages.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::OnLeave => "on_leave",
            Self::Retired => "retired",
            Self::Departed => "departed",
            Self::Deceased => "deceased",
        }
    }

    /// Whether the person has left for good: live selections are cancelled.
    #[must_use]
    pub const fn is_gone(self) -> bool {
        matches!(self, Self::Retired | Self::Departed | Self::Deceased)
    }
}

/// A teacher.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Teacher {
    /// "teachers/…"
    pub name: String,
    /// "accounts/…"; empty while there is none.
    pub account: String,
    /// "organizations/…"
    pub school: String,
    /// The school's ancestors and itself, root first.
    pub path: Vec<String>,
    /// 层次
    pub tier: String,
    /// 类别
    pub category: String,
    /// 学段
    pub stage: String,
    /// 学科
    pub subject: String,
    /// Employment.
    pub status: Status,
    /// When the teacher came onto the region's roster.
    pub joined_on: Option<Date>,
    /// Approved leaves, both days inclusive; an open leave has no last day.
    pub leaves: Vec<(Date, Option<Date>)>,
}

impl Teacher {
    /// Whether a leave covers the day.
    #[must_use]
    pub fn on_leave(&self, day: Date) -> bool {
        self.leaves.iter().any(|(first, last)| *first <= day && last.is_none_or(|last| day <= last))
    }
}
