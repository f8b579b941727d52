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
    use super::*;

    #[test]
    fn only_what_carries_bodies_is_kept_out() {
        assert!(is_of_sdk("aws_smithy_runtime::client::orchestrator"));
        assert!(is_of_sdk("hyper_util::client::legacy::pool"));
        assert!(!is_of_sdk("tidegate_aws::call"));
        assert!(!is_of_sdk("sqlx::query"));
    }
}
