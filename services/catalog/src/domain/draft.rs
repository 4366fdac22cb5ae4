//! Whether a draft can be submitted: all its faults at once. Formal rules of the declaration (项目申报); what the term's
//! policy does not bound is bounded here only so far that it makes sense.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;

use super::{Audience, Class, Fault, Form, Project, Session, policy::Codes};

/// Longest title, in characters.
pub const MAX_TITLE: usize = 100;
/// Longest description, in characters.
pub const MAX_DESCRIPTION: usize = 4_000;
/// Longest venue, in characters.
pub const MAX_VENUE: usize = 200;
/// Most classes of a project.
pub const MAX_CLASSES: usize = 50;
/// Most sessions of a class.
pub const MAX_SESSIONS: usize = 200;
/// Most entries of one dimension of an audience.
pub const MAX_AUDIENCE: usize = 100;
/// Most places of a class.
pub const MAX_PLACES: i32 = 10_000;
/// Greatest difficulty: 10.00.
pub const MAX_DIFFICULTY_PERCENT: i32 = 1_000;
/// Greatest base credit of one project, in hundredths: the whole cycle's 360.
pub const MAX_CREDIT: i64 = 36_000;

/// What is known of an organisation that a draft names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// It is not on the roster.
    No,
    /// It is, and is no bureau.
    Organization,
    /// It is a bureau: of a province, city or county.
    Bureau,
}

/// What a draft may never be, complete or not: sizes, so that nothing unbounded is kept, and names and codes that are
/// none, since these leave the catalog with its changes.
#[must_use]
pub fn shape_faults(project: &Project) -> Vec<Fault> {
    let mut faults = Vec::new();
    at_most(&mut faults, "title", project.title.chars().count(), MAX_TITLE);
    at_most(&mut faults, "description", project.description.chars().count(), MAX_DESCRIPTION);
    at_most(&mut faults, "classes", project.classes.len(), MAX_CLASSES);
    for (index, class) in project.classes.iter().enumerate() {
        at_most(&mut faults, &format!("classes[{index}].venue"), class.venue.chars().count(), MAX_VENUE);
        at_most(&mut faults, &format!("classes[{index}].sessions"), class.sessions.len(), MAX_SESSIONS);
    }
    for (field, values) in dimensions(&project.audience) {
        at_most(&mut faults, &field, values.len(), MAX_AUDIENCE);
        let well_formed = if field == "audience.organizations" { is_organization } else { is_code };
        if !values.iter().all(|value| well_formed(value)) {
            faults.push(Fault::new(field, "请填写代码或机构名", "give codes, or names of organizations"));
        }
    }
    let bureau = project.accepting_bureau.as_str();
    if !bureau.is_empty() && !is_organization(bureau) {
        faults.push(Fault::new("accepting_bureau", "应为 organizations/…", "organizations/…"));
    }
    faults
}

fn is_code(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    (1..=64).contains(&text.len()) && text.bytes().all(fits)
}

fn is_organization(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    text.strip_prefix("organizations/").is_some_and(|id| (1..=64).contains(&id.len()) && id.bytes().all(fits))
}

fn at_most(faults: &mut Vec<Fault>, field: &str, count: usize, limit: usize) {
    if count > limit {
        faults.push(Fault::new(field, format!("最多 {limit}，现有 {count}"), format!("at most {limit}, not {count}")));
    }
}

/// What a draft is judged by.
#[derive(Debug)]
pub struct Terms<'a> {
    /// The term's selection rounds.
    pub rounds: &'a BTreeSet<i32>,
    /// The term's zone, in which a class's last day is meant.
    pub zone: &'a TimeZone,
    /// The codes that an audience is told in.
    pub codes: &'a Codes,
}

/// Everything for which a draft cannot be submitted. `known`: what the roster says of an organisation.
#[must_use]
pub fn faults(project: &Project, terms: &Terms<'_>, known: impl Fn(&str) -> Known) -> Vec<Fault> {
    let mut faults = shape_faults(project);
    if project.title.trim().is_empty() {
        faults.push(Fault::new("title", "请填写项目名称", "give a title"));
    }
    if known(&project.accepting_bureau) != Known::Bureau {
        faults.push(Fault::new("accepting_bureau", "请选择受理的教育局", "name the bureau that accepts it"));
    }
    if project.level.is_none() {
        faults.push(Fault::new("level", "请选择级别", "choose a level"));
    }
    if project.form.is_none() {
        faults.push(Fault::new("form", "请选择培训形式", "choose a form"));
    }
    in_range(&mut faults, "base_credit", project.base_credit.0, 1, MAX_CREDIT);
    in_range(&mut faults, "difficulty_percent", project.difficulty_percent.into(), 1, MAX_DIFFICULTY_PERCENT.into());
    in_range(&mut faults, "total_hours", project.total_hours.into(), 1, 10_000);
    in_range(&mut faults, "ethics_hours", project.ethics_hours.into(), 0, project.total_hours.max(0).into());
    in_range(&mut faults, "practice_hours", project.practice_hours.into(), 0, project.total_hours.max(0).into());
    audience_faults(&mut faults, &project.audience, terms.codes, known);
    for round in project.allocations.keys() {
        if !terms.rounds.contains(round) {
            let field = format!("allocations[{round}]");
            faults.push(Fault::new(field, "本学期没有这一轮选课", "the term has no such selection round"));
        }
    }
    if project.classes.is_empty() {
        faults.push(Fault::new("classes", "至少需要一个班级", "give at least one class"));
    }
    for (index, class) in project.classes.iter().enumerate() {
        class_faults(&mut faults, &format!("classes[{index}]"), class, project.form, terms.zone);
    }
    faults
}

