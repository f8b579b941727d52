//! Where a mistake is likely to show: lists of runs with few faults each, that share the time of a hunt, which wants its first
//! finding soon. Pure.

use std::collections::BTreeMap;

use crate::{
    fault::{
        At, CodedeployMishap, Failure, Fault, Mangling, Mishap, Newer, Plan, Position, What, is_of_aws,
        is_read_of_aws, leaves_something,
    },
    run::Report,
    sweep::Job,
};

/// How often the same operation is struck: the first times, where most differs.
const TIMES: u64 = 3;

/// Runs with few faults each, of every list in turn: a plan comes in the shortest scenario that has it, and then in all others.
pub(crate) fn likely(goldens: &[(&String, &Report)], seed: u64) -> Vec<Job> {
    let changes = [
        What::Crash(Position::AfterEffect),
        What::Fail(Position::AfterEffect, Failure::Disconnect),
        What::Fail(Position::AfterEffect, Failure::ServerError),
        What::Fail(Position::BeforeEffect, Failure::Disconnect),
        What::Late { by: 40 },
        What::Late { by: 120 },
        What::LedgerLost,
        What::Downgrade(Newer::Members),
        What::Twice,
        What::Crash(Position::BeforeEffect),
    ];
    let stale = [2, usize::MAX].map(|versions| What::Stale { versions });
    let costs: BTreeMap<&String, u64> =
        goldens.iter().map(|(name, golden)| (*name, golden.crossings)).collect();
    let cost = |job: &Job| costs.get(&job.scenario).copied().unwrap_or(1);
    let lists = [
        (1, stand_still_before_sending(goldens, seed)),
        (4, cheap_first(each(goldens, seed, &changes, is_change_of_aws), seed, cost)),
        (4, cheap_first(seldom_done(goldens, seed, &changes), seed, cost)),
        (3, cheap_first(each(goldens, seed, &changes, is_kept_here), seed, cost)),
        (1, at_rest(goldens, seed)),
        (1, cheap_first(misread_at_rest(goldens, seed), seed, cost)),
        (2, cheap_first(forgotten(goldens, seed), seed, cost)),
        (2, cheap_first(misread(goldens, seed, &misreadings(), is_read_of_aws), seed, cost)),
        (2, cheap_first(misread(goldens, seed, &stale, |of| of == "ssm.GetParameters"), seed, cost)),
        (3, cheap_first(mishaps(goldens, seed), seed, cost)),
        (1, services(goldens, seed)),
        (2, lies(goldens, seed)),
        (1, seldom_read(goldens, seed)),
        (1, after_going_back(goldens, seed)),
        (3, cheap_first(between_versions(goldens, seed), seed, cost)),
        (1, partly_listed(goldens, seed)),
        (1, late_statuses(goldens, seed)),
    ];
    shared_out(lists.map(|(share, jobs)| (share, in_the_shortest_first(jobs))), cost)
}

/// True of what changes something on AWS.
fn is_change_of_aws(operation: &str) -> bool {
    leaves_something(operation) && is_of_aws(operation)
}

/// True of what changes something in the ledger or in the database, or asks a listener.
fn is_kept_here(operation: &str) -> bool {
    leaves_something(operation) && !is_of_aws(operation)
}

/// Of each list in turn, so that each has its share of the time: whatever a mistake needs, it is not far behind.
fn shared_out<const N: usize>(lists: [(u64, Vec<Job>); N], cost: impl Fn(&Job) -> u64) -> Vec<Job> {
    let mut lists = lists.map(|(share, jobs)| (share, 0, jobs.into_iter()));
    let mut all = Vec::new();
    loop {
        let waiting = lists.iter_mut().filter(|(.., jobs)| jobs.len() > 0);
        let Some((share, spent, jobs)) = waiting.min_by_key(|(_, spent, _)| *spent) else { return all };
        let next = jobs.next();
        *spent += next.as_ref().map_or(0, &cost) / *share;
        all.extend(next);
    }
}

/// In no order, but that those come first which cost little.
fn cheap_first(mut jobs: Vec<Job>, seed: u64, cost: impl Fn(&Job) -> u64) -> Vec<Job> {
    fastrand::Rng::with_seed(seed).shuffle(&mut jobs);
    jobs.sort_by_key(|job| cost(job).max(1).ilog2());
    jobs
}

