//! What people are told of a release, and what is asked of the world for it, in worlds that they meet.
//!
//! Each world has its file in `told/as_read/`: a change of a word shows there, where it can be read as its readers will. They are written
//! anew with `INSTA_UPDATE=always cargo nextest run -p tidegate-planner -E 'test(told)'`.

use std::fmt::Write as _;

use serde_json::Value;
use tidegate_model::{
    decision::Decision,
    ledger::{Broken, Entry, ReaderSeen},
    observation::{MinutesNeeds, Needs, SchemaNeeds},
    runner::TaskEnd,
    status::Condition,
    waiting::Waiting,
};

use super::{
    golden::settled,
    word,
    world::{World, build},
};

mod worlds;

use worlds::Told;

#[test]
fn what_is_told_and_asked_for_in_every_world() {
    let usual = build(&settled());
    let usual_lines = usually(&usual.decide());
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("told/as_read");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        insta::assert_snapshot!("usual", told(&usual, &[]));
        for Told(name, world) in worlds::all() {
            insta::assert_snapshot!(name.replace(' ', "-"), told(&world, &usual_lines));
        }
    });
}

/// Of conditions and status what is not as usual, and everything else.
fn told(world: &World, usual: &[String]) -> String {
    let decision = world.decide();
    let mut text = format!("does: {}\n", word(&decision).unwrap_or("nothing"));
    if !decision.entries.is_empty() {
        let entries: Vec<String> = decision.entries.iter().map(entry).collect();
        writeln!(text, "journals: {}", entries.join(", ")).unwrap();
    }
    writeln!(text, "looks again in: {:#}", decision.next_look.duration_since(world.now)).unwrap();
    lines(&mut text, "waits", decision.waiting.iter().map(wait));
    lines(&mut text, "tells", usually(&decision).into_iter().filter(|line| !usual.contains(line)));
    let World { release, state, seen, now, .. } = world;
    let needs = crate::needs(release, state, &seen.spec, &seen.orders, *now);
    lines(&mut text, "asks for", asked(&needs).into_iter());
    text
}

fn lines(text: &mut String, head: &str, lines: impl Iterator<Item = String>) {
    let lines: Vec<String> = lines.collect();
    if !lines.is_empty() {
        writeln!(text, "{head}:\n  {}", lines.join("\n  ")).unwrap();
    }
}

/// An entry by its name, and what is worth telling of it here.
fn entry(entry: &Entry) -> String {
    let debug = format!("{entry:?}");
    let name = debug.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default().to_owned();
    match entry {
        Entry::ReaderSeen(ReaderSeen { revisions, .. })
        | Entry::QuarantineBroken(Broken::Missed(ReaderSeen { revisions, .. })) => {
            format!("{name} of {} revisions", revisions.len())
        }
        Entry::SnapshotNamed(id) => format!("{name} {id}"),
        Entry::RowsChecked(check) => format!("{name} {}", check.disagreeing),
        Entry::FloorKnown(floor) => format!("{name} of {}", floor.len()),
        Entry::TaskEnded(TaskEnd { exit_code, .. }) => format!("{name} {exit_code:?}"),
        Entry::RollbackDecided(cause) => format!("{name} because {cause}"),
        Entry::Advanced(phase) => format!("{name} to {}", phase.as_str()),
        Entry::BakeClock { running } => format!("{name} {running}"),
        _ => name,
    }
}

fn wait(wait: &Waiting) -> String {
    let Waiting { reason, message, class, .. } = wait;
    let mut text = format!("{} {class:?}: {message}", reason.as_str());
    let more = [
        ("on", wait.blocked_by.clone()),
        ("measured", wait.measured.clone()),
        ("required", wait.required.clone()),
        ("until", wait.deadline.map(|at| format!("{at} then {:?}", wait.on_deadline))),
    ];
    for (word, what) in more {
        what.into_iter().for_each(|what| write!(text, "; {word} {what}").unwrap());
    }
    text + &format!(" ({})", wait.unblock)
}

/// Conditions and status, a line each, without what is told otherwise and what is empty.
fn usually(decision: &Decision) -> Vec<String> {
    let condition = |of: &Condition| {
        format!("{} {} {}: {}", of.r#type.as_str(), of.status.as_str(), of.reason, of.message)
    };
    let mut told: Vec<String> = decision.status.conditions.iter().map(condition).collect();
    let mut status = serde_json::to_value(&decision.status).unwrap();
    for shown in ["apiVersion", "name", "observedAt", "conditions", "waiting", "gates", "events"] {
        status.as_object_mut().unwrap().remove(shown);
    }
    flatten("", &status, &mut told);
    told
}

fn flatten(path: &str, value: &Value, told: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let dot = if path.is_empty() { "" } else { "." };
                flatten(&format!("{path}{dot}{name}"), member, told);
            }
        }
        Value::Array(all) if all.is_empty() => {}
        Value::Null => {}
        Value::Array(_) | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            told.push(format!("{path}: {value}"));
        }
    }
}

fn asked(needs: &Needs) -> Vec<String> {
    let mut asked = Vec::new();
    let Needs { service, group, traffic, alarms, own_alarms, minutes, history, .. } = needs;
    asked.extend(
        service.as_ref().map(|(cluster, name)| format!("service {cluster}/{name}, traffic {traffic}")),
    );
    asked
        .extend(group.as_ref().map(|of| format!("group {}/{} since {}", of.application, of.group, of.since)));
    asked.extend(alarms.then(|| format!("alarms {own_alarms:?}")));
    asked.extend(minutes.as_ref().map(minutes_told));
    asked.extend(history.as_ref().map(|history| format!("history of {} windows", history.windows.len())));
    let Needs { revisions, deployment_config, task, under_way, instance, snapshot, plan, schema, .. } = needs;
    asked.extend((!revisions.is_empty()).then(|| format!("revisions {}", revisions.join(", "))));
    asked.extend(deployment_config.as_ref().map(|name| format!("deployment config {name}")));
    asked.extend(
        task.as_ref().map(|task| format!("task {:?} in {}, {}", task.by, task.cluster, task.container)),
    );
    asked.extend(
        under_way.as_ref().map(|runs| format!("runs of {} under way in {}", runs.family, runs.cluster)),
    );
    asked.extend(instance.as_ref().map(|id| format!("instance {id}")));
    asked.extend(snapshot.as_ref().map(|id| format!("snapshot {id}")));
    asked.extend(plan.then(|| "the plan".to_owned()));
    asked.extend(schema.as_ref().map(schema_told));
    asked
}

fn minutes_told(minutes: &MinutesNeeds) -> String {
    let MinutesNeeds { count, connections_of, slow, metrics } = minutes;
    let metrics: Vec<String> = metrics.keys().map(ToString::to_string).collect();
    format!("{count} minutes, connections of {connections_of:?}, slow {slow:?}, metrics {metrics:?}")
}

fn schema_told(schema: &SchemaNeeds) -> String {
    let SchemaNeeds { plan, blockers, check, evidence, certificate, log, .. } = schema;
    format!(
        "schema of {}, blockers {blockers}, check {check:?}, evidence {evidence}, certificate {certificate}, log {}",
        plan.change,
        log.is_some()
    )
}
