//! What is left of a person who is erased: the id and coded facts.

use jiff::civil::Date;
use proto::roster::v1::teacher::Status;

use super::{
    field::{Entry, Field},
    teacher::{Sealed, Teacher},
};

/// What is personal beside the identity number. The staff number is: it is half a login.
const PERSONAL: [Field; 3] = [Field::DisplayName, Field::Phone, Field::TeacherNumber];

/// A teacher after his erasure.
///
/// # Errors
/// The status from which nobody is erased: his selections live, his school needs him.
pub fn erase(teacher: &Teacher, today: Date) -> Result<Teacher, Status> {
    let status = teacher.status_on(today);
    if !matches!(status, Status::Retired | Status::Departed | Status::Deceased) {
        return Err(status);
    }
    let mut entry = teacher.entry.clone();
    for field in PERSONAL {
        entry.set(field, "");
    }
    Ok(Teacher {
        entry,
        // Nobody's index: whoever has this number may be entered anew.
        identity: Sealed { index: format!("erased {}", teacher.name), ..Sealed::default() },
        pending: Entry::default(),
        erased: true,
        ..teacher.clone()
    })
}