/// Something happens to the world at what changes something on AWS.
fn mishaps(goldens: &[(&String, &Report)], seed: u64) -> Vec<Job> {
    const LASTS: u64 = 300;
    let mut jobs = Vec::new();
    for (scenario, golden) in goldens {
        let changes =
            golden.operations.iter().filter(|(of, _)| of.starts_with("codedeploy.") && leaves_something(of));
        for (of, times) in changes {
            for mishap in Mishap::all() {
                for nth in 1..=(*times).min(TIMES) {
                    let at = At::Operation { of: of.clone(), nth };
                    jobs.push(job(scenario, seed, at, What::World { mishap, lasts: LASTS }));
                }
            }
        }
    }
    jobs
}

/// CodeDeploy does not do what it says: where something goes back, that it does not; in the shortest runs, that it succeeded.
fn lies(goldens: &[(&String, &Report)], seed: u64) -> Vec<Job> {
    use CodedeployMishap::{FailsHalfWay, RollbackFails, SaysSucceeded, Stands, StopIsLost};
    const LASTS: u64 = 300;
    const SHORTEST: usize = 6;
    let goldens = shortest_first(goldens);
    let having =
        |of: &'static str| goldens.iter().filter(move |(_, golden)| golden.operations.contains_key(of));
    let lie = |scenario: &str, mishap| {
        let at = At::Operation { of: "codedeploy.ContinueDeployment".to_owned(), nth: 1 };
        job(scenario, seed, at, What::World { mishap: Mishap::Codedeploy(mishap), lasts: LASTS })
    };
    let back = having("codedeploy.StopDeployment")
        .flat_map(|(scenario, _)| [RollbackFails, StopIsLost].map(|mishap| lie(scenario, mishap)));
    let forward = having("codedeploy.ContinueDeployment")
        .take(SHORTEST)
        .flat_map(|(scenario, _)| [SaysSucceeded, FailsHalfWay, Stands].map(|mishap| lie(scenario, mishap)));
    back.chain(forward).collect()
}

/// What a read may come to.
fn misreadings() -> [What; 5] {
    [
        What::Mangled(Mangling::MissingMembers),
        What::Stale { versions: usize::MAX },
        What::Partial,
        What::Mangled(Mangling::UnknownMembers),
        What::Fail(Position::BeforeEffect, Failure::Unavailable),
    ]
}

/// A run with a single fault.
fn job(scenario: &str, seed: u64, at: At, what: What) -> Job {
    Job { scenario: scenario.to_owned(), seed, plan: Plan { faults: vec![Fault { at, what }] } }
}

/// Once everything has happened: the ledger is lost, or nothing that is asked for can be read for a while.
fn at_rest(goldens: &[(&String, &Report)], seed: u64) -> Vec<Job> {
    let outage = What::Outage { service: "ssm".to_owned(), lasts: 300, how: Failure::Unavailable };
    let goldens = shortest_first(goldens);
    let ends = |what: What| {
        goldens
            .iter()
            .map(move |(name, golden)| job(name, seed, At::Crossing(golden.crossings), what.clone()))
    };
    ends(What::LedgerLost).chain(ends(outage)).collect()
}

/// Once everything has happened, what is read is not so.
fn misread_at_rest(goldens: &[(&String, &Report)], seed: u64) -> Vec<Job> {
    let mut jobs = Vec::new();
    for (scenario, golden) in goldens {
        for (of, times) in golden.operations.iter().filter(|(of, _)| is_read_of_aws(of)) {
            let last = At::Operation { of: of.clone(), nth: *times };
            jobs.push(job(scenario, seed, last.clone(), What::Mangled(Mangling::UnknownMembers)));
            jobs.push(job(scenario, seed, last, What::Stale { versions: usize::MAX }));
        }
    }
    jobs
}

/// What is read seldom is kept, or decides much: where a version settles, each such reading has members that nobody knows, the last
/// ones first.
fn seldom_read(goldens: &[(&String, &Report)], seed: u64) -> Vec<Job> {
    const SELDOM: u64 = 12;
    const SHORTEST: usize = 4;
    // Let go twice: traffic, and then blue.
    let settles = |golden: &Report| {
        golden.operations.get("codedeploy.ContinueDeployment").is_some_and(|times| *times > 1)
    };
    let goldens: Vec<_> =
        shortest_first(goldens).into_iter().filter(|(_, golden)| settles(golden)).take(SHORTEST).collect();
    let mut jobs = Vec::new();
    for before_last in 0..SELDOM {
        for (scenario, golden) in &goldens {
            let reads = golden.operations.iter().filter(|(of, _)| is_read_of_aws(of));
            for (of, times) in reads.filter(|(_, times)| (before_last + 1..=SELDOM).contains(*times)) {
                let at = At::Operation { of: of.clone(), nth: times - before_last };
                jobs.push(job(scenario, seed, at, What::Mangled(Mangling::UnknownMembers)));
            }
        }
    }
    jobs
}

