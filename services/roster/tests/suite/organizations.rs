//! The tree: created, found, moved.

use prost_types::FieldMask;
use proto::roster::v1::{
    GetOrganizationRequest, ListOrganizationsRequest, Organization, OrganizationFacts, TeacherFacts,
    UpdateOrganizationRequest, organization::Kind, organization_service_server::OrganizationService as _,
};
use proto::{Actor, common::v1::Reason};

use crate::world::{COUNTY, OTHER_SCHOOL, SCHOOL, World, fields, on_both, reason, refusal, reply, teacher};

async fn list(world: &World, ancestor: &str, kind: Kind) -> Vec<String> {
    let mut names = Vec::new();
    let mut page_token = String::new();
    loop {
        let message =
            ListOrganizationsRequest { ancestor: ancestor.into(), kind: kind.into(), page_size: 2, page_token };
        let request = world.request("OrganizationService/ListOrganizations", &world.officer, message);
        let page = reply(world.service.list_organizations(request).await);
        names.extend(page.organizations.into_iter().map(|organization| organization.name));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return names;
        }
    }
}

async fn update(
    world: &World,
    actor: &Actor,
    organization: Organization,
    mask: &[&str],
) -> Result<Organization, tonic::Status> {
    let request_id = format!("update-{}-{}-{:?}", organization.name, organization.parent, actor.account);
    let update_mask = Some(FieldMask { paths: mask.iter().map(ToString::to_string).collect() });
    let message = UpdateOrganizationRequest { organization: Some(organization), update_mask, request_id };
    let request = world.request("OrganizationService/UpdateOrganization", actor, message);
    Ok(world.service.update_organization(request).await?.into_inner().organization.unwrap())
}

#[tokio::test]
async fn what_lies_under_an_organisation_is_listed_by_pages() {
    on_both(async |world| {
        assert_eq!(list(&world, COUNTY, Kind::School).await, [SCHOOL, OTHER_SCHOOL]);
        assert_eq!(
            list(&world, COUNTY, Kind::Unspecified).await,
            [COUNTY, "organizations/district", SCHOOL, OTHER_SCHOOL]
        );
        assert_eq!(list(&world, "", Kind::Unspecified).await.len(), 8);
        assert_eq!(list(&world, "", Kind::Provider).await, ["organizations/provider"]);
    })
    .await;
}

#[tokio::test]
async fn a_moved_district_takes_its_schools_and_teachers_along() {
    on_both(async |world| {
        let teacher = world.create_teacher(&world.admin, teacher(SCHOOL, 1)).await.unwrap();
        let district = |etag: &str| Organization {
            name: "organizations/district".into(),
            parent: "organizations/elsewhere".into(),
            etag: etag.into(),
            ..Organization::default()
        };
        // A bureau cannot push its district onto another; an operator can.
        let outcome = update(&world, &world.officer, district(""), &["parent"]).await;
        assert_eq!(reason(outcome), Reason::OutOfScope);
        assert_eq!(reason(update(&world, &world.operator, district("v9"), &["parent"]).await), Reason::EtagMismatch);
        let moved = update(&world, &world.operator, district("v1"), &["parent"]).await;
        // The id of a refused request was not used up.
        assert_eq!(moved.unwrap().etag, "v2");
        let path = ["organizations/city", "organizations/elsewhere", "organizations/district", SCHOOL];
        let (verb, facts) = world.last::<OrganizationFacts>(SCHOOL).await;
        assert_eq!((verb.as_str(), facts.path), ("moved", path.map(str::to_owned).to_vec()));
        let (verb, facts) = world.last::<TeacherFacts>(&teacher.name).await;
        assert_eq!((verb.as_str(), facts.path), ("moved", path.map(str::to_owned).to_vec()));
        assert_eq!(list(&world, "organizations/elsewhere", Kind::School).await, [SCHOOL]);
        assert_eq!(reason(world.get_teacher(&world.officer, &teacher.name).await), Reason::OutOfScope);
    })
    .await;
}

#[tokio::test]
async fn bad_organisations_are_refused_with_every_fault() {
    on_both(async |world| {
        let outcome = world.create_organization("organizations/Not OK", "organizations/none", Kind::School).await;
        assert_eq!(fields(outcome), ["organization.parent", "organization.name"]);
        let message = GetOrganizationRequest { name: "organizations/none".into() };
        let request = world.request("OrganizationService/GetOrganization", &world.officer, message);
        assert_eq!(refusal(world.service.get_organization(request).await), (tonic::Code::NotFound, Reason::NotFound));
        let county = Organization { name: COUNTY.into(), parent: SCHOOL.into(), ..Organization::default() };
        let outcome = update(&world, &world.operator, county, &["parent", "colour"]).await;
        assert_eq!(fields(outcome), ["update_mask.paths[1]"]);
        let county = Organization { name: COUNTY.into(), parent: SCHOOL.into(), ..Organization::default() };
        let outcome = update(&world, &world.operator, county, &["parent"]).await;
        assert_eq!(
            fields(outcome),
            ["organization.parent", "organization.parent"],
            "under itself, and of the wrong kind"
        );
        assert_eq!(reason(world.create_organization(SCHOOL, COUNTY, Kind::School).await), Reason::RequestIdReused);
    })
    .await;
}
