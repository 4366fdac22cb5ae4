//! What happens when windows open and close.

use super::on_both_engines;

on_both_engines! {
    drafts_lapse_when_the_declaration_closes
    the_undecided_are_listed_and_lapse
    long_steps_go_page_by_page
    a_foreign_step_is_refused
}

mod suite {
    use chassis::Steps as _;
    use proto::common::v1::{Action, Reason, RunStepRequest};

    use crate::{
        api::CatalogSteps,
        tests::world::{State, TERM, World, day, project},
    };

    pub async fn drafts_lapse_when_the_declaration_closes(world: &World) {
        let draft = world.draft(project("草稿")).await.name;
        let submitted = world.submitted(project("已报")).await.name;
        let outcome = world.step(Action::LapseDrafts, day(10)).await;
        assert_eq!((outcome.changed, outcome.more, outcome.counts["lapsed"]), (1, false, 1));
        assert_eq!(world.state(&draft).await, State::Lapsed);
        assert_eq!(world.state(&submitted).await, State::Submitted);
        assert_eq!(world.step(Action::LapseDrafts, day(10)).await.changed, 0);
        let feed = world.feed().await;
        let last = feed.last().unwrap();
        assert_eq!((last.verb.as_str(), last.actor.as_ref().unwrap().service.as_str()), ("lapsed", "gateway"));
        assert_eq!(proto::instant(last.at.as_ref().unwrap()), day(10));
    }

    pub async fn the_undecided_are_listed_and_lapse(world: &World) {
        let accepted = world.accepted(project("已受理")).await.name;
        let submitted = world.submitted(project("未受理")).await.name;
        let decided = world.accepted(project("已批准")).await.name;
        world.approve(&decided, day(11), "特色").await.unwrap();
        let outcome = world.step(Action::ListUndecidedProjects, day(20)).await;
        assert_eq!((outcome.changed, outcome.more), (0, false));
        assert_eq!((outcome.counts["undecided"], outcome.counts["undecided organizations/bureau"]), (2, 2));
        assert_eq!(world.step(Action::PublishApproved, day(20)).await.changed, 1);
        // Decided late, while PUBLICATION is open.
        world.approve(&accepted, day(20) + 1, "迟").await.unwrap();
        assert_eq!(world.step(Action::LapseUndecidedProjects, day(21)).await.changed, 1);
        for (name, state) in [(accepted, State::Published), (submitted, State::Lapsed), (decided, State::Published)] {
            assert_eq!(world.state(&name).await, state);
        }
    }

    pub async fn long_steps_go_page_by_page(world: &World) {
        let name = world.draft(project("许多")).await.name;
        let mut tx = world.db.begin_own(0, "many").await.unwrap();
        let draft = crate::store::project::find(&mut tx, &name).await.unwrap().unwrap();
        for number in 1..450 {
            let mut copy = draft.clone();
            copy.name = format!("{TERM}/projects/copy-{number:03}");
            crate::store::project::insert(&mut tx, &copy).await.unwrap();
        }
        tx.finish().await.unwrap();
        let mut pages = Vec::new();
        loop {
            let outcome = world.step(Action::LapseDrafts, day(10)).await;
            pages.push(outcome.changed);
            if !outcome.more {
                break;
            }
        }
        assert_eq!(pages, [200, 200, 50]);
    }

    pub async fn a_foreign_step_is_refused(world: &World) {
        let mut tx = world.db.begin_own(0, "foreign").await.unwrap();
        let step =
            RunStepRequest { term: TERM.into(), action: Action::SettleConfirmation.into(), ..Default::default() };
        let refused = CatalogSteps.run(&mut tx, &step).await.expect_err("a refusal");
        assert_eq!(refused.reason(), Some(Reason::InvalidArgument));
    }
}
