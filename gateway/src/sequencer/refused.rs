//! What an operator is told of a step that failed: whom it asked, what came of it, and what to do.

use std::fmt;

use proto::words::{Language, service_in_words};
use tonic::Status;
use tonic_types::{ErrorDetail, StatusExt as _};

/// An attempt that failed.
#[derive(Debug)]
pub(super) struct Refused {
    by: String,
    status: Status,
}

impl Refused {
    /// By the service that was asked.
    pub fn by(service: &str) -> impl FnOnce(Status) -> Self {
        move |status| Self { by: service.to_owned(), status }
    }
}

/// Code, reason and name, and what to do in both languages; never personal data, since no status holds any.
impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { by, status } = self;
        let (code, message) = (status.code(), status.message());
        let Some(info) = status.get_details_error_info() else {
            // None of ours: it did not come to answer.
            let (en, zh) = (service_in_words(by, Language::English), service_in_words(by, Language::Chinese));
            return write!(
                f,
                "{code:?} {by}: {en} did not answer; see that it runs and can be reached, and the step goes on by itself / \
                 “{zh}”服务没有应答：请确认其正在运行且可以连通，步骤会自动继续: {message}"
            );
        };
        write!(f, "{code:?} {} {by}: {message}", info.reason)?;
        let details = status.get_error_details_vec();
        let zh = details.iter().find_map(|detail| match detail {
            ErrorDetail::LocalizedMessage(told) if told.locale == "zh-CN" => Some(&told.message),
            _ => None,
        });
        zh.map_or(Ok(()), |zh| write!(f, " / {zh}"))
    }
}

#[cfg(test)]
mod tests {
    use chassis::Failure;

    use super::*;

    #[test]
    fn an_operator_is_told_who_did_not_answer_and_what_to_do() {
        let told = Refused::by("enrollment")(Status::unavailable("tcp connect error")).to_string();
        assert_eq!(
            told,
            "Unavailable enrollment: enrollment did not answer; see that it runs and can be reached, and the step goes on by \
             itself / “选课”服务没有应答：请确认其正在运行且可以连通，步骤会自动继续: tcp connect error"
        );
    }

    #[test]
    fn an_operator_is_told_whose_database_is_away() {
        let told = Refused::by("credit")(Failure::away("database").into()).to_string();
        let (en, zh) = ("the database is unavailable; try again shortly.", "服务（数据库）暂时不可用，请稍后重试。");
        assert_eq!(told, format!("Unavailable REASON_UNAVAILABLE credit: {en} / {zh}"));
    }
}
