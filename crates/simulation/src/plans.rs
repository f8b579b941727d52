//! Which faults to try: every crash point, every operation with every fault, pairs, and swarms at random. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    draw::{self, Kind},
    fault::{
        At, Failure, Fault, Mangling, Mishap, Moment, Plan, Position, What, is_of_aws, is_read_of_aws,
        leaves_something,
    },
    run::Report,
    scene::world_of,
    sweep::Job,
};

fn job(scenario: &str, seed: u64, faults: Vec<Fault>) -> Job {
    Job { scenario: scenario.to_owned(), seed, plan: Plan { faults } }
}

/// A crash at every crossing of a run, at each position that leaves something else behind. Who dies after a reply leaves what it would
/// before its next call, and who dies after a read what it would before it: each is tried once.
pub fn crash_points(scenario: &str, seed: u64, golden: &Report) -> Vec<Job> {
    let points = (1..=golden.crossings).flat_map(|nth| {
        let has_effect = golden.landmarks.binary_search(&nth).is_ok();
        Position::ALL
            .into_iter()
            .filter(move |position| match position {
                Position::BeforeEffect => true,
                Position::AfterEffect => has_effect,
                Position::AfterReply => nth == golden.crossings,
            })
            .map(move |position| Fault { at: At::Crossing(nth), what: What::Crash(position) })
    });
    points.map(|fault| job(scenario, seed, vec![fault])).collect()
}

/// Of the crash points at which a daemon leaves the same behind in the same second, one: the seed draws which.
pub fn crash_moments(scenario: &str, seed: u64, golden: &Report) -> Vec<Job> {
    let mut alike = BTreeMap::<Moment, Vec<Job>>::new();
    for crash in crash_points(scenario, seed, golden) {
        if let Some(moment) = moment(&crash, &golden.moments) {
            alike.entry(moment).or_default().push(crash);
        }
    }
    one_of_each(alike, seed)
}

/// When a crash is, as far as it matters to the next daemon.
fn moment(crash: &Job, moments: &[Moment]) -> Option<Moment> {
    let fault = crash.plan.faults.first()?;
    let At::Crossing(nth) = fault.at else { return None };
    let before = usize::try_from(nth).ok()?.checked_sub(1)?;
    let begins = *moments.get(before)?;
    // The last crossing has nothing after it.
    let next = moments.get(before + 1).copied().unwrap_or(Moment { left: begins.left + 1, ..begins });
    match fault.what {
        What::Crash(Position::AfterEffect) => Some(Moment { left: next.left, ..begins }),
        // It dies when it wants to go on.
        What::Crash(Position::AfterReply) => Some(next),
        _ => Some(begins),
    }
}

/// One job in so many, drawn by the seed.
pub fn one_in(many: usize, seed: u64, jobs: Vec<Job>) -> Vec<Job> {
    let mut dice = fastrand::Rng::with_seed(seed);
    jobs.into_iter().filter(|_| dice.usize(..many.max(1)) == 0).collect()
}

fn one_of_each(alike: BTreeMap<Moment, Vec<Job>>, seed: u64) -> Vec<Job> {
    let mut dice = fastrand::Rng::with_seed(seed);
    alike.into_values().filter_map(|jobs| dice.choice(jobs)).collect()
}

/// A crash at everything that leaves something behind, before it and after it. Whatever else a daemon was doing when it died, the
/// next one finds what one of these leaves.
pub fn crash_classes(scenario: &str, seed: u64, golden: &Report) -> Vec<Job> {
    crashes(&golden.landmarks, 0).map(|fault| job(scenario, seed, vec![fault])).collect()
}

/// The same again in the run that follows a first crash: with every first one, all pairs.
pub fn second_crashes(first: &Job, report: &Report) -> Vec<Job> {
    let after = first.plan.faults.iter().filter_map(|fault| match &fault.at {
        At::Crossing(nth) => Some(*nth),
        At::Operation { .. } | At::Second(_) => None,
    });
    let after = after.max().unwrap_or(0);
    let both = |second| [first.plan.faults.as_slice(), &[second]].concat();
    crashes(&report.landmarks, after).map(|second| job(&first.scenario, first.seed, both(second))).collect()
}

