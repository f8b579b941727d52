//! The log: one line an event, on standard error.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::{
    EnvFilter, filter::filter_fn, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use crate::config::LogFormat;

/// The filter is not one.
#[derive(Debug, thiserror::Error)]
#[error("the log filter is not well formed")]
pub(crate) struct BadFilter(#[from] tracing_subscriber::filter::ParseError);

/// Starts the log of this process. A second start changes nothing. Whatever the filter says, bodies of calls are not written.
pub(crate) fn start(filter: &str, format: LogFormat) -> Result<(), BadFilter> {
    let filter: EnvFilter = filter.parse()?;
    let text = match format {
        LogFormat::Auto => io::stderr().is_terminal(),
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let without_bodies = filter_fn(|metadata| !tidegate_aws::tells_bodies(metadata));
    let started = if text {
        let ansi = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        builder.with_ansi(ansi).finish().with(without_bodies).try_init()
    } else {
        builder.json().flatten_event(true).with_current_span(false).finish().with(without_bodies).try_init()
    };
    drop(started);
    Ok(())
}
