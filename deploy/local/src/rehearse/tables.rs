//! The report as people read it at the terminal.

use std::collections::{BTreeMap, BTreeSet};

use comfy_table::{ContentArrangement, Table, presets::UTF8_BORDERS_ONLY};

use super::report::{ComplianceLine, Counts, Report, SeatsLine, StepLine, add, outcome};

impl Report {
    /// As people read it at the terminal.
    #[must_use]
    pub fn tables(&self) -> String {
        let table = |header: &[&str]| {
            let mut table = Table::new();
            table.load_style(UTF8_BORDERS_ONLY).set_header(header.iter().copied());
            table
        };
        let mut text = Vec::new();

        let mut steps = table(&["due", "step", "outcome"]);
        for (step, outcome) in folded(&self.steps) {
            // What is listed by organisation is for the JSON.
            let outcome: String = outcome.chars().take(80).collect();
            steps.add_row([&step.at, &step.name, &outcome]);
        }
        text.push(format!("Steps of {}\n{steps}", self.term));

        let mut selections = table(&["round", "state", "selections"]);
        for (round, counts) in &self.selections {
            for (state, count) in counts {
                selections.add_row([round, state, &count.to_string()]);
            }
        }
        text.push(format!("Selections\n{selections}"));

        let SeatsLine { capacity, granted, held, waiting, oversold } = self.seats;
        text.push(format!(
            "Seats: {granted} granted of {capacity}, {held} held, {waiting} waiting; oversold projects: {oversold}"
        ));

        let mut round2 = table(&["round", "barred for", "teachers"]);
        for (round, counts) in &self.round2 {
            for (reason, count) in counts {
                round2.add_row([round, reason, &count.to_string()]);
            }
        }
        text.push(format!("Barred from later rounds\n{round2}"));

        let mut mistakes = table(&["deliberate mistake", "refused for", "times"]);
        for mistake in &self.refusals.mistakes {
            mistakes.add_row([&mistake.what, &mistake.reason, &mistake.times.to_string()]);
        }
        text.push(format!("Deliberate mistakes\n{mistakes}"));

        let mut mishaps = table(&["mishap", "times"]);
        for (what, times) in &self.mishaps {
            mishaps.add_row([*what, &times.to_string()]);
        }
        text.push(format!("Mishaps\n{mishaps}"));
        if !self.not_played.is_empty() {
            text.push(format!("Not played, for want of people or windows:\n  {}", self.not_played.join("\n  ")));
        }

        let mut refusals = table(&["reason", "refused calls"]);
        for (reason, count) in &self.refusals.by_reason {
            refusals.add_row([reason, &count.to_string()]);
        }
        text.push(format!("Refusals\n{refusals}"));

        let notices: Vec<String> = self.notices.iter().map(|(what, count)| format!("{count} {what}")).collect();
        text.push(format!("Notices: {}", notices.join(", ")));

        let mut credit = table(&["entries of the ledger", "count", "credits"]);
        for (kind, line) in &self.credit {
            credit.add_row([kind, &line.entries.to_string(), &hundredths(line.awarded_hundredths)]);
        }
        text.push(format!("Credit\n{credit}"));
        text.push(self.compliance_table(&table));

        text.push(self.schools_table(&table));

        let mut changes = table(&["service", "changes", "of which"]);
        changes.set_content_arrangement(ContentArrangement::Dynamic).set_width(140);
        for (service, counts) in &self.changes {
            let verbs: Vec<String> = counts.iter().map(|(verb, count)| format!("{count} {verb}")).collect();
            changes.add_row([service, &counts.values().sum::<i64>().to_string(), &verbs.join(", ")]);
        }
        text.push(format!(
            "Changes
{changes}"
        ));

        let well = if self.surprises.is_empty() {
            "all went as it should".to_owned()
        } else {
            format!("{} SURPRISES:\n  {}", self.surprises.len(), self.surprises.join("\n  "))
        };
        text.push(format!("{} teachers, {} acts in {:.1} s: {well}", self.teachers, self.acts, self.duration_seconds));
        text.join("\n\n")
    }

    fn compliance_table(&self, table: &impl Fn(&[&str]) -> Table) -> String {
        let mut compliance = table(&["requirement", "value", "required", "county", "schools that meet it"]);
        let Some((county, schools)) = self.compliance.split_first() else { return "Compliance: none".to_owned() };
        for requirement in &county.requirements {
            let of = |school: &&ComplianceLine| school.requirements.iter().any(|one| one.key == requirement.key);
            let met =
                |school: &&ComplianceLine| school.requirements.iter().any(|one| one.key == requirement.key && one.met);
            compliance.add_row([
                requirement.key.clone(),
                hundredths(requirement.value_hundredths),
                hundredths(requirement.required_hundredths),
                if requirement.met { "met" } else { "not met" }.to_owned(),
                format!("{} of {}", schools.iter().filter(met).count(), schools.iter().filter(of).count()),
            ]);
        }
        format!("Compliance {} ({})\n{compliance}", county.year, county.state)
    }
}

impl Report {
    /// A row for each school, a column for each requirement that any school has data for; what is met has a tick.
    fn schools_table(&self, table: &impl Fn(&[&str]) -> Table) -> String {
        let Some((_, schools)) = self.compliance.split_first() else { return "Schools: none".to_owned() };
        let keys: BTreeSet<&str> =
            schools.iter().flat_map(|school| school.requirements.iter().map(|one| one.key.as_str())).collect();
        let header: Vec<&str> = ["school", "teachers"].into_iter().chain(keys.iter().copied()).collect();
        let mut rows = table(&header);
        for school in schools {
            let mut row = vec![school.organization.clone(), school.teachers.to_string()];
            row.extend(keys.iter().map(|key| {
                let found = school.requirements.iter().find(|one| one.key == *key);
                found.map_or_else(String::new, |one| {
                    format!("{}{}", hundredths(one.value_hundredths), if one.met { " ✓" } else { "" })
                })
            }));
            rows.add_row(row);
        }
        format!("Schools\n{rows}")
    }
}

fn hundredths(value: i64) -> String {
    format!("{}{}.{:02}", if value < 0 { "-" } else { "" }, value.unsigned_abs() / 100, value.unsigned_abs() % 100)
}

/// Steps of one name, instant and state, such as those of each class's results, on one line with their counts summed.
fn folded(steps: &[StepLine]) -> Vec<(&StepLine, String)> {
    let mut lines: BTreeMap<(&str, &str, &str), (&StepLine, usize, Counts)> = BTreeMap::new();
    for step in steps {
        let line = lines.entry((&step.at, &step.name, &step.state)).or_insert_with(|| (step, 0, Counts::new()));
        line.1 = line.1.saturating_add(1);
        for (key, value) in &step.counts {
            add(&mut line.2, key, *value);
        }
    }
    let text = |(step, times, counts): (_, usize, Counts)| {
        let step: &StepLine = step;
        let outcome = outcome(&step.state, &counts);
        (step, if times > 1 { format!("{times} × {outcome}") } else { outcome })
    };
    lines.into_values().map(text).collect()
}
