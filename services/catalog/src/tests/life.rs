//! A project's life through the contract.

use super::on_both_engines;

on_both_engines! {
    a_project_goes_through_its_life
    a_draft_is_revised_with_its_etag
    a_request_is_answered_once
    faults_are_told_at_once
    nobody_acts_for_another
    what_was_returned_may_be_submitted_until_the_review_closes
    a_published_project_is_cancelled
    classes_are_cancelled_one_by_one
    nothing_said_in_words_leaves_the_catalog
    of_rivals_one_wins
}

mod suite {
    use chassis::db::{Queries as _, args};
    use prost_types::FieldMask;
    use proto::{
        catalog::v1::{self as pb, *},
        common::v1::{Action, Reason},
    };

    use crate::tests::world::{
        BROWSING, DECLARATION, PUBLICATION, REVIEW, State, TERM, World, class, clerk, day, expert, fields, officer,
        project, refusal, rival, teacher,
    };

    pub async fn a_project_goes_through_its_life(world: &World) {
        let draft = world.draft(project("小学数学教师研修")).await;
        assert_eq!(draft.state(), State::Draft);
        assert_eq!(draft.provider, "organizations/provider");
        let names: Vec<_> = draft.classes.iter().map(|class| class.name.clone()).collect();
        assert_eq!(names, [format!("{}/classes/1", draft.name), format!("{}/classes/2", draft.name)]);
        let name = draft.name;
        let id = || world.request_id();
        let submit = SubmitProjectRequest { name: name.clone(), request_id: id() };
        world.submit_project(&clerk(), DECLARATION, submit).await.unwrap();
        let accept = AcceptProjectRequest { name: name.clone(), request_id: id() };
        // The city is above the bureau.
        world.accept_project(&officer("city"), DECLARATION, accept).await.unwrap();
        let approved = world.approve(&name, REVIEW, "特色项目").await.unwrap();
        assert_eq!((approved.state(), approved.decision_reason.as_str()), (State::Approved, "特色项目"));
        assert_eq!(approved.classes.iter().map(|class| class.approved_places).collect::<Vec<_>>(), [40, 30]);
        for (action, at, state) in [
            (Action::PublishApproved, day(20), State::Published),
            (Action::StartPublished, day(50), State::Running),
            (Action::CompleteRunning, day(60), State::Completed),
        ] {
            assert_eq!(world.step(action, at).await.changed, 1);
            assert_eq!(world.step(action, at).await.changed, 0, "a step done is done");
            assert_eq!(world.state(&name).await, state);
        }
        let verbs = ["created", "submitted", "accepted", "approved", "published", "started", "completed"];
        assert_eq!(world.verbs(&name).await, verbs);
        assert_eq!(world.facts(&name).await.state(), State::Completed);
    }

    pub async fn a_draft_is_revised_with_its_etag(world: &World) {
        let draft = world.draft(project("初中物理实验教学")).await;
        let revise = |title: &str, etag: &str, mask: &[&str]| UpdateProjectRequest {
            project: Some(pb::Project {
                name: draft.name.clone(),
                title: title.into(),
                etag: etag.into(),
                classes: vec![draft.classes[1].clone(), class(20, 53)],
                ..pb::Project::default()
            }),
            update_mask: Some(FieldMask { paths: mask.iter().map(|field| (*field).to_owned()).collect() }),
            request_id: world.request_id(),
        };
        let provider = clerk();
        let update = |request| world.update_project(&provider, DECLARATION, request);
        let revised =
            update(revise("初中化学实验教学", &draft.etag, &["title", "classes"])).await.unwrap().project.unwrap();
        assert_eq!((revised.title.as_str(), revised.description.as_str()), ("初中化学实验教学", "面向全县教师的研修"));
        let names: Vec<_> = revised.classes.iter().map(|class| class.name.rsplit('/').next().unwrap()).collect();
        assert_eq!(names, ["2", "3"], "a class keeps its name, a new one gets one that never was");
        assert_eq!(refusal(update(revise("旧", &draft.etag, &["title"])).await), Reason::EtagMismatch);
        let faults = fields(update(revise("新", &revised.etag, &["state", "name"])).await);
        assert_eq!(faults, ["update_mask.paths[0]", "update_mask.paths[1]"]);
        assert_eq!(fields(update(revise("新", "", &[])).await), ["update_mask"]);
        let search =
            |query: &str| ListProjectsRequest { parent: TERM.into(), query: query.into(), ..Default::default() };
        assert_eq!(world.list_projects(&clerk(), DECLARATION, search("化学")).await.unwrap().total_size, 1);
        assert_eq!(world.list_projects(&clerk(), DECLARATION, search("物理")).await.unwrap().total_size, 0);
    }

