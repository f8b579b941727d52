//! `tidegate lint`: what a change's files would do, before anything runs.

use serde_json::json;
use tidegate_model::spec::Problem;
use tidegate_schema::{
    classify::{Finding, Statement},
    source,
    sql::{self, Lint, LintedFile},
    trace::{self, Scratch, Traced},
};

use crate::{
    cli::{LintArgs, Output},
    daemon,
    exit::{Exit, Failure},
};

pub(super) async fn run(args: &LintArgs) -> Result<Exit, Failure> {
    let folder = args.folder.to_string_lossy();
    let files = match source::read_folder(&folder, std::slice::from_ref(&args.folder)) {
        Ok(files) => files,
        Err(problems) => return Ok(tell(args, &Lint { files: vec![], problems }, None)),
    };
    let lint = sql::lint(files.clone());
    let traced = match &args.database {
        Some(url) => Some(traced(url, files).await?),
        None => None,
    };
    Ok(tell(args, &lint, traced.as_deref()))
}

async fn traced(url: &str, files: Vec<tidegate_schema::RawFile>) -> Result<Vec<Traced>, Failure> {
    let stop = daemon::on_signal().map_err(Failure::internal)?;
    let scratch = Scratch::from_url(url).map_err(Failure::usage)?;
    trace::trace(&scratch, files, stop.cancelled_owned()).await.map_err(Failure::internal)
}

fn tell(args: &LintArgs, lint: &Lint, traced: Option<&[Traced]>) -> Exit {
    let disagrees = |one: &Traced| !one.disagreements.is_empty() || one.failed.is_some();
    let passes = lint.problems.is_empty() && !traced.unwrap_or_default().iter().any(disagrees);
    match args.output {
        Output::Json => println!(
            "{:#}",
            json!({ "passes": passes, "files": lint.files, "problems": lint.problems, "traced": traced })
        ),
        Output::Text if args.sql => sql_of(lint),
        Output::Text => text(lint, traced),
    }
    if passes { Exit::Done } else { Exit::InvalidSpec }
}

/// What is generated from sync files, as it will run.
fn sql_of(lint: &Lint) {
    for file in &lint.files {
        if let Some(generated) = &file.generated {
            println!("-- {}\n{}", file.name, generated.text);
        }
    }
    lint.problems.iter().for_each(tell_problem);
}

fn tell_problem(problem: &Problem) {
    let Problem { line, column, code, path, message, remedy } = problem;
    println!("{path}:{line}:{column}: {} {message}", code.as_str());
    println!("        instead: {remedy}");
}

fn text(lint: &Lint, traced: Option<&[Traced]>) {
    for file in &lint.files {
        match &file.generated {
            Some(generated) => println!("{} (generated from {})", file.name, generated.from),
            None => println!("{}", file.name),
        }
        for statement in &file.statements {
            tell_statement(statement);
            let seen = traced
                .into_iter()
                .flatten()
                .find(|seen| seen.file == file.name && seen.line == statement.line);
            if let Some(seen) = seen {
                tell_traced(seen);
            }
        }
    }
    for (file, finding) in advice(lint) {
        let (why, way) = (finding.rule.why(), finding.rule.safe_way());
        let word = if finding.allowed { "allowed" } else { "advice" };
        println!(
            "{file}:{}:{}: {} {word}: {why}; {way}",
            finding.line,
            finding.column,
            finding.code.as_str()
        );
    }
    lint.problems.iter().for_each(tell_problem);
    match lint.problems.len() {
        0 => println!("no problems"),
        1 => println!("1 problem"),
        several => println!("{several} problems"),
    }
}

fn tell_statement(statement: &Statement) {
    let Statement { line, what, class, cost, transactional, .. } = statement;
    let alone = if *transactional { "" } else { ", outside of a transaction" };
    println!("  {line:>4}  {what} ({}, {}{alone})", class.as_str(), cost.as_str());
    for lock in &statement.locks {
        println!("        {} on {}", lock.mode, lock.on);
    }
}

fn tell_traced(seen: &Traced) {
    for lock in seen.locks.iter().flatten() {
        println!("        seen: {} on {}", lock.mode, lock.on);
    }
    for table in &seen.rewrote {
        println!("        seen: {table} was rewritten");
    }
    for disagreement in &seen.disagreements {
        println!("        DISAGREES: {disagreement}");
    }
    if let Some(failed) = &seen.failed {
        println!("        FAILED: {failed}");
    }
}

/// What is told of statements without refusing their file.
fn advice(lint: &Lint) -> impl Iterator<Item = (&str, &Finding)> {
    let statements = lint.files.iter().flat_map(|LintedFile { name, statements, .. }| {
        statements.iter().map(move |statement| (name.as_str(), statement))
    });
    statements
        .flat_map(|(file, statement)| statement.findings.iter().map(move |finding| (file, finding)))
        .filter(|(_, finding)| !finding.refuses)
}
