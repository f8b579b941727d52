//! The long mode: every sweep one after the other, and a table of what was to be reached and what was.
//!
//! Every line of it can be missed, and one that is fails the whole. Seeded bugs need a build of their own (`cargo xtask bugs`): of them it
//! tells what was found at the same commit.

use std::time::{Duration, Instant};

use tidegate_simulation::{
    commit::commit,
    fault::Plan,
    plans::Places,
    run::{Report, Setup, run},
    scenario::{Catalogue, Scenario},
};

use crate::{
    Cli, bugs,
    modes::{self, Crossings, Sweeps, Swept, per},
};

/// The rollout and the rollback whose crashes are tried in pairs.
const CANONICAL: [&str; 2] = ["all-at-once", "an-abort-in-the-shift"];

/// Whose every crash point is tried, every operation with every fault, and takeovers: rollouts and rollbacks through each phase, and a
/// schema change from expand to purge. All of every scenario would take a day; of the others it is crashes at moments that the seed draws,
/// and faults at the operations that none of these has.
const GOLDEN: [&str; 16] = [
    "a-good-version",
    "a-newer-version-before-any-traffic",
    "a-schema-change",
    "a-spec-that-is-replaced",
    "a-version-that-fails-under-traffic",
    "all-at-once",
    "an-abort-after-the-end",
    "an-abort-as-blue-is-removed",
    "an-abort-before-any-traffic",
    "an-abort-in-the-shift",
    "an-alarm-in-the-shift",
    "probes-that-fail",
    "probes-that-pass",
    "somebody-stops-the-deployment",
    "steps-of-its-own",
    "two-versions",
];

/// Of the others' moments, one in so many: all of them take two hours of two cores, and each run has others.
const ONE_IN: usize = 8;

/// The shortest rollout, for the rate.
const SHORTEST: &str = "all-at-once";

/// Seconds between two passes while the rate is measured.
const PACE: i64 = 60;

/// Rollouts that one core must make in a minute, and calls to AWS that each must have at least: a rate of rollouts that do nothing says
/// nothing.
const RATE: f64 = 2_000.0;
const CALLS: f64 = 150.0;

/// The longest that a release may stand undecided after the last fault, and the most passes: what G15 allows each run.
const UNDECIDED: (Duration, u64) = (Duration::from_secs(15 * 60), 20);

/// How long the rate is measured.
const MEASURED: Duration = Duration::from_secs(30);

/// A line of the table.
struct Figure {
    what: String,
    aim: String,
    reached: String,
    holds: bool,
}

/// Everything; false if anything was broken, or a figure was not reached.
pub(crate) fn long(sweeps: &Sweeps<'_>, catalogue: &Catalogue) -> bool {
    let (cli, begun) = (sweeps.cli, Instant::now());
    let mut figures = vec![whole(cli), named(catalogue), quiet(cli, catalogue)];
    let seeds = cli.twice.unwrap_or(200);
    let same = modes::twice(catalogue, seeds);
    let all_same = same == seeds && seeds > 0;
    figures.push(figure("runs that are the same twice", "all", format!("{same} of {seeds}"), all_same));
    let (canonical, _) = divided(catalogue, &CANONICAL);
    let (golden, others) = divided(catalogue, &GOLDEN);
    // The broad before the deep: most violations show in the first quarter of the time.
    let schedules = cli.schedules.unwrap_or(5_000);
    let swept = [
        sweeps.pairs(&canonical),
        // Each cell is hit in many scenarios, so one place in each is enough.
        matrix(sweeps, catalogue, Places::OneOfThree),
        sweeps.outages(&golden),
        sweeps.takeovers(&golden, Crossings::OneOfAlike),
        sweeps.swarm(catalogue, schedules),
        sweeps.swarm_of_two(catalogue, schedules / 4),
        sweeps.swarm_at_own_pace(catalogue, schedules / 4),
        sweeps.crash_points(&others, Crossings::OneIn(ONE_IN)),
        sweeps.crash_points(&golden, Crossings::Every),
    ];
    figures.extend(swept.iter().map(broken));
    figures.extend(swept.iter().filter(|swept| swept.to_see > 0).map(seen));
    figures.push(undecided(&swept));
    figures.extend(catalogue.get(SHORTEST).map(|scenario| rate(cli, scenario, PACE)));
    figures.push(seeded_bugs());
    println!();
    modes::tell_phases(&swept);
    let minutes = begun.elapsed().as_secs_f64() / 60.0;
    println!("\nafter {minutes:.0} minutes, from seed {} on, at commit {}:", cli.seed, commit());
    for Figure { what, aim, reached, holds } in &figures {
        let mark = if *holds { "ok  " } else { "MISS" };
        println!("{mark} {what:44} aim {aim:14} {reached}");
    }
    figures.iter().all(|figure| figure.holds)
}

/// The golden scenarios.
pub(crate) fn golden(catalogue: &Catalogue) -> Catalogue {
    divided(catalogue, &GOLDEN).0
}

/// The matrix of the golden scenarios, and of others at operations that no golden one has.
pub(crate) fn matrix(sweeps: &Sweeps<'_>, catalogue: &Catalogue, places: Places) -> Swept {
    sweeps.matrix_mostly(catalogue, places, &GOLDEN)
}

