//! What the daemons of a run log, at every level that the daemon's own log may have: read for secrets and forgotten.
//!
//! Only runs that paste a secret somewhere are listened to: it takes a third of their time.

use std::{
    fmt::{Debug, Write as _},
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

use tracing::{
    Dispatch, Event, Metadata, Subscriber,
    dispatcher::{DefaultGuard, set_default},
    field::{Field, Visit},
    span,
    subscriber::NoSubscriber,
};

use crate::{oracle::secrets, scene::locked};

/// Where the first line that leaked came from.
pub(crate) type Leak = Arc<std::sync::Mutex<Option<String>>>;

/// Has what the calling thread logs heard by this listener, or by nobody, until the guard is dropped.
///
/// The SDK draws a random number for each span that it makes, and whether it makes one must depend on this run alone. But whether a line
/// is worth making is remembered for the whole process: were all that hear of one mind, the run beside a listened one would draw as well.
/// Two that want nothing are there all the time, so that each thread's own is asked. And until any was ever set, spans are made for `log`.
pub(crate) fn heard_by(listener: Option<Listener>) -> DefaultGuard {
    static NOBODY: LazyLock<[Dispatch; 2]> =
        LazyLock::new(|| [NoSubscriber::new(), NoSubscriber::new()].map(Dispatch::new));
    let nobody = &NOBODY[0];
    set_default(&listener.map_or_else(|| nobody.clone(), Dispatch::new))
}

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
