//! Paging (AIP-158): page tokens are opaque and bound to their query.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use prost::Message;
use proto::common::v1::Reason;
use sha2::{Digest as _, Sha256};

use crate::failure::{Failure, Faults};

const DEFAULT: i32 = 50;
const MAX: i32 = 1000;
/// Bytes of a page's rows: with all the rest of the answer well below the 4 MiB that a message may have.
const BYTES: usize = 3 << 20;

/// One page of a listing that is ordered by a text key.
#[derive(Debug, Clone)]
pub struct Page {
    after: String,
    limit: usize,
    bound: [u8; 8],
}

impl Page {
    /// Reads size and token of a request; `query` is the request with both cleared.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a negative size, or a token of another query.
    pub fn read(size: i32, token: &str, query: &impl Message) -> Result<Self, Failure> {
        let mut faults = Faults::new();
        if size < 0 {
            faults.add("page_size", "不能为负", "must not be negative");
        }
        faults.check()?;
        let digest = Sha256::digest(query.encode_to_vec());
        let mut bound = [0; 8];
        bound.iter_mut().zip(digest.iter()).for_each(|(to, from)| *to = *from);
        let limit = usize::try_from(if size == 0 { DEFAULT } else { size.min(MAX) }).unwrap_or(1);
        Ok(Self { after: if token.is_empty() { String::new() } else { open(token, bound)? }, limit, bound })
    }

    /// The last key of the page before; empty at the beginning.
    #[must_use]
    pub fn after(&self) -> &str {
        &self.after
    }

    /// How many rows this page takes; ask the database for one more to know whether there is a next page.
    #[must_use]
    pub const fn limit(&self) -> usize {
        self.limit
    }

    /// How many rows to ask the database for: one more than the page takes, to know whether there is a next page.
    #[must_use]
    pub const fn ask(&self) -> usize {
        self.limit.saturating_add(1)
    }

    /// Cuts what was found to the page, by rows and by bytes, and gives the token of the next one. `key` is a row's key in the
    /// listing's order.
    pub fn cut<M: Message>(&self, mut found: Vec<M>, key: impl Fn(&M) -> String) -> (Vec<M>, String) {
        let mut bytes = 0_usize;
        let fits = |row: &&M| {
            bytes = bytes.saturating_add(row.encoded_len());
            bytes <= BYTES
        };
        // One row at least, or there would be no way past it.
        let kept = found.iter().take(self.limit).take_while(fits).count().max(1);
        let more = found.len() > kept;
        found.truncate(kept);
        let token = found.last().filter(|_| more).map_or_else(String::new, |last| self.next(usize::MAX, || key(last)));
        (found, token)
    }

    /// The token of the next page: empty unless `found` rows are more than the page takes. `last` is the key of the page's
    /// last row.
    #[must_use]
    pub fn next(&self, found: usize, last: impl FnOnce() -> String) -> String {
        if found <= self.limit {
            return String::new();
        }
        let mut token = self.bound.to_vec();
        token.extend(last().into_bytes());
        URL_SAFE_NO_PAD.encode(token)
    }
}

fn open(token: &str, bound: [u8; 8]) -> Result<String, Failure> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok();
    let key = bytes.as_deref().and_then(|bytes| bytes.strip_prefix(&bound[..]));
    if let Some(Ok(key)) = key.map(|key| String::from_utf8(key.to_vec()))
        && !key.contains('\0')
    {
        return Ok(key);
    }
    let mut faults = Faults::new();
    faults.add("page_token", "从第一页重新开始", "start from the first page");
    faults.check_as(Reason::PageTokenInvalid)?;
    Ok(String::new())
}