/// Once a version has gone back, the ledger is set back to before that.
fn after_going_back(goldens: &[(&String, &Report)], seed: u64) -> Vec<Job> {
    const AGO: [u64; 8] = [120, 180, 90, 240, 300, 60, 600, 1200];
    let goldens: Vec<_> = shortest_first(goldens)
        .into_iter()
        .filter(|(_, golden)| golden.operations.contains_key("codedeploy.StopDeployment"))
        .collect();
    let set_back = AGO.iter().flat_map(|ago| {
        let restored = What::LedgerRestored { ago: *ago };
        goldens.iter().map(move |(scenario, golden)| {
            job(scenario, seed, At::Crossing(golden.crossings), restored.clone())
        })
    });
    set_back.collect()
}

/// While two versions are on their way: the ledger is lost, or an older spec is read.
fn between_versions(goldens: &[(&String, &Report)], seed: u64) -> Vec<Job> {
    let registers = |golden: &Report| golden.operations.get("ecs.RegisterTaskDefinition").copied();
    let several: Vec<_> = goldens
        .iter()
        .copied()
        .filter(|(_, golden)| registers(golden).is_some_and(|times| times > 1))
        .collect();
    let mut jobs = forgotten(&several, seed);
    let stale = [What::Stale { versions: 12 }];
    jobs.extend(misread(&several, seed, &stale, |of| of == "ssm.GetParameters"));
    jobs
}

/// The ledger is lost at whatever leaves something behind, in every scenario.
fn forgotten(goldens: &[(&String, &Report)], seed: u64) -> Vec<Job> {
    let jobs = goldens.iter().flat_map(|(scenario, golden)| {
        golden.landmarks.iter().map(move |at| job(scenario, seed, At::Crossing(*at), What::LedgerLost))
    });
    jobs.collect()
}

/// What is read is not so, spread over the whole run.
fn misread(
    goldens: &[(&String, &Report)],
    seed: u64,
    faults: &[What],
    wanted: impl Fn(&str) -> bool,
) -> Vec<Job> {
    const PLACES: u64 = 8;
    let mut jobs = Vec::new();
    for (scenario, golden) in goldens {
        for what in faults {
            for (of, times) in golden.operations.iter().filter(|(of, _)| wanted(of)) {
                let mut places: Vec<u64> = (0..PLACES).map(|place| 1 + times * place / PLACES).collect();
                places.dedup();
                for nth in places {
                    let at = At::Operation { of: of.clone(), nth };
                    jobs.push(job(scenario, seed, at, what.clone()));
                }
            }
        }
    }
    jobs
}

/// The leading one of two daemons stands still at what changes something, for longer than its lease.
pub(crate) fn likely_takeovers(goldens: &[(&String, &Report)], seed: u64) -> Vec<Job> {
    in_the_shortest_first(each(goldens, seed, &[What::Freeze { lasts: 200 }], leaves_something))
}

/// A daemon that leads alone stands still between a decision and what it sends, for longer than its lease: at each of the first
/// appends of the shortest rollout.
fn stand_still_before_sending(goldens: &[(&String, &Report)], seed: u64) -> Vec<Job> {
    const APPENDS: u64 = 8;
    let deploys = |golden: &Report| golden.operations.contains_key("codedeploy.CreateDeployment");
    let shortest = shortest_first(goldens).into_iter().find(|(_, golden)| deploys(golden));
    let Some((scenario, _)) = shortest else { return Vec::new() };
    let append = |nth| At::Operation { of: "ledger.append".to_owned(), nth };
    (1..=APPENDS).map(|nth| job(scenario, seed, append(nth), What::Freeze { lasts: 200 })).collect()
}

/// The same plan in another scenario finds less that is new than another plan does.
fn in_the_shortest_first(jobs: Vec<Job>) -> Vec<Job> {
    let mut plans = Vec::<Plan>::new();
    let (mut first, again): (Vec<Job>, Vec<Job>) = jobs.into_iter().partition(|job| {
        let new = !plans.contains(&job.plan);
        if new {
            plans.push(job.plan.clone());
        }
        new
    });
    first.extend(again);
    first
}

