//! Progress bars, for what takes longer than a moment; none where nobody watches.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Whether to draw.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    visible: bool,
}

impl Progress {
    /// Bars on a terminal; indicatif itself draws none elsewhere.
    #[must_use]
    pub const fn visible() -> Self {
        Self { visible: true }
    }

    /// No bars.
    #[must_use]
    pub const fn hidden() -> Self {
        Self { visible: false }
    }

    /// A bar of `length` items.
    #[must_use]
    pub fn bar(self, what: &str, length: usize) -> ProgressBar {
        let target = if self.visible { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(u64::try_from(length).ok(), target).with_message(what.to_owned());
        if let Ok(style) = ProgressStyle::with_template("{msg:22} {wide_bar} {pos}/{len} {elapsed}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        bar
    }
}
