//! Coded values are told in words: of every state machine, and in every text that the sources spell out.

use std::path::{Path, PathBuf};

use catalog::domain::{expansion, lifecycle as project};
use enrollment::domain::{state as selection, teacher};
use proto::words::words;

#[test]
fn every_word_of_a_state_machine_has_words() {
    let all = [
        project::State::ALL.iter().map(|one| one.word()).collect::<Vec<_>>(),
        project::Event::ALL.iter().map(|one| one.word()).collect(),
        expansion::State::ALL.iter().map(|one| one.word()).collect(),
        selection::State::ALL.iter().map(|one| one.word()).collect(),
        selection::Event::ALL.iter().map(|one| one.word()).collect(),
        teacher::Status::ALL.iter().map(|one| one.word()).collect(),
    ];
    let missing: Vec<_> = all.into_iter().flatten().filter(|word| words(word).is_none()).collect();
    assert!(missing.is_empty(), "proto/src/words.rs lacks {missing:?}");
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            sources(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs" || extension == "proto") {
            found.push(path);
        }
    }
    Ok(())
}

/// A line that has a Chinese text has no name of the contract, but for the table itself. What a refusal's `state` or `event` is
/// said to be in place is in the table.
#[test]
fn no_text_in_the_sources_shows_a_name() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut files = Vec::new();
    for folder in ["roster", "catalog", "enrollment", "credit", "chassis"] {
        sources(&root.join("services").join(folder).join("src"), &mut files)?;
    }
    sources(&root.join("gateway/src"), &mut files)?;
    sources(&root.join("proto/shixun"), &mut files)?;
    assert!(files.len() > 200, "only {} files", files.len());
    let (mut texts, mut states, mut wrong) = (0, 0, Vec::new());
    for file in files {
        for (number, line) in std::fs::read_to_string(&file)?.lines().enumerate() {
            let line = line.trim_start();
            let place = format!("{}:{}: {line}", file.display(), number + 1);
            // A reason's own name begins its line in the contract.
            let text = line.find("zh:").map_or(line, |begins| line.get(begins..).unwrap_or_default());
            if !line.starts_with("//") && text.contains(|c: char| ('\u{4e00}'..='\u{9fff}').contains(&c)) {
                texts += 1;
                let shows = |name: &str| text.contains(name);
                if ["PHASE_", "ROLE_", "STATE_", "STATUS_", "KIND_"].iter().any(|name| shows(name)) {
                    wrong.push(place.clone());
                }
            }
            for said in line.split("Failure::state(").skip(1).flat_map(|call| call.split('"').skip(1).step_by(2)) {
                states += 1;
                if words(said).is_none() {
                    wrong.push(place.clone());
                }
            }
        }
    }
    assert!(texts > 200 && states > 10, "{texts} texts, {states} states and events");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}
