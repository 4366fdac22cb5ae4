//! What the contract's coded values are called among people: one table for every text of every service. Names of phases and
//! roles, states and events of the state machines, kinds of projects. The terms are those of the glossary in ARCHITECTURE.md.

/// A language that texts are made in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// zh-CN
    Chinese,
    /// en
    English,
}

/// A list of coded values ("PHASE_SELECTION, PHASE_TRAINING") in words; what is in no table is left as it is.
#[must_use]
pub fn in_words(values: &str, language: Language) -> String {
    let word = |value| match (words(value), language) {
        (Some((zh, _)), Language::Chinese) => zh,
        (Some((_, en)), Language::English) => en,
        (None, _) => value,
    };
    let between = if language == Language::Chinese { "、" } else { ", " };
    values.split(", ").map(word).collect::<Vec<_>>().join(between)
}

/// The words of a coded value, (zh, en): of a name of the contract ("PHASE_SELECTION") or a word of a state machine
/// ("submitted"); of a state's name they are those of its word, unless it has its own.
#[must_use]
pub fn words(value: &str) -> Option<(&'static str, &'static str)> {
    let find = |value: &str| TABLE.iter().find(|(name, ..)| *name == value).map(|(_, zh, en)| (*zh, *en));
    find(value).or_else(|| {
        let word = value.strip_prefix("STATE_").or_else(|| value.strip_prefix("STATUS_"))?;
        find(&word.to_lowercase())
    })
}

/// A service of the system, by its name, in words; what is none is left as it is.
#[must_use]
pub fn service_in_words(name: &str, language: Language) -> &str {
    match (SERVICES.iter().find(|(known, ..)| *known == name), language) {
        (Some((_, zh, _)), Language::Chinese) => zh,
        (Some((_, _, en)), Language::English) => en,
        (None, _) => name,
    }
}

/// By themselves: "credit" is an event, too.
const SERVICES: [(&str, &str, &str); 6] = [
    ("roster", "教师信息库", "the roster"),
    ("catalog", "项目库", "the catalog"),
    ("enrollment", "选课", "enrollment"),
    ("credit", "学分", "credit"),
    ("gateway", "门户", "the gateway"),
    ("database", "数据库", "the database"),
];

