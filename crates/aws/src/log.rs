//! What the SDK would write to the log that nobody may read there.
//!
//! Asked by whoever sets a log up. At its finest level the SDK writes requests and answers whole: parameters with what somebody
//! pasted into them, and secrets.

use tracing::{Level, Metadata};

/// True of lines that may have bodies of requests or answers in them: they are never to be written.
pub fn tells_bodies(metadata: &Metadata<'_>) -> bool {
    is_of_sdk(metadata.target()) && *metadata.level() == Level::TRACE
}

/// The SDK's crates, and what carries its bytes.
fn is_of_sdk(target: &str) -> bool {
    ["aws_", "hyper", "h2", "rustls"].iter().any(|prefix| target.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::{Event, Subscriber, span};

    use super::*;

    /// Whose line, at which level, and what was said of it.
    type Line = (&'static str, Level, bool);

    /// Remembers of which lines it was asked.
    #[derive(Clone, Default)]
    struct Asked(Arc<Mutex<Vec<Line>>>);

    impl Subscriber for Asked {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            let target = if is_of_sdk(metadata.target()) { "the SDK" } else { "ours" };
            self.0.lock().unwrap().push((target, *metadata.level(), tells_bodies(metadata)));
            false
        }

        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }

        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

        fn event(&self, _: &Event<'_>) {}

        fn enter(&self, _: &span::Id) {}

        fn exit(&self, _: &span::Id) {}
    }

    #[test]
    fn only_the_finest_lines_of_the_sdk_have_bodies() {
        let asked = Asked::default();
        tracing::subscriber::with_default(asked.clone(), || {
            tracing::trace!(target: "aws_smithy_runtime::client::orchestrator", "a request, whole");
            tracing::debug!(target: "aws_smithy_runtime::client::orchestrator", "an attempt");
            tracing::trace!(target: "tidegate_aws::call", "a call");
        });
        let told = asked.0.lock().unwrap().clone();
        for expected in
            [("the SDK", Level::TRACE, true), ("the SDK", Level::DEBUG, false), ("ours", Level::TRACE, false)]
        {
            assert!(told.contains(&expected), "{expected:?}: {told:?}");
        }
    }

    #[test]
    fn only_what_carries_bodies_is_kept_out() {
        assert!(is_of_sdk("aws_smithy_runtime::client::orchestrator"));
        assert!(is_of_sdk("hyper_util::client::legacy::pool"));
        assert!(!is_of_sdk("tidegate_aws::call"));
        assert!(!is_of_sdk("sqlx::query"));
    }
}
