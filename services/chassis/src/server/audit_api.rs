//! `AuditService` of every server: the audit view for whoever answers for it. The gateway has the service that is named answer.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use prost::Message as _;
use proto::{
    Actor,
    common::v1::{
        self as pb, ListActsRequest, ListActsResponse, Reason, Role, RoleGrant, act::Kind,
        audit_service_client::AuditServiceClient, audit_service_server::AuditService,
    },
};
use tonic::{Request, Response, Status};
use tonic_types::StatusExt as _;

use crate::{
    audit::{Act, Place, Wanted, is_at_or_below, part},
    call::{Call, admission, answer},
    db::{Db, Queries, Rows, args},
    export,
    failure::{Failure, Faults},
    page::Page,
    peer::{Peer, is_away},
};

/// Most acts of a page.
const MOST: usize = 200;
/// Bytes of acts after which a page ends: well below the 4 MiB that a message may have.
const BYTES: usize = 2 << 20;
/// Looks of one page, so that no call looks through everything.
const LOOKS: usize = 10;
/// How long another service may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Where a person's token stands.
const TOKEN: &str = "authorization";
/// What a service's name as a resource begins with.
const SERVICES: &str = "services/";
/// What stands in the tree of organisations.
const STANDING: [&str; 2] = ["organizations/", "teachers/"];
/// What names a person.
const PERSONS: [&str; 2] = ["accounts/", "teachers/"];

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct AuditApi {
    pub db: Db,
    /// Which of the organisations and teachers in `$1` stand under one of those in `$2`; a service without it knows no tree.
    pub standing: Option<&'static str>,
    /// The services for which this one is asked.
    pub others: BTreeMap<String, Peer>,
}

#[tonic::async_trait]
impl AuditService for AuditApi {
    async fn list_acts(&self, request: Request<ListActsRequest>) -> Result<Response<ListActsResponse>, Status> {
        let named = request.get_ref().parent.strip_prefix(SERVICES).and_then(|name| self.others.get(name));
        match named {
            Some(peer) => relay(peer.clone(), request).await,
            None => answer(request, |call| list(self, call)).await,
        }
    }
}

/// Asks another service on the person's own token: it decides, and keeps who read it.
async fn relay(peer: Peer, mut request: Request<ListActsRequest>) -> Result<Response<ListActsResponse>, Status> {
    let service = request.get_ref().parent.trim_start_matches(SERVICES).to_owned();
    let now = tokio::time::Instant::now();
    let left = admission(&request)?.deadline.map(|deadline| deadline.saturating_duration_since(now));
    let token = request.metadata_mut().remove(TOKEN);
    let mut asked = Request::new(request.into_inner());
    asked.set_timeout(left.unwrap_or(PATIENCE).min(PATIENCE));
    if let Some(token) = token {
        asked.metadata_mut().insert(TOKEN, token);
    }
    AuditServiceClient::new(peer).list_acts(asked).await.map(|reply| Response::new(reply.into_inner())).map_err(
        |status| match status.code() {
            _ if status.get_details_error_info().is_some() => {
                Status::with_details(status.code(), status.message(), status.details().to_vec().into())
            }
            // Also a release from before it had a trail to show.
            _ if is_away(&status) => Failure::away(&service).into(),
            code => Failure::internal(format!("{service} answered {code:?}")).into(),
        },
    )
}

async fn list(api: &AuditApi, call: Call<ListActsRequest>) -> Result<ListActsResponse, Failure> {
    let message = &call.message;
    let query = ListActsRequest { page_size: 0, page_token: String::new(), ..message.clone() };
    let page = Page::read(message.page_size, &message.page_token, &query)?;
    if message.parent.strip_prefix(SERVICES) != Some(api.db.service()) {
        return Err(Failure::not_found(&message.parent));
    }
    let instant = |at: Option<&_>, otherwise| at.map_or(otherwise, proto::instant);
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let wanted = Wanted {
        account: given(&message.account),
        about: given(&message.about),
        since: instant(message.since.as_ref(), i64::MIN),
        until: instant(message.until.as_ref(), i64::MAX),
    };
    let sight = Sight::of(api, &call).await?;
    let mut place = Some(Place::BEGIN);
    if !page.after().is_empty() {
        place = Some(page.after().parse().map_err(|()| stale())?);
    }
    let (limit, mut acts, mut bytes) = (page.limit().min(MOST), Vec::new(), 0_usize);
    'page: for _ in 0..LOOKS {
        let Some(from) = place.take() else { break };
        let (found, next) = part(&api.db, &wanted, from).await?;
        place = next;
        let area = sight.area(api, &found).await?;
        for (act, after) in found {
            if !sight.shows(&act, &area) {
                continue;
            }
            let act = sight.told(act, &wanted);
            bytes = bytes.saturating_add(act.encoded_len());
            acts.push(act);
            if acts.len() >= limit || bytes >= BYTES {
                place = Some(after);
                break 'page;
            }
        }
    }
    let next_page_token = place.map_or_else(String::new, |place| page.next(usize::MAX, || place.to_string()));
    Ok(ListActsResponse { acts, next_page_token })
}

fn stale() -> Failure {
    let mut faults = Faults::new();
    faults.add("page_token", "从第一页重新开始", "start from the first page");
    faults.check_as(Reason::PageTokenInvalid).err().unwrap_or_else(|| Failure::new(Reason::PageTokenInvalid))
}

