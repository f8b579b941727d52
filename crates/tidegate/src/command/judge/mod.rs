//! `tidegate judge`: the verdict once more, minute by minute, for people who ask why, and for anybody's own minutes.
//!
//! It reads files, or a ledger, and prints; nothing else.

use tidegate_ledger::ReadOnly;

use crate::{
    cli::JudgeArgs,
    exit::{Exit, Failure},
};

mod csv;
mod replay;

pub(super) async fn run(args: &JudgeArgs) -> Result<Exit, Failure> {
    if let Some(minutes) = &args.csv {
        return csv::run(minutes, args.history.as_deref(), args.output);
    }
    match (&args.from_ledger, ledger(args).await?) {
        (Some(release), Some(ledger)) => replay::run(&ledger, release, args.output).await,
        (None, _) | (_, None) => Err(Failure::usage(
            "name the minutes: --csv FILE, or --from-ledger RELEASE with --ledger FILE or --ledger-url URL",
        )),
    }
}

/// The ledger that is named. As for the daemon, a URL wins over a file.
async fn ledger(args: &JudgeArgs) -> Result<Option<ReadOnly>, Failure> {
    Ok(match (&args.ledger_url, &args.ledger) {
        (Some(url), _) => {
            let address = url.parse().map_err(|error| Failure::usage(format!("--ledger-url {error}")))?;
            let read = crate::ledger::read(address, args.ca_bundle.clone()).await;
            Some(read.map_err(Failure::usage)?)
        }
        (None, Some(file)) => Some(ReadOnly::open(file).await.map_err(Failure::usage)?),
        (None, None) => None,
    })
}
