//! A training project (培训项目) and its classes.

use std::collections::BTreeMap;

use jiff::civil::Date;
use proto::Credit;
use serde::{Deserialize, Serialize};

use super::{lifecycle::State, words::words};

words! {
    /// 级别
    Level ~ proto::catalog::v1::project::Level {
        /// 省级
        Province = "province",
        /// 市级
        City = "city",
        /// 县级
        County = "county",
    }
}

words! {
    /// How it is taught.
    Form ~ proto::catalog::v1::project::Form {
        /// 集中培训
        Intensive = "intensive",
        /// 线上
        Online = "online",
        /// 混合
        Blended = "blended",
    }
}

words! {
    /// Whether a class takes place.
    ClassState ~ proto::catalog::v1::class::State {
        /// It does.
        Active = "active",
        /// It was called off.
        Cancelled = "cancelled",
    }
}

words! {
    /// How places are given in a round.
    AllocationPolicy ~ proto::catalog::v1::allocation::Policy {
        /// No upper limit while selecting; the provider screens what is oversubscribed.
        UncappedThenScreen = "uncapped_then_screen",
        /// A seat is held at submission.
        FirstCome = "first_come",
    }
}

/// A training project of a term.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// "terms/…/projects/…"
    pub name: String,
    /// "terms/…"
    pub term: String,
    /// "organizations/…"
    pub provider: String,
    /// "organizations/…": reviews it and answers for it.
    pub accepting_bureau: String,
    /// As on the menu.
    pub title: String,
    /// As on the menu.
    pub description: String,
    /// `None` while the draft does not say.
    pub level: Option<Level>,
    /// `None` while the draft does not say.
    pub form: Option<Form>,
    /// Whom it is for.
    pub audience: Audience,
    /// Base credit (基础学分).
    pub base_credit: Credit,
    /// Difficulty (难度系数): 100 = 1.00.
    pub difficulty_percent: i32,
    /// 限定选修
    pub restricted_elective: bool,
    /// Hours of teacher-ethics and core-values content.
    pub ethics_hours: i32,
    /// Hours of practice (实践培训).
    pub practice_hours: i32,
    /// All hours.
    pub total_hours: i32,
    /// In the order in which the provider listed them.
    pub classes: Vec<Class>,
    /// Where it differs from its round's default, by round.
    pub allocations: BTreeMap<i32, AllocationPolicy>,
    /// Where it stands.
    pub state: State,
    /// The reason of the last decision.
    pub decision_reason: String,
    /// Whether the provider asks to cancel it.
    pub cancellation_requested: bool,
    /// Why.
    pub cancellation_reason: String,
    /// When it came onto the menu, in microseconds; `None` before.
    pub published_at: Option<i64>,
    /// Rises with every write: the etag.
    pub revision: i64,
}

/// Whom a project is for; an empty list admits everyone in its dimension.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Audience {
    /// 学段
    pub stages: Vec<String>,
    /// 学科
    pub subjects: Vec<String>,
    /// 层次
    pub tiers: Vec<String>,
    /// 类别
    pub categories: Vec<String>,
    /// "organizations/…": schools under these only.
    pub organizations: Vec<String>,
}

/// A class (班级): its places and sessions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Class {
    /// "terms/…/projects/…/classes/…"
    pub name: String,
    /// With what an expansion granted.
    pub places: i32,
    /// As first approved; 0 before.
    pub approved_places: i32,
    /// In order of time.
    pub sessions: Vec<Session>,
    /// Where.
    pub venue: String,
    /// Whether it takes place.
    pub state: ClassState,
    /// Its last day.
    pub ends_on: Option<Date>,
}

/// A session, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// First instant.
    pub starts: i64,
    /// First instant after.
    pub ends: i64,
}

impl Project {
    /// The class of that name.
    pub fn class_mut(&mut self, name: &str) -> Option<&mut Class> {
        self.classes.iter_mut().find(|class| class.name == name)
    }

    /// Places of the classes that take place, as first approved.
    #[must_use]
    pub fn approved_places(&self) -> i64 {
        self.active_classes().map(|class| i64::from(class.approved_places)).sum()
    }

    /// The classes that take place.
    pub fn active_classes(&self) -> impl Iterator<Item = &Class> {
        self.classes.iter().filter(|class| class.state == ClassState::Active)
    }

    /// The name of the next class of this project: names are the system's choice and never used twice.
    #[must_use]
    pub fn next_class_name(&self) -> String {
        let number = |class: &Class| class.name.rsplit('/').next().and_then(|id| id.parse::<u32>().ok()).unwrap_or(0);
        let last = self.classes.iter().map(number).max().unwrap_or(0);
        format!("{}/classes/{}", self.name, last.saturating_add(1))
    }

    /// Fixes the places with which it was approved.
    pub fn fix_approved_places(&mut self) {
        for class in &mut self.classes {
            class.approved_places = class.places;
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A draft with nothing missing.
    pub(crate) fn complete() -> Project {
        let name = "terms/2019-autumn/projects/p1".to_owned();
        let class = Class {
            name: format!("{name}/classes/1"),
            places: 40,
            approved_places: 0,
            sessions: vec![Session { starts: 0, ends: 3_600_000_000 }],
            venue: "一号楼".into(),
            state: ClassState::Active,
            ends_on: Some(jiff::civil::date(1970, 1, 10)),
        };
        Project {
            name,
            term: "terms/2019-autumn".into(),
            provider: "organizations/provider".into(),
            accepting_bureau: "organizations/bureau".into(),
            title: "小学数学教师研修".into(),
            description: String::new(),
            level: Some(Level::County),
            form: Some(Form::Intensive),
            audience: Audience::default(),
            base_credit: Credit::whole(90),
            difficulty_percent: 100,
            restricted_elective: false,
            ethics_hours: 4,
            practice_hours: 20,
            total_hours: 90,
            classes: vec![class],
            allocations: BTreeMap::new(),
            state: State::Draft,
            decision_reason: String::new(),
            cancellation_requested: false,
            cancellation_reason: String::new(),
            published_at: None,
            revision: 1,
        }
    }

    #[test]
    fn class_names_are_never_used_twice() {
        let mut project = complete();
        assert_eq!(project.next_class_name(), "terms/2019-autumn/projects/p1/classes/2");
        project.classes.clear();
        assert_eq!(project.next_class_name(), "terms/2019-autumn/projects/p1/classes/1");
    }

    #[test]
    fn a_cancelled_class_has_no_approved_places() {
        let mut project = complete();
        project.fix_approved_places();
        assert_eq!(project.approved_places(), 40);
        project.classes.iter_mut().for_each(|class| class.state = ClassState::Cancelled);
        assert_eq!(project.approved_places(), 0);
    }
}
