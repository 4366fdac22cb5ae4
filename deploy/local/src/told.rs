//! What a person is told when a command fails: the error, and every field that it is about, with the remedy.

use std::fmt::Write as _;

use tonic::Status;
use tonic_types::StatusExt as _;

/// The text for the terminal.
#[must_use]
pub fn told(error: &anyhow::Error) -> String {
    let Some(status) = error.chain().find_map(|cause| cause.downcast_ref::<Status>()) else {
        return format!("{error:#}");
    };
    let mut text = String::new();
    for cause in error.chain().take_while(|cause| !cause.is::<Status>()) {
        let _ = write!(text, "{cause}: ");
    }
    let message = status.get_details_localized_message().map(|localized| localized.message);
    match message.filter(|message| message != status.message()) {
        Some(message) => drop(write!(text, "{message} / {}", status.message())),
        None => text.push_str(status.message()),
    }
    for fault in status.get_details_bad_request().map(|bad| bad.field_violations).unwrap_or_default() {
        let _ = write!(text, "\n  {}: {}", fault.field, fault.description);
    }
    text
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;
    use chassis::{Failure, Faults};
    use proto::common::v1::Reason;

    use super::*;

    #[test]
    fn every_field_is_told_with_its_remedy() {
        let mut faults = Faults::new();
        faults.add("policy.round2", "未知的键", "unknown key");
        faults.add("zone", "须为时区", "must be a zone");
        let failure = faults.check_as(Reason::CalendarInvalid).unwrap_err();
        let refused = Err::<(), _>(Status::from(failure)).context("putting the calendar").unwrap_err();
        let told = told(&refused);
        for part in
            ["putting the calendar: ", "policy.round2: 未知的键 / unknown key", "zone: 须为时区 / must be a zone"]
        {
            assert!(told.contains(part), "{told}");
        }
        assert!(!told.contains("status:") && !told.contains("details"), "{told}");
    }

    #[test]
    fn what_is_about_no_field_is_told_as_it_is() {
        let failure: Failure = Failure::new(Reason::WindowClosed);
        assert!(!told(&Status::from(failure).into()).is_empty());
        assert_eq!(told(&anyhow::anyhow!("b").context("a")), "a: b");
    }
}
