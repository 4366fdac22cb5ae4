//! A roster file: a row a line, its fields in the order of the roster's.

use jiff::civil::date;
use roster::domain::{
    codes::Codes,
    field::{Entry, Field},
    identity_number::IdentityNumber,
    import::{Plan, Roster, Row, complete, plan},
};

const TODAY: jiff::civil::Date = date(2019, 8, 1);

/// Every row has its plan, and every fault a row.
///
/// # Panics
/// Where a rule does, or a row is forgotten.
pub fn roster(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let mut rows: Vec<Row> = text.lines().map(row).collect();
    let mut known = Roster::default();
    for row in &rows {
        known.schools.insert(row.school.clone());
        known.kept_schools.insert(row.school.clone());
    }
    complete(&mut rows, &known, TODAY);
    let (plans, faults) = plan(&rows, &known, &Codes::default(), TODAY);
    assert_eq!(plans.len(), rows.len());
    assert!(plans.iter().all(|plan| *plan == Plan::Create), "nobody is known");
    assert!(faults.iter().all(|fault| (1..=rows.len()).contains(&fault.row)));
}

fn row(line: &str) -> Row {
    let mut texts = line.split(',').map(str::to_owned);
    let (name, school) = (texts.next().unwrap_or_default(), texts.next().unwrap_or_default());
    let entry: Entry = Field::ALL.into_iter().zip(texts).collect();
    let number = IdentityNumber::parse(entry.get(Field::IdentityNumber), TODAY);
    let identity_index = number.map(|number| number.text().to_owned()).unwrap_or_default();
    Row { name, school, entry, identity_index }
}
