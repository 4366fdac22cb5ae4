//! `ComplianceService`: how schools, districts and bureaus stand in a year, and who is behind the numbers.

use chassis::{
    Call, Failure, Faults, Page, answer,
    db::{Reader, Scope},
};
use proto::credit::v1::{
    Compliance, GetComplianceRequest, GetComplianceResponse, ListComplianceTeachersRequest,
    ListComplianceTeachersResponse, ListPolicyVersionsRequest, ListPolicyVersionsResponse, PolicyVersion,
    TeacherStanding, compliance::State, compliance_service_server::ComplianceService,
};
use tonic::{Request, Response, Status};

use super::{Api, scope, year};
use crate::{
    domain::{
        compliance::{Tally, of_one},
        policy::Policy,
    },
    rules::Rules,
    store::{
        compliance, organizations, policies,
        standings::{self, Question},
    },
    wire,
};

#[tonic::async_trait]
impl ComplianceService for Api {
    async fn get_compliance(
        &self,
        request: Request<GetComplianceRequest>,
    ) -> Result<Response<GetComplianceResponse>, Status> {
        answer(request, |call| get(self, call)).await
    }

    async fn list_compliance_teachers(
        &self,
        request: Request<ListComplianceTeachersRequest>,
    ) -> Result<Response<ListComplianceTeachersResponse>, Status> {
        answer(request, |call| list(self, call)).await
    }

    async fn list_policy_versions(
        &self,
        request: Request<ListPolicyVersionsRequest>,
    ) -> Result<Response<ListPolicyVersionsResponse>, Status> {
        answer(request, |call| versions(self, call)).await
    }
}

/// What a tally says about an organisation.
pub(super) fn report(organization: &str, year: i16, tally: &Tally, state: State, policy: &Policy) -> Compliance {
    Compliance {
        organization: organization.to_owned(),
        year: year.into(),
        teachers: i32::try_from(tally.teachers).unwrap_or(i32::MAX),
        requirements: tally.requirements(policy).iter().map(wire::requirement).collect(),
        state: state.into(),
        match_forecast: Some(wire::requirement(&tally.match_forecast(policy))),
        warnings: Vec::new(),
    }
}

pub(crate) async fn get(api: &Api, call: Call<GetComplianceRequest>) -> Result<GetComplianceResponse, Failure> {
    let bound = GetComplianceRequest { page_size: 0, page_token: String::new(), ..call.message.clone() };
    let page = Page::read(call.message.page_size, &call.message.page_token, &bound)?;
    let mut db = api.db.read(&call, Scope::AnyTerm).await?;
    let GetComplianceRequest { organization, year: asked, schools, .. } = call.message;
    let year = year(asked)?;
    let actor = db.actor().clone();
    scope::over_organization(&mut db, &actor, &organization).await?;
    let mut schools = if schools {
        organizations::schools_under(&mut db, &organization, page.after(), page.ask()).await?
    } else {
        Vec::new()
    };
    let found = schools.len();
    schools.truncate(page.limit());
    let next_page_token = page.next(found, || schools.last().cloned().unwrap_or_default());
    let (compliance, schools) = match compliance::of_year(&mut db, &organization, year).await? {
        Some(taken) => {
            let mut of_schools = Vec::with_capacity(schools.len());
            for school in &schools {
                of_schools.extend(compliance::of_year(&mut db, school, year).await?.map(wire::warned));
            }
            (wire::warned(taken), of_schools)
        }
        None => live(&mut db, &organization, year, &schools).await?,
    };
    Ok(GetComplianceResponse { compliance: Some(compliance), schools, next_page_token })
}

/// As the ledger stands: the organisation's, and that of each of these schools.
async fn live(
    db: &mut Reader,
    organization: &str,
    year: i16,
    schools: &[String],
) -> Result<(Compliance, Vec<Compliance>), Failure> {
    let policy = Rules::of(db.gates())?.policy;
    let tallies = standings::tallies(db, year, organization, &policy).await?;
    let sum = tallies.values().copied().sum();
    let of_schools = schools.iter().map(|school| {
        let tally = tallies.get(school).copied().unwrap_or_default();
        wire::warned(report(school, year, &tally, State::Live, &policy))
    });
    Ok((wire::warned(report(organization, year, &sum, State::Live, &policy)), of_schools.collect()))
}

pub(crate) async fn list(
    api: &Api,
    call: Call<ListComplianceTeachersRequest>,
) -> Result<ListComplianceTeachersResponse, Failure> {
    let mut db = api.db.read(&call, Scope::AnyTerm).await?;
    let request = call.message;
    let bound = ListComplianceTeachersRequest { page_size: 0, page_token: String::new(), ..request.clone() };
    let page = Page::read(request.page_size, &request.page_token, &bound)?;
    let policy = Rules::of(db.gates())?.policy;
    let mut faults = Faults::new();
    let of_one = of_one(&request.requirement, &policy);
    if of_one.is_none() {
        faults.add("requirement", "不是考核项目，见达标情况的 key", "is no requirement; use a key of the compliance");
    }
    faults.check()?;
    let (scale, required) = of_one.unwrap_or_default();
    let actor = db.actor().clone();
    scope::over_organization(&mut db, &actor, &request.organization).await?;
    let question = Question {
        organization: &request.organization,
        year: year(request.year)?,
        requirement: &request.requirement,
        scale,
        required,
        met: request.met,
    };
    let found = standings::behind(&mut db, question, page.after(), page.ask()).await?;
    let total_size = standings::count_behind(&mut db, question).await?;
    let found = found.into_iter().map(|behind| TeacherStanding {
        teacher: behind.teacher,
        numerator: behind.numerator,
        denominator: behind.denominator,
    });
    let (teachers, next_page_token) = page.cut(found.collect(), |last| last.teacher.clone());
    Ok(ListComplianceTeachersResponse { teachers, next_page_token, total_size })
}

pub(crate) async fn versions(
    api: &Api,
    call: Call<ListPolicyVersionsRequest>,
) -> Result<ListPolicyVersionsResponse, Failure> {
    let mut db = api.db.read(&call, Scope::AnyTerm).await?;
    let versions = policies::all(&mut db).await?;
    let versions = versions.into_iter().map(|version| PolicyVersion {
        term: version.term,
        version: version.version,
        digest: version.digest,
        in_force_from: Some(proto::timestamp(version.in_force_from)),
    });
    Ok(ListPolicyVersionsResponse { versions: versions.collect() })
}
