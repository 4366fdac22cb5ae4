//! `OrganizationService`.

use chassis::{
    Call, Failure, Faults, Page,
    db::{Record, Scope, Tx},
};
use proto::{
    Actor, Held,
    common::v1::{Reason, Role},
    roster::v1::{
        CreateOrganizationRequest, CreateOrganizationResponse, GetOrganizationRequest, GetOrganizationResponse,
        ListOrganizationsRequest, ListOrganizationsResponse, UpdateOrganizationRequest, UpdateOrganizationResponse,
        organization::Kind, organization_service_server::OrganizationService,
    },
};
use tonic::{Request, Response, Status};

use super::{Service, facts, told, wire};
use crate::{
    domain::{
        fault::{Defect, Fault},
        organization::{Organization, check, is_resource_name, path_under},
        scope,
    },
    store::{organizations, teachers},
};

#[tonic::async_trait]
impl OrganizationService for Service {
    async fn create_organization(
        &self,
        request: Request<CreateOrganizationRequest>,
    ) -> Result<Response<CreateOrganizationResponse>, Status> {
        chassis::answer(request, |call| create(self, call)).await
    }

    async fn update_organization(
        &self,
        request: Request<UpdateOrganizationRequest>,
    ) -> Result<Response<UpdateOrganizationResponse>, Status> {
        chassis::answer(request, |call| update(self, call)).await
    }

    async fn get_organization(
        &self,
        request: Request<GetOrganizationRequest>,
    ) -> Result<Response<GetOrganizationResponse>, Status> {
        chassis::answer(request, |call| get(self, call)).await
    }

    async fn list_organizations(
        &self,
        request: Request<ListOrganizationsRequest>,
    ) -> Result<Response<ListOrganizationsResponse>, Status> {
        chassis::answer(request, |call| list(self, call)).await
    }
}

/// The role under which the actor shapes the tree at this path: an operator anywhere, a bureau in its area.
fn shapes<'a>(actor: &'a Actor, path: &[String]) -> Option<&'a Held> {
    scope::governs(actor, path).or_else(|| actor.roles.iter().find(|held| held.role == Role::Operator))
}

pub async fn create(
    service: &Service,
    call: Call<CreateOrganizationRequest>,
) -> Result<CreateOrganizationResponse, Failure> {
    let given = call.message.organization.clone().unwrap_or_default();
    let mut tx = service.db.begin(&call, Scope::AnyTerm).await?;
    let name = if given.name.is_empty() { tx.id("organizations") } else { given.name.clone() };
    let parent = organizations::find(&mut tx, &given.parent).await?;
    let organization = Organization {
        path: path_under(parent.as_ref().map(|parent| parent.path.as_slice()).unwrap_or_default(), &name),
        kinds: given.kinds().collect(),
        name,
        display_name: given.display_name,
        parent: given.parent,
        school_identifier: given.school_identifier,
        school_type: given.school_type,
        contact_office: given.contact_office,
        contact_phone: given.contact_phone,
        version: 1,
    };
    let mut faults = check(&organization, parent.as_ref());
    if !is_resource_name("organizations", &organization.name) {
        faults.push(Fault::of("name", Defect::Malformed));
    }
    if organizations::by_school_identifier(&mut tx, &organization.school_identifier).await?.is_some() {
        faults.push(Fault::of("school_identifier", Defect::Taken));
    }
    told("organization.", faults).check()?;
    let above = parent.as_ref().map(|parent| parent.path.as_slice()).unwrap_or_default();
    let actor = tx.actor().clone();
    let held = shapes(&actor, above).ok_or_else(|| Failure::out_of_scope(&organization.name))?;
    if !organizations::insert(&mut tx, &organization).await? {
        return Err(Failure::new(Reason::AlreadyExists).with("resource", &organization.name));
    }
    tx.record(Record::of(&organization.name, "created", &facts::organization(&organization)).by(&actor, Some(held)));
    tx.commit(CreateOrganizationResponse { organization: Some(wire::organization(&organization)) }).await
}

