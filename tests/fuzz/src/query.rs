//! What people search for, and the tokens with which they turn pages.

use catalog::domain::search::{required, tokens};
use chassis::Page;
use proto::gateway::v1::ListTermsRequest;

/// A text is found by itself.
///
/// # Panics
/// If it is not.
pub fn query(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let (found_by, wanted) = (tokens(&text), required(&text));
    assert!(wanted.is_subset(&found_by), "{text:?} is not found by itself");
}

/// A page's token is that of its own query or none.
///
/// # Panics
/// If a token gives a key that no database takes, or one of another query is taken.
pub fn page_token(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let (query, other) =
        (ListTermsRequest::default(), ListTermsRequest { page_size: 7, ..ListTermsRequest::default() });
    if let Ok(page) = Page::read(0, &text, &query) {
        assert!(!page.after().contains('\0'));
        assert!(text.is_empty() || Page::read(0, &text, &other).is_err(), "a token of two queries: {text:?}");
    }
}
