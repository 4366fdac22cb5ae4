//! Keys that change while a server runs: a new one is believed, one that is gone is not, and what will not do is refused.

use std::{net::SocketAddr, time::Duration};

use chassis::{Env, identity, peer::within};
use proto::common::v1::{GetStatusRequest, gate_service_client::GateServiceClient};
use tonic::{Request, transport::Channel};

use crate::fixture::{AT, Keys, Running, Settings, Source, databases, reason, start, until};

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

async fn source(keys: &Keys) -> anyhow::Result<(Running, GateServiceClient<Channel>, impl Sized)> {
    let databases = databases().await?;
    let Some(database) = databases.first() else { anyhow::bail!("no database") };
    database.db.close().await;
    let settings = Settings::new(keys, "roster", &database.url)?.reloaded();
    let running = start::<Source>(settings, ANY, Env::rehearsal(AT)).await?;
    let client = GateServiceClient::new(chassis::peer::channel(&format!("http://{}", running.address))?);
    Ok((running, client, databases))
}

fn asking(token: &str) -> anyhow::Result<Request<GetStatusRequest>> {
    let mut request = within(Duration::from_secs(5), GetStatusRequest {});
    request.metadata_mut().insert(chassis::peer::SERVICE_HEADER, token.parse()?);
    Ok(request)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_is_believed_and_one_that_is_gone_is_not() -> anyhow::Result<()> {
    let keys = Keys::new()?;
    let (server, mut client, _databases) = source(&keys).await?;
    let folder = keys.0.path();
    let old = keys.identity("gateway")?.own_token()?;
    client.get_status(asking(&old)?).await?;

    // The next key is made elsewhere; until its public half is here, nobody believes it.
    let elsewhere = tempfile::tempdir()?;
    let next = identity::next_key(elsewhere.path(), "gateway")?;
    let new = identity::Identity::load("gateway", &next, elsewhere.path(), Env::system())?.own_token()?;
    assert_eq!(reason(&client.get_status(asking(&new)?).await.unwrap_err()), "REASON_UNAUTHENTICATED");
    let public = next.with_extension("pub");
    let here = folder.join(public.file_name().unwrap());
    std::fs::copy(public, &here)?;
    until("the new key is believed", async || Ok(client.clone().get_status(asking(&new)?).await.is_ok())).await?;
    // Both are: the old one's tokens are still about.
    client.get_status(asking(&old)?).await?;

    std::fs::remove_file(folder.join("gateway.pub"))?;
    // Its token is not, though it was verified before and is kept in memory.
    until("the old key is gone", async || Ok(client.clone().get_status(asking(&old)?).await.is_err())).await?;
    assert_eq!(reason(&client.get_status(asking(&old)?).await.unwrap_err()), "REASON_UNAUTHENTICATED");
    client.get_status(asking(&new)?).await?;

    // A folder that cannot be read as one, or is empty, changes nothing.
    std::fs::write(folder.join("bad.pub"), "gateway no-key")?;
    std::fs::remove_file(&here)?;
    let looked_at = tokio::time::Instant::now() + Duration::from_millis(2500);
    while tokio::time::Instant::now() < looked_at {
        client.get_status(asking(&new)?).await?;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    std::fs::remove_file(folder.join("bad.pub"))?;
    until("the folder is sound again", async || Ok(client.clone().get_status(asking(&new)?).await.is_err())).await?;
    server.end().await
}

#[test]
fn a_next_key_stands_beside_the_one_that_there_is() -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir()?;
    let first = identity::ensure_key(folder.path(), "roster")?;
    let before = std::fs::read(&first)?;
    let (one, other) = (identity::next_key(folder.path(), "roster")?, identity::next_key(folder.path(), "roster")?);
    assert!(one != other && one != first);
    assert_eq!(std::fs::read(&first)?, before);
    assert_eq!(identity::ensure_key(folder.path(), "roster")?, first);
    for key in [first, one, other] {
        assert_eq!(std::fs::metadata(&key)?.permissions().mode() & 0o777, 0o600);
        // Each signs what all believe.
        let signer = identity::Identity::load("roster", &key, folder.path(), Env::system())?;
        signer.service(&signer.own_token()?)?;
    }
    Ok(())
}
