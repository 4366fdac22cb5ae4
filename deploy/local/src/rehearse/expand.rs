//! EXPANSION: providers of crowded projects ask for places, bureaus grant all, some or none; and classes that are too
//! small are cancelled.

use std::collections::BTreeMap;

use proto::catalog::v1::expansion_service_client::ExpansionServiceClient;
use proto::catalog::v1::project_service_client::ProjectServiceClient;
use proto::catalog::v1::{
    CancelClassRequest, CancelProjectRequest, DecideExpansionRequest, Expansion, GetProjectRequest,
    ListExpansionsRequest, RequestExpansionRequest, class, expansion,
};
use proto::common::v1::Role;
use proto::enrollment::v1::confirmation_service_client::ConfirmationServiceClient;
use proto::enrollment::v1::selection_service_client::SelectionServiceClient;
use proto::enrollment::v1::{ListProposedCancellationsRequest, ListSeatsRequest, ProposedCancellation, Seats};

use super::caller::{Caller, call};
use super::programme::{
    CLASS_CANCELLED, EXPAND_AGAIN, EXPAND_TOO_FAR, EXPANDED_IN_FULL, EXPANDED_IN_PART, EXPANSION_DENIED,
    EXPANSION_UNDECIDED, PROJECT_CANCELLED,
};
use super::stage::{PAGE, Stage};
use crate::people::Staff;

/// The places of all projects, by project.
pub async fn seats(stage: &Stage<'_>) -> Option<BTreeMap<String, Seats>> {
    let officer = stage.staff(Role::BureauOfficer).await?;
    let officer = &officer;
    let seats = stage.pages(|page_token| {
        let request =
            ListSeatsRequest { parent: stage.term.clone(), projects: Vec::new(), page_size: PAGE, page_token };
        async move {
            let reply = call!(officer, SelectionServiceClient.list_seats(request))?;
            Ok((reply.seats, reply.next_page_token))
        }
    });
    let seats = stage.books.must("list the seats", seats.await)?;
    Some(seats.into_iter().map(|seats| (seats.project.clone(), seats)).collect())
}

async fn ask(
    stage: &Stage<'_>,
    me: &Caller,
    class: &str,
    project: &str,
    places: i32,
    act: &str,
) -> Result<(), super::books::Refusal> {
    let expansion = Expansion {
        class: class.to_owned(),
        places_requested: places,
        reason: "报名人数超过名额".to_owned(),
        ..Expansion::default()
    };
    let request = RequestExpansionRequest {
        parent: project.to_owned(),
        expansion: Some(expansion),
        request_id: format!("{act}-{project}"),
    };
    let _ = stage;
    call!(me, ExpansionServiceClient.request_expansion(request)).map(drop)
}

/// Providers whose projects more were approved for than have places ask for more.
pub async fn request(stage: &Stage<'_>) -> Option<()> {
    let seats = seats(stage).await?;
    let seats = &seats;
    let plans = (0..).zip(&stage.county.projects);
    stage
        .all(plans.filter(|(_, plan)| plan.is_published()).map(|(n, plan)| async move {
            let name = stage.project(n)?;
            let seats = seats.get(&name)?;
            let wanted = seats.live_selections.saturating_sub(seats.capacity);
            if wanted <= 0 {
                return None;
            }
            let me = stage.staff_of(&plan.project.provider).await?;
            let project = get(stage, &me, &name).await?;
            let class = project.classes.iter().find(|class| class.state() == class::State::Active)?;
            let approved: i32 = project.classes.iter().map(|class| class.approved_places).sum();
            let too_many = approved.saturating_mul(2);
            let outcome = ask(stage, &me, &class.name, &name, too_many, "expand-too-far").await;
            stage.books.mistake(EXPAND_TOO_FAR, outcome);
            // Two at least, so that they can be granted in part.
            let places = wanted.max(2).min(approved / 2).max(1);
            let outcome = ask(stage, &me, &class.name, &name, places, "expand").await;
            stage.books.must("ask for an expansion", outcome)?;
            let outcome = ask(stage, &me, &class.name, &name, 1, "expand-again").await;
            stage.books.mistake(EXPAND_AGAIN, outcome);
            Some(())
        }))
        .await;
    Some(())
}

async fn get(stage: &Stage<'_>, me: &Caller, name: &str) -> Option<proto::catalog::v1::Project> {
    let request = GetProjectRequest { name: name.to_owned() };
    stage.books.must("look at a project", call!(me, ProjectServiceClient.get_project(request)))?.project
}

/// The expansions that wait for a decision, as an officer sees them.
async fn requested(stage: &Stage<'_>, me: &Caller) -> Option<Vec<Expansion>> {
    let expansions = stage.pages(|page_token| {
        let request = ListExpansionsRequest {
            parent: stage.term.clone(),
            state: expansion::State::Requested.into(),
            page_size: PAGE,
            page_token,
        };
        async move {
            let reply = call!(me, ExpansionServiceClient.list_expansions(request))?;
            Ok((reply.expansions, reply.next_page_token))
        }
    });
    stage.books.must("list expansions", expansions.await)
}