const TABLE: &[(&str, &str, &str)] = &[
    ("PHASE_ANY", "任何时间", "any time"),
    ("PHASE_ROSTER_UPDATE", "教师信息维护", "roster update"),
    ("PHASE_DECLARATION", "项目申报", "declaration"),
    ("PHASE_PROJECT_REVIEW", "项目评审", "project review"),
    ("PHASE_PUBLICATION", "项目发布", "publication"),
    ("PHASE_BROWSING", "项目浏览", "browsing"),
    ("PHASE_SELECTION", "教师选课", "selection"),
    ("PHASE_SCHOOL_REVIEW", "学校审核", "school review"),
    ("PHASE_EXPANSION_REQUEST", "申请扩容", "expansion request"),
    ("PHASE_EXPANSION_DECISION", "扩容审批", "expansion decision"),
    ("PHASE_PROVIDER_CONFIRMATION", "机构确认", "provider confirmation"),
    ("PHASE_TRAINING", "培训实施", "training"),
    ("PHASE_RESULTS", "成绩补录", "results"),
    ("ROLE_TEACHER", "教师", "teacher"),
    ("ROLE_SCHOOL_ADMIN", "平台管理员", "school administrator"),
    ("ROLE_PRINCIPAL", "校长", "principal"),
    ("ROLE_PROVIDER_STAFF", "培训机构", "provider staff"),
    ("ROLE_BUREAU_OFFICER", "教育局", "bureau officer"),
    ("ROLE_EXPERT", "专家", "expert"),
    ("ROLE_DISTRICT_OFFICER", "学区", "district officer"),
    ("ROLE_OPERATOR", "系统运维", "operator"),
    ("ROLE_SERVICE", "系统服务", "a service of the system"),
    // Who reviews
    ("school", "学校", "the school"),
    ("district", "学区", "the school district"),
    // Dimensions of an audience
    ("tier", "层次", "tier"),
    ("category", "类别", "category"),
    ("stage", "学段", "stage"),
    ("subject", "学科", "subject"),
    ("organization", "所属机构", "organisation"),
    // Kinds of projects; those for some subjects are called as the dimension is
    ("intensive", "集中培训", "intensive training"),
    ("online", "线上", "online"),
    ("blended", "混合", "blended"),
    ("restricted_elective", "限定选修", "restricted electives"),
    ("province", "省级", "provincial"),
    ("city", "市级", "municipal"),
    ("county", "县级", "county-level"),
    // Teachers
    ("active", "在职", "active"),
    ("on_leave", "休假", "on leave"),
    ("retired", "退休", "retired"),
    ("departed", "离职", "departed"),
    ("deceased", "已故", "deceased"),
    ("KIND_TRANSFER", "调动", "a transfer"),
    ("KIND_LEAVE", "休假", "a leave"),
    ("KIND_RETURN", "返岗", "a return"),
    ("KIND_RETIREMENT", "退休", "a retirement"),
    ("KIND_DEPARTURE", "离职", "a departure"),
    ("KIND_DEATH", "去世", "a death"),
    ("STATE_COMING", "尚未生效", "still to come"),
    ("withdraw_status_event", "撤回任职变动", "withdrawing a status event"),
    ("no_correction", "没有待审核的更正", "without a correction to decide"),
    ("confirm_correction", "审核更正", "deciding a correction"),
    // Accounts
    ("suspended", "已停用", "suspended"),
    ("not_held", "未担任该角色", "without that role"),
    ("erase", "删除个人信息", "erasing personal data"),
    // States of projects, classes, expansions and selections
    ("draft", "草稿", "a draft"),
    ("submitted", "已提交", "submitted"),
    ("accepted", "已受理", "accepted"),
    ("returned", "已退回", "returned"),
    ("approved", "评审通过", "approved"),
    ("rejected", "评审未通过", "rejected"),
    ("published", "已发布", "published"),
    ("running", "培训中", "running"),
    ("completed", "已完成", "completed"),
    ("withdrawn", "已撤回", "withdrawn"),
    ("cancelled", "已取消", "cancelled"),
    ("lapsed", "已失效", "lapsed"),
    ("requested", "待审批", "requested"),
    ("granted", "已同意", "granted"),
    ("granted_in_part", "部分同意", "granted in part"),
    ("denied", "未同意", "denied"),
    ("decided", "已审批", "decided"),
    ("school_approved", "学校审核通过", "approved by the school"),
    ("school_rejected", "学校审核未通过", "rejected by the school"),
    ("confirmed", "已录取", "confirmed"),
    ("declined", "未录取", "declined"),
    ("waitlisted", "候补", "on the waiting list"),
    ("expired", "已过期", "expired"),
    ("substituted", "已替换", "substituted"),
    ("attended", "已参训", "attended"),
    ("no_show", "未参训", "a no-show"),
    ("passed", "合格", "passed"),
    ("failed", "不合格", "failed"),
    ("credited", "已计学分", "credited"),
    ("reversal", "冲销记录", "a reversal"),
    // What is done to them
    ("submit", "提交", "submitting"),
    ("accept", "受理", "accepting"),
    ("return", "退回", "returning"),
    ("approve", "通过", "approving"),
    ("reject", "不通过", "rejecting"),
    ("publish", "发布", "publishing"),
    ("start", "开始", "starting"),
    ("complete", "结束", "completing"),
    ("withdraw", "撤回", "withdrawing"),
    ("cancel", "取消", "cancelling"),
    ("lapse", "失效", "lapsing"),
    ("update", "修改", "changing it"),
    ("assign_experts", "指派专家", "assigning experts"),
    ("score", "评分", "scoring"),
    ("recuse", "回避", "recusal"),
    ("decide", "审批", "deciding"),
    ("expand", "扩容", "expanding"),
    ("request_expansion", "申请扩容", "asking for an expansion"),
    ("request_cancellation", "申请取消", "asking for its cancellation"),
    ("cancel_class", "取消班级", "cancelling a class"),
    ("confirm", "录取", "confirming"),
    ("decline", "不录取", "declining"),
    ("waitlist", "列入候补", "putting it on the waiting list"),
    ("expire", "过期", "expiring"),
    ("substitute", "替换", "substituting"),
    ("attend", "登记出勤", "recording attendance"),
    ("miss_all", "登记未参训", "recording a no-show"),
    ("pass", "判定合格", "passing"),
    ("fail", "判定不合格", "failing"),
    ("credit", "计学分", "crediting"),
    ("reverse_credit", "冲销学分", "reversing its credit"),
    ("reopen", "重新审核", "reopening the review"),
    ("correct_to_submitted", "更正为已提交", "a correction to submitted"),
    ("correct_to_approved", "更正为学校审核通过", "a correction to approved by the school"),
    ("reverse", "冲销", "reversing"),
    // Why a selection ended
    ("leave", "休假", "a leave"),
    ("unreviewed", "学校未按时审核", "not reviewed in time"),
    ("not_reopened", "未重新开放", "not reopened"),
    ("waiting_list_closed", "候补名单已结束", "the waiting list has ended"),
    ("seat_in_later_round", "已在后一轮录取", "a place in a later round"),
    ("project_cancelled", "项目已取消", "the project is cancelled"),
    ("class_cancelled", "班级已取消", "the class is cancelled"),
    // Steps of the sequencer; the word "failed" is that of results
    ("STATE_PENDING", "待执行", "pending"),
    ("STATE_RUNNING", "执行中", "running"),
    ("STATE_DONE", "已完成", "done"),
    ("STATE_FAILED", "执行失败", "failed"),
    ("STATE_SKIPPED", "已跳过", "skipped"),
    ("STATE_DROPPED", "已撤销", "dropped"),
    ("retry", "重试", "another try"),
    ("skip", "跳过", "skipping"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_value_has_one_entry_with_words() {
        let names: BTreeSet<_> = TABLE.iter().map(|(name, ..)| name).collect();
        assert_eq!(names.len(), TABLE.len());
        for (name, zh, en) in TABLE {
            assert!(!zh.is_ascii() && !en.is_empty() && !en.contains('_'), "{name}");
        }
    }

    #[test]
    fn lists_are_told_in_the_language_and_the_unknown_as_it_is() {
        assert_eq!(in_words("PHASE_SELECTION, PHASE_TRAINING", Language::Chinese), "教师选课、培训实施");
        assert_eq!(in_words("STATE_SUBMITTED, rumour", Language::English), "submitted, rumour");
        assert_eq!(in_words("STATE_FAILED", Language::Chinese), "执行失败");
        assert_eq!(in_words("", Language::Chinese), "");
    }
}
