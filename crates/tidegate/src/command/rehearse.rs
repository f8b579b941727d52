//! `tidegate rehearse`: a whole change on a copy of a database, and what each step of it costs.

use std::{
    io::IsTerminal as _,
    time::{Duration, Instant},
};

use indicatif::ProgressBar;
use tidegate_model::schema::CheckReading;
use tidegate_schema::{
    classify::lock::LockMode,
    source, sql,
    trace::{
        Scratch, TraceError, Traced,
        rehearse::{self, Backfilled, Progress, Rehearsal},
    },
};

use crate::{
    cli::{Output, RehearseArgs},
    daemon,
    exit::{Exit, Failure},
};

/// Where nobody watches, a long backfill says this often that it goes on.
const HEARTBEAT: Duration = Duration::from_secs(10);

pub(super) async fn run(args: &RehearseArgs) -> Result<Exit, Failure> {
    let scratch = Scratch::from_url(&args.database).map_err(Failure::usage)?;
    let folder = args.folder.to_string_lossy();
    let read = source::read_folder(&folder, std::slice::from_ref(&args.folder)).and_then(|files| {
        let problems = sql::lint(files.clone()).problems;
        if problems.is_empty() { Ok(files) } else { Err(problems) }
    });
    let files = match read {
        Ok(files) => files,
        Err(problems) => {
            problems.iter().for_each(|problem| eprintln!("{}:{problem}", problem.path));
            return Ok(Exit::InvalidSpec);
        }
    };
    let stop = daemon::on_signal().map_err(Failure::internal)?;
    let mut watcher = Watcher::new();
    let rehearsed =
        rehearse::rehearse(&scratch, files, stop.cancelled_owned(), |told| watcher.told(told)).await;
    watcher.bar.finish_and_clear();
    let rehearsal = rehearsed.map_err(|error| match error {
        TraceError::Problems => Failure::usage(error),
        TraceError::Url
        | TraceError::Password
        | TraceError::Copy(_)
        | TraceError::Server(_)
        | TraceError::Interrupted => Failure::internal(error),
    })?;
    match args.output {
        Output::Json => {
            let text = serde_json::to_string_pretty(&rehearsal).map_err(Failure::internal)?;
            println!("{text}");
        }
        Output::Text => print(&rehearsal),
    }
    let passed =
        rehearsal.failed.is_none() && rehearsal.statements.iter().all(|one| one.disagreements.is_empty());
    Ok(if passed { Exit::Done } else { Exit::Failed })
}

/// Tells how far it is: a moving line on a terminal, else a line a file and one now and then. On standard error, because
/// the result is on standard output.
struct Watcher {
    bar: ProgressBar,
    last: Instant,
}

impl Watcher {
    fn new() -> Self {
        let bar =
            if std::io::stderr().is_terminal() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        bar.set_message("copying the database");
        if bar.is_hidden() {
            eprintln!("copying the database");
        } else {
            bar.enable_steady_tick(Duration::from_millis(120));
        }
        Self { bar, last: Instant::now() }
    }

    fn told(&mut self, progress: Progress) {
        let (line, always) = match progress {
            Progress::File(file) => (file, true),
            Progress::Batch { rows, keys_left } => {
                (format!("{rows} rows changed, at most {keys_left} left"), false)
            }
        };
        if !self.bar.is_hidden() {
            self.bar.set_message(line);
        } else if always || self.last.elapsed() >= HEARTBEAT {
            self.last = Instant::now();
            eprintln!("{line}");
        }
    }
}

fn print(rehearsal: &Rehearsal) {
    for one in &rehearsal.statements {
        println!("{}:{}  {}  {}", one.file, one.line, one.what, cost(one));
        for lock in one.locks.iter().flatten().filter(|lock| lock.mode >= LockMode::ShareUpdateExclusive) {
            println!("        {} on {}", lock.mode, lock.on);
        }
        one.rewrote.iter().for_each(|table| println!("        {table} was rewritten"));
        one.disagreements.iter().for_each(|what| println!("        DISAGREES: {what}"));
    }
    rehearsal.backfills.iter().for_each(print_backfill);
    for check in &rehearsal.checks {
        let CheckReading { disagreeing, unmapped, unmapped_back, .. } = check.reading;
        println!(
            "{}  {disagreeing} rows disagreeing, {unmapped} unmapped, {unmapped_back} unmapped back  {} ms",
            check.file, check.milliseconds
        );
    }
    rehearsal.lost_indexes.iter().for_each(|index| println!("contract takes index {index} along"));
    match &rehearsal.failed {
        Some(why) => println!("FAILED: {why}"),
        None => println!(
            "every step ran; nobody else was on the copy, so waiting for locks is not in these figures"
        ),
    }
}

fn print_backfill(done: &Backfilled) {
    let Backfilled { file, rows, batches, milliseconds, longest_batch, wal_bytes } = done;
    let rate = rows * 1_000 / (*milliseconds).max(1);
    let each = wal_bytes / (*rows).max(1);
    println!(
        "{file}  {rows} rows in {batches} batches, {milliseconds} ms: {rate} rows a second, longest batch {longest_batch} ms, \
         {each} bytes of log a row"
    );
}

fn cost(one: &Traced) -> String {
    let milliseconds = one.microseconds / 1_000;
    let tenth = one.microseconds % 1_000 / 100;
    format!("{milliseconds}.{tenth} ms, {} bytes of log", one.wal_bytes)
}
