//! Mutual TLS between the services: one certificate for a process, by which it serves and calls. Who serves it is asks for
//! the other's, too; its names are who the other is. Files are read again while the process runs: connections that are there
//! go on, and new ones are made with what was read last; those of who was revoked end at once.

mod accept;
mod material;

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub(crate) use accept::{Came, Line, accept};
pub(crate) use material::Material;

use crate::{
    config::TlsConfig,
    env::Env,
    reload::{self, Reloaded},
    telemetry::{KeyValue, meter},
};

/// The certificate of a process, its key, and the authorities that it believes: as its files have them now.
#[derive(Clone)]
pub(crate) struct Tls(Arc<Files>);

struct Files {
    service: &'static str,
    config: TlsConfig,
    /// Whether callers without a certificate are let in: persons have none.
    people: bool,
    env: Env,
    current: watch::Sender<Arc<Material>>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("service", &self.0.service).finish_non_exhaustive()
    }
}

/// What will not do of the files: each that cannot be read, or else why they do not go together.
pub(crate) fn file_faults(service: &'static str, people: bool, config: &TlsConfig, now: i64) -> Vec<String> {
    let files = [("certificate", &config.certificate), ("key", &config.key), ("authorities", &config.authorities)];
    let lists = config.revocations.iter().map(|file| ("revocations", file));
    let unreadable = files.into_iter().chain(lists).filter_map(|(key, file)| {
        let error = std::fs::File::open(file).err()?;
        Some(format!("tls.{key}: {}: {error}", file.display()))
    });
    let mut faults: Vec<_> = unreadable.collect();
    if faults.is_empty() {
        faults.extend(Material::read(service, people, config, now).err().map(|error| format!("tls: {error:#}")));
    }
    faults
}

impl Tls {
    /// Reads the files of `service`.
    pub(crate) fn load(service: &'static str, people: bool, config: &TlsConfig, env: Env) -> anyhow::Result<Self> {
        let material = Material::read(service, people, config, env.wall_seconds())?;
        let current = watch::Sender::new(Arc::new(material));
        let files = Arc::new(Files { service, config: config.clone(), people, env, current });
        observe(&files);
        Ok(Self(files))
    }

    /// Reads them again and again.
    pub(crate) async fn follow(self, ending: CancellationToken) {
        let every = Duration::from_secs(self.0.config.reload_seconds);
        reload::follow(self.0.service, self.0, every, ending).await;
    }

    /// What holds now, and what will.
    pub(crate) fn current(&self) -> watch::Receiver<Arc<Material>> {
        self.0.current.subscribe()
    }
}

impl Reloaded for Files {
    const WHAT: &'static str = "certificate";

    fn reload(&self) -> anyhow::Result<bool> {
        let before = Arc::clone(&self.current.borrow());
        if before.is_still(&self.config)? {
            return Ok(false);
        }
        let material = Material::read(self.service, self.people, &self.config, self.env.wall_seconds())?;
        self.current.send_replace(Arc::new(material));
        Ok(true)
    }
}

/// Shows how long the certificate still holds, for as long as it is used.
fn observe(files: &Arc<Files>) {
    let weak = Arc::downgrade(files);
    meter()
        .i64_observable_gauge("shixun.tls.certificate.left")
        .with_unit("s")
        .with_description("Until the certificate in use ends; below 0 it has ended")
        .with_callback(move |observer| {
            if let Some(files) = weak.upgrade() {
                let left = files.current.borrow().ends.saturating_sub(files.env.wall_seconds());
                observer.observe(left, &[KeyValue::new("service", files.service)]);
            }
        })
        .build();
}
