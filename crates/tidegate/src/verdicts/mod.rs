//! `tidegate verdicts`: eight versions released under live traffic, four bad and four good, each verdict held against what is true.
//!
//! [`versions`] says what is released and what must become of it; [`play`] releases them, one after the other, as a team would; [`report`]
//! prints the table. The exit code says whether every verdict was right. Stage and timeline are the demo's.

use std::time::Instant;

use crate::{
    cli::VerdictsArgs,
    config::LogFormat,
    daemon,
    demo::Timeline,
    exit::{Exit, Failure},
    logging,
};

mod play;
pub mod report;
mod versions;

use report::Report;

/// Releases the versions and prints the table.
///
/// # Errors
/// If a version is not known, the world cannot begin, or a release comes to no end.
pub async fn run(args: &VerdictsArgs) -> Result<Exit, Failure> {
    logging::start("error", LogFormat::Auto).map_err(Failure::usage)?;
    let interrupted = daemon::on_signal().map_err(Failure::internal)?;
    let begun = Instant::now();
    let chosen = versions::chosen(&args.only).map_err(Failure::usage)?;
    let timeline = Timeline::of_parts(u64::try_from(chosen.len()).unwrap_or(u64::MAX));
    let played = tokio::select! {
        played = play::all(args, &chosen, &timeline) => played,
        () = interrupted.cancelled() => {
            timeline.note("interrupted: everything is stopped and removed");
            return Ok(Exit::Failed);
        }
    };
    timeline.finish();
    let report = Report { speed: args.speed, rate: args.rate, releases: played? };
    print!("{report}");
    println!("\ntook {:.0} s at {} times real time", begun.elapsed().as_secs_f64(), args.speed);
    if let Some(path) = &args.report {
        let text = serde_json::to_string_pretty(&report).map_err(Failure::internal)?;
        std::fs::write(path, text).map_err(Failure::internal)?;
    }
    Ok(if report.is_right() { Exit::Done } else { Exit::Failed })
}
