//! The verdict on anybody's minutes of failed requests, from CSV files: the same evidence as the daemon's.

use std::path::Path;

use serde::Deserialize;
use serde_json::json;
use tidegate_analysis::{Effects, LIMIT, Pair, Process, SUSPECT, Tally, calibrate, uncalibrated};
use tidegate_model::{calibration::Calibration, verdict::to_one};

use crate::{
    cli::Output,
    exit::{Exit, Failure},
};

/// A line of minutes: `blue_requests,blue_failures,green_requests,green_failures`, one closed minute each.
#[derive(Deserialize)]
struct Line {
    blue_requests: u64,
    blue_failures: u64,
    green_requests: u64,
    green_failures: u64,
}

/// A line of history: one minute of the service before the release, and of a second zone where it is known.
#[derive(Deserialize)]
struct Past {
    requests: u64,
    failures: u64,
    #[serde(default)]
    other_requests: u64,
    #[serde(default)]
    other_failures: u64,
}

#[derive(Debug, thiserror::Error)]
enum BadMinutes {
    #[error("read {path}")]
    Unreadable { path: String, source: csv::Error },
    #[error("{path}:{line}: CSV001 not a minute; instead: whole numbers under the header {header}")]
    NotAMinute { path: String, line: u64, header: &'static str },
    #[error("{path}:{line}: CSV002 more failures than requests; instead: count failures among the requests")]
    MoreFailures { path: String, line: u64 },
    #[error("{path}: CSV003 no minutes; instead: a header and one line a minute, oldest first")]
    Empty { path: String },
}

/// One minute's outcome.
struct Judged {
    minute: usize,
    pair: Pair,
    factor: f64,
}

pub(super) fn run(csv: &Path, past: Option<&Path>, output: Output) -> Result<Exit, Failure> {
    let calibration = match past {
        Some(path) => calibrate(&history(path).map_err(Failure::usage)?),
        None => uncalibrated(),
    };
    let pairs = minutes(csv).map_err(Failure::usage)?;
    let judged = judge(&calibration, &pairs);
    match output {
        Output::Text => text(&calibration, &judged),
        Output::Json => println!("{:#}", as_json(&calibration, &judged)),
    }
    Ok(if rolled_back(&judged).is_some() { Exit::Failed } else { Exit::Done })
}

fn judge(calibration: &Calibration, pairs: &[Pair]) -> Vec<Judged> {
    let mut process = Process::new(calibration, &Effects::errors());
    let each = pairs.iter().enumerate().map(|(i, pair)| {
        process.see(pair);
        Judged { minute: i + 1, pair: *pair, factor: process.ln_evidence() / std::f64::consts::LN_10 }
    });
    each.collect()
}

/// The first minute in which green would have been rolled back.
fn rolled_back(judged: &[Judged]) -> Option<&Judged> {
    judged.iter().find(|minute| minute.factor >= LIMIT)
}

fn word(factor: f64) -> &'static str {
    match factor {
        factor if factor >= LIMIT => "fail",
        factor if factor >= SUSPECT => "suspect",
        _ => "",
    }
}

fn text(calibration: &Calibration, judged: &[Judged]) {
    println!("the service before: {}\n", calibration.describe());
    println!("{:>6}  {:>20}  {:>20}  evidence that green is worse", "minute", "blue failed", "green failed");
    for minute in judged {
        let share = |tally: &Tally| format!("{} of {}", tally.failures, tally.requests);
        let (blue, green) = (share(&minute.pair.blue), share(&minute.pair.green));
        let line = format!(
            "{:>6}  {blue:>20}  {green:>20}  {:<16}{}",
            minute.minute,
            to_one(minute.factor),
            word(minute.factor)
        );
        println!("{}", line.trim_end());
    }
    match rolled_back(judged) {
        Some(minute) => println!("\nfail: rolled back after minute {}", minute.minute),
        None => println!("\nnot rolled back; {} would do it", to_one(LIMIT)),
    }
}

fn as_json(calibration: &Calibration, judged: &[Judged]) -> serde_json::Value {
    let minutes = judged.iter().map(|minute| json!({ "minute": minute.minute, "factor": minute.factor }));
    json!({
        "calibration": calibration,
        "limit": LIMIT,
        "minutes": minutes.collect::<Vec<_>>(),
        "rolledBackAfter": rolled_back(judged).map(|minute| minute.minute),
    })
}

fn minutes(path: &Path) -> Result<Vec<Pair>, BadMinutes> {
    let header = "blue_requests,blue_failures,green_requests,green_failures";
    lines(path, header, |line: &Line| Pair {
        blue: tally(line.blue_requests, line.blue_failures),
        green: tally(line.green_requests, line.green_failures),
    })
}

fn history(path: &Path) -> Result<Vec<Pair>, BadMinutes> {
    lines(path, "requests,failures[,other_requests,other_failures]", |line: &Past| Pair {
        blue: tally(line.requests, line.failures),
        green: tally(line.other_requests, line.other_failures),
    })
}

fn tally(requests: u64, failures: u64) -> Tally {
    Tally { requests: requests as f64, failures: failures as f64 }
}

fn lines<T: for<'a> Deserialize<'a>>(
    path: &Path,
    header: &'static str,
    pair: impl Fn(&T) -> Pair,
) -> Result<Vec<Pair>, BadMinutes> {
    let name = || path.display().to_string();
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_path(path)
        .map_err(|source| BadMinutes::Unreadable { path: name(), source })?;
    let mut pairs = vec![];
    for (i, line) in reader.deserialize().enumerate() {
        let at = i as u64 + 2;
        let line: T = line.map_err(|error| match error.kind() {
            csv::ErrorKind::Io(_) => BadMinutes::Unreadable { path: name(), source: error },
            _ => BadMinutes::NotAMinute {
                path: name(),
                line: error.position().map_or(at, csv::Position::line),
                header,
            },
        })?;
        let pair = pair(&line);
        if [pair.blue, pair.green].iter().any(|tally| tally.failures > tally.requests) {
            return Err(BadMinutes::MoreFailures { path: name(), line: at });
        }
        pairs.push(pair);
    }
    if pairs.is_empty() { Err(BadMinutes::Empty { path: name() }) } else { Ok(pairs) }
}
