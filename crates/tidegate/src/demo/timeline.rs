//! The readable course of events: lines for good, and on a terminal one moving line below them.

use std::{io::IsTerminal as _, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};

/// Where the lines go: standard output.
pub(crate) struct Timeline {
    /// The moving line; none where nobody watches.
    bar: Option<ProgressBar>,
    begun: std::time::Instant,
}

impl Timeline {
    /// Without a known end.
    pub(crate) fn new() -> Self {
        Self::with(ProgressBar::new_spinner, "{spinner} {msg}")
    }

    /// With so many parts, which are done one after the other.
    pub(crate) fn of_parts(parts: u64) -> Self {
        Self::with(|| ProgressBar::new(parts), "{spinner} {bar:20} {pos} of {len} · {elapsed} · {msg}")
    }

    fn with(bar: impl FnOnce() -> ProgressBar, template: &str) -> Self {
        let bar = std::io::stdout().is_terminal().then(|| {
            let bar = bar();
            // Templates are literals and well formed; without one the bar has its own style.
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self { bar, begun: std::time::Instant::now() }
    }

    /// A part is done.
    pub(crate) fn part_done(&self) {
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
    }

    /// A line for good.
    pub(crate) fn note(&self, text: &str) {
        let line = format!("{:>6.1}s  {text}", self.begun.elapsed().as_secs_f64());
        match &self.bar {
            Some(bar) => bar.println(line),
            None => println!("{line}"),
        }
    }

    /// A scene begins.
    pub(crate) fn scene(&self, text: &str) {
        let rule = "─".repeat(66_usize.saturating_sub(text.chars().count()));
        let line = format!("\n── {text} {rule}");
        match &self.bar {
            Some(bar) => bar.println(line),
            None => println!("{line}"),
        }
    }

    /// What is going on now.
    pub(crate) fn now(&self, text: String) {
        if let Some(bar) = &self.bar {
            bar.set_message(text);
        }
    }

    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