/// Everything wrong with a class; `path`: where the caller wrote it.
pub fn class_faults(faults: &mut Vec<Fault>, path: &str, class: &Class, form: Option<Form>, zone: &TimeZone) {
    in_range(faults, &format!("{path}.places"), class.places.into(), 1, MAX_PLACES.into());
    at_most(faults, &format!("{path}.venue"), class.venue.chars().count(), MAX_VENUE);
    at_most(faults, &format!("{path}.sessions"), class.sessions.len(), MAX_SESSIONS);
    // Online one learns when one likes.
    if class.sessions.is_empty() && form != Some(Form::Online) {
        faults.push(Fault::new(format!("{path}.sessions"), "请填写上课时间", "give the sessions"));
    }
    session_faults(faults, path, &class.sessions);
    let Some(ends_on) = class.ends_on else {
        faults.push(Fault::new(format!("{path}.ends_on"), "请填写结束日期", "give the last day"));
        return;
    };
    let last = class.sessions.iter().map(|session| session.ends.saturating_sub(1)).max();
    if last.is_some_and(|last| proto::jiff_instant(last).to_zoned_datetime(zone.clone()).date() > ends_on) {
        let field = format!("{path}.ends_on");
        faults.push(Fault::new(field, "结束日期早于最后一次课", "the last day is before the last session"));
    }
}

fn session_faults(faults: &mut Vec<Fault>, path: &str, sessions: &[Session]) {
    for (index, session) in sessions.iter().enumerate() {
        let field = format!("{path}.sessions[{index}]");
        if session.ends <= session.starts {
            faults.push(Fault::new(&field, "结束时间须晚于开始时间", "a session ends after it starts"));
        }
        let before = index.checked_sub(1).and_then(|index| sessions.get(index));
        if before.is_some_and(|before| session.starts < before.ends) {
            faults.push(Fault::new(
                field,
                "上课时间须按先后排列且不得重叠",
                "sessions are in order of time and do not overlap",
            ));
        }
    }
}

fn audience_faults(faults: &mut Vec<Fault>, audience: &Audience, codes: &Codes, known: impl Fn(&str) -> Known) {
    for (field, values) in dimensions(audience) {
        let distinct: BTreeSet<_> = values.iter().collect();
        if distinct.len() < values.len() {
            faults.push(Fault::new(&field, "代码重复", "a code is given twice"));
        }
    }
    let lists = [&codes.stages, &codes.subjects, &codes.tiers, &codes.categories];
    for ((field, values), list) in dimensions(audience).into_iter().zip(lists) {
        let unknown: Vec<&str> =
            values.iter().filter(|value| !list.is_empty() && !list.contains(value)).map(String::as_str).collect();
        if !unknown.is_empty() {
            let unknown = unknown.join(", ");
            faults.push(Fault::new(field, format!("没有此代码：{unknown}"), format!("no such code: {unknown}")));
        }
    }
    if audience.organizations.iter().any(|organization| known(organization) == Known::No) {
        faults.push(Fault::new("audience.organizations", "机构不存在", "an organization is not on the roster"));
    }
}

fn dimensions(audience: &Audience) -> Vec<(String, &[String])> {
    [
        ("stages", audience.stages.as_slice()),
        ("subjects", &audience.subjects),
        ("tiers", &audience.tiers),
        ("categories", &audience.categories),
        ("organizations", &audience.organizations),
    ]
    .into_iter()
    .map(|(name, values)| (format!("audience.{name}"), values))
    .collect()
}

