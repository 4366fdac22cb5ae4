//! What a data folder is for, and what it refuses.

use super::*;

fn wish(purpose: Purpose, term: &TermFolder) -> Wish<'_> {
    Wish { purpose, term, teachers: None, seed: None, until: None, databases: None }
}

#[test]
fn who_comes_again_finds_what_is_there() {
    let term = TermFolder::sample().unwrap();
    let parent = tempfile::tempdir().unwrap();
    let folder = DataFolder::of(&parent.path().join("new"));
    let made = folder.open(&Wish { teachers: Some(60), seed: Some(3), ..wish(Purpose::Up, &term) }).unwrap();
    assert_eq!((made.teachers, made.seed, made.term.as_str()), (60, 3, "2019-autumn"));
    for ready in [false, true] {
        assert_eq!(folder.is_ready(), ready);
        assert_eq!(folder.open(&wish(Purpose::Up, &term)).unwrap(), made);
        assert_eq!(folder.open(&Wish { seed: Some(3), ..wish(Purpose::Up, &term) }).unwrap(), made);
        assert!(folder.open(&Wish { seed: Some(4), ..wish(Purpose::Up, &term) }).is_err());
        assert!(folder.open(&Wish { teachers: Some(61), ..wish(Purpose::Up, &term) }).is_err());
        assert!(folder.open(&wish(Purpose::Rehearse, &term)).is_err());
        folder.journal().unwrap();
        folder.mark_ready().unwrap();
    }
}

#[test]
fn documents_that_were_changed_are_noticed_until_all_is_ready() {
    let term = TermFolder::sample().unwrap();
    let changed = other(&term);
    let parent = tempfile::tempdir().unwrap();
    let folder = DataFolder::of(parent.path());
    folder.open(&wish(Purpose::Rehearse, &term)).unwrap();
    // As it is once the play has begun.
    fs::write(parent.path().join(JOURNAL), journal_of_one()).unwrap();
    assert!(folder.open(&wish(Purpose::Rehearse, &changed)).is_err());
    assert!(folder.open(&wish(Purpose::Up, &term)).is_err());
    folder.mark_ready().unwrap();
    assert!(folder.open(&wish(Purpose::Rehearse, &term)).unwrap_err().to_string().contains("has ended"));
    // To look at it.
    folder.open(&wish(Purpose::Up, &changed)).unwrap();
}

/// The same term with other words in its policy.
fn other(term: &TermFolder) -> TermFolder {
    let mut documents = term.documents.clone();
    documents.policy.push_str("\r\n# \"\"\" ''' another\r\n");
    TermFolder::of(&term.id, documents).unwrap()
}

/// A journal with one answer in it.
fn journal_of_one() -> Vec<u8> {
    // Field 1, a key of one byte.
    vec![3, 0x0a, 1, b'k']
}

#[test]
fn documents_that_were_mended_before_the_play_begin_anew() {
    let term = TermFolder::sample().unwrap();
    let changed = other(&term);
    let parent = tempfile::tempdir().unwrap();
    let folder = DataFolder::of(parent.path());
    let small = Wish { teachers: Some(60), ..wish(Purpose::Up, &term) };
    folder.open(&small).unwrap();
    let made = parent.path().join("gateway.db");
    fs::write(&made, "").unwrap();
    let anew = folder.open(&Wish { term: &changed, ..small }).unwrap();
    assert!(!made.exists(), "what was made of the old documents is still there");
    assert_eq!((anew.documents, anew.teachers), (changed.documents.digest(), 60));
    // Interrupted while it was removed: whoever comes, with whatever documents, has it removed.
    folder.mark(&Holding { documents: String::new(), ..folder.holding().unwrap().unwrap() }).unwrap();
    fs::write(&made, "").unwrap();
    folder.open(&small).unwrap();
    assert!(!made.exists());
}

