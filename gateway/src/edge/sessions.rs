//! Sessions: the roster says who someone is; the gateway signs short-lived tokens, renewed by one-use refresh tokens.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chassis::{
    Call, Env, Failure, Faults, answer,
    db::Db,
    identity::Identity,
    peer::{Peer, is_away, within},
    pulse::Pulse,
};
use proto::{
    common::v1::Reason,
    gateway::v1::{
        LoginRequest, LoginResponse, LogoutRequest, LogoutResponse, RefreshRequest, RefreshResponse, Session,
        TokenReuse, session_service_server::SessionService,
    },
    roster::v1::{
        self as roster, AuthenticateRequest, ResolveAccountRequest, account_service_client::AccountServiceClient,
    },
};
use sha2::{Digest as _, Sha256};
use tonic::{Code, Request, Response, Status};

use crate::store::sessions as store;

/// How long the roster may take to check a password.
const PATIENCE: Duration = Duration::from_secs(5);

/// Bytes with which all refresh tokens of a session begin, and as many that are new with each.
const HALF: usize = 16;

/// `SessionService`.
#[derive(Debug, Clone)]
pub struct Sessions {
    /// The gateway's database.
    pub db: Db,
    /// Signs the tokens.
    pub identity: Identity,
    /// The outside world.
    pub env: Env,
    /// The roster.
    pub roster: Peer,
    /// Whether it answers.
    pub roster_pulse: Pulse,
    /// Seconds for which an access token is good.
    pub access_seconds: i64,
    /// Seconds for which a refresh token is good.
    pub refresh_seconds: i64,
}

#[tonic::async_trait]
impl SessionService for Sessions {
    async fn login(&self, request: Request<LoginRequest>) -> Result<Response<LoginResponse>, Status> {
        answer(request, |call| login(self, call)).await
    }

    async fn refresh(&self, request: Request<RefreshRequest>) -> Result<Response<RefreshResponse>, Status> {
        answer(request, |call| refresh(self, call)).await
    }

    async fn logout(&self, request: Request<LogoutRequest>) -> Result<Response<LogoutResponse>, Status> {
        answer(request, |call| logout(self, call)).await
    }
}

async fn login(api: &Sessions, call: Call<LoginRequest>) -> Result<LoginResponse, Failure> {
    let LoginRequest { login, password } = call.message;
    let mut faults = Faults::new();
    faults.required("login", &login);
    faults.required("password", &password);
    faults.check()?;
    let mut roster = AccountServiceClient::new(api.roster.clone());
    let asked = roster.authenticate(within(PATIENCE, AuthenticateRequest { login, password }));
    let reply = api.roster_pulse.during(asked).await.ok_or_else(|| Failure::away("roster"))?;
    let identity = reply.map_err(|status| refused(&status))?.into_inner().identity.unwrap_or_default();
    let session = hex::encode(api.env.random::<16>().map_err(Failure::internal)?);
    let family = api.env.random::<HALF>().map_err(Failure::internal)?;
    let (session, reused) = open(api, &identity, &session, &family, None).await?;
    let token_reuse = reused.map(|(at, times)| TokenReuse {
        last_at: Some(proto::timestamp(at.saturating_mul(1_000_000))),
        times: i32::try_from(times).unwrap_or(i32::MAX),
    });
    Ok(LoginResponse { session: Some(session), token_reuse })
}

async fn refresh(api: &Sessions, call: Call<RefreshRequest>) -> Result<RefreshResponse, Failure> {
    let (family, good) = (family(&call.message.refresh_token), digest(&call.message.refresh_token));
    let ended = || Failure::new(Reason::SessionEnded);
    let Some(known) = store::by_token(&mut api.db.reader(), &good).await? else {
        let now = api.env.wall_seconds();
        if let Some(account) = store::of_family(&mut api.db.reader(), &digest(&family), now).await? {
            let mut tx = api.db.begin_own(call.at(), "token reuse").await?;
            store::keep_reuse(&mut tx, &account, now).await?;
            tx.finish().await?;
            tracing::warn!(account, "an old refresh token was used: its owner is told at his next login");
        }
        return Err(ended());
    };
    if known.ended || known.expires_at <= api.env.wall_seconds() {
        return Err(ended());
    }
    let mut roster = AccountServiceClient::new(api.roster.clone());
    let asked = roster.resolve_account(within(PATIENCE, ResolveAccountRequest { account: known.account }));
    let reply = api.roster_pulse.during(asked).await.ok_or_else(|| Failure::away("roster"))?;
    let identity = reply.map_err(|status| refused(&status))?.into_inner().identity.unwrap_or_default();
    let (session, _) = open(api, &identity, &known.id, &family, Some(&good)).await?;
    Ok(RefreshResponse { session: Some(session) })
}

