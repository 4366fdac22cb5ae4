//! Plain types that every domain may use.

use crate::common::v1 as pb;

/// An amount of credit (学分), fixed-point: 1 credit = 100 hundredths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Credit(pub i64);

impl Credit {
    /// No credit.
    pub const ZERO: Self = Self(0);

    /// Whole credits, e.g. 90.
    #[must_use]
    pub const fn whole(credits: i64) -> Self {
        Self(credits.saturating_mul(100))
    }

    /// This amount times a coefficient in percent (100 = 1.00), rounded half away from zero to the hundredth.
    #[must_use]
    pub const fn times_percent(self, percent: i64) -> Self {
        let product = self.0.saturating_mul(percent);
        let half = if product < 0 { -50 } else { 50 };
        Self(product.saturating_add(half) / 100)
    }
}

impl std::ops::Add for Credit {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl std::ops::Neg for Credit {
    type Output = Self;
    fn neg(self) -> Self {
        Self(self.0.saturating_neg())
    }
}

impl std::iter::Sum for Credit {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, |sum, amount| sum + amount)
    }
}

impl From<Credit> for pb::Credit {
    fn from(credit: Credit) -> Self {
        Self { hundredths: credit.0 }
    }
}

impl From<pb::Credit> for Credit {
    fn from(credit: pb::Credit) -> Self {
        Self(credit.hundredths)
    }
}

/// A role held within a scope.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Held {
    /// The role.
    pub role: pb::Role,
    /// "organizations/…"
    pub organization: String,
}

/// Who calls: a person with the roles that the method's rule allows him, or a service of the system.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Actor {
    /// "accounts/…"; empty when a service acts on its own.
    pub account: String,
    /// "teachers/…" where the person is a teacher.
    pub teacher: String,
    /// The roles that allow this call, with their scopes; never empty for a person.
    pub roles: Vec<Held>,
    /// The calling service's name when it acts on its own; empty for a person.
    pub service: String,
}

impl Actor {
    /// Whether this person holds `role` in any scope.
    #[must_use]
    pub fn is(&self, role: pb::Role) -> bool {
        self.roles.iter().any(|held| held.role == role)
    }

    /// Whether this person holds `role` for exactly `organization`.
    #[must_use]
    pub fn is_at(&self, role: pb::Role, organization: &str) -> bool {
        self.roles.iter().any(|held| held.role == role && held.organization == organization)
    }

    /// The first of `roles` held for one of the organisations of `path` (root first, itself last); the closest wins.
    #[must_use]
    pub fn held_over<'a>(&'a self, roles: &[pb::Role], path: &[String]) -> Option<&'a Held> {
        path.iter().rev().find_map(|organization| {
            self.roles.iter().find(|held| roles.contains(&held.role) && held.organization == *organization)
        })
    }

    /// As recorded with a change: the account or service, under the role that allowed the act.
    #[must_use]
    pub fn acting_as(&self, held: Option<&Held>) -> pb::Actor {
        let held = held.or_else(|| self.roles.first());
        pb::Actor {
            account: self.account.clone(),
            role: held.map_or(pb::Role::Unspecified, |held| held.role).into(),
            organization: held.map(|held| held.organization.clone()).unwrap_or_default(),
            service: self.service.clone(),
        }
    }
}
