//! Between the contract's messages and the domain.

use std::collections::BTreeMap;

use chassis::Faults;
use jiff::civil::Date;
use proto::{Credit, catalog::v1 as pb};

use crate::domain::{
    AllocationPolicy, Audience, Class, ClassState, Form, Level, Project, Session,
    access::View,
    expansion::Expansion,
    review::{Assignment, Scored},
};

/// A project as `view` shows it to `account`.
pub fn project(project: &Project, assignments: &[Assignment], view: View, account: &str) -> pb::Project {
    let inside = matches!(view, View::Bureau | View::Provider);
    let scores = match view {
        View::Bureau => assignments.iter().map(score).collect(),
        View::Expert => assignments.iter().filter(|assignment| assignment.expert == account).map(score).collect(),
        View::Provider | View::Menu => Vec::new(),
    };
    let of_inside = |text: &str| if inside { text.to_owned() } else { String::new() };
    pb::Project {
        name: project.name.clone(),
        provider: project.provider.clone(),
        accepting_bureau: project.accepting_bureau.clone(),
        title: project.title.clone(),
        description: project.description.clone(),
        level: project.level.map_or(0, Level::wire),
        form: project.form.map_or(0, Form::wire),
        audience: Some(audience(&project.audience)),
        base_credit: Some(project.base_credit.into()),
        difficulty_percent: project.difficulty_percent,
        restricted_elective: project.restricted_elective,
        ethics_hours: project.ethics_hours,
        practice_hours: project.practice_hours,
        total_hours: project.total_hours,
        classes: project.classes.iter().map(class).collect(),
        state: project.state.wire(),
        decision_reason: of_inside(&project.decision_reason),
        scores,
        cancellation_requested: inside && project.cancellation_requested,
        allocations: allocations(&project.allocations),
        etag: project.revision.to_string(),
        cancellation_reason: of_inside(&project.cancellation_reason),
    }
}

/// What changes carry of a project.
pub fn facts(project: &Project) -> pb::ProjectFacts {
    // A venue is a place on the menu, not prose on a person: but nobody who mirrors needs it.
    let bare = |one: &Class| pb::Class { venue: String::new(), ..class(one) };
    pb::ProjectFacts {
        name: project.name.clone(),
        term: project.term.clone(),
        provider: project.provider.clone(),
        accepting_bureau: project.accepting_bureau.clone(),
        level: project.level.map_or(0, Level::wire),
        form: project.form.map_or(0, Form::wire),
        audience: Some(audience(&project.audience)),
        base_credit: Some(project.base_credit.into()),
        difficulty_percent: project.difficulty_percent,
        restricted_elective: project.restricted_elective,
        classes: project.classes.iter().map(bare).collect(),
        state: project.state.wire(),
        allocations: allocations(&project.allocations),
        total_hours: project.total_hours,
        practice_hours: project.practice_hours,
    }
}

fn audience(audience: &Audience) -> pb::Audience {
    pb::Audience {
        stages: audience.stages.clone(),
        subjects: audience.subjects.clone(),
        tiers: audience.tiers.clone(),
        categories: audience.categories.clone(),
        organizations: audience.organizations.clone(),
    }
}

fn class(class: &Class) -> pb::Class {
    let session = |session: &Session| pb::Session {
        starts: Some(proto::timestamp(session.starts)),
        ends: Some(proto::timestamp(session.ends)),
    };
    pb::Class {
        name: class.name.clone(),
        places: class.places,
        sessions: class.sessions.iter().map(session).collect(),
        venue: class.venue.clone(),
        state: class.state.wire(),
        ends_on: class.ends_on.map(Into::into),
        approved_places: class.approved_places,
    }
}

fn allocations(allocations: &BTreeMap<i32, AllocationPolicy>) -> Vec<pb::Allocation> {
    allocations.iter().map(|(round, policy)| pb::Allocation { round: *round, policy: policy.wire() }).collect()
}

/// An expert on a project, with his score if there is one.
pub fn score(assignment: &Assignment) -> pb::Score {
    let scored = assignment.score.as_ref();
    pb::Score {
        expert: assignment.expert.clone(),
        criteria: scored.map(criteria).unwrap_or_default(),
        total_hundredths: scored.map_or(0, |score| score.total_hundredths),
        comment: scored.map(|score| score.comment.clone()).unwrap_or_default(),
        recused: assignment.recused,
    }
}

fn criteria(score: &Scored) -> Vec<pb::Criterion> {
    score.criteria.iter().map(|(key, points)| pb::Criterion { key: key.clone(), points: *points }).collect()
}

/// A request for more places.
pub fn expansion(expansion: &Expansion) -> pb::Expansion {
    pb::Expansion {
        name: expansion.name.clone(),
        class: expansion.class.clone(),
        new_class: expansion.new_class.as_ref().map(class),
        places_requested: expansion.places_requested,
        places_granted: expansion.places_granted,
        reason: expansion.reason.clone(),
        state: expansion.state.wire(),
        decision_reason: expansion.decision_reason.clone(),
    }
}

