//! The readable course of events: lines for good, and on a terminal one moving line below them.

use std::{io::IsTerminal as _, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};

/// Where the demo's lines go: standard output.
pub(super) struct Timeline {
    /// The moving line; none where nobody watches.
    bar: Option<ProgressBar>,
    begun: std::time::Instant,
}

impl Timeline {
    pub(super) fn new() -> Self {
        let bar = std::io::stdout().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            // The template is a literal and well formed; without it the spinner has its own style.
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self { bar, begun: std::time::Instant::now() }
    }

    /// A line for good.
    pub(super) fn note(&self, text: &str) {
        let line = format!("{:>6.1}s  {text}", self.begun.elapsed().as_secs_f64());
        match &self.bar {
            Some(bar) => bar.println(line),
            None => println!("{line}"),
        }
    }

    /// A scene begins.
    pub(super) fn scene(&self, text: &str) {
        let rule = "─".repeat(66_usize.saturating_sub(text.chars().count()));
        let line = format!("\n── {text} {rule}");
        match &self.bar {
            Some(bar) => bar.println(line),
            None => println!("{line}"),
        }
    }

    /// What is going on now.
    pub(super) fn now(&self, text: String) {
        if let Some(bar) = &self.bar {
            bar.set_message(text);
        }
    }

    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
