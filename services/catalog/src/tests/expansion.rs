//! More places, asked for and decided.

use super::on_both_engines;

on_both_engines! {
    places_are_granted_in_part
    a_new_class_is_granted
    a_request_has_limits
    what_nobody_decides_is_denied
}

mod suite {
    use proto::{
        catalog::v1::{self as pb, *},
        common::v1::{Action, Reason},
    };

    use crate::tests::world::{
        EXPANSION_DECISION, EXPANSION_REQUEST, PUBLICATION, TERM, World, class, clerk, day, fields, officer, project,
        refusal, rival,
    };

    fn more(world: &World, project: &pb::Project, places: i32) -> RequestExpansionRequest {
        let expansion = Expansion {
            class: project.classes[0].name.clone(),
            places_requested: places,
            reason: "报名踊跃".into(),
            ..Expansion::default()
        };
        RequestExpansionRequest {
            parent: project.name.clone(),
            expansion: Some(expansion),
            request_id: world.request_id(),
        }
    }

    fn grant(world: &World, name: &str, places_granted: i32, reason: &str) -> DecideExpansionRequest {
        let (name, reason) = (name.into(), reason.into());
        DecideExpansionRequest { name, places_granted, reason, request_id: world.request_id() }
    }

    async fn ask(world: &World, request: RequestExpansionRequest) -> Expansion {
        world.request_expansion(&clerk(), EXPANSION_REQUEST, request).await.unwrap().expansion.unwrap()
    }

    pub async fn places_are_granted_in_part(world: &World) {
        let project = world.published(project("扩容")).await;
        let asked = ask(world, more(world, &project, 20)).await;
        assert_eq!(asked.state(), expansion::State::Requested);
        let bureau = officer("bureau");
        let decide = |request| world.decide_expansion(&bureau, EXPANSION_DECISION, request);
        assert_eq!(fields(decide(grant(world, &asked.name, 21, "")).await), ["places_granted", "reason"]);
        assert_eq!(fields(decide(grant(world, &asked.name, 8, "")).await), ["reason"]);
        let elsewhere = grant(world, &asked.name, 8, "场地");
        let elsewhere = world.decide_expansion(&officer("elsewhere"), EXPANSION_DECISION, elsewhere).await;
        assert_eq!(refusal(elsewhere), Reason::OutOfScope);
        let granted = decide(grant(world, &asked.name, 8, "场地有限")).await.unwrap().expansion.unwrap();
        assert_eq!((granted.state(), granted.places_granted), (expansion::State::GrantedInPart, 8));
        let class = &world.facts(&project.name).await.classes[0];
        assert_eq!((class.places, class.approved_places), (48, 40), "who mirrors learns the new places");
        assert_eq!(refusal(decide(grant(world, &asked.name, 20, "")).await), Reason::StateConflict);
        assert_eq!(world.verbs(&asked.name).await, ["requested", "granted_in_part"]);
        for (actor, count) in [(clerk(), 1), (officer("city"), 1), (rival(), 0), (officer("elsewhere"), 0)] {
            let list = ListExpansionsRequest { parent: TERM.into(), ..ListExpansionsRequest::default() };
            let found = world.list_expansions(&actor, EXPANSION_DECISION, list).await.unwrap();
            assert_eq!(found.expansions.len(), count, "{}", actor.account);
        }
    }

    pub async fn a_new_class_is_granted(world: &World) {
        let project = world.published(project("加班")).await;
        let mut request = more(world, &project, 20);
        if let Some(expansion) = &mut request.expansion {
            expansion.class.clear();
            expansion.new_class = Some(class(0, 54));
        }
        let asked = ask(world, request).await;
        let decision = grant(world, &asked.name, 20, "");
        let granted = world.decide_expansion(&officer("bureau"), EXPANSION_DECISION, decision).await.unwrap();
        assert_eq!(granted.expansion.unwrap().state(), expansion::State::Granted);
        let classes = world.facts(&project.name).await.classes;
        let last = classes.last().unwrap();
        assert_eq!((last.name.clone(), last.places), (format!("{}/classes/3", project.name), 20));
    }

    pub async fn a_request_has_limits(world: &World) {
        let one = world.published(project("限额")).await;
        let provider = clerk();
        let ask_for = |request| world.request_expansion(&provider, EXPANSION_REQUEST, request);
        // 70 places were approved.
        assert_eq!(refusal(ask_for(more(world, &one, 36)).await), Reason::ExpansionLimit);
        let mut empty = more(world, &one, 0);
        empty.expansion = None;
        let faults = fields(ask_for(empty).await);
        assert_eq!(faults, ["expansion.places_requested", "expansion.reason", "expansion.class"]);
        let early = world.request_expansion(&clerk(), PUBLICATION, more(world, &one, 5)).await;
        assert_eq!(refusal(early), Reason::WindowClosed);
        let other = world.request_expansion(&rival(), EXPANSION_REQUEST, more(world, &one, 5)).await;
        assert_eq!(refusal(other), Reason::OutOfScope);
        let asked = ask(world, more(world, &one, 35)).await;
        assert_eq!(refusal(ask_for(more(world, &one, 1)).await), Reason::ExpansionExists);
        let denied = grant(world, &asked.name, 0, "无场地");
        let denied = world.decide_expansion(&officer("bureau"), EXPANSION_DECISION, denied).await.unwrap();
        assert_eq!(denied.expansion.unwrap().state(), expansion::State::Denied);
        assert_eq!(refusal(ask_for(more(world, &one, 1)).await), Reason::ExpansionExists, "decided is asked");
        assert_eq!(world.facts(&one.name).await.classes[0].places, 40);
        // A project that is called off, and a class that is, grow no more.
        let two = world.published(project("停办")).await;
        let asked = ask(world, more(world, &two, 5)).await;
        let cancel = CancelClassRequest {
            name: two.classes[0].name.clone(),
            reason: "停办".into(),
            request_id: world.request_id(),
        };
        world.cancel_class(&officer("bureau"), EXPANSION_REQUEST, cancel).await.unwrap();
        let grown = grant(world, &asked.name, 5, "");
        let grown = world.decide_expansion(&officer("bureau"), EXPANSION_DECISION, grown).await;
        assert_eq!(refusal(grown), Reason::StateConflict);
    }

    pub async fn what_nobody_decides_is_denied(world: &World) {
        let project = world.published(project("无人审批")).await;
        let asked = ask(world, more(world, &project, 5)).await;
        let outcome = world.step(Action::DenyUndecidedExpansions, day(44)).await;
        assert_eq!((outcome.changed, outcome.more, outcome.counts["denied"]), (1, false, 1));
        assert_eq!(world.step(Action::DenyUndecidedExpansions, day(44)).await.changed, 0);
        assert_eq!(world.verbs(&asked.name).await, ["requested", "denied"]);
        let list = ListExpansionsRequest {
            parent: TERM.into(),
            state: expansion::State::Denied.into(),
            ..ListExpansionsRequest::default()
        };
        let found = world.list_expansions(&clerk(), day(45), list).await.unwrap().expansions;
        assert_eq!(found.iter().map(|one| one.decision_reason.as_str()).collect::<Vec<_>>(), ["undecided"]);
    }
}