fn in_range(faults: &mut Vec<Fault>, field: &str, value: i64, least: i64, most: i64) {
    if !(least..=most).contains(&value) {
        faults.push(Fault::new(field, format!("应在 {least} 至 {most} 之间"), format!("from {least} to {most}")));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{AllocationPolicy, lifecycle::State, project::tests::complete};

    const DAY: i64 = 86_400_000_000;

    fn known(organization: &str) -> Known {
        match organization {
            "organizations/bureau" => Known::Bureau,
            "organizations/school" => Known::Organization,
            _ => Known::No,
        }
    }

    fn fields(project: &Project) -> Vec<String> {
        in_rounds(project, &BTreeSet::from([1, 2]))
    }

    fn in_rounds(project: &Project, rounds: &BTreeSet<i32>) -> Vec<String> {
        let codes = Codes { stages: vec!["primary".into()], ..Codes::default() };
        let terms = Terms { rounds, zone: &TimeZone::UTC, codes: &codes };
        faults(project, &terms, known).into_iter().map(|fault| fault.field).collect()
    }

    #[test]
    fn a_complete_draft_has_no_fault() {
        assert_eq!(fields(&complete()), Vec::<String>::new());
    }

    #[test]
    fn an_empty_draft_tells_everything_at_once() {
        let mut empty = complete();
        empty.title = " ".into();
        empty.accepting_bureau = "organizations/school".into();
        (empty.level, empty.form) = (None, None);
        (empty.base_credit, empty.difficulty_percent, empty.total_hours) = (proto::Credit(0), 0, 0);
        empty.ethics_hours = 1;
        empty.classes.clear();
        empty.audience.organizations = vec!["organizations/unheard".into()];
        empty.allocations.insert(3, AllocationPolicy::FirstCome);
        assert_eq!(
            fields(&empty),
            [
                "title",
                "accepting_bureau",
                "level",
                "form",
                "base_credit",
                "difficulty_percent",
                "total_hours",
                "ethics_hours",
                "practice_hours",
                "audience.organizations",
                "allocations[3]",
                "classes"
            ]
        );
        assert_eq!(empty.state, State::Draft);
    }

    #[test]
    fn a_class_has_places_sessions_in_order_and_a_last_day_after_them() {
        let mut project = complete();
        let Some(class) = project.classes.first_mut() else { panic!("a class") };
        class.places = 0;
        class.sessions =
            vec![Session { starts: 5 * DAY, ends: 5 * DAY + 1 }, Session { starts: 5 * DAY, ends: 4 * DAY }];
        class.ends_on = Some(jiff::civil::date(1970, 1, 5));
        assert_eq!(
            fields(&project),
            ["classes[0].places", "classes[0].sessions[1]", "classes[0].sessions[1]", "classes[0].ends_on"]
        );
    }

    #[test]
    fn an_audience_is_told_in_the_terms_codes() {
        let mut project = complete();
        project.audience.stages = vec!["primary".into()];
        project.audience.subjects = vec!["anything".into()];
        assert_eq!(fields(&project), Vec::<String>::new());
        project.audience.stages = vec!["primary".into(), "primary".into(), "space".into()];
        assert_eq!(fields(&project), ["audience.stages", "audience.stages"]);
    }

    #[test]
    fn prose_is_no_code_and_no_name() {
        let mut project = complete();
        project.audience.tiers = vec!["骨干 教师".into()];
        project.audience.organizations = vec!["accounts/one".into()];
        project.accepting_bureau = "organizations/a/b".into();
        let fields: Vec<String> = shape_faults(&project).into_iter().map(|fault| fault.field).collect();
        assert_eq!(fields, ["audience.tiers", "audience.organizations", "accepting_bureau"]);
    }

    #[test]
    fn only_an_online_class_needs_no_sessions() {
        let mut project = complete();
        project.classes.iter_mut().for_each(|class| class.sessions.clear());
        assert_eq!(fields(&project), ["classes[0].sessions"]);
        project.form = Some(Form::Online);
        assert_eq!(fields(&project), Vec::<String>::new());
    }

    proptest! {
        /// An override of the allocation policy is valid exactly for a round that the term has.
        #[test]
        fn allocations_are_of_the_terms_rounds(
            rounds in prop::collection::btree_set(-2..6_i32, 0..5),
            overrides in prop::collection::btree_set(-2..6_i32, 0..5),
        ) {
            let mut project = complete();
            project.allocations = overrides.iter().map(|round| (*round, AllocationPolicy::FirstCome)).collect();
            let found = in_rounds(&project, &rounds);
            let expected: Vec<String> =
                overrides.difference(&rounds).map(|round| format!("allocations[{round}]")).collect();
            prop_assert_eq!(found, expected);
        }

        /// Sessions pass exactly when each ends after it starts and starts when the one before has ended.
        #[test]
        fn sessions_pass_exactly_in_order(times in prop::collection::vec((0..50_i64, 0..50_i64), 1..6)) {
            let mut project = complete();
            let sessions: Vec<Session> = times.iter().map(|(starts, ends)| Session { starts: *starts, ends: *ends }).collect();
            let flat: Vec<i64> = sessions.iter().flat_map(|session| [session.starts, session.ends]).collect();
            let in_order = flat.windows(2).enumerate().all(|(index, pair)| match pair {
                [one, two] if index % 2 == 0 => one < two,
                [one, two] => one <= two,
                _ => false,
            });
            project.classes.iter_mut().for_each(|class| class.sessions.clone_from(&sessions));
            prop_assert_eq!(fields(&project).is_empty(), in_order);
        }
    }
}
