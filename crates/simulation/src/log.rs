//! What the daemons of a run log, at every level that the daemon's own log may have: read for secrets and forgotten.
//!
//! Only runs that paste a secret somewhere are listened to: it takes a third of their time.

use std::{
    fmt::{Debug, Write as _},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

use crate::{oracle::secrets, scene::locked};

/// Where the first line that leaked came from.
pub(crate) type Leak = Arc<std::sync::Mutex<Option<String>>>;

/// Reads each line, and keeps none.
#[derive(Default)]
pub(crate) struct Listener {
    pub(crate) leak: Leak,
    spans: AtomicU64,
}

impl Listener {
    fn read(&self, metadata: &Metadata<'_>, record: impl FnOnce(&mut Line)) {
        let mut line = Line(String::new());
        record(&mut line);
        if secrets::leaks(&line.0) {
            let mut leak = locked(&self.leak);
            leak.get_or_insert_with(|| format!("{} of {}", metadata.level(), metadata.target()));
        }
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing to a String cannot fail.
        let _ = write!(self.0, "{}={value:?} ", field.name());
    }
}

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        !tidegate_aws::tells_bodies(metadata)
    }

    fn new_span(&self, span: &span::Attributes<'_>) -> span::Id {
        self.read(span.metadata(), |line| span.record(line));
        span::Id::from_u64(self.spans.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        self.read(event.metadata(), |line| event.record(line));
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}
