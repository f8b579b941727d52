//! `tidegate judge`: the verdict once more, minute by minute, for people who ask why, and for anybody's own minutes.
//!
//! It reads files and prints; nothing else.

use crate::{
    cli::JudgeArgs,
    exit::{Exit, Failure},
};

mod csv;
mod replay;

pub(super) async fn run(args: &JudgeArgs) -> Result<Exit, Failure> {
    match (&args.csv, &args.from_ledger, &args.ledger) {
        (Some(minutes), _, _) => csv::run(minutes, args.history.as_deref(), args.output),
        (None, Some(release), Some(ledger)) => replay::run(ledger, release, args.output).await,
        (None, None, _) | (None, _, None) => {
            Err(Failure::usage("name the minutes: --csv FILE, or --from-ledger RELEASE with --ledger FILE"))
        }
    }
}