/// The first officer of a bureau.
fn officer<'a>(stage: &Stage<'a>, bureau: &str) -> Option<&'a Staff> {
    let of = |staff: &&Staff| staff.role == Role::BureauOfficer && staff.organization.ends_with(bureau);
    stage.county.staff.iter().find(of)
}

/// Bureaus of both levels decide: in part, in full, not at all, in turns; one request they leave.
pub async fn decide(stage: &Stage<'_>) -> Option<()> {
    let mut turn = 0_usize;
    for bureau in ["/city", "/county"] {
        let officer = officer(stage, bureau)?;
        let me = stage.person(&officer.login).await?;
        let mut open = requested(stage, &me).await?;
        // A bureau sees what lies under it too; each decides on its own.
        let bureaus: BTreeMap<String, String> = {
            let memory = stage.memory();
            memory.projects.values().map(|project| (project.name.clone(), project.accepting_bureau.clone())).collect()
        };
        // "terms/…/projects/…/…/…"
        let of = |name: &str| name.rsplitn(3, '/').nth(2).and_then(|project| bureaus.get(project));
        open.retain(|expansion| of(&expansion.name) == Some(&officer.organization));
        open.sort_by(|one, other| one.name.cmp(&other.name));
        for expansion in open {
            turn = turn.saturating_add(1);
            let asked = expansion.places_requested;
            let (granted, reason, mishap) = match turn {
                4 => {
                    stage.books.happened(EXPANSION_UNDECIDED);
                    continue;
                }
                _ if turn % 3 == 1 && asked > 1 => {
                    (asked.saturating_add(1) / 2, "场地所限，部分同意", EXPANDED_IN_PART)
                }
                _ if turn.is_multiple_of(3) => (0, "师资不足", EXPANSION_DENIED),
                _ => (asked, "", EXPANDED_IN_FULL),
            };
            let request = DecideExpansionRequest {
                request_id: format!("grant-{}", expansion.name),
                name: expansion.name,
                places_granted: granted,
                reason: reason.to_owned(),
            };
            let outcome = call!(me, ExpansionServiceClient.decide_expansion(request));
            if stage.books.must("decide on an expansion", outcome).is_some() {
                stage.books.happened(mishap);
            }
        }
    }
    Some(())
}

/// Classes that the term proposes for cancelling as too small, as an officer sees them, smallest first.
async fn proposals(stage: &Stage<'_>, me: &Caller) -> Option<Vec<ProposedCancellation>> {
    let proposals = stage.pages(|page_token| {
        let request = ListProposedCancellationsRequest { parent: stage.term.clone(), page_size: PAGE, page_token };
        async move {
            let reply = call!(me, ConfirmationServiceClient.list_proposed_cancellations(request))?;
            Ok((reply.proposals, reply.next_page_token))
        }
    });
    let mut proposals = stage.books.must("list the classes that are too small", proposals.await)?;
    proposals.sort_by(|one, other| (one.participants, &one.class).cmp(&(other.participants, &other.class)));
    Some(proposals)
}

/// The bureaus follow the proposal for a few: one class of a project that has another, and whole projects that somebody
/// had selected, who may then use the next round.
pub async fn cancel_small(stage: &Stage<'_>) -> Option<()> {
    let most = (stage.county.projects.len() / 50).max(1);
    let (mut classes, mut projects) = (0_usize, 0_usize);
    for bureau in ["/county", "/city"] {
        let officer = officer(stage, bureau)?;
        let me = stage.person(&officer.login).await?;
        let expanding = requested(stage, &me).await?;
        for proposal in proposals(stage, &me).await? {
            if classes > 0 && projects >= most {
                return Some(());
            }
            let project = get(stage, &me, &proposal.project).await?;
            // Each bureau decides on its own, and not against a provider that asks for places.
            let expands = expanding.iter().any(|expansion| expansion.name.starts_with(&format!("{}/", project.name)));
            if expands || project.accepting_bureau != officer.organization {
                continue;
            }
            let active = project.classes.iter().filter(|class| class.state() == class::State::Active).count();
            let reason = "人数不足，不开班".to_owned();
            if active > 1 && classes == 0 {
                let request_id = format!("cancel-{}", proposal.class);
                let request = CancelClassRequest { name: proposal.class, reason, request_id };
                stage.books.must("cancel a class", call!(me, ProjectServiceClient.cancel_class(request)))?;
                stage.books.happened(CLASS_CANCELLED);
                classes = classes.saturating_add(1);
            } else if active == 1 && projects < most && proposal.participants > 0 {
                let request_id = format!("cancel-{}", proposal.project);
                let request = CancelProjectRequest { name: proposal.project, reason, request_id };
                stage.books.must("cancel a project", call!(me, ProjectServiceClient.cancel_project(request)))?;
                stage.books.happened(PROJECT_CANCELLED);
                projects = projects.saturating_add(1);
            }
        }
    }
    Some(())
}