#[test]
fn the_documents_are_kept_for_who_comes_without_them() {
    let sample = TermFolder::sample().unwrap();
    let own = TermFolder { id: "own-term".to_owned(), ..other(&sample) };
    let parent = tempfile::tempdir().unwrap();
    let folder = DataFolder::of(parent.path());
    assert_eq!(folder.term(None).unwrap().id, "2019-autumn");
    folder.open(&wish(Purpose::Rehearse, &own)).unwrap();
    folder.mark_ready().unwrap();
    let kept = folder.term(None).unwrap();
    assert_eq!((kept.id.as_str(), &kept.documents), ("own-term", &own.documents));
    folder.open(&wish(Purpose::Up, &kept)).unwrap();
    assert!(folder.open(&wish(Purpose::Up, &sample)).is_err());
}

#[test]
fn the_instant_stays() {
    let term = TermFolder::sample().unwrap();
    let at = |text: &str| Some(text.parse::<Timestamp>().unwrap());
    let until = at("2019-08-26T01:00:00Z");
    for (made, again) in [(until, until), (until, None), (None, None)] {
        let parent = tempfile::tempdir().unwrap();
        let folder = DataFolder::of(parent.path());
        folder.open(&Wish { until: made, ..wish(Purpose::Up, &term) }).unwrap();
        for ready in [false, true] {
            assert_eq!(folder.is_ready(), ready);
            folder.open(&Wish { until: again, ..wish(Purpose::Up, &term) }).unwrap();
            for other in ["2019-09-12T00:00:00Z", "2019-07-01T00:00:00Z"] {
                let other = Wish { until: at(other), ..wish(Purpose::Up, &term) };
                assert!(folder.open(&other).unwrap_err().to_string().contains("leave --at out"));
            }
            folder.mark_ready().unwrap();
        }
    }
}

#[test]
fn a_folder_is_one_process_s() {
    let parent = tempfile::tempdir().unwrap();
    let folder = DataFolder::of(&parent.path().join("new"));
    let held = folder.hold().unwrap();
    assert!(folder.hold().unwrap_err().to_string().contains("is in use by another process"));
    drop(held);
    folder.hold().unwrap();
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 0, "something was written");
}

#[test]
fn no_county_is_smaller_than_its_least() {
    let term = TermFolder::sample().unwrap();
    let parent = tempfile::tempdir().unwrap();
    let folder = DataFolder::of(&parent.path().join("new"));
    let least = County::least(&term);
    for few in [0, 1, least - 1] {
        let refused = folder.open(&Wish { teachers: Some(few), ..wish(Purpose::Rehearse, &term) }).unwrap_err();
        assert!(refused.to_string().contains(&format!("use --teachers {least} or more")), "{refused}");
    }
    assert_eq!(folder.open(&Wish { teachers: Some(least), ..wish(Purpose::Rehearse, &term) }).unwrap().teachers, least);
}

#[test]
fn the_engine_stays() {
    let term = TermFolder::sample().unwrap();
    let parent = tempfile::tempdir().unwrap();
    let (files, server) = (DataFolder::of(&parent.path().join("files")), DataFolder::of(&parent.path().join("server")));
    let on_server = Wish { databases: Some("rehearsal_1"), ..wish(Purpose::Rehearse, &term) };
    files.open(&wish(Purpose::Rehearse, &term)).unwrap();
    assert!(files.open(&on_server).is_err());
    server.open(&on_server).unwrap();
    assert!(server.open(&wish(Purpose::Rehearse, &term)).unwrap_err().to_string().contains("rehearsal_1"));
    let again = server.open(&Wish { databases: Some("rehearsal_2"), ..on_server }).unwrap();
    assert_eq!(again.databases.as_deref(), Some("rehearsal_1"));
    server.mark_ready().unwrap();
    assert!(server.open(&wish(Purpose::Up, &term)).is_err());
}

#[test]
fn what_others_have_there_is_left_alone() {
    let term = TermFolder::sample().unwrap();
    let parent = tempfile::tempdir().unwrap();
    let folder = DataFolder::of(parent.path());
    // Left by a process that was killed.
    fs::write(parent.path().join("county.new"), "purp").unwrap();
    folder.is_free(Purpose::Rehearse).unwrap();
    fs::write(parent.path().join("holiday.jpg"), "").unwrap();
    assert!(folder.open(&wish(Purpose::Rehearse, &term)).is_err());
    fs::write(parent.path().join("gateway.db"), "").unwrap();
    assert!(folder.open(&wish(Purpose::Up, &term)).is_err());
    assert!(!parent.path().join(COUNTY).exists());
}
