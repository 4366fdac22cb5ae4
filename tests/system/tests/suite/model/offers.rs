//! The projects of a history, declared, accepted, approved and published.

use anyhow::Context as _;
use proto::{
    catalog::v1::{self as catalog, allocation::Policy},
    common::v1::{Credit, Role},
};
use system::model::Offer;

use super::{Play, encode};

/// Places, intensive, first come in round 1, first come in round 2.
const OFFERS: [(i32, bool, bool, bool); 8] = [
    (1, false, true, true),
    (2, false, false, true),
    (3, true, false, true),
    (5, false, true, true),
    (4, false, false, false),
    (8, false, false, true),
    (6, true, true, true),
    (2, false, false, true),
];

/// Base credit in hundredths.
pub(super) const fn base(intensive: bool) -> i64 {
    if intensive { 9_000 } else { 2_000 }
}

impl Play {
    pub(super) async fn declare(&mut self) -> anyhow::Result<()> {
        let instant =
            |text: String| anyhow::Ok(Some(proto::timestamp(text.parse::<jiff::Timestamp>()?.as_microsecond())));
        let officers = self.stage.county.staff.iter().filter(|staff| staff.role == Role::BureauOfficer);
        let bureau =
            officers.map(|staff| staff.organization.clone()).find(|organization| organization.ends_with("/county"));
        let bureau = bureau.context("the county has no bureau")?;
        for (n, (places, intensive, first, second)) in OFFERS.into_iter().enumerate() {
            let pattern = &self.stage.county.projects[n].project;
            let mut staff = self.stage.county.staff.iter().filter(|staff| staff.role == Role::ProviderStaff);
            let provider = staff.find(|staff| staff.organization == pattern.provider).context("no provider's staff")?;
            let token = self.stage.world.token(&provider.account, "", &[(provider.role, &provider.organization)])?;
            let header = Some(("authorization", format!("Bearer {token}")));
            // A day each: nobody is kept from one by another.
            let day = jiff::civil::date(2019, 10, i8::try_from(n + 10)?);
            let session = catalog::Session {
                starts: instant(format!("{day}T01:00:00Z"))?,
                ends: instant(format!("{day}T03:00:00Z"))?,
            };
            let class =
                catalog::Class { places, sessions: vec![session], ends_on: Some(day.into()), ..Default::default() };
            let policy = |held: bool| if held { Policy::FirstCome } else { Policy::UncappedThenScreen };
            let allocation = |round, held| catalog::Allocation { round, policy: policy(held).into() };
            let project = catalog::Project {
                title: format!("模型项目{n}"),
                audience: None,
                accepting_bureau: bureau.clone(),
                base_credit: Some(Credit { hundredths: base(intensive) }),
                difficulty_percent: 100,
                classes: vec![class],
                allocations: vec![allocation(1, first), allocation(2, second)],
                ..pattern.clone()
            };
            let (parent, request_id) = (self.stage.term.clone(), format!("declare-{n}"));
            let request =
                catalog::CreateProjectRequest { parent, project: Some(project), request_id: request_id.clone() };
            let path = |name: &str| format!("/shixun.catalog.v1.ProjectService/{name}");
            let created: catalog::CreateProjectResponse =
                self.must(&header, &path("CreateProject"), encode(&request)).await?;
            let created = created.project.context("no project")?;
            let name = created.name.clone();
            let request = catalog::SubmitProjectRequest { name: name.clone(), request_id: request_id.clone() };
            let _: catalog::SubmitProjectResponse =
                self.must(&header, &path("SubmitProject"), encode(&request)).await?;
            let request = catalog::AcceptProjectRequest { name: name.clone(), request_id };
            let _: catalog::AcceptProjectResponse =
                self.must(&self.bureau, &path("AcceptProject"), encode(&request)).await?;
            self.classes.push(created.classes[0].name.clone());
            self.providers.push(header);
            self.model.offers.push(Offer { name, day, places, intensive, first_come: [first, second] });
        }
        self.reach("2019-07-02T01:00:00Z").await?;
        for offer in &self.model.offers {
            let (reason, request_id) = ("急需".to_owned(), format!("approve-{}", offer.name));
            let request = catalog::ApproveProjectRequest { name: offer.name.clone(), reason, request_id };
            let path = "/shixun.catalog.v1.ProjectService/ApproveProject";
            let _: catalog::ApproveProjectResponse = self.must(&self.bureau, path, encode(&request)).await?;
        }
        Ok(())
    }
}
