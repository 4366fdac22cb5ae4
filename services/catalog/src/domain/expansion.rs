//! Expansion (扩容): more places, or another class, after the first round. Policy section `[expansion]`.

use super::{Class, ClassState, Fault, Project, policy, words::words};

words! {
    /// Where a request stands.
    State ~ proto::catalog::v1::expansion::State {
        /// Waits for the bureau.
        Requested = "requested",
        /// All that was asked for.
        Granted = "granted",
        /// Less than was asked for.
        GrantedInPart = "granted_in_part",
        /// Nothing.
        Denied = "denied",
    }
}

/// A request for more places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expansion {
    /// "terms/…/projects/…/expansions/…"
    pub name: String,
    /// "terms/…/projects/…"
    pub project: String,
    /// The class that gets the places; empty: `new_class`.
    pub class: String,
    /// The class to open.
    pub new_class: Option<Class>,
    /// Places asked for.
    pub places_requested: i32,
    /// Places granted.
    pub places_granted: i32,
    /// Why it is asked for.
    pub reason: String,
    /// Where it stands.
    pub state: State,
    /// Why it was decided so.
    pub decision_reason: String,
}

/// The most places that a project may ask for: a percentage of those first approved, rounded down.
#[must_use]
pub fn limit(policy: &policy::Expansion, project: &Project) -> i64 {
    project.approved_places().saturating_mul(policy.max_percent) / 100
}

/// Everything wrong with what is asked for, but for its amount.
#[must_use]
pub fn request_faults(expansion: &Expansion, project: &Project, zone: &jiff::tz::TimeZone) -> Vec<Fault> {
    let mut faults = Vec::new();
    if expansion.places_requested <= 0 {
        faults.push(Fault::new("expansion.places_requested", "应大于 0", "more than 0"));
    }
    if expansion.reason.trim().is_empty() {
        faults.push(Fault::new("expansion.reason", "请说明理由", "give the reason"));
    }
    match (&expansion.new_class, expansion.class.as_str()) {
        (None, "") => {
            faults.push(Fault::new("expansion.class", "请指定班级或新班级", "name a class, or give a new one"))
        }
        (Some(_), class) if !class.is_empty() => {
            faults.push(Fault::new("expansion.new_class", "班级与新班级只能选其一", "either a class or a new one"));
        }
        (Some(class), _) => {
            super::draft::class_faults(&mut faults, "expansion.new_class", class, project.form, zone);
        }
        (None, class) => {
            if !project.active_classes().any(|active| active.name == class) {
                faults.push(Fault::new("expansion.class", "项目没有此班级", "the project has no such class"));
            }
        }
    }
    faults
}

/// The state after granting `granted` of `requested` places; `None` where no such grant is possible.
#[must_use]
pub const fn decided(requested: i32, granted: i32) -> Option<State> {
    if granted < 0 || granted > requested {
        None
    } else if granted == 0 {
        Some(State::Denied)
    } else if granted < requested {
        Some(State::GrantedInPart)
    } else {
        Some(State::Granted)
    }
}

/// Gives the project the places granted. `false`: its class does not take place any more, nothing was given.
#[must_use]
pub fn give(project: &mut Project, expansion: &Expansion, granted: i32) -> bool {
    if let Some(class) = &expansion.new_class {
        let name = project.next_class_name();
        let class =
            Class { name, places: granted, approved_places: granted, state: ClassState::Active, ..class.clone() };
        project.classes.push(class);
        return true;
    }
    match project.class_mut(&expansion.class) {
        Some(class) if class.state == ClassState::Active => {
            class.places = class.places.saturating_add(granted);
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use proptest::prelude::*;

    use super::*;
    use crate::domain::project::tests::complete;

    fn request(project: &Project) -> Expansion {
        Expansion {
            name: format!("{}/expansions/1", project.name),
            project: project.name.clone(),
            class: project.classes.first().map(|class| class.name.clone()).unwrap_or_default(),
            new_class: None,
            places_requested: 20,
            places_granted: 0,
            reason: "报名人数多".into(),
            state: State::Requested,
            decision_reason: String::new(),
        }
    }

    #[test]
    fn a_request_names_a_class_or_brings_one() {
        let project = complete();
        let good = request(&project);
        let faults = |expansion: &Expansion| -> Vec<String> {
            request_faults(expansion, &project, &TimeZone::UTC).into_iter().map(|fault| fault.field).collect()
        };
        assert_eq!(faults(&good), Vec::<String>::new());
        let class = project.classes.first().cloned();
        assert_eq!(faults(&Expansion { new_class: class.clone(), ..good.clone() }), ["expansion.new_class"]);
        assert_eq!(faults(&Expansion { new_class: class, class: String::new(), ..good.clone() }), Vec::<String>::new());
        let bad = Expansion { class: String::new(), places_requested: 0, reason: " ".into(), ..good };
        assert_eq!(faults(&bad), ["expansion.places_requested", "expansion.reason", "expansion.class"]);
    }

    #[test]
    fn the_limit_is_half_of_the_places_first_approved() {
        let mut project = complete();
        let policy = policy::Expansion { requests_per_project: 1, max_percent: 50 };
        assert_eq!(limit(&policy, &project), 0);
        project.fix_approved_places();
        assert_eq!(limit(&policy, &project), 20);
        let expansion = request(&project);
        assert!(give(&mut project, &expansion, 20));
        assert_eq!(limit(&policy, &project), 20);
    }

    #[test]
    fn a_new_class_gets_a_name_of_its_own() {
        let mut project = complete();
        let expansion =
            Expansion { class: String::new(), new_class: project.classes.first().cloned(), ..request(&project) };
        assert!(give(&mut project, &expansion, 12));
        let last = project.classes.last().map(|class| (class.name.clone(), class.places, class.approved_places));
        assert_eq!(last, Some(("terms/2019-autumn/projects/p1/classes/2".into(), 12, 12)));
    }

    #[test]
    fn a_cancelled_class_gets_nothing() {
        let mut project = complete();
        let expansion = request(&project);
        project.classes.iter_mut().for_each(|class| class.state = ClassState::Cancelled);
        let before = project.clone();
        assert!(!give(&mut project, &expansion, 5));
        assert_eq!(project, before);
    }

    proptest! {
        #[test]
        fn the_state_tells_how_much_was_granted(requested in 1..500_i32, granted in -5..505_i32) {
            let expected = match granted {
                0 => Some(State::Denied),
                all if all == requested => Some(State::Granted),
                part if part > 0 && part < requested => Some(State::GrantedInPart),
                _ => None,
            };
            prop_assert_eq!(decided(requested, granted), expected);
        }
    }
}
