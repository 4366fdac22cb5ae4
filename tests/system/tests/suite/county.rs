//! A small county in a running system, and who calls which of its methods.

use std::collections::BTreeMap;

use chassis::{contract::Method, peer::SERVICE_HEADER, peer::within};
use proto::common::v1::{Gates, Phase, PutGatesRequest, Role, Window, gate_service_client::GateServiceClient};
use shixun::{
    people::{County, Person, TermFolder},
    progress::Progress,
    rehearse, up,
};
use system::World;
use tonic::transport::Channel;

/// A header that says who calls.
pub type Header = Option<(&'static str, String)>;

/// A county that is set up, at the first morning of its term.
pub struct Stage {
    pub world: World,
    pub county: County,
    pub folder: TermFolder,
    pub term: String,
    channels: BTreeMap<&'static str, Channel>,
}

impl Stage {
    /// Sets up a county; `change` may alter it before.
    pub async fn set(engine: &str, teachers: u32, change: impl Fn(&mut County)) -> anyhow::Result<Self> {
        let folder = TermFolder::sample()?;
        let mut county = County::generate(7, teachers, &folder);
        change(&mut county);
        let begin = proto::jiff_instant(rehearse::before_the_term(&folder)?).to_string();
        let world = World::start_for(engine, &begin, &county.password).await?;
        up::setup::county(&world.system, &county, &folder, &Progress::hidden()).await?;
        let connect = |service: &'static str| Ok((service, chassis::peer::channel(&world.system.address(service))?));
        let channels = up::SERVICES.into_iter().map(connect).collect::<anyhow::Result<_>>()?;
        Ok(Self { term: folder.name(), world, county, folder, channels })
    }

    /// Opens a window of every phase at once, whatever the calendar says.
    pub async fn open_everything(&self) -> anyhow::Result<()> {
        let edge = |text: &str| anyhow::Ok(proto::timestamp(text.parse::<jiff::Timestamp>()?.as_microsecond()));
        let phases = (1..).map_while(|number| Phase::try_from(number).ok()).filter(|phase| *phase != Phase::Any);
        let windows = phases.map(|phase| {
            Ok(Window {
                id: phase.as_str_name().to_lowercase(),
                phase: phase.into(),
                round: 1,
                opens: Some(edge("2019-01-01T00:00:00Z")?),
                closes: Some(edge("2020-01-01T00:00:00Z")?),
                ..Window::default()
            })
        });
        let gates = Gates {
            term: self.term.clone(),
            version: 100,
            zone: "Asia/Shanghai".to_owned(),
            windows: windows.collect::<anyhow::Result<_>>()?,
            policy_version: 100,
            policy: self.folder.policy.clone(),
        };
        for service in up::SERVICES {
            let request = PutGatesRequest { gates: Some(gates.clone()), ..PutGatesRequest::default() };
            let mut client = GateServiceClient::new(self.world.peer("gateway", service)?);
            client.put_gates(within(std::time::Duration::from_secs(10), request)).await?;
        }
        Ok(())
    }

    /// A channel to a service.
    pub fn channel(&self, service: &str) -> anyhow::Result<Channel> {
        self.channels.get(service).cloned().ok_or_else(|| anyhow::anyhow!("no service {service}"))
    }

    /// A teacher who is nothing else.
    pub fn teacher(&self) -> anyhow::Result<&Person> {
        let plain = self.county.teachers.iter().find(|person| person.roles.is_empty());
        plain.ok_or_else(|| anyhow::anyhow!("the county has no teacher who is only that"))
    }

    /// Somebody of the county with a role.
    pub fn person(&self, role: Role) -> anyhow::Result<Header> {
        let teacher = &self.teacher()?.teacher;
        let staff = self.county.staff.iter().filter(|staff| staff.role == role);
        let staff =
            staff.clone().find(|staff| staff.organization.ends_with("/county")).or_else(|| staff.clone().next());
        let (account, organization) = match staff {
            Some(staff) => (staff.account.clone(), staff.organization.as_str()),
            None => (format!("accounts/{}", role.as_str_name().to_lowercase()), teacher.school.as_str()),
        };
        let teacher = if role == Role::Teacher { teacher.name.as_str() } else { "" };
        let token = self.world.token(&account, teacher, &[(role, organization)])?;
        Ok(Some(("authorization", format!("Bearer {token}"))))
    }

    /// Where a method is called, and by whom it may be: people come through the gateway.
    pub fn caller(&self, method: &Method) -> anyhow::Result<(&'static str, Header)> {
        let rule = method.rule.as_ref().ok_or_else(|| anyhow::anyhow!("{} has no rule", method.path))?;
        let server = if method.package == "common" { "enrollment" } else { "gateway" };
        if rule.public {
            return Ok((server, None));
        }
        let mut roles = rule.grants.iter().flat_map(|grant| &grant.roles).filter(|role| **role != Role::Service);
        if let Some(role) = roles.clone().find(|role| **role == Role::BureauOfficer).or_else(|| roles.next()) {
            return Ok((server, self.person(*role)?));
        }
        let named = rule.grants.iter().flat_map(|grant| &grant.services).next();
        let token = self
            .world
            .identity(
                up::SERVICES
                    .into_iter()
                    .chain(["local"])
                    .find(|service| named.is_some_and(|named| named == service))
                    .unwrap_or("gateway"),
            )?
            .own_token()?;
        Ok((server, Some((SERVICE_HEADER, token))))
    }

    /// The heads of all feeds.
    pub async fn heads(&self) -> anyhow::Result<Vec<i64>> {
        let mut heads = Vec::new();
        for service in up::SERVICES {
            heads.push(self.world.system.status(service).await?.position);
        }
        Ok(heads)
    }
}
