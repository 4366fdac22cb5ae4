//! Experts: assigned, scoring, stepping back.

use super::on_both_engines;

on_both_engines! {
    scores_carry_an_approval
    an_expert_judges_nothing_of_his_own
    who_steps_back_counts_no_more
    a_late_approval_is_published_at_once
    only_experts_of_the_day_are_assigned
    what_an_expert_said_is_his_to_have_and_goes_with_him
}

mod suite {
    use proto::{
        catalog::v1::*,
        common::v1::{Reason, Role, RoleGrant},
        roster::v1::{AccountFacts, RoleHeld, account},
    };

    use crate::tests::world::{
        DECLARATION, PUBLICATION, REVIEW, State, TERM, World, clerk, expert, fields, officer, project, refusal, teacher,
    };

    fn assign(world: &World, name: &str, experts: &[&str]) -> AssignExpertsRequest {
        let experts = experts.iter().map(|id| format!("accounts/{id}")).collect();
        AssignExpertsRequest { name: name.into(), experts, request_id: world.request_id() }
    }

    fn score(world: &World, name: &str, points: i32) -> ScoreProjectRequest {
        let criterion = |key: &str| Criterion { key: key.into(), points };
        ScoreProjectRequest {
            name: name.into(),
            criteria: vec![criterion("content"), criterion("team")],
            comment: "内容扎实".into(),
            request_id: world.request_id(),
        }
    }

    fn recuse(world: &World, name: &str, expert: &str) -> RecuseExpertRequest {
        let (name, expert) = (name.into(), expert.into());
        RecuseExpertRequest { name, expert, reason: "与项目有关".into(), request_id: world.request_id() }
    }

    pub async fn scores_carry_an_approval(world: &World) {
        let name = world.accepted(project("评审")).await.name;
        let bureau = officer("bureau");
        assert_eq!(refusal(world.approve(&name, REVIEW, "").await), Reason::ScoresMissing);
        let seen = world.assign_experts(&bureau, REVIEW, assign(world, &name, &["one", "two"])).await.unwrap();
        assert_eq!(seen.project.unwrap().scores.len(), 2, "assigned, not scored yet");
        // Naming one again does nothing.
        world.assign_experts(&bureau, REVIEW, assign(world, &name, &["two"])).await.unwrap();
        let bad = ScoreProjectRequest {
            criteria: vec![Criterion { key: "team".into(), points: 101 }],
            ..score(world, &name, 0)
        };
        assert_eq!(fields(world.score_project(&expert("one"), REVIEW, bad).await), ["criteria[0]", "criteria"]);
        let scored = world.score_project(&expert("one"), REVIEW, score(world, &name, 55)).await.unwrap().score.unwrap();
        assert_eq!((scored.total_hundredths, scored.expert.as_str()), (5_500, "accounts/one"));
        assert_eq!(refusal(world.approve(&name, REVIEW, "").await), Reason::ScoresMissing);
        world.score_project(&expert("two"), REVIEW, score(world, &name, 64)).await.unwrap();
        assert_eq!(refusal(world.approve(&name, REVIEW, "").await), Reason::ScoreTooLow);
        // An expert thinks again: his last score counts.
        world.score_project(&expert("one"), REVIEW, score(world, &name, 56)).await.unwrap();
        let of_expert = world.get(&expert("one"), REVIEW, &name).await.unwrap();
        assert_eq!(of_expert.scores.iter().map(|score| score.total_hundredths).collect::<Vec<_>>(), [5_600]);
        assert!(world.get(&clerk(), REVIEW, &name).await.unwrap().scores.is_empty());
        let approved = world.approve(&name, REVIEW, "").await.unwrap();
        assert_eq!((approved.state(), approved.scores.len()), (State::Approved, 2));
        let late = world.score_project(&expert("two"), REVIEW, score(world, &name, 10)).await;
        assert_eq!(refusal(late), Reason::StateConflict);
        assert_eq!(world.verbs(&format!("{name}/scores/one")).await, ["assigned", "scored", "scored"]);
        for (actor, count) in [(expert("one"), 1), (expert("three"), 0), (bureau, 1), (officer("elsewhere"), 0)] {
            let request = ListAssignmentsRequest { parent: TERM.into(), ..ListAssignmentsRequest::default() };
            let found = world.list_assignments(&actor, REVIEW, request).await.unwrap();
            assert_eq!(found.projects.len(), count, "{}", actor.account);
        }
        assert_eq!(refusal(world.get(&teacher(), REVIEW, &name).await), Reason::NotFound);
    }

