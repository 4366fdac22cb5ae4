//! A client of the gateway, as any gateway client would be: a channel, and a session's token on every call.

use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::Channel,
};

use proto::gateway::v1::{LoginRequest, session_service_client::SessionServiceClient};

/// A channel that carries a person's token.
pub type Wire = InterceptedService<Channel, Bearer>;

/// Puts a person's token on a call.
#[derive(Debug, Clone)]
pub struct Bearer(MetadataValue<Ascii>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// A person who has logged in.
#[derive(Debug, Clone)]
pub struct Person {
    /// "accounts/…"
    pub account: String,
    /// "teachers/…" where the person is one.
    pub teacher: String,
    /// For any generated client: `SelectionServiceClient::new(person.wire())`.
    wire: Wire,
}

impl Person {
    /// Logs in.
    ///
    /// # Errors
    /// The gateway's refusal.
    pub async fn login(gateway: &Channel, login: &str, password: &str) -> Result<Self, Status> {
        let request = LoginRequest { login: login.to_owned(), password: password.to_owned() };
        let session = SessionServiceClient::new(gateway.clone()).login(request).await?.into_inner().session;
        let session = session.ok_or_else(|| Status::internal("a login without a session"))?;
        let value = MetadataValue::try_from(format!("Bearer {}", session.access_token))
            .map_err(|_| Status::internal("the token is no header value"))?;
        let wire = InterceptedService::new(gateway.clone(), Bearer(value));
        Ok(Self { account: session.account, teacher: session.teacher, wire })
    }

    /// The channel under this person's name.
    #[must_use]
    pub fn wire(&self) -> Wire {
        self.wire.clone()
    }
}
