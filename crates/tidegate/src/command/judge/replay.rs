//! A verdict of the past judged again, from what the ledger kept of it.

use jiff::Timestamp;
use serde_json::{Value, json};
use tidegate_analysis::{Judgement, Question, judge};
use tidegate_ledger::ReadOnly;
use tidegate_model::{
    ReleaseName,
    ledger::{Entry, Judged},
    verdict::{Verdict, to_one},
};

use crate::{
    cli::Output,
    exit::{Exit, Failure},
};

#[derive(Debug, thiserror::Error)]
enum ReplayError {
    #[error("the name is not a release's: [a-z0-9][a-z0-9-]{{0,62}}")]
    Name,
    #[error(
        "the ledger has no judged rollout of this release; one is kept when green goes back or takes over everything"
    )]
    Nothing,
}

pub(super) async fn run(ledger: &ReadOnly, release: &str, output: Output) -> Result<Exit, Failure> {
    let release: ReleaseName = release.parse().map_err(|_| Failure::usage(ReplayError::Name))?;
    let records = ledger.history(&release).await.map_err(Failure::internal)?;
    let kept = records.rev().find_map(|record| {
        let Entry::Judged(judged) = record.entry else { return None };
        Some((record.at, *judged))
    });
    let (at, judged) = kept.ok_or_else(|| Failure::usage(ReplayError::Nothing))?;
    let verdicts = verdicts(&judged);
    match output {
        Output::Text => text(&judged, at, &verdicts),
        Output::Json => println!("{:#}", as_json(&judged, at, &verdicts)),
    }
    Ok(if failed(&verdicts) { Exit::Failed } else { Exit::Done })
}

/// What was to be said after each closed minute since green's first weight.
fn verdicts(judged: &Judged) -> Vec<Judgement> {
    let first = judged
        .minutes
        .partition_point(|minute| minute.at.as_second() + 60 <= judged.traffic_since.as_second());
    let question = |end: usize| Question {
        checks: &judged.checks,
        blue: &judged.blue,
        green: &judged.green,
        baseline: judged.baseline.as_ref(),
        minutes: &judged.minutes[..end],
        weight: judged.weight,
        traffic_since: judged.traffic_since,
        ramp_minutes: judged.ramp_minutes,
        // These were read at the end.
        health: judged.health.filter(|_| end == judged.minutes.len()),
        alarms: judged.alarms.as_deref().filter(|_| end == judged.minutes.len()),
    };
    (first + 1..=judged.minutes.len()).map(|end| judge(&question(end))).collect()
}

fn failed(verdicts: &[Judgement]) -> bool {
    verdicts.iter().any(|judgement| matches!(judgement.verdict, Verdict::Fail(_)))
}

fn text(judged: &Judged, at: Timestamp, verdicts: &[Judgement]) {
    println!("spec version {}, kept at {at:.0}", judged.version);
    if let Some(calibration) = judged.baseline.as_ref().and_then(|baseline| baseline.calibration.as_ref()) {
        println!("the service before: {}", calibration.describe());
    }
    println!("\n{:<20}  {:<9}  evidence that green is worse", "closed minute", "verdict");
    for judgement in verdicts {
        let minute = judgement.until.map(|at| format!("{at:.0}")).unwrap_or_default();
        let evidence = judgement.evidence.as_ref().map_or_else(String::new, |evidence| {
            let each = evidence.metrics.iter().map(|m| format!("{} {}", m.counted, to_one(m.factor)));
            format!("{:<16} {}", to_one(evidence.factor), each.collect::<Vec<_>>().join(", "))
        });
        println!("{}", format!("{minute:<20}  {:<9}  {evidence}", judgement.verdict.as_str()).trim_end());
        if let Some(rule) = judgement.suspicion() {
            println!("{:<20}  {rule}", "");
        }
    }
    let end = verdicts.last();
    let finding = verdicts.iter().find_map(|judgement| match &judgement.verdict {
        Verdict::Fail(finding) => Some(finding),
        Verdict::Pass | Verdict::Undecided | Verdict::Suspect | Verdict::NoData { .. } => None,
    });
    match (finding, end) {
        (Some(finding), _) => println!("\nfail: {finding}"),
        (None, Some(end)) => println!("\n{}", end.verdict.as_str()),
        (None, None) => println!("\nno closed minute since green's first weight was kept"),
    }
}

fn as_json(judged: &Judged, at: Timestamp, verdicts: &[Judgement]) -> Value {
    let minute = |judgement: &Judgement| {
        json!({
            "until": judgement.until,
            "verdict": judgement.verdict,
            "evidence": judgement.evidence,
            "dryRun": judgement.dry_run,
            "rules": judgement.rules,
        })
    };
    json!({
        "keptAt": at,
        "judged": judged,
        "verdicts": verdicts.iter().map(minute).collect::<Vec<_>>(),
    })
}