    pub async fn an_expert_judges_nothing_of_his_own(world: &World) {
        let name = world.accepted(project("回避")).await.name;
        let bureau = officer("bureau");
        let inside = world.assign_experts(&bureau, REVIEW, assign(world, &name, &["one", "inside"])).await;
        assert_eq!(refusal(inside), Reason::ExpertConflict);
        let unknown =
            world.assign_experts(&bureau, REVIEW, assign(world, &name, &["clerk", "one", "one", "unheard"])).await;
        assert_eq!(fields(unknown), ["experts[0]", "experts[2]", "experts[3]"]);
        let unasked = world.score_project(&expert("one"), REVIEW, score(world, &name, 90)).await;
        assert_eq!(refusal(unasked), Reason::OutOfScope, "nothing of the refused assignments was kept");
        world.assign_experts(&bureau, REVIEW, assign(world, &name, &["one"])).await.unwrap();
        // He joins the provider after he was assigned.
        world.account("one", Role::Expert, "provider").await;
        let own = world.score_project(&expert("one"), REVIEW, score(world, &name, 90)).await;
        assert_eq!(refusal(own), Reason::ExpertConflict);
        let submitted = world.submitted(project("未受理")).await.name;
        let early = world.assign_experts(&bureau, REVIEW, assign(world, &submitted, &["two"])).await;
        assert_eq!(refusal(early), Reason::StateConflict);
        let before = world.assign_experts(&bureau, DECLARATION, assign(world, &name, &["two"])).await;
        assert_eq!(refusal(before), Reason::WindowClosed);
    }

    pub async fn who_steps_back_counts_no_more(world: &World) {
        let name = world.accepted(project("退出")).await.name;
        let bureau = officer("bureau");
        world.assign_experts(&bureau, REVIEW, assign(world, &name, &["one", "two", "three"])).await.unwrap();
        for id in ["one", "two"] {
            world.score_project(&expert(id), REVIEW, score(world, &name, 90)).await.unwrap();
        }
        world.recuse_expert(&expert("one"), REVIEW, recuse(world, &name, "")).await.unwrap();
        assert_eq!(refusal(world.approve(&name, REVIEW, "").await), Reason::ScoresMissing);
        let again = world.score_project(&expert("one"), REVIEW, score(world, &name, 90)).await;
        assert_eq!(refusal(again), Reason::ExpertConflict);
        let back = world.assign_experts(&bureau, REVIEW, assign(world, &name, &["one"])).await;
        assert_eq!(refusal(back), Reason::ExpertConflict);
        // The bureau takes one off; an expert cannot.
        let other = world.recuse_expert(&expert("two"), REVIEW, recuse(world, &name, "accounts/three")).await;
        assert_eq!(refusal(other), Reason::OutOfScope);
        let off = world
            .recuse_expert(&bureau, REVIEW, recuse(world, &name, "accounts/three"))
            .await
            .unwrap()
            .project
            .unwrap();
        assert_eq!(off.scores.iter().map(|score| score.recused).collect::<Vec<_>>(), [true, true, false]);
        assert_eq!(refusal(world.get(&expert("three"), REVIEW, &name).await), Reason::NotFound);
        for (id, size) in [("two", 1), ("three", 0)] {
            let list = ListProjectsRequest { parent: TERM.into(), ..ListProjectsRequest::default() };
            let seen = world.list_projects(&expert(id), REVIEW, list).await.unwrap();
            assert_eq!((seen.total_size, seen.projects.len()), (size, usize::try_from(size).unwrap()), "{id}");
        }
    }