fn crashes(landmarks: &[u64], after: u64) -> impl Iterator<Item = Fault> {
    let later = landmarks.iter().copied().filter(move |nth| *nth > after);
    later.flat_map(|nth| {
        [Position::BeforeEffect, Position::AfterEffect]
            .map(|position| Fault { at: At::Crossing(nth), what: What::Crash(position) })
    })
}

/// The leading daemon stands still at each of its crossings, for longer than its lease, while another one is there.
pub fn takeovers(scenario: &str, seed: u64, golden: &Report) -> Vec<Job> {
    led(golden)
        .map(|nth| Fault { at: At::Crossing(nth), what: What::Freeze { lasts: 200 } })
        .map(|fault| job(scenario, seed, vec![fault]))
        .collect()
}

/// The crossings of whoever led: if another one stands still, nothing comes of it.
fn led(golden: &Report) -> impl Iterator<Item = u64> {
    (1..=golden.crossings).zip(&golden.moments).filter(|(_, moment)| moment.leads).map(|(nth, _)| nth)
}

/// Of the crossings at which a leader that stands still has left the same behind in the same second, one: the seed draws which. All of
/// those that leave something behind themselves: there it goes on with what the other daemon may have done.
pub fn takeover_moments(scenario: &str, seed: u64, golden: &Report) -> Vec<Job> {
    let mut alike = BTreeMap::<Moment, Vec<Job>>::new();
    let mut all = Vec::new();
    for (takeover, nth) in takeovers(scenario, seed, golden).into_iter().zip(led(golden)) {
        if golden.landmarks.binary_search(&nth).is_ok() {
            all.push(takeover);
        } else if let Some(moment) = moment(&takeover, &golden.moments) {
            alike.entry(moment).or_default().push(takeover);
        }
    }
    all.extend(one_of_each(alike, seed));
    all
}

/// A class of faults at one operation: what the matrix has a cell for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cell {
    /// The operation.
    pub operation: String,
    /// The class: `F3`.
    pub class: &'static str,
}

/// Where in a run the matrix has a fault strike an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Places {
    /// At its first call, at one in the middle, and at its last.
    Three,
    /// At one of these: another one for each fault in each scenario, and with each seed.
    OneOfThree,
}

/// Every operation of a run that is wanted, with every fault that can strike it: the runs, and the cells that they must hit.
pub fn matrix(
    scenario: &str,
    seed: u64,
    golden: &Report,
    places: Places,
    wanted: impl Fn(&str) -> bool,
) -> (Vec<Job>, Vec<Cell>) {
    let mut jobs = Vec::new();
    let mut cells = BTreeMap::new();
    let mut dice = fastrand::Rng::with_seed(seed ^ golden.crossings);
    for (operation, times) in golden.operations.iter().filter(|(operation, _)| wanted(operation)) {
        for what in faults_of(operation) {
            let mut at = vec![1, times.div_ceil(2), *times];
            at.dedup();
            if places == Places::OneOfThree {
                at = dice.choice(at).into_iter().collect();
            }
            for nth in at {
                let fault = Fault { at: At::Operation { of: operation.clone(), nth }, what: what.clone() };
                cells.insert(cell(operation, &fault), ());
                jobs.push(job(scenario, seed, vec![fault]));
            }
        }
    }
    (jobs, cells.into_keys().collect())
}

/// Where a fault is counted: what happens to the world is no operation's, but for what its server answers, and each has a cell.
fn cell(operation: &str, fault: &Fault) -> Cell {
    let operation = match fault.what {
        What::World { mishap, .. } if !matches!(mishap, Mishap::Database(_)) => world_of(mishap),
        _ => operation.to_owned(),
    };
    Cell { operation, class: fault.class() }
}

