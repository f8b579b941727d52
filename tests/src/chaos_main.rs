//! `cargo xtask chaos`: see [`tidegate_tests::chaos`].

use std::process::ExitCode;

use clap::Parser;
use tidegate_tests::chaos::{self, ChaosError, Settings};

/// Releases under live traffic, while the daemon is killed again and again.
#[derive(Parser)]
#[command(name = "cargo xtask chaos")]
struct Cli {
    /// How often it is killed.
    #[arg(long, default_value_t = 100)]
    kills: usize,
    /// The dice's seed; one at random if absent.
    #[arg(long)]
    seed: Option<u64>,
    /// How many times faster than real time AWS's schedule runs.
    #[arg(long, default_value_t = 30)]
    speed: u32,
}

#[tokio::main]
async fn main() -> ExitCode {
    drop(rustls::crypto::ring::default_provider().install_default());
    let Cli { kills, seed, speed } = Cli::parse();
    let seed = seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    let settings = Settings { kills, seed, speed, whole: true };
    let interrupted = async { drop(tokio::signal::ctrl_c().await) };
    match chaos::run(settings, interrupted, &|line| println!("{line}")).await {
        Ok(Some(report)) => {
            println!("\n{report}");
            if report.broken().is_empty() { ExitCode::SUCCESS } else { ExitCode::from(4) }
        }
        Ok(None) => {
            println!("interrupted: everything is stopped and removed");
            ExitCode::from(4)
        }
        Err(error) => {
            eprintln!("chaos: {}", chain(&error));
            ExitCode::from(8)
        }
    }
}

fn chain(error: &ChaosError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}
