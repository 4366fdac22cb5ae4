//! A roster file as it arrives: a header, then rows; whole, or not a file.

use chassis::{Failure, Faults, texts};
use prost::{Message as _, Name as _};
use proto::roster::v1::{
    self as pb, ImportTeachersRequest,
    import_teachers_request::{Frame, Header},
};
use sha2::{Digest as _, Sha256};
use tonic::{Status, Streaming};

use crate::domain::{
    account::is_password,
    fault::{Defect, Fault},
    import::RowFault,
};

/// Rows that one file may have: more than any county has teachers, and little enough for memory.
const MAX_ROWS: usize = 50_000;

/// A whole file.
pub struct File {
    /// What it says of itself.
    pub header: Header,
    /// Its rows.
    pub teachers: Vec<pb::Teacher>,
    /// Their texts that hold what no text may. They are told with the rows' other faults.
    pub zeros: Vec<RowFault>,
}

/// The header alone, of a file whose rows will not be looked at; none where it does not come first, or is none.
pub async fn header(mut stream: Streaming<ImportTeachersRequest>) -> Result<Option<Header>, Status> {
    let first = stream.message().await?.and_then(|message| message.frame);
    let Some(Frame::Header(header)) = first else { return Ok(None) };
    let mut faults = Faults::new();
    texts::check(&mut faults, "header", &Header::full_name(), &header.encode_to_vec());
    Ok(faults.check().is_ok().then_some(header))
}

/// Receives a file and checks that it is whole.
pub async fn receive(mut stream: Streaming<ImportTeachersRequest>) -> Result<File, Status> {
    let mut header: Option<Header> = None;
    let mut teachers = Vec::new();
    let mut digest = Sha256::new();
    let mut zeros = Vec::new();
    while let Some(message) = stream.message().await? {
        match (message.frame, &header) {
            (Some(Frame::Header(first)), None) => header = Some(first),
            (Some(Frame::Rows(rows)), Some(_)) if teachers.len().saturating_add(rows.teachers.len()) <= MAX_ROWS => {
                for teacher in rows.teachers {
                    let encoded = teacher.encode_to_vec();
                    let row = teachers.len().saturating_add(1);
                    let fields = texts::fields(&pb::Teacher::full_name(), &encoded).into_iter();
                    zeros.extend(fields.map(|field| RowFault { row, fault: Fault::of(field, Defect::ZeroCharacter) }));
                    digest.update(encoded);
                    teachers.push(teacher);
                }
            }
            (Some(Frame::Rows(_)), Some(_)) => {
                return Err(refused("rows", "每个文件最多 50,000 行", "a file has at most 50,000 rows"));
            }
            _ => {
                return Err(refused(
                    "frame",
                    "第一帧为文件头，其后均为数据行",
                    "the header comes first, and only rows follow",
                ));
            }
        }
    }
    let Some(header) = header else { return Err(refused("header", "缺少文件头", "the header is missing")) };
    let mut faults = Faults::new();
    texts::check(&mut faults, "header", &Header::full_name(), &header.encode_to_vec());
    if !header.dry_run {
        faults.request_id("header.request_id", &header.request_id);
    }
    if usize::try_from(header.row_count) != Ok(teachers.len()) {
        faults.add(
            "header.row_count",
            "与收到的行数不符，请重新发送",
            "it differs from the rows received: send the file again",
        );
    }
    if header.digest != digest.finalize().as_slice() {
        faults.add(
            "header.digest",
            "与收到的内容不符，请重新发送",
            "it differs from what was received: send the file again",
        );
    }
    if header.create_accounts && !is_password(&header.initial_password) {
        faults.add("header.initial_password", Defect::Malformed.zh(), Defect::Malformed.en());
    }
    faults.check()?;
    Ok(File { header, teachers, zeros })
}

fn refused(field: &str, zh: &str, en: &str) -> Status {
    let mut faults = Faults::new();
    faults.add(field, zh, en);
    faults.check().err().unwrap_or_else(|| Failure::internal("no fault")).into()
}

/// What makes two requests of one id the same request; the header tells it before the rows come.
pub fn body_digest(header: &Header) -> Vec<u8> {
    let options = [u8::from(header.dry_run), u8::from(header.create_accounts)];
    Sha256::new().chain_update(&header.digest).chain_update(options).finalize().to_vec()
}