async fn logout(api: &Sessions, call: Call<LogoutRequest>) -> Result<LogoutResponse, Failure> {
    let mut tx = api.db.begin_own(call.at(), "logout").await?;
    store::end(&mut tx, &digest(&call.message.refresh_token)).await?;
    tx.finish().await?;
    Ok(LogoutResponse {})
}

/// Signs an access token and stores the next refresh token, in the place of `replaces` where there was one; at a login with what there
/// is to tell of old ones that were used.
async fn open(
    api: &Sessions,
    identity: &roster::Identity,
    id: &str,
    family: &[u8],
    replaces: Option<&str>,
) -> Result<(Session, Option<(i64, i64)>), Failure> {
    let roles = identity.roles.iter().map(|grant| (grant.role, grant.organization.clone())).collect();
    let (access_token, access_until) =
        api.identity.issue(&identity.account, &identity.teacher, roles, api.access_seconds)?;
    let fresh = api.env.random::<HALF>().map_err(Failure::internal)?;
    let refresh_token = URL_SAFE_NO_PAD.encode([family, &fresh].concat());
    let refresh_until = api.env.wall_seconds() + api.refresh_seconds;
    let mut tx = api.db.begin_own(api.env.clock.now(), "session").await?;
    let row = store::Session {
        id: id.to_owned(),
        account: identity.account.clone(),
        expires_at: refresh_until,
        ended: false,
    };
    let digests = store::Digests { family: &digest(family), token: &digest(&refresh_token) };
    let taken = store::put(&mut tx, &row, digests, replaces, api.env.wall_seconds()).await?;
    if !taken {
        // Another call has used this refresh token in between.
        return Err(Failure::new(Reason::SessionEnded));
    }
    let reused = if replaces.is_none() { store::tell_reuse(&mut tx, &identity.account).await? } else { None };
    tx.finish().await?;
    let session = Session {
        access_token,
        access_expires_at: Some(proto::timestamp(access_until.saturating_mul(1_000_000))),
        refresh_token,
        refresh_expires_at: Some(proto::timestamp(refresh_until.saturating_mul(1_000_000))),
        account: identity.account.clone(),
        teacher: identity.teacher.clone(),
        roles: identity.roles.clone(),
    };
    Ok((session, reused))
}

fn digest(token: impl AsRef<[u8]>) -> String {
    hex::encode(Sha256::digest(token))
}

/// What all refresh tokens of a session begin with; of what is none, nothing that any begins with.
fn family(token: &str) -> Vec<u8> {
    let mut bytes = URL_SAFE_NO_PAD.decode(token).unwrap_or_default();
    bytes.truncate(HALF);
    bytes
}

/// The roster's refusal as the person sees it.
fn refused(status: &Status) -> Failure {
    use tonic_types::StatusExt as _;
    let reason = status.get_details_error_info().and_then(|info| Reason::from_str_name(&info.reason));
    let retry_after = status.get_details_retry_info().and_then(|info| info.retry_delay);
    let failure = match (reason, status.code()) {
        (
            Some(
                reason @ (Reason::BadCredentials | Reason::AccountSuspended | Reason::Overloaded | Reason::StorageFull),
            ),
            _,
        ) => Failure::new(reason),
        (_, Code::NotFound) => Failure::new(Reason::SessionEnded),
        _ if is_away(status) => Failure::away("roster"),
        _ => Failure::internal(format!("the roster answered {:?}", status.code())),
    };
    match retry_after {
        Some(delay) => failure.retry_after(delay),
        None => failure,
    }
}
