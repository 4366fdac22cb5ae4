//! Reading: the menu for everyone once it is open, what is one's own in every state.

use chassis::{
    Call, Failure, Faults, Page,
    db::{Reader, Scope},
};
use proto::{catalog::v1::*, common::v1::Phase};

use crate::{
    api::{Service, act},
    domain::{
        Form, Level,
        lifecycle::State,
        search::{self, Dimension},
    },
    store::{self, project::Filter},
};

pub async fn get(service: &Service, call: Call<GetProjectRequest>) -> Result<GetProjectResponse, Failure> {
    let name = &call.message.name;
    let mut db = service.db.read(&call, Scope::of_name(name)).await?;
    let project = store::project::find(&mut db, name).await?.ok_or_else(|| Failure::not_found(name))?;
    let (actor, open) = (db.actor().clone(), menu_open(&db)?);
    // What one may not see does not exist for him: a draft's existence is its provider's business.
    let seen = act::shown(&mut db, &actor, open, vec![project]).await?.pop();
    Ok(GetProjectResponse { project: Some(seen.ok_or_else(|| Failure::not_found(name))?) })
}

pub async fn list(service: &Service, call: Call<ListProjectsRequest>) -> Result<ListProjectsResponse, Failure> {
    let asked = call.message.clone();
    let mut db = service.db.read(&call, Scope::Term(&asked.parent)).await?;
    let query = ListProjectsRequest { page_size: 0, page_token: String::new(), ..asked.clone() };
    let page = Page::read(asked.page_size, &asked.page_token, &query)?;
    let filter = filter(query)?;
    let (actor, open) = (db.actor().clone(), menu_open(&db)?);
    let sight = act::sight(&actor, open);
    let (found, total_size) = store::project::list(&mut db, &filter, &sight, page.after(), page.ask()).await?;
    let (projects, next_page_token) =
        page.cut(act::shown(&mut db, &actor, open, found).await?, |last| last.name.clone());
    Ok(ListProjectsResponse { projects, next_page_token, total_size })
}

fn filter(asked: ListProjectsRequest) -> Result<Filter, Failure> {
    let mut faults = Faults::new();
    act::text_at_most(&mut faults, "query", &asked.query, 100);
    if !asked.query.trim().is_empty() && search::required(&asked.query).is_empty() {
        faults.add("query", "请输入汉字、字母或数字", "look for characters, letters or digits");
    }
    let mut known = |field: &str, given: i32, known: bool| {
        if given != 0 && !known {
            faults.add(field, "没有此值", "no such value");
        }
    };
    let (state, level, form) =
        (State::from_wire(asked.state), Level::from_wire(asked.level), Form::from_wire(asked.form));
    known("state", asked.state, state.is_some());
    known("level", asked.level, level.is_some());
    known("form", asked.form, form.is_some());
    faults.check()?;
    let admits = [
        (Dimension::Stage, asked.stage),
        (Dimension::Subject, asked.subject),
        (Dimension::Tier, asked.tier),
        (Dimension::Category, asked.category),
    ];
    Ok(Filter {
        term: asked.parent,
        provider: asked.provider,
        state,
        level,
        form,
        min_base_credit: asked.min_base_credit.map_or(0, |credit| credit.hundredths),
        restricted_elective: asked.restricted_elective,
        query: asked.query,
        admits: admits.into_iter().filter(|(_, value)| !value.is_empty()).collect(),
    })
}

/// Whether the menu can be read: the first BROWSING or SELECTION window has opened. It stays so ever after.
fn menu_open(db: &Reader) -> Result<bool, Failure> {
    Ok(act::has_opened(db.gates()?, &[Phase::Browsing, Phase::Selection], db.at()))
}
