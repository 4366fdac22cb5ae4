//! Page tokens: opaque, and good for their own query only.

use chassis::Page;
use proptest::prelude::*;
use proto::{common::v1::Reason, roster::v1::ListOrganizationsRequest};

fn query(ancestor: &str) -> ListOrganizationsRequest {
    ListOrganizationsRequest { ancestor: ancestor.to_owned(), ..ListOrganizationsRequest::default() }
}

fn token(query: &ListOrganizationsRequest, last: &str) -> String {
    Page::read(1, "", query).map(|page| page.next(2, || last.to_owned())).unwrap_or_default()
}

#[test]
fn sizes_are_bounded() {
    for (asked, limit) in [(0, 50), (1, 1), (1000, 1000), (1001, 1000), (i32::MAX, 1000)] {
        assert_eq!(Page::read(asked, "", &query("")).expect("a page").limit(), limit);
    }
    assert_eq!(
        Page::read(-1, "", &query("")).err().and_then(|failure| failure.reason()),
        Some(Reason::InvalidArgument)
    );
}

#[test]
fn the_last_page_has_no_next() {
    let page = Page::read(3, "", &query("")).expect("a page");
    assert!(page.next(0, || unreachable!()).is_empty() && page.next(3, || unreachable!()).is_empty());
    assert!(!page.next(4, || "key".to_owned()).is_empty());
}

#[test]
fn a_page_ends_before_it_is_too_large_for_a_message() {
    let row = |n: usize, bytes: usize| ListOrganizationsRequest {
        ancestor: n.to_string(),
        page_token: "x".repeat(bytes),
        ..ListOrganizationsRequest::default()
    };
    let key = |row: &ListOrganizationsRequest| row.ancestor.clone();
    let of = |token: &str| Page::read(100, token, &query("")).expect("a page");
    // All rows come, each once and in order, however large they are.
    for bytes in [0, 100_000, 2_000_000, 5_000_000] {
        let all: Vec<_> = (0..101).map(|n| row(n, bytes)).collect();
        let (mut seen, mut token, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let page = of(&token);
            let from = page.after().parse::<usize>().map_or(0, |last| last + 1);
            let (rows, next) = page.cut(all.iter().skip(from).take(page.ask()).cloned().collect(), key);
            let size: usize = rows.iter().map(prost::Message::encoded_len).sum();
            assert!(rows.len() == 1 || size < 4 << 20, "{} rows have {size} bytes", rows.len());
            seen.extend(rows.iter().map(key));
            (token, pages) = (next, pages + 1);
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(seen, (0..101).map(|n| n.to_string()).collect::<Vec<_>>());
        assert!(pages >= 2 && (bytes > 0 || pages == 2), "{pages} pages with rows of {bytes}");
    }
    let (none, token) = of("").cut(Vec::new(), key);
    assert!(none.is_empty() && token.is_empty());
}

proptest! {
    #[test]
    fn a_token_leads_on_in_its_query(ancestor in ".*", last in ".*", size in 0..2000_i32) {
        let page = Page::read(size, &token(&query(&ancestor), &last), &query(&ancestor));
        if last.contains('\0') {
            // No key that was ever stored has it: somebody made the token up.
            prop_assert_eq!(page.err().and_then(|failure| failure.reason()), Some(Reason::PageTokenInvalid));
        } else {
            let page = page.expect("its own query");
            prop_assert_eq!(page.after(), last);
        }
    }

    #[test]
    fn a_token_is_refused_in_any_other_query(one in ".*", other in ".*", last in ".*") {
        prop_assume!(one != other);
        let refused = Page::read(1, &token(&query(&one), &last), &query(&other));
        prop_assert_eq!(refused.err().and_then(|failure| failure.reason()), Some(Reason::PageTokenInvalid));
    }

    #[test]
    fn no_text_panics(token in ".*") {
        let _ = Page::read(1, &token, &query(""));
    }
}