/// The scenarios of these names, and the others.
fn divided(catalogue: &Catalogue, names: &[&str]) -> (Catalogue, Catalogue) {
    catalogue.clone().into_iter().partition(|(name, _)| names.contains(&name.as_str()))
}

fn figure(what: &str, aim: &str, reached: String, holds: bool) -> Figure {
    Figure { what: what.to_owned(), aim: aim.to_owned(), reached, holds }
}

/// Whether everything was asked for: a part of the proof is none.
fn whole(cli: &Cli) -> Figure {
    let less = [
        (cli.every > 1).then(|| format!("one of {} crash points", cli.every)),
        cli.scenario.as_ref().map(|scenario| format!("{scenario} alone")),
    ];
    let less: Vec<String> = less.into_iter().flatten().collect();
    let holds = less.is_empty();
    let reached = if holds { "all".to_owned() } else { less.join(", ") };
    figure("what was asked for", "all", reached, holds)
}

/// Whether every scenario that is swept by its name is there: one that was renamed would be left out in silence.
fn named(catalogue: &Catalogue) -> Figure {
    let names = CANONICAL.iter().chain(&GOLDEN);
    let missing: Vec<&str> = names.copied().filter(|name| !catalogue.contains_key(*name)).collect();
    let holds = missing.is_empty();
    let reached = if holds { "all".to_owned() } else { format!("without {}", missing.join(", ")) };
    figure("scenarios of the sweeps' own that are there", "all", reached, holds)
}

/// What was not run has broken nothing, and shows nothing.
fn broken(swept: &Swept) -> Figure {
    let Swept { title, tally, .. } = swept;
    figure(
        &format!("{title}: broken"),
        "0",
        format!("{} of {} runs", tally.failures, tally.runs),
        tally.failures == 0 && tally.runs > 0,
    )
}

fn seen(swept: &Swept) -> Figure {
    let seen = swept.to_see - swept.unseen.len();
    let holds = swept.unseen.is_empty();
    figure(&format!("{}: seen", swept.title), "all", format!("{seen} of {}", swept.to_see), holds)
}

/// The longest that any run stood undecided, and the most passes that any did. Too long is broken in the run itself (G15); this tells how
/// near they came. A proof in which no release was ever undecided after a fault has not looked, and proves nothing of it.
fn undecided(swept: &[Swept]) -> Figure {
    let longest = swept.iter().map(|swept| swept.tally.undecided.0).max().unwrap_or_default();
    let passes = swept.iter().map(|swept| swept.tally.undecided.1).max().unwrap_or_default();
    let (time, most) = UNDECIDED;
    let holds = !longest.is_zero() && longest <= time && passes <= most;
    let aim = format!("{} min, {most}", time.as_secs() / 60);
    figure("undecided after the last fault", &aim, format!("{longest:.0?}, {passes} passes"), holds)
}

/// What was found of the seeded bugs, if anybody looked at this commit.
fn seeded_bugs() -> Figure {
    let (reached, holds) = bugs::reached(commit());
    figure("seeded bugs found", "all in 60 s", reached, holds)
}

/// Each scenario, and a day after its end.
fn quiet(cli: &Cli, catalogue: &Catalogue) -> Figure {
    let sound = modes::single(cli, catalogue, &Plan::default());
    let reached = format!("{} scenarios", catalogue.len());
    figure("as they say, and quiet for a day after", "all", reached, sound && !catalogue.is_empty())
}

/// The rate by itself; false if it is too low.
pub(crate) fn tell_rate(cli: &Cli, catalogue: &Catalogue) -> bool {
    let Some(scenario) = catalogue.get(SHORTEST) else { return false };
    let Figure { what, aim, reached, holds } = rate(cli, scenario, cli.pace.unwrap_or(PACE));
    println!("{what}: {reached}; aim {aim}; commit {}", commit());
    holds
}

/// Rollouts a minute on one core, whatever the pace of the sweeps is: they are to be compared from one time to the next.
fn rate(cli: &Cli, scenario: &Scenario, pace: i64) -> Figure {
    let mut scenario = scenario.clone();
    scenario.pace = Some(jiff::SignedDuration::from_secs(pace));
    let (begun, mut runs, mut calls) = (Instant::now(), 0_u64, 0);
    while begun.elapsed() < MEASURED {
        let setup = Setup {
            scenario: &scenario,
            plan: &Plan::default(),
            seed: cli.seed.wrapping_add(runs),
            rest: Duration::ZERO,
            keep_trace: false,
        };
        let report: Report = run(&setup);
        runs += 1;
        calls += report.calls;
    }
    let minutes = begun.elapsed().as_secs_f64() / 60.0;
    let (each, rate) = (per(calls, runs), per(runs, 1) / minutes);
    let excused = if cli.any_machine { ", on any machine" } else { "" };
    let reached = format!("{rate:.0} of {each:.0} calls each, {:.0} calls{excused}", rate * each);
    // How many calls a rollout has is no machine's doing.
    let holds = each >= CALLS && (cli.any_machine || rate >= RATE);
    figure("rollouts a minute on one core", &format!("{RATE:.0} of {CALLS:.0}"), reached, holds)
}