/// What a caller may see.
enum Sight {
    /// What he did.
    Own,
    /// What was done about himself, of no other person.
    Himself,
    /// All of a person of whom he has opened an export.
    Opened,
    /// What was done under these bureaus, or about what stands under them.
    Area(Vec<String>),
}

impl Sight {
    async fn of(api: &AuditApi, call: &Call<ListActsRequest>) -> Result<Self, Failure> {
        let (actor, ListActsRequest { about, account, .. }) = (call.actor(), &call.message);
        let is_he = |name: &str| !name.is_empty() && (name == actor.account || name == actor.teacher);
        if is_he(account) {
            return Ok(Self::Own);
        }
        if is_he(about) {
            return Ok(Self::Himself);
        }
        let asked = [about, account].into_iter().find(|name| !name.is_empty());
        if !actor.is(Role::BureauOfficer) {
            return Err(Failure::out_of_scope(asked.unwrap_or(&call.message.parent)));
        }
        if let Some(person) = asked {
            match export::admit(&mut api.db.reader(), actor, person, call.at()).await {
                Ok(()) => return Ok(Self::Opened),
                Err(failure) if failure.reason() == Some(Reason::ExportNotOpened) => {}
                Err(failure) => return Err(failure),
            }
        }
        Ok(Self::Area(bureaus(actor)))
    }

    /// What of all that is named in acts stands in the caller's area.
    async fn area(&self, api: &AuditApi, acts: &[(Act, Place)]) -> Result<BTreeSet<String>, Failure> {
        let Self::Area(bureaus) = self else { return Ok(BTreeSet::new()) };
        let mut area: BTreeSet<String> = bureaus.iter().cloned().collect();
        let Some(sql) = api.standing else { return Ok(area) };
        let names: BTreeSet<&str> = acts.iter().flat_map(|(act, _)| named(act)).filter_map(standing).collect();
        let (names, bureaus) = (Rows::texts(names).json(), Rows::texts(bureaus).json());
        for row in api.db.reader().all(sql, args![names, bureaus]).await? {
            area.insert(row.get("name")?);
        }
        Ok(area)
    }

    fn shows(&self, act: &Act, area: &BTreeSet<String>) -> bool {
        !matches!(self, Self::Area(_)) || named(act).filter_map(standing).any(|name| area.contains(name))
    }

    fn told(&self, act: Act, wanted: &Wanted) -> pb::Act {
        let (kind, method, verb, mut about) = match act.act {
            "read" => (Kind::Read, act.what, String::new(), act.names),
            _ => (Kind::Changed, String::new(), act.what, vec![act.about]),
        };
        if matches!(self, Self::Himself) {
            let own = |name: &String| wanted.about.as_ref().is_some_and(|own| is_at_or_below(name, own));
            about.retain(|name| own(name) || !PERSONS.iter().any(|person| name.starts_with(person)));
        }
        let roles = held(&act.roles)
            .map(|(role, organization)| RoleGrant {
                role: Role::from_str_name(role).unwrap_or_default().into(),
                organization: organization.to_owned(),
            })
            .collect();
        let person = act.who.starts_with("accounts/");
        pb::Act {
            kind: kind.into(),
            at: Some(proto::timestamp(act.instant)),
            service: if person { String::new() } else { act.who.clone() },
            account: if person { act.who } else { String::new() },
            roles,
            method,
            verb,
            about,
            reason: act.reason,
        }
    }
}

/// The bureaus that a caller is an officer of.
fn bureaus(actor: &Actor) -> Vec<String> {
    let officer = actor.roles.iter().filter(|held| held.role == Role::BureauOfficer);
    officer.map(|held| held.organization.clone()).collect()
}

/// Roles as they are kept: "ROLE_… organizations/…, …".
fn held(roles: &str) -> impl Iterator<Item = (&str, &str)> {
    roles.split(", ").filter_map(|held| held.split_once(' '))
}

/// What an act names: where the roles are held that allowed it, and what it is about.
fn named(act: &Act) -> impl Iterator<Item = &str> {
    held(&act.roles).map(|(_, organization)| organization).chain(act.names.iter().map(String::as_str))
}

/// The organisation or teacher that a name is of: "teachers/1" of "teachers/1/exports/2".
fn standing(name: &str) -> Option<&str> {
    let collection = STANDING.iter().find(|collection| name.starts_with(*collection))?;
    let rest = name.get(collection.len()..)?;
    let id = rest.split('/').next().filter(|id| !id.is_empty())?;
    name.get(..collection.len().saturating_add(id.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_a_teacher_stands_where_he_does() {
        assert_eq!(standing("teachers/1/exports/2"), Some("teachers/1"));
        assert_eq!(standing("organizations/a"), Some("organizations/a"));
        for name in ["", "organizations/", "teachers//x", "accounts/1", "terms/2019/projects/1"] {
            assert_eq!(standing(name), None, "{name}");
        }
    }

    #[test]
    fn roles_are_read_as_the_trail_keeps_them() {
        let roles = "ROLE_BUREAU_OFFICER organizations/county, ROLE_OPERATOR , ROLE_EXPERT organizations/city";
        let read: Vec<_> = held(roles).collect();
        let officer = ("ROLE_BUREAU_OFFICER", "organizations/county");
        assert_eq!(read, [officer, ("ROLE_OPERATOR", ""), ("ROLE_EXPERT", "organizations/city")]);
        assert_eq!(held("").count(), 0);
    }
}
