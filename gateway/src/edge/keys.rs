//! The keys that access tokens are signed with, for whoever checks them outside.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chassis::{
    answer,
    identity::{Identity, Published},
};
use proto::gateway::v1::{GetKeySetRequest, GetKeySetResponse, JsonWebKey, key_service_server::KeyService};
use tonic::{Request, Response, Status};

/// `KeyService`.
#[derive(Debug, Clone)]
pub struct Keys {
    /// Knows the keys.
    pub identity: Identity,
}

#[tonic::async_trait]
impl KeyService for Keys {
    async fn get_key_set(&self, request: Request<GetKeySetRequest>) -> Result<Response<GetKeySetResponse>, Status> {
        answer(request, |_| async {
            Ok(GetKeySetResponse { keys: self.identity.published().into_iter().map(web_key).collect() })
        })
        .await
    }
}

fn web_key(key: Published) -> JsonWebKey {
    JsonWebKey {
        kty: "OKP".to_owned(),
        crv: "Ed25519".to_owned(),
        x: URL_SAFE_NO_PAD.encode(key.public),
        kid: key.id,
        alg: "EdDSA".to_owned(),
        r#use: "sig".to_owned(),
    }
}