/// What can go wrong with a call of an operation.
fn faults_of(operation: &str) -> Vec<What> {
    let mut all = Vec::new();
    for how in Failure::ALL {
        all.push(What::Fail(Position::BeforeEffect, how));
        if !how.is_refusal() {
            all.push(What::Fail(Position::AfterEffect, how));
        }
    }
    if operation.starts_with("database.") {
        all.extend(draw::answers_of_a_server());
    }
    all.extend(draw::mishaps_at(operation));
    if !is_of_aws(operation) {
        return all;
    }
    all.extend(Mangling::ALL.map(What::Mangled));
    if is_read_of_aws(operation) {
        all.push(What::Partial);
        all.extend([1, 2, usize::MAX].map(|versions| What::Stale { versions }));
    } else {
        all.push(What::Twice);
        all.extend([20, 120, 280].map(|by| What::Late { by }));
    }
    all
}

/// Services that a run asks are away, for as long as is drawn: each alone, from the first and from the last time on that something is
/// changed in each way that the run changes something, and with each other one, from one of these on.
pub fn outages(scenario: &str, seed: u64, golden: &Report) -> Vec<Job> {
    let mut dice = fastrand::Rng::with_seed(seed);
    let services = golden.operations.keys().filter_map(|of| of.split_once('.')).map(|(service, _)| service);
    let services: Vec<&str> = services.collect::<BTreeSet<_>>().into_iter().collect();
    let changes = golden.operations.iter().filter(|(of, _)| leaves_something(of) && *of != "ledger.append");
    let places: Vec<At> = changes
        .flat_map(|(of, times)| BTreeSet::from([1, *times]).into_iter().map(move |nth| (of, nth)))
        .map(|(of, nth)| At::Operation { of: of.clone(), nth })
        .collect();
    let mut jobs = Vec::new();
    for (nth, one) in services.iter().enumerate() {
        for at in &places {
            let away = Fault { at: at.clone(), what: draw::outage(one, &mut dice) };
            jobs.push(job(scenario, seed, vec![away]));
        }
        for other in &services[nth + 1..] {
            let Some(at) = dice.choice(&places).cloned() else { continue };
            let away =
                [one, other].map(|service| Fault { at: at.clone(), what: draw::outage(service, &mut dice) });
            jobs.push(job(scenario, seed, away.into()));
        }
    }
    jobs
}

/// Faults at random: how many, which and where is drawn for each run, so that some runs have many of one kind.
pub fn swarm(scenario: &str, seed: u64, golden: &Report) -> Job {
    let mut dice = fastrand::Rng::with_seed(seed);
    // A few kinds are likely in each run, the others are not there at all.
    let kinds: Vec<Kind> = draw::kinds(&golden.operations).filter(|_| dice.f64() < 0.3).collect();
    let count = dice.usize(1..=6);
    let faults = (0..count).filter_map(|_| {
        let kind = *dice.choice(&kinds)?;
        let what = draw::draw(kind, &mut dice);
        let strikes = draw::strikes(kind);
        let at = if strikes.is_none() && dice.bool() {
            At::Crossing(dice.u64(1..=golden.crossings.max(1)))
        } else {
            let there = |(of, _): &(&String, &u64)| strikes.is_none_or(|strikes| strikes(of));
            let places: Vec<_> = golden.operations.iter().filter(there).collect();
            let (of, times) = *dice.choice(&places)?;
            At::Operation { of: of.clone(), nth: dice.u64(1..=(*times).max(1)) }
        };
        Some(Fault { at, what })
    });
    let mut plan = Plan { faults: faults.collect() };
    // A ledger that nobody here understands is for people to look after; one that is lost is none that nobody understands.
    if plan.outgrows() {
        plan.faults.retain(|fault| !matches!(fault.what, What::LedgerLost | What::LedgerRestored { .. }));
    }
    job(scenario, seed, plan.faults)
}
