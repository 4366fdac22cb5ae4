//! Asking again until there is a final answer, whatever breaks meanwhile.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

use super::{
    client::Client,
    shot::{Answer, Shot, fire},
};

/// A `HealthCheckResponse` of status SERVING: field 1, 1.
const SERVING: &[u8] = &[8, 1];
/// How long a caller insists on an answer.
const PERSISTENCE: Duration = Duration::from_secs(60);
/// What lies between one attempt and the next.
const AGAIN: Duration = Duration::from_millis(20);

/// Waits until a server says that it serves.
///
/// # Errors
/// If it has not within `PERSISTENCE`.
pub async fn until_serving(address: SocketAddr) -> anyhow::Result<()> {
    let shot = Shot::new(address, "grpc.health.v1.Health/Check", "", &())?;
    let until = Instant::now() + PERSISTENCE;
    loop {
        if let Ok(client) = Client::connect(address, 1).await
            && let Some(mut sender) = client.sender(0)
            && let Answer::Reply(status) = fire(&mut sender, &shot).await
            && status == SERVING
        {
            return Ok(());
        }
        anyhow::ensure!(Instant::now() < until, "it does not serve within {PERSISTENCE:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Sends all shots by `callers`, each again and again with the same request id until its answer is final, whatever breaks
/// meanwhile. `answered` counts the final answers. In the order of the shots.
///
/// # Errors
/// If a shot has no final answer within `PERSISTENCE`.
pub async fn insist(
    address: SocketAddr,
    shots: Arc<Vec<Shot>>,
    callers: usize,
    answered: watch::Sender<usize>,
) -> anyhow::Result<Vec<Answer>> {
    let next = Arc::new(AtomicUsize::new(0));
    let answered = Arc::new(answered);
    let mut tasks = Vec::new();
    for _ in 0..callers {
        let (shots, next, answered) = (Arc::clone(&shots), Arc::clone(&next), Arc::clone(&answered));
        tasks.push(tokio::spawn(async move {
            let mut client = None;
            let mut answers = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(shot) = shots.get(index) else { return anyhow::Ok(answers) };
                answers.push((index, finally(address, &mut client, shot).await?));
                answered.send_modify(|count| *count += 1);
            }
        }));
    }
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await??);
    }
    all.sort_by_key(|(index, _)| *index);
    Ok(all.into_iter().map(|(_, answer)| answer).collect())
}

async fn finally(address: SocketAddr, client: &mut Option<Client>, shot: &Shot) -> anyhow::Result<Answer> {
    let until = Instant::now() + PERSISTENCE;
    loop {
        if client.is_none() {
            *client = Client::connect(address, 1).await.ok();
        }
        let answer = match client.as_ref().and_then(|client| client.sender(0)) {
            Some(mut sender) => fire(&mut sender, shot).await,
            None => Answer::Broken("no connection".to_owned()),
        };
        if matches!(answer, Answer::Broken(_)) {
            *client = None;
        }
        if answer.is_final() {
            return Ok(answer);
        }
        anyhow::ensure!(Instant::now() < until, "no final answer within {PERSISTENCE:?}, but {answer:?}");
        tokio::time::sleep(AGAIN).await;
    }
}