pub async fn update(
    service: &Service,
    call: Call<UpdateOrganizationRequest>,
) -> Result<UpdateOrganizationResponse, Failure> {
    let given = call.message.organization.clone().unwrap_or_default();
    let mut tx = service.db.begin(&call, Scope::AnyTerm).await?;
    let before = organizations::find(&mut tx, &given.name).await?.ok_or_else(|| Failure::not_found(&given.name))?;
    let actor = tx.actor().clone();
    let held = shapes(&actor, &before.path).ok_or_else(|| Failure::out_of_scope(&before.name))?;
    wire::check_etag(&given.etag, before.version, &before.name)?;
    let mut after = Organization { version: before.version.saturating_add(1), ..before.clone() };
    let mut faults = Faults::new();
    let mask = call.message.update_mask.clone().unwrap_or_default().paths;
    faults.required("update_mask", mask.first().map_or("", String::as_str));
    for (index, field) in mask.iter().enumerate() {
        match field.as_str() {
            "display_name" => after.display_name.clone_from(&given.display_name),
            "parent" => after.parent.clone_from(&given.parent),
            "kinds" => after.kinds = given.kinds().collect(),
            "school_type" => after.school_type.clone_from(&given.school_type),
            "contact_office" => after.contact_office.clone_from(&given.contact_office),
            "contact_phone" => after.contact_phone.clone_from(&given.contact_phone),
            _ => {
                faults.add(format!("update_mask.paths[{index}]"), Defect::UnknownField.zh(), Defect::UnknownField.en())
            }
        }
    }
    faults.check()?;
    let parent = organizations::find(&mut tx, &after.parent).await?;
    told("organization.", check(&after, parent.as_ref())).check()?;
    if after.parent != before.parent {
        // Who moves a part of the tree keeps both its old and its new place.
        let above = parent.as_ref().map(|parent| parent.path.as_slice()).unwrap_or_default();
        shapes(&actor, above).ok_or_else(|| Failure::out_of_scope(&after.parent))?;
        after.path = path_under(above, &after.name);
    }
    if !organizations::update(&mut tx, &after).await? {
        return Err(wire::changed(&after.name));
    }
    tx.record(Record::of(&after.name, "updated", &facts::organization(&after)).by(&actor, Some(held)));
    if after.path != before.path {
        move_subtree(service, &mut tx, &before, &after, held).await?;
    }
    tx.commit(UpdateOrganizationResponse { organization: Some(wire::organization(&after)) }).await
}

/// Gives all that lies under a moved organisation its new path, and tells of it, teachers included.
async fn move_subtree(
    service: &Service,
    tx: &mut Tx,
    before: &Organization,
    after: &Organization,
    held: &Held,
) -> Result<(), Failure> {
    let actor = tx.actor().clone();
    let mut moved = organizations::at_or_under(tx, &before.path).await?;
    moved.retain(|organization| organization.name != after.name);
    for organization in &mut moved {
        let below = organization.path.iter().skip(before.path.len()).cloned();
        organization.path = after.path.iter().cloned().chain(below).collect();
    }
    organizations::update_paths(tx, &moved).await?;
    for organization in &moved {
        tx.record(Record::of(&organization.name, "moved", &facts::organization(organization)).by(&actor, Some(held)));
    }
    let today = service.term(tx.gates().ok().as_deref(), tx.at())?.today;
    let paths = wire::by_name(moved);
    for teacher in teachers::at_or_under(tx, &after.path).await? {
        let path = paths.get(&teacher.school).unwrap_or(after).path.clone();
        tx.record(Record::of(&teacher.name, "moved", &facts::teacher(&teacher, &path, today)).by(&actor, Some(held)));
    }
    Ok(())
}

pub async fn get(service: &Service, call: Call<GetOrganizationRequest>) -> Result<GetOrganizationResponse, Failure> {
    let mut db = service.db.read(&call, Scope::AnyTerm).await?;
    let name = &call.message.name;
    let found = organizations::find(&mut db, name).await?.ok_or_else(|| Failure::not_found(name))?;
    Ok(GetOrganizationResponse { organization: Some(wire::organization(&found)) })
}

pub async fn list(
    service: &Service,
    call: Call<ListOrganizationsRequest>,
) -> Result<ListOrganizationsResponse, Failure> {
    let message = &call.message;
    let query = ListOrganizationsRequest { page_size: 0, page_token: String::new(), ..message.clone() };
    let page = Page::read(message.page_size, &message.page_token, &query)?;
    let Ok(kind) = Kind::try_from(message.kind) else {
        told("", [Fault::of("kind", Defect::UnknownCode)]).check()?;
        return Ok(ListOrganizationsResponse::default());
    };
    let mut db = service.db.read(&call, Scope::AnyTerm).await?;
    let ancestor = match message.ancestor.as_str() {
        "" => None,
        name => Some(organizations::find(&mut db, name).await?.ok_or_else(|| Failure::not_found(name))?.path),
    };
    let found = organizations::list(&mut db, ancestor.as_deref(), kind, page.after(), page.ask()).await?;
    let found = found.iter().map(wire::organization).collect();
    let (organizations, next_page_token) = page.cut(found, |last| last.name.clone());
    Ok(ListOrganizationsResponse { organizations, next_page_token })
}
