//! Expand, then contract: what a migration may do while programs of the release before still work on the same tables.

use crate::release::Version;

/// What a migration is called that takes away what older releases need: `NNNN_contract_since_0_2_0_…` (see `chassis::db`).
const CONTRACT: &str = "contract_since_";

/// Words of a statement that take away, or ask more, and what is wrong with them. `+` stands for a name.
const NARROWING: [(&[&str], &str); 11] = [
    (&["DROP"], "it takes something away"),
    (&["RENAME"], "it renames"),
    (&["TRUNCATE"], "it deletes rows"),
    (&["DELETE", "FROM"], "it deletes rows"),
    (&["ALTER", "COLUMN", "+", "TYPE"], "it changes a type"),
    (&["ALTER", "COLUMN", "+", "SET", "DATA", "TYPE"], "it changes a type"),
    (&["ALTER", "TYPE"], "it changes a type"),
    (&["SET", "NOT", "NULL"], "it asks for a value that the release before need not write"),
    (&["ADD", "CONSTRAINT"], "it forbids what the release before may write"),
    (&["ADD", "CHECK"], "it forbids what the release before may write"),
    (&["UNIQUE", "INDEX"], "it forbids what the release before may write"),
];

/// Since which release nobody needs what this file takes away, if its name says so.
#[must_use]
pub fn contracts_since(name: &str) -> Option<Version> {
    let (_, rest) = name.split_once('_')?;
    let rest = rest.strip_prefix(CONTRACT)?;
    let parts: Vec<&str> = rest.split('_').take(3).collect();
    Version::read(&parts.join("."))
}

/// What the migration does that the release before does not bear.
#[must_use]
pub fn narrows(sql: &str) -> Vec<String> {
    let statements = statements(sql);
    // What a file itself makes, nobody needs yet.
    let made: Vec<&str> = statements.iter().filter_map(|words| made(words)).collect();
    let mut found = Vec::new();
    for words in &statements {
        let is_own = words.iter().any(|word| made.contains(&word.as_str()));
        let holds = |pattern: &[&str]| {
            words
                .windows(pattern.len())
                .any(|window| window.iter().zip(pattern).all(|(word, wanted)| *wanted == "+" || word == wanted))
        };
        if !is_own {
            found.extend(NARROWING.iter().filter(|(pattern, _)| holds(pattern)).map(|(_, what)| told(what, words)));
        }
        if holds(&["ALTER", "TABLE"]) {
            let mut additions = words.split(|word| word == "ADD").skip(1);
            let asks = additions.any(|column| {
                let holds = |wanted: &str| column.iter().any(|word| word == wanted);
                column.windows(2).any(|pair| pair == ["NOT", "NULL"]) && !holds("DEFAULT")
            });
            if asks {
                found.push(told("it asks for a value that the release before does not write", words));
            }
        }
    }
    found
}

fn told(what: &str, words: &[String]) -> String {
    format!("{what}: {}", words.join(" "))
}

/// The table that a statement makes.
fn made(words: &[String]) -> Option<&str> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["CREATE", "TABLE", "IF", "NOT", "EXISTS", name, ..] | ["CREATE", "TABLE", name, ..] => Some(name),
        _ => None,
    }
}

/// The words of each statement in capitals, without comments and texts.
fn statements(sql: &str) -> Vec<Vec<String>> {
    let mut plain = String::new();
    let mut letters = sql.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\'' => {
                let _ = letters.by_ref().find(|letter| *letter == '\'');
                plain.push_str(" TEXT ");
            }
            '-' if letters.peek() == Some(&'-') => {
                let _ = letters.by_ref().find(|letter| *letter == '\n');
                plain.push(' ');
            }
            letter => plain.push(letter),
        }
    }
    let words = |statement: &str| {
        let words = statement.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
        words.filter(|word| !word.is_empty()).map(str::to_uppercase).collect::<Vec<_>>()
    };
    plain.split(';').map(words).filter(|words| !words.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grows_is_allowed() {
        for sql in [
            "CREATE TABLE one (name TEXT NOT NULL UNIQUE, CHECK (name <> '')); CREATE UNIQUE INDEX first ON one (name);",
            "ALTER TABLE old ADD COLUMN more TEXT;",
            "ALTER TABLE old ADD COLUMN more BIGINT NOT NULL DEFAULT 0, ADD COLUMN less TEXT NOT NULL DEFAULT '-- DROP';",
            "-- DROP TABLE old; it's gone\nCREATE INDEX more ON old (name); UPDATE old SET more = 1;",
            "CREATE TABLE new (name TEXT); ALTER TABLE new RENAME COLUMN name TO id; DROP TABLE new;",
        ] {
            assert_eq!(narrows(sql), Vec::<String>::new(), "{sql}");
        }
    }

    #[test]
    fn what_narrows_is_found() {
        for sql in [
            "DROP TABLE old;",
            "alter table old drop column name;",
            "ALTER TABLE old RENAME COLUMN stage TO stages",
            "ALTER TABLE old RENAME TO older;",
            "ALTER TABLE old ALTER COLUMN size TYPE BIGINT;",
            "ALTER TABLE old ALTER COLUMN size SET DATA TYPE BIGINT;",
            "ALTER TYPE mood ADD VALUE 'x';",
            "ALTER TABLE old ALTER COLUMN size SET NOT NULL;",
            "ALTER TABLE old ADD COLUMN size BIGINT NOT NULL;",
            "ALTER TABLE old ADD size BIGINT NOT NULL, ADD COLUMN more TEXT DEFAULT '';",
            "ALTER TABLE old ADD CONSTRAINT short CHECK (size < 5);",
            "CREATE UNIQUE INDEX only ON old (name);",
            "DELETE FROM old;",
            "TRUNCATE old;",
            "DROP INDEX by_name;",
        ] {
            assert_eq!(narrows(sql).len(), 1, "{sql}: {:?}", narrows(sql));
        }
    }

    #[test]
    fn a_name_tells_since_when() {
        assert_eq!(contracts_since("0012_contract_since_0_2_0_old_names.sql"), Version::read("0.2.0"));
        assert_eq!(contracts_since("0012_contract_since_0_10_1.sql"), None);
        assert_eq!(contracts_since("0012_contract.sql"), None);
        assert_eq!(contracts_since("0012_more.sql"), None);
    }
}