    pub async fn only_experts_of_the_day_are_assigned(world: &World) {
        let name = world.accepted(project("在任专家")).await.name;
        let on = |day| Some(jiff::civil::date(1970, 1, day).into());
        // REVIEW is the 12th of January.
        let cases = [
            ("former", account::State::Active, on(1), on(11), false),
            ("coming", account::State::Active, on(13), None, false),
            ("present", account::State::Active, on(12), on(12), true),
            ("suspended", account::State::Suspended, None, None, false),
        ];
        for (id, state, from, until, assignable) in cases {
            let grant = RoleGrant { role: Role::Expert.into(), organization: "organizations/school".into() };
            let facts = AccountFacts {
                name: format!("accounts/{id}"),
                roles: vec![RoleHeld { grant: Some(grant), from, until }],
                state: state.into(),
                ..AccountFacts::default()
            };
            world.mirror(&facts).await;
            let assigned = world.assign_experts(&officer("bureau"), REVIEW, assign(world, &name, &[id])).await;
            assert_eq!(assigned.is_ok(), assignable, "{id}");
        }
    }

    pub async fn a_late_approval_is_published_at_once(world: &World) {
        let name = world.accepted(project("迟到的决定")).await.name;
        let late = world.approve(&name, PUBLICATION, "评审延期").await.unwrap();
        assert_eq!(late.state(), State::Published);
        let verbs = world.verbs(&name).await;
        assert_eq!(verbs.iter().rev().take(2).collect::<Vec<_>>(), ["published", "approved"]);
    }

    /// What is held of an expert, as `actor` gets it.
    async fn export(world: &World, actor: &proto::Actor, page_size: i32) -> Result<Vec<ExportedRecord>, tonic::Status> {
        let (mut all, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = ExportAccountRequest { account: "accounts/one".into(), page_size, page_token };
            let reply = world.export_account(actor, REVIEW, request).await?;
            all.extend(reply.records);
            page_token = reply.next_page_token;
            if page_token.is_empty() {
                return Ok(all);
            }
        }
    }

    pub async fn what_an_expert_said_is_his_to_have_and_goes_with_him(world: &World) {
        let bureau = officer("bureau");
        let mut names = Vec::new();
        for title in ["一", "二"] {
            let name = world.accepted(project(title)).await.name;
            world.assign_experts(&bureau, REVIEW, assign(world, &name, &["one", "two"])).await.unwrap();
            names.push(name);
        }
        let said = score(world, &names[0], 70);
        world.score_project(&expert("one"), REVIEW, said.clone()).await.unwrap();
        world.score_project(&expert("two"), REVIEW, score(world, &names[0], 60)).await.unwrap();
        world.recuse_expert(&bureau, REVIEW, recuse(world, &names[1], "accounts/one")).await.unwrap();

        let told = |records: &[ExportedRecord]| {
            let mut told: Vec<String> = Vec::new();
            for one in records {
                told.push(match one.record.as_ref().unwrap() {
                    exported_record::Record::Assignment(it) => it.recusal_reason.clone(),
                    exported_record::Record::Score(it) => it.score.clone().unwrap().comment,
                });
            }
            told.sort();
            told
        };
        let all = export(world, &expert("one"), 0).await.unwrap();
        assert_eq!(told(&all), ["", "与项目有关", "内容扎实"]);
        assert_eq!(export(world, &expert("one"), 1).await.unwrap(), all, "page by page");
        assert_eq!(refusal(export(world, &expert("two"), 0).await), Reason::OutOfScope);
        assert_eq!(refusal(export(world, &bureau, 0).await), Reason::ExportNotOpened);
        let permit = proto::common::v1::ExportPermit {
            name: "teachers/one/exports/1".into(),
            teacher: "teachers/one".into(),
            account: "accounts/one".into(),
            officer: bureau.account.clone(),
            expires_at: Some(proto::timestamp(REVIEW + 1)),
        };
        world.mirror(&permit).await;
        assert_eq!(export(world, &bureau, 0).await.unwrap(), all);

        let state = account::State::Suspended.into();
        world
            .mirror(&AccountFacts { name: "accounts/one".into(), state, erased: true, ..AccountFacts::default() })
            .await;
        assert_eq!(
            told(&export(world, &bureau, 0).await.unwrap()),
            ["", "", ""],
            "what he said is gone, that he did stays"
        );
        let shown = world.get(&bureau, REVIEW, &names[0]).await.unwrap();
        let comments = shown.scores.iter().map(|score| (score.total_hundredths, score.comment.as_str()));
        assert_eq!(comments.collect::<Vec<_>>(), [(7_000, ""), (6_000, "内容扎实")], "points stay, and others' words");
        // The request that brought them is not carried out again.
        assert_eq!(refusal(world.score_project(&expert("one"), REVIEW, said).await), Reason::ReplyErased);
    }
}
