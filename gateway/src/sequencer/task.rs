//! What a step does: one of five things, none of which is any service's business.

use proto::common::v1::Action;
use serde::{Deserialize, Serialize};

use crate::calendar::marked;

/// The task of a step, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Task {
    /// Put the term's gates, as they are by then, into a service.
    PutGates {
        /// Which.
        service: String,
    },
    /// Close a window for good on a service's fence.
    Settle {
        /// Where.
        service: String,
        /// Window id, or the mark of one.
        window: String,
    },
    /// Have a service do its part of an edge, page by page.
    Run {
        /// Who.
        service: String,
        /// What: the name of a `common.v1.Action`.
        action: String,
        /// At the edge of which window.
        window: String,
        /// Its round.
        round: i32,
        /// What it is about where the edge does not say it.
        subject: String,
    },
    /// Wait until the results that were confirmed by then have become credit.
    Recognized,
    /// Wait until a service has mirrored everything that a source had when the barrier was first tried.
    Barrier {
        /// Who waits.
        consumer: String,
        /// For whom.
        source: String,
    },
}

impl Task {
    /// A part of an edge that a service does.
    #[must_use]
    pub fn run(service: &str, action: Action, window: &str, round: i32) -> Self {
        Self::Run {
            service: service.to_owned(),
            action: action.as_str_name().to_owned(),
            window: window.to_owned(),
            round,
            subject: String::new(),
        }
    }

    /// A barrier.
    #[must_use]
    pub fn barrier(consumer: &str, source: &str) -> Self {
        Self::Barrier { consumer: consumer.to_owned(), source: source.to_owned() }
    }

    /// The services that it needs; the first is the one that works.
    #[must_use]
    pub fn services(&self) -> Vec<&str> {
        match self {
            Self::PutGates { service } | Self::Settle { service, .. } | Self::Run { service, .. } => vec![service],
            Self::Barrier { consumer, source } => vec![consumer, source],
            Self::Recognized => vec!["gateway"],
        }
    }

    /// As it ends a step's name.
    #[must_use]
    pub fn slug(&self) -> String {
        match self {
            Self::PutGates { service } => format!("gates-{service}"),
            Self::Settle { service, window } => {
                let what = marked(window).map_or("settle", |(_, edge)| edge.done());
                format!("{what}-{service}")
            }
            Self::Run { service, action, .. } => {
                let slug = action.trim_start_matches("ACTION_").to_lowercase().replace('_', "-");
                // The one thing that several services do at an edge.
                if action == Action::PurgeReplies.as_str_name() { format!("{slug}-{service}") } else { slug }
            }
            Self::Recognized => "results-recognized".to_owned(),
            Self::Barrier { consumer, source } => format!("{consumer}-mirrors-{source}"),
        }
    }
}
