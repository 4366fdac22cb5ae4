//! What is wrong with a request's own content.

use proto::common::v1::Reason;

use super::{Failure, Kind, Violation};

/// Faults of a request, collected so that all are told at once.
#[derive(Debug, Default)]
pub struct Faults(pub(super) Vec<Violation>);

impl Faults {
    /// No faults yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes that `field` is wrong, with the remedy in both languages.
    pub fn add(&mut self, field: impl Into<String>, zh: impl Into<String>, en: impl Into<String>) {
        self.0.push(Violation { field: field.into(), zh: zh.into(), en: en.into() });
    }

    /// Notes `field` as missing if `value` is empty.
    pub fn required(&mut self, field: &str, value: &str) {
        if value.is_empty() {
            self.add(field, "必填", "required");
        }
    }

    /// Notes `field` as unknown if no value of the enum `E` has the number.
    pub fn enumerated<E: TryFrom<i32>>(&mut self, field: &str, number: i32) {
        if E::try_from(number).is_err() {
            let (zh, en) = (
                "没有此值：请取接口中列出的值，或留空",
                "no such value: take one that the contract lists, or leave it out",
            );
            self.add(field, zh, en);
        }
    }

    /// Notes a request's id, in `field`, if no request can be recognised by it.
    pub fn request_id(&mut self, field: &str, id: &str) {
        if id.is_empty() || id.len() > 128 {
            self.add(
                field,
                "必填，1–128 字节；重试同一请求时保持不变",
                "required, 1 to 128 bytes; keep it when you retry the same request",
            );
        }
    }

    /// Takes others' faults over.
    pub(crate) fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// How many so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is wrong so far.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// # Errors
    /// `INVALID_ARGUMENT` with every fault, if there is any.
    pub fn check(self) -> Result<(), Failure> {
        self.check_as(Reason::InvalidArgument)
    }

    /// # Errors
    /// `reason` with every fault, if there is any.
    pub fn check_as(self, reason: Reason) -> Result<(), Failure> {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut failure = Failure::new(reason).with("count", self.0.len());
        if let Kind::Refused(refusal) = &mut *failure.0 {
            refusal.violations = self.0;
        }
        Err(failure)
    }
}