    pub async fn a_request_is_answered_once(world: &World) {
        let request =
            CreateProjectRequest { parent: TERM.into(), project: Some(project("重复")), request_id: "same".into() };
        let first = world.create_project(&clerk(), DECLARATION, request.clone()).await.unwrap();
        let again = world.create_project(&clerk(), DECLARATION, request.clone()).await.unwrap();
        assert_eq!(first, again);
        let other = CreateProjectRequest { project: Some(project("另一个")), ..request };
        assert_eq!(refusal(world.create_project(&clerk(), DECLARATION, other).await), Reason::RequestIdReused);
        assert_eq!(world.feed().await.len(), 1);
    }

    pub async fn faults_are_told_at_once(world: &World) {
        let empty = world.draft(pb::Project::default()).await;
        let submit = |name: &str| SubmitProjectRequest { name: name.into(), request_id: world.request_id() };
        let faults = fields(world.submit_project(&clerk(), DECLARATION, submit(&empty.name)).await);
        assert_eq!(
            faults,
            [
                "project.title",
                "project.accepting_bureau",
                "project.level",
                "project.form",
                "project.base_credit",
                "project.difficulty_percent",
                "project.total_hours",
                "project.classes"
            ]
        );
        assert_eq!(world.state_of_own(&empty.name).await, State::Draft, "nothing was changed");
        // A school is no bureau; the term has two rounds; sessions overlap; the class ends before them.
        let mut bad = project("有误");
        bad.accepting_bureau = "organizations/school".into();
        bad.allocations =
            vec![Allocation { round: 3, policy: allocation::Policy::FirstCome.into() }, allocation(1), allocation(2)];
        let session = bad.classes[0].sessions[0];
        bad.classes[0].sessions.push(session);
        bad.classes[1].ends_on = Some(jiff::civil::date(1970, 2, 1).into());
        bad.classes[1].places = -1;
        let name = world.draft(bad).await.name;
        let faults = fields(world.submit_project(&clerk(), DECLARATION, submit(&name)).await);
        assert_eq!(
            faults,
            [
                "project.accepting_bureau",
                "project.allocations[3]",
                "project.classes[0].sessions[1]",
                "project.classes[1].places",
                "project.classes[1].ends_on"
            ]
        );
        let mut impossible = project("二月三十日");
        impossible.classes[0].ends_on = Some(proto::google::r#type::Date { year: 2019, month: 2, day: 30 });
        impossible.classes[1].sessions[0].ends = None;
        impossible.allocations = vec![allocation(1), allocation(1), Allocation { round: 2, policy: 0 }];
        let create =
            CreateProjectRequest { parent: TERM.into(), project: Some(impossible), request_id: world.request_id() };
        let faults = fields(world.create_project(&clerk(), DECLARATION, create).await);
        assert_eq!(
            faults,
            [
                "project.classes[0].ends_on",
                "project.classes[1].sessions[0]",
                "project.allocations[1]",
                "project.allocations[2]"
            ]
        );
    }

    fn allocation(round: i32) -> Allocation {
        Allocation { round, policy: allocation::Policy::UncappedThenScreen.into() }
    }

    pub async fn nobody_acts_for_another(world: &World) {
        let name = world.submitted(project("越权")).await.name;
        let id = || world.request_id();
        let withdraw = WithdrawProjectRequest { name: name.clone(), request_id: id(), ..Default::default() };
        assert_eq!(refusal(world.withdraw_project(&rival(), DECLARATION, withdraw).await), Reason::OutOfScope);
        let accept = AcceptProjectRequest { name: name.clone(), request_id: id() };
        let elsewhere = world.accept_project(&officer("elsewhere"), DECLARATION, accept).await;
        assert_eq!(refusal(elsewhere), Reason::OutOfScope);
        let create = CreateProjectRequest {
            parent: TERM.into(),
            project: Some(pb::Project { provider: "organizations/rival".into(), ..project("冒名") }),
            request_id: id(),
        };
        assert_eq!(refusal(world.create_project(&clerk(), DECLARATION, create).await), Reason::OutOfScope);
        let nowhere =
            CreateProjectRequest { project: Some(project("无学期")), request_id: id(), ..Default::default() };
        assert_eq!(fields(world.create_project(&clerk(), DECLARATION, nowhere).await), ["parent"]);
        for stranger in [rival(), officer("elsewhere"), teacher(), expert("one")] {
            assert_eq!(refusal(world.get(&stranger, BROWSING, &name).await), Reason::NotFound);
        }
        let unheard = format!("{TERM}/projects/unheard");
        let accept = AcceptProjectRequest { name: unheard, request_id: id() };
        assert_eq!(refusal(world.accept_project(&officer("bureau"), DECLARATION, accept).await), Reason::NotFound);
        assert_eq!(world.state(&name).await, State::Submitted);
    }

    pub async fn what_was_returned_may_be_submitted_until_the_review_closes(world: &World) {
        let name = world.accepted(project("退回")).await.name;
        let draft = world.draft(project("未报")).await.name;
        let id = || world.request_id();
        let give_back =
            |reason: &str| ReturnProjectRequest { name: name.clone(), reason: reason.into(), request_id: id() };
        let bureau = officer("bureau");
        assert_eq!(fields(world.return_project(&bureau, REVIEW, give_back(" ")).await), ["reason"]);
        let returned = world.return_project(&bureau, REVIEW, give_back("请补充课程表")).await.unwrap().project.unwrap();
        assert_eq!((returned.state(), returned.decision_reason.as_str()), (State::Returned, "请补充课程表"));
        let mut moved = UpdateProjectRequest {
            project: Some(pb::Project {
                name: name.clone(),
                accepting_bureau: "organizations/elsewhere".into(),
                title: "退回后修改".into(),
                ..pb::Project::default()
            }),
            update_mask: Some(FieldMask { paths: vec!["accepting_bureau".into(), "title".into()] }),
            request_id: id(),
        };
        let refused = world.update_project(&clerk(), REVIEW, moved.clone()).await;
        assert_eq!(fields(refused), ["project.accepting_bureau"]);
        moved.update_mask = Some(FieldMask { paths: vec!["title".into()] });
        world.update_project(&clerk(), REVIEW, moved).await.unwrap();
        // A draft's time was the declaration's.
        let late = SubmitProjectRequest { name: draft, request_id: id() };
        assert_eq!(refusal(world.submit_project(&clerk(), REVIEW, late).await), Reason::WindowClosed);
        let again = SubmitProjectRequest { name: name.clone(), request_id: id() };
        assert_eq!(refusal(world.submit_project(&clerk(), day(20), again.clone()).await), Reason::WindowClosed);
        world.submit_project(&clerk(), day(20) - 1, again).await.unwrap();
        assert_eq!(world.state(&name).await, State::Submitted);
        let reject = RejectProjectRequest { name: name.clone(), reason: "不符".into(), request_id: id() };
        assert_eq!(refusal(world.reject_project(&bureau, REVIEW, reject).await), Reason::StateConflict);
        let mut reader = world.db.reader();
        let sql = "SELECT verb, reason, account, policy_version FROM decision ORDER BY revision";
        let kept = reader.all(sql, args![]).await.unwrap();
        let verbs: Vec<String> = kept.iter().map(|row| row.get("verb").unwrap()).collect();
        assert_eq!(verbs, ["accepted", "returned"]);
        assert_eq!(kept[1].get::<String>("reason").unwrap(), "请补充课程表");
        assert_eq!(kept[1].get::<String>("account").unwrap(), "accounts/officer-bureau");
        assert_eq!(kept[1].get::<i64>("policy_version").unwrap(), 7);
    }

    pub async fn a_published_project_is_cancelled(world: &World) {
        let name = world.published(project("取消")).await.name;
        let id = || world.request_id();
        let ask = RequestCancellationRequest { name: name.clone(), reason: "师资不足".into(), request_id: id() };
        world.request_cancellation(&clerk(), BROWSING, ask).await.unwrap();
        let seen = world.get(&officer("bureau"), BROWSING, &name).await.unwrap();
        assert_eq!((seen.cancellation_requested, seen.cancellation_reason.as_str()), (true, "师资不足"));
        let seen = world.get(&teacher(), BROWSING, &name).await.unwrap();
        assert_eq!(
            (seen.cancellation_requested, seen.cancellation_reason.as_str(), seen.decision_reason.as_str()),
            (false, "", "")
        );
        let cancel = CancelProjectRequest { name: name.clone(), reason: "同意取消".into(), request_id: id() };
        world.cancel_project(&officer("bureau"), BROWSING, cancel).await.unwrap();
        // Who had it in view still learns what became of it.
        assert_eq!(world.get(&teacher(), BROWSING, &name).await.unwrap().state(), State::Cancelled);
        let again = CancelProjectRequest { name: name.clone(), reason: "再次".into(), request_id: id() };
        assert_eq!(refusal(world.cancel_project(&officer("bureau"), BROWSING, again).await), Reason::StateConflict);
        let draft = world.accepted(project("未发布")).await.name;
        let early = RequestCancellationRequest { name: draft, reason: "不办了".into(), request_id: id() };
        assert_eq!(refusal(world.request_cancellation(&clerk(), BROWSING, early).await), Reason::StateConflict);
    }

    pub async fn classes_are_cancelled_one_by_one(world: &World) {
        let published = world.published(project("班级")).await;
        let cancel = |class: &str| CancelClassRequest {
            name: class.into(),
            reason: "人数不足".into(),
            request_id: world.request_id(),
        };
        let bureau = officer("bureau");
        let [one, two] = [&published.classes[0].name, &published.classes[1].name];
        let left = world.cancel_class(&bureau, PUBLICATION, cancel(one)).await.unwrap().project.unwrap();
        assert_eq!(left.state(), State::Published);
        assert_eq!(
            left.classes.iter().map(|class| class.state()).collect::<Vec<_>>(),
            [class::State::Cancelled, class::State::Active]
        );
        assert_eq!(refusal(world.cancel_class(&bureau, PUBLICATION, cancel(one)).await), Reason::StateConflict);
        let unheard = format!("{}/classes/9", published.name);
        assert_eq!(refusal(world.cancel_class(&bureau, PUBLICATION, cancel(&unheard)).await), Reason::NotFound);
        assert_eq!(
            refusal(world.cancel_class(&officer("elsewhere"), PUBLICATION, cancel(two)).await),
            Reason::OutOfScope
        );
        let gone = world.cancel_class(&bureau, PUBLICATION, cancel(two)).await.unwrap().project.unwrap();
        assert_eq!(gone.state(), State::Cancelled, "with its last class the project goes");
        let facts = world.facts(&published.name).await;
        assert_eq!(facts.state(), State::Cancelled);
        assert!(facts.classes.iter().all(|class| class.state() == class::State::Cancelled));
    }

    pub async fn nothing_said_in_words_leaves_the_catalog(world: &World) {
        let mut given = project("机密标题");
        given.description = "机密描述".into();
        given.classes[0].venue = "机密地点".into();
        let name = world.accepted(given).await.name;
        let id = || world.request_id();
        let assign =
            AssignExpertsRequest { name: name.clone(), experts: vec!["accounts/one".into()], request_id: id() };
        world.assign_experts(&officer("bureau"), REVIEW, assign).await.unwrap();
        let score = ScoreProjectRequest {
            name: name.clone(),
            criteria: vec![
                Criterion { key: "content".into(), points: 80 },
                Criterion { key: "team".into(), points: 70 },
            ],
            comment: "机密评语".into(),
            request_id: id(),
        };
        world.score_project(&expert("one"), REVIEW, score).await.unwrap();
        world.approve(&name, PUBLICATION, "机密理由").await.unwrap();
        let ask = RequestExpansionRequest {
            parent: name.clone(),
            expansion: Some(Expansion {
                class: format!("{name}/classes/1"),
                places_requested: 5,
                reason: "机密扩容".into(),
                ..Expansion::default()
            }),
            request_id: id(),
        };
        world.request_expansion(&clerk(), day(40), ask).await.unwrap();
        let cancel = CancelProjectRequest { name: name.clone(), reason: "机密取消".into(), request_id: id() };
        world.cancel_project(&officer("bureau"), day(45), cancel).await.unwrap();
        let feed = world.feed().await;
        assert!(feed.len() >= 8, "{}", feed.len());
        let secret = "机密".as_bytes();
        for change in feed {
            let bytes = prost::Message::encode_to_vec(&change);
            assert!(!bytes.windows(secret.len()).any(|window| window == secret), "{} {}", change.resource, change.verb);
            assert_eq!(change.term, TERM);
            assert!(change.actor.is_some_and(|actor| !actor.account.is_empty() && !actor.organization.is_empty()));
        }
    }

    pub async fn of_rivals_one_wins(world: &World) {
        let name = world.accepted(project("同时决定")).await.name;
        let bureau = officer("bureau");
        let reject = |reason: &str| {
            let (name, reason) = (name.clone(), reason.into());
            world.reject_project(&bureau, REVIEW, RejectProjectRequest { name, reason, request_id: world.request_id() })
        };
        let (one, two, three, four) = tokio::join!(
            world.approve(&name, REVIEW, "甲"),
            reject("乙"),
            world.approve(&name, REVIEW, "丙"),
            reject("丁"),
        );
        let outcomes = [one.map(drop), two.map(drop), three.map(drop), four.map(drop)];
        let (won, lost): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
        assert_eq!((won.len(), lost.len()), (1, 3));
        assert!(lost.into_iter().all(|lost| refusal(lost) == Reason::StateConflict));
        assert_eq!(world.verbs(&name).await.len(), 4, "created, submitted, accepted, decided");
    }

    impl World {
        async fn state_of_own(&self, name: &str) -> State {
            self.get(&clerk(), 0, name).await.unwrap().state()
        }
    }
}