fn each(
    goldens: &[(&String, &Report)],
    seed: u64,
    faults: &[What],
    wanted: impl Fn(&str) -> bool,
) -> Vec<Job> {
    let mut jobs = Vec::new();
    for what in faults {
        for nth in 1..=TIMES {
            for (scenario, golden) in shortest_first(goldens) {
                let operations = golden.operations.iter();
                for (of, _) in operations.filter(|(of, times)| **times >= nth && wanted(of)) {
                    let at = At::Operation { of: of.clone(), nth };
                    jobs.push(job(scenario, seed, at, what.clone()));
                }
            }
        }
    }
    jobs
}

/// What changes something on AWS and only a few scenarios do, the first time: among the faults of all it would have no turn.
fn seldom_done(goldens: &[(&String, &Report)], seed: u64, faults: &[What]) -> Vec<Job> {
    const FEW: usize = 3;
    let doing = |of: &str| goldens.iter().filter(|(_, golden)| golden.operations.contains_key(of)).count();
    let mut jobs = each(goldens, seed, faults, |of| is_change_of_aws(of) && doing(of) <= FEW);
    let is_first =
        |job: &Job| job.plan.faults.iter().all(|fault| matches!(fault.at, At::Operation { nth: 1, .. }));
    jobs.retain(is_first);
    jobs
}

/// The answer to something that makes a deployment is lost, and lists of deployments come with a part missing.
fn partly_listed(goldens: &[(&String, &Report)], seed: u64) -> Vec<Job> {
    const LISTS: u64 = 40;
    let create = "codedeploy.CreateDeployment";
    let deploys =
        shortest_first(goldens).into_iter().filter(|(_, golden)| golden.operations.contains_key(create));
    let at = |of: &str, nth| At::Operation { of: of.to_owned(), nth };
    let job = |(scenario, _): (&String, &Report)| {
        let lost = What::Fail(Position::AfterEffect, Failure::Disconnect);
        let mut faults = vec![Fault { at: at(create, 1), what: lost }];
        let part = |nth| Fault { at: at("codedeploy.BatchGetDeployments", nth), what: What::Partial };
        faults.extend((1..=LISTS).map(part));
        Job { scenario: scenario.clone(), seed, plan: Plan { faults } }
    };
    deploys.map(job).collect()
}

/// A status that is given up arrives after the last one.
fn late_statuses(goldens: &[(&String, &Report)], seed: u64) -> Vec<Job> {
    let statuses = shortest_first(goldens)
        .into_iter()
        .filter_map(|(scenario, golden)| Some((scenario, *golden.operations.get("ssm.PutParameter")?)));
    let late = |(scenario, times): (&String, u64)| {
        let at = At::Operation { of: "ssm.PutParameter".to_owned(), nth: times.saturating_sub(1).max(1) };
        job(scenario, seed, at, What::Late { by: 280 })
    };
    statuses.map(late).collect()
}

fn shortest_first<'g>(goldens: &[(&'g String, &'g Report)]) -> Vec<(&'g String, &'g Report)> {
    let mut goldens = goldens.to_vec();
    goldens.sort_by_key(|(_, golden)| golden.crossings);
    goldens
}

/// Services that are away in the middle of a release, from something that changed it on.
fn services(goldens: &[(&String, &Report)], seed: u64) -> Vec<Job> {
    let mut jobs = Vec::new();
    for service in ["ssm", "codedeploy", "ledger", "ecs", "elasticloadbalancing"] {
        for (scenario, golden) in shortest_first(goldens) {
            for of in
                golden.operations.keys().filter(|of| leaves_something(of) && of.starts_with("codedeploy."))
            {
                let outage =
                    What::Outage { service: service.to_owned(), lasts: 300, how: Failure::Unavailable };
                let at = At::Operation { of: of.clone(), nth: 1 };
                let mut faults = vec![Fault { at: at.clone(), what: outage }];
                // What was sent as it began may have had its effect.
                let lost = What::Fail(Position::AfterEffect, Failure::Disconnect);
                faults.push(Fault { at, what: lost });
                jobs.push(Job { scenario: scenario.clone(), seed, plan: Plan { faults } });
            }
        }
    }
    jobs
}