/// What changes carry of a request for more places: everything but prose.
pub fn expansion_facts(given: &Expansion) -> pb::Expansion {
    let mut facts = expansion(given);
    facts.reason.clear();
    facts.decision_reason.clear();
    if let Some(class) = &mut facts.new_class {
        class.venue.clear();
    }
    facts
}

/// Takes the named fields of what the provider wrote over into the project; "*" means all of them.
pub fn write_fields(project: &mut Project, given: &pb::Project, fields: &[String], faults: &mut Faults) {
    for (index, field) in fields.iter().enumerate() {
        if field == "*" {
            WRITABLE.iter().for_each(|field| write_field(project, given, field, faults));
        } else if WRITABLE.contains(&field.as_str()) {
            write_field(project, given, field, faults);
        } else {
            let allowed = WRITABLE.join(", ");
            let at = format!("update_mask.paths[{index}]");
            faults.add(at, format!("只能是：{allowed}"), format!("one of: {allowed}"));
        }
    }
}

const WRITABLE: &[&str] = &[
    "accepting_bureau",
    "title",
    "description",
    "level",
    "form",
    "audience",
    "base_credit",
    "difficulty_percent",
    "restricted_elective",
    "ethics_hours",
    "practice_hours",
    "total_hours",
    "classes",
    "allocations",
];

fn write_field(project: &mut Project, given: &pb::Project, field: &str, faults: &mut Faults) {
    match field {
        "accepting_bureau" => project.accepting_bureau.clone_from(&given.accepting_bureau),
        "title" => project.title.clone_from(&given.title),
        "description" => project.description.clone_from(&given.description),
        "level" => project.level = Level::from_wire(given.level),
        "form" => project.form = Form::from_wire(given.form),
        "audience" => project.audience = read_audience(given.audience.clone().unwrap_or_default()),
        "base_credit" => project.base_credit = given.base_credit.map(Credit::from).unwrap_or_default(),
        "difficulty_percent" => project.difficulty_percent = given.difficulty_percent,
        "restricted_elective" => project.restricted_elective = given.restricted_elective,
        "ethics_hours" => project.ethics_hours = given.ethics_hours,
        "practice_hours" => project.practice_hours = given.practice_hours,
        "total_hours" => project.total_hours = given.total_hours,
        "classes" => write_classes(project, &given.classes, faults),
        "allocations" => project.allocations = read_allocations(&given.allocations, faults),
        _ => {}
    }
}

fn read_audience(audience: pb::Audience) -> Audience {
    Audience {
        stages: audience.stages,
        subjects: audience.subjects,
        tiers: audience.tiers,
        categories: audience.categories,
        organizations: audience.organizations,
    }
}

fn read_allocations(given: &[pb::Allocation], faults: &mut Faults) -> BTreeMap<i32, AllocationPolicy> {
    let mut all = BTreeMap::new();
    for (index, allocation) in given.iter().enumerate() {
        let field = format!("project.allocations[{index}]");
        match AllocationPolicy::from_wire(allocation.policy) {
            None => faults.add(field, "请选择名额分配方式", "choose a policy"),
            Some(policy) => {
                if all.insert(allocation.round, policy).is_some() {
                    faults.add(field, "同一轮次重复", "this round is given twice");
                }
            }
        }
    }
    all
}

/// A class that the project has keeps its name; a new one gets the system's.
fn write_classes(project: &mut Project, given: &[pb::Class], faults: &mut Faults) {
    let known: Vec<String> = project.classes.iter().map(|class| class.name.clone()).collect();
    let mut classes = Vec::with_capacity(given.len());
    for (index, class) in given.iter().enumerate() {
        let path = format!("project.classes[{index}]");
        let mut read = read_class(class, &path, faults);
        if read.name.is_empty() || !known.contains(&read.name) {
            read.name = project.next_class_name();
            project.classes.push(read.clone());
        } else if classes.iter().any(|other: &Class| other.name == read.name) {
            faults.add(format!("{path}.name"), "班级重复", "this class is given twice");
        }
        classes.push(read);
    }
    project.classes = classes;
}

/// A class as the caller wrote it; `path`: where.
pub fn read_class(class: &pb::Class, path: &str, faults: &mut Faults) -> Class {
    let mut sessions = Vec::with_capacity(class.sessions.len());
    for (index, session) in class.sessions.iter().enumerate() {
        match (&session.starts, &session.ends) {
            (Some(starts), Some(ends)) => {
                sessions.push(Session { starts: proto::instant(starts), ends: proto::instant(ends) });
            }
            _ => faults.add(
                format!("{path}.sessions[{index}]"),
                "请填写开始和结束时间",
                "give the start and the end of the session",
            ),
        }
    }
    let ends_on = class.ends_on.map(Date::try_from).transpose().unwrap_or_else(|_| {
        faults.add(format!("{path}.ends_on"), "日期不存在", "not a day of the calendar");
        None
    });
    Class {
        name: class.name.clone(),
        places: class.places,
        approved_places: 0,
        sessions,
        venue: class.venue.clone(),
        state: ClassState::Active,
        ends_on,
    }
}
