//! `tidegate demo`: the whole story live on one machine, with what it promises measured and printed.
//!
//! [`stage`] starts world, daemon and customers; [`story`] plays the scenes, as people would: by writing parameters and
//! reading what the daemon says ([`teller`]); [`watch`] scrapes and samples meanwhile; [`report`] holds the promises against what was
//! measured. The exit code says whether all were kept. [`crate::verdicts`] plays on the same stage.

use std::time::Instant;

use crate::{
    cli::DemoArgs,
    config::LogFormat,
    daemon,
    exit::{Exit, Failure},
    logging,
};

mod counts;
pub mod report;
mod stage;
mod story;
mod teller;
mod timeline;
mod watch;

pub(crate) use counts::Counts;
pub(crate) use stage::{Setting, Stage};
pub(crate) use teller::Teller;
pub(crate) use timeline::Timeline;

use report::Report;

/// Plays the story and prints the report.
///
/// # Errors
/// If the world cannot begin, or a scene does not come to its end.
pub async fn run(args: &DemoArgs) -> Result<Exit, Failure> {
    logging::start("error", LogFormat::Auto).map_err(Failure::usage)?;
    let interrupted = daemon::on_signal().map_err(Failure::internal)?;
    let begun = Instant::now();
    let timeline = Timeline::new();
    let told = tokio::select! {
        told = play(args, &timeline) => told,
        () = interrupted.cancelled() => {
            timeline.note("interrupted: everything is stopped and removed");
            return Ok(Exit::Failed);
        }
    };
    let (stage, report) = told?;
    timeline.finish();
    print!("{report}");
    println!("\ntook {:.0} s at {} times real time", begun.elapsed().as_secs_f64(), args.speed);
    if let Some(path) = &args.report {
        let text = serde_json::to_string_pretty(&report).map_err(Failure::internal)?;
        std::fs::write(path, text).map_err(Failure::internal)?;
    }
    if args.stay {
        println!("\nPage and metrics stay at {} until you interrupt.", stage.daemon.url());
        interrupted.cancelled().await;
    }
    stage.stop().await;
    Ok(if report.kept() { Exit::Done } else { Exit::Failed })
}

async fn play(args: &DemoArgs, timeline: &Timeline) -> Result<(Stage, Report), Failure> {
    let DemoArgs { speed, rate, listen, .. } = *args;
    let setting = Setting { speed, rate, listen, ..Setting::default() };
    let mut stage = Stage::start(&setting, timeline).await?;
    let report = story::tell(&mut stage, timeline).await?;
    Ok((stage, report))
}
