//! The menu: who sees what, filters, search, pages.

use super::on_both_engines;

on_both_engines! {
    the_menu_opens_with_browsing
    filters_and_search_narrow_the_menu
    pages_go_through_all
}

mod suite {
    use proto::{
        Actor,
        catalog::v1::{self as pb, *},
        common::v1::Reason,
    };

    use crate::tests::world::{
        BROWSING, PUBLICATION, TERM, World, clerk, expert, fields, officer, project, refusal, rival, teacher,
    };

    fn menu() -> ListProjectsRequest {
        ListProjectsRequest { parent: TERM.into(), ..ListProjectsRequest::default() }
    }

    async fn titles(world: &World, actor: &Actor, at: i64, asked: ListProjectsRequest) -> Vec<String> {
        let found = world.list_projects(actor, at, asked).await.unwrap();
        assert_eq!(usize::try_from(found.total_size).unwrap(), found.projects.len());
        let mut titles: Vec<String> = found.projects.into_iter().map(|project| project.title).collect();
        titles.sort();
        titles
    }

    pub async fn the_menu_opens_with_browsing(world: &World) {
        world.published(project("已发布")).await;
        world.draft(project("草稿")).await;
        let both = ["已发布", "草稿"];
        for own in [clerk(), officer("bureau"), officer("city")] {
            assert_eq!(titles(world, &own, PUBLICATION, menu()).await, both, "{}", own.account);
        }
        for other in [teacher(), rival(), officer("elsewhere"), expert("one")] {
            assert_eq!(titles(world, &other, BROWSING - 1, menu()).await, Vec::<String>::new(), "{}", other.account);
            assert_eq!(titles(world, &other, BROWSING, menu()).await, ["已发布"], "{}", other.account);
        }
        let elsewhere = ListProjectsRequest { parent: "terms/1999".into(), ..menu() };
        assert_eq!(refusal(world.list_projects(&teacher(), BROWSING, elsewhere).await), Reason::TermUnknown);
    }

    pub async fn filters_and_search_narrow_the_menu(world: &World) {
        let audience = |stage: &str, subject: &str| {
            let list = |value: &str| if value.is_empty() { Vec::new() } else { vec![value.to_owned()] };
            Some(Audience { stages: list(stage), subjects: list(subject), ..Audience::default() })
        };
        world
            .published(pb::Project {
                audience: audience("primary", "mathematics"), ..project("小学数学教师研修")
            })
            .await;
        world
            .published(pb::Project {
                audience: audience("junior", "mathematics"),
                restricted_elective: true,
                base_credit: Some(proto::Credit::whole(24).into()),
                form: project::Form::Online.into(),
                level: project::Level::City.into(),
                ..project("初中数学与STEM教育")
            })
            .await;
        world.published(pb::Project { audience: audience("", ""), ..project("师德修养") }).await;
        let (math, stem, ethics) = ("小学数学教师研修", "初中数学与STEM教育", "师德修养");
        let asked = |change: fn(&mut ListProjectsRequest)| {
            let mut asked = menu();
            change(&mut asked);
            asked
        };
        let cases: Vec<(ListProjectsRequest, Vec<&str>)> = vec![
            (asked(|asked| asked.query = "数学".into()), vec![math, stem]),
            (asked(|asked| asked.query = "学".into()), vec![math, stem]),
            (asked(|asked| asked.query = "小学数学".into()), vec![math]),
            (asked(|asked| asked.query = "stem 数学".into()), vec![stem]),
            (asked(|asked| asked.query = "全县".into()), vec![math, stem, ethics]),
            (asked(|asked| asked.query = "数学 师德".into()), vec![]),
            (asked(|asked| asked.query = "语文".into()), vec![]),
            (asked(|asked| asked.stage = "primary".into()), vec![math, ethics]),
            (asked(|asked| asked.subject = "mathematics".into()), vec![math, stem, ethics]),
            (asked(|asked| (asked.stage, asked.query) = ("junior".into(), "数学".into())), vec![stem]),
            (asked(|asked| asked.tier = "novice".into()), vec![math, stem, ethics]),
            (asked(|asked| asked.set_level(project::Level::City)), vec![stem]),
            (asked(|asked| asked.set_form(project::Form::Online)), vec![stem]),
            (asked(|asked| asked.restricted_elective = true), vec![stem]),
            (asked(|asked| asked.min_base_credit = Some(proto::Credit::whole(90).into())), vec![math, ethics]),
            (asked(|asked| asked.provider = "organizations/rival".into()), vec![]),
            (asked(|asked| asked.set_state(project::State::Draft)), vec![]),
            (asked(|asked| asked.set_state(project::State::Published)), vec![math, stem, ethics]),
        ];
        for (asked, mut expected) in cases {
            expected.sort_unstable();
            assert_eq!(titles(world, &teacher(), BROWSING, asked.clone()).await, expected, "{asked:?}");
        }
        let wordless = ListProjectsRequest { query: "；'%_😀".into(), ..menu() };
        assert_eq!(fields(world.list_projects(&teacher(), BROWSING, wordless).await), ["query"]);
        let wrong = ListProjectsRequest { state: 99, level: -1, query: "长".repeat(101), ..menu() };
        assert_eq!(fields(world.list_projects(&teacher(), BROWSING, wrong).await), ["query", "state", "level"]);
    }

    pub async fn pages_go_through_all(world: &World) {
        for number in 0..5 {
            world.published(project(&format!("第{number}个项目"))).await;
        }
        let (mut token, mut names) = (String::new(), Vec::new());
        for left in [2_usize, 2, 1] {
            let asked = ListProjectsRequest { page_size: 2, page_token: token, ..menu() };
            let page = world.list_projects(&teacher(), BROWSING, asked).await.unwrap();
            assert_eq!((page.projects.len(), page.total_size), (left, 5));
            names.extend(page.projects.into_iter().map(|project| project.name));
            token = page.next_page_token;
        }
        assert!(token.is_empty());
        assert!(names.is_sorted() && names.len() == 5);
        let first = ListProjectsRequest { page_size: 2, ..menu() };
        let token = world.list_projects(&teacher(), BROWSING, first).await.unwrap().next_page_token;
        let other = ListProjectsRequest { page_token: token, query: "项目".into(), ..menu() };
        assert_eq!(refusal(world.list_projects(&teacher(), BROWSING, other).await), Reason::PageTokenInvalid);
    }
}
