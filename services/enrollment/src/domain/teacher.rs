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
    /// 学段, the main one first.
    pub stages: Vec<String>,
    /// 学科, the main one first.
    pub subjects: Vec<String>,
    /// Employment as the roster last told it; what of leave has begun or ended since, `status_on` knows.
    pub status: Status,
    /// When the teacher came onto the region's roster.
    pub joined_on: Option<Date>,
    /// Approved leaves, both days inclusive; an open leave has no last day.
    pub leaves: Vec<(Date, Option<Date>)>,
    /// When he is gone, past and to come, both days inclusive, and as what.
    pub gone: Vec<Absence>,
}

/// Days on which a teacher is retired, departed or deceased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Absence {
    /// First day.
    pub first_on: Date,
    /// Last day; none for good.
    pub last_on: Option<Date>,
    /// As what.
    pub status: Status,
}

impl Teacher {
    /// Employment on a day: leaves begin and end by themselves, a retirement that is recorded comes by itself.
    #[must_use]
    pub fn status_on(&self, day: Date) -> Status {
        if let Some(gone) = self.gone_on(day) {
            return gone;
        }
        match self.status {
            Status::Active | Status::OnLeave if self.on_leave(day) => Status::OnLeave,
            Status::OnLeave => Status::Active,
            other => other,
        }
    }

    /// As what he is gone on the day, if he is.
    #[must_use]
    pub fn gone_on(&self, day: Date) -> Option<Status> {
        let covers = |absence: &&Absence| absence.first_on <= day && absence.last_on.is_none_or(|last| day <= last);
        self.gone.iter().find(covers).map(|absence| absence.status)
    }

    /// Whether a leave covers the day.
    #[must_use]
    pub fn on_leave(&self, day: Date) -> bool {
        self.leaves.iter().any(|(first, last)| *first <= day && last.is_none_or(|last| day <= last))
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn a_leave_begins_and_ends_by_itself() {
        let leaves = vec![(date(2019, 9, 1), Some(date(2019, 9, 12)))];
        // The roster told it before, while and after it lasted.
        for told in [Status::Active, Status::OnLeave] {
            let teacher = Teacher { status: told, leaves: leaves.clone(), ..Teacher::default() };
            let on = |day| teacher.status_on(date(2019, 9, day));
            assert_eq!((on(1), on(12), on(13)), (Status::OnLeave, Status::OnLeave, Status::Active));
            assert_eq!(teacher.status_on(date(2019, 8, 31)), Status::Active);
        }
        let retired = Teacher { status: Status::Retired, leaves, ..Teacher::default() };
        assert_eq!(retired.status_on(date(2019, 9, 5)), Status::Retired);
    }
}
