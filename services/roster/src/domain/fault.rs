//! What can be wrong with data that people enter: coded, with a remedy in both languages.

/// What is wrong with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Defect {
    /// A value is needed.
    Required,
    /// Too long, too short, or with characters that do not belong there.
    Malformed,
    /// Not in the list of codes.
    UnknownCode,
    /// Not a day of the calendar.
    NotADay,
    /// The day is too early.
    TooEarly,
    /// The day is too late.
    TooLate,
    /// The check digit does not fit.
    CheckDigit,
    /// The birth date within an identity number is no day on which a teacher can be born.
    BirthDate,
    /// Used by another one already.
    Taken,
    /// Twice in one file.
    Repeated,
    /// There is no such thing.
    NotFound,
    /// Outside what the caller keeps.
    OutOfScope,
    /// This field does not change in this way.
    Fixed,
    /// Of the wrong kind.
    WrongKind,
    /// No such field.
    UnknownField,
    /// It overlaps another of its kind.
    Overlaps,
    /// It would stand below itself.
    Loop,
    /// It is what there is already.
    Same,
    /// The teacher is at another school: record a transfer.
    Elsewhere,
    /// A list names a code twice.
    Doubled,
    /// It holds U+0000, which no text may.
    ZeroCharacter,
    /// Something of a later day that is recorded already would not be possible.
    Conflicts,
    /// The teacher has left the roster: record a return.
    Left,
    /// The person was erased.
    Erased,
}

impl Defect {
    /// All defects.
    pub const ALL: [Self; 24] = [
        Self::Required,
        Self::Malformed,
        Self::UnknownCode,
        Self::NotADay,
        Self::TooEarly,
        Self::TooLate,
        Self::CheckDigit,
        Self::BirthDate,
        Self::Taken,
        Self::Repeated,
        Self::NotFound,
        Self::OutOfScope,
        Self::Fixed,
        Self::WrongKind,
        Self::UnknownField,
        Self::Overlaps,
        Self::Loop,
        Self::Same,
        Self::Elsewhere,
        Self::Doubled,
        Self::ZeroCharacter,
        Self::Conflicts,
        Self::Left,
        Self::Erased,
    ];

    /// The code, as in "identity_number.check_digit".
    #[must_use]
    pub const fn code(self) -> &'static str {
        self.texts().0
    }

    /// The remedy in Chinese.
    #[must_use]
    pub const fn zh(self) -> &'static str {
        self.texts().1
    }

    /// The remedy in English.
    #[must_use]
    pub const fn en(self) -> &'static str {
        self.texts().2
    }

    const fn texts(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Required => ("required", "请填写此项", "enter a value"),
            Self::Malformed => ("malformed", "格式不正确，请检查长度和字符", "correct its length and characters"),
            Self::UnknownCode => ("unknown_code", "代码不在代码表中，请改用代码表中的代码", "use a code of the list"),
            Self::NotADay => ("not_a_day", "日期不存在，请改正", "enter a day of the calendar"),
            Self::TooEarly => ("too_early", "日期过早，请改正", "enter a later day"),
            Self::TooLate => ("too_late", "日期过晚，请改正", "enter an earlier day"),
            Self::CheckDigit => {
                ("check_digit", "校验码不符，请核对证件", "compare it with the card: the check digit differs")
            }
            Self::BirthDate => {
                ("birth_date", "出生日期无效，请核对证件", "compare it with the card: the birth date is invalid")
            }
            Self::Taken => ("taken", "已被占用，请核对是否重复", "it is in use: look for a duplicate"),
            Self::Repeated => ("repeated", "文件中重复，请保留一行", "it stands twice in the file: keep one row"),
            Self::NotFound => ("not_found", "不存在，请核对", "check the name: there is none"),
            Self::OutOfScope => ("out_of_scope", "不在您的管理范围内", "leave it to those who keep it"),
            Self::Fixed => ("fixed", "此项不能在此修改", "it cannot be changed here"),
            Self::WrongKind => ("wrong_kind", "类型不符，请改正", "it is of the wrong kind"),
            Self::UnknownField => {
                ("unknown_field", "没有此字段，请检查字段名", "there is no such field: check the name")
            }
            Self::Overlaps => ("overlaps", "与已有时间重叠，请改正", "it overlaps an earlier one: correct the days"),
            Self::Loop => {
                ("loop", "不能隶属于自身或其下级，请改正", "it would stand below itself: name one that is not below it")
            }
            Self::Same => ("same", "与现状相同，无须办理", "it is so already: there is nothing to record"),
            Self::Elsewhere => {
                ("elsewhere", "该教师在其他学校，请办理调动", "the teacher is at another school: record a transfer")
            }
            Self::Doubled => ("doubled", "同一代码出现两次，请保留一个", "it names a code twice: keep one"),
            Self::ZeroCharacter => {
                ("zero_character", "文字不能含有字符 U+0000，请删去", "no text may contain U+0000: take it out")
            }
            Self::Conflicts => (
                "conflicts",
                "与已登记的之后事项冲突，请先撤回该事项",
                "a later event that is recorded could not happen then: withdraw that one first",
            ),
            Self::Left => (
                "left",
                "该教师已离开教师库（退休、离职或死亡），请先登记返岗",
                "the teacher has left the roster (retired, departed or deceased): record a return first",
            ),
            Self::Erased => ("erased", "该人员信息已删除，请作为新教师登记", "the person was erased: enter him anew"),
        }
    }
}

/// A fault: a field and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// The field's name in the contract.
    pub field: String,
    /// What is wrong.
    pub defect: Defect,
}

impl Fault {
    /// A fault of a field.
    #[must_use]
    pub fn of(field: impl Into<String>, defect: Defect) -> Self {
        Self { field: field.into(), defect }
    }

    /// The coded form: "identity_number.check_digit".
    #[must_use]
    pub fn coded(&self) -> String {
        format!("{}.{}", self.field, self.defect.code())
    }
}

/// Whether a text is a coded reason: lower-case letters, digits, `_`, `-`, `.`, up to 64; empty is none.
///
/// Reasons travel in changes, so free text, which may name people, is not taken.
#[must_use]
pub fn is_coded_reason(text: &str) -> bool {
    text.len() <= 64 && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-.".contains(&b))
}

/// Whether a text can be a reason for people to read: up to 200 characters, no control characters. Changes do not carry it.
#[must_use]
pub fn is_told_reason(text: &str) -> bool {
    text.chars().count() <= 200 && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_differ_and_every_defect_has_a_remedy() {
        let codes: BTreeSet<_> = Defect::ALL.iter().map(|defect| defect.code()).collect();
        assert_eq!(codes.len(), Defect::ALL.len());
        assert!(Defect::ALL.iter().all(|defect| !defect.zh().is_empty() && !defect.en().is_empty()));
    }

    #[test]
    fn free_text_is_no_coded_reason() {
        assert!(is_coded_reason(""));
        assert!(is_coded_reason("school_merged-2019.1"));
        assert!(!is_coded_reason("a b"));
        assert!(!is_coded_reason("张"));
        assert!(!is_coded_reason(&"a".repeat(65)));
    }
}
