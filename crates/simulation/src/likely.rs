//! Where a mistake is likely to show: faults at everything that changes something, then at what is read. For hunts, which
//! want the first finding soon; pure.

use crate::{
    fault::{At, Failure, Fault, Mangling, Plan, Position, What, is_read_of_aws, leaves_something},
    run::Report,
    sweep::Job,
};

/// How often the same operation is struck: the first times, where most differs.
const TIMES: u64 = 3;

/// Runs with few faults each, the likeliest first: each fault at each operation in the shortest scenario that has it, and then in
/// all others.
pub(crate) fn likely(goldens: &[(&String, &Report)], seed: u64) -> Vec<Job> {
    let changes = [
        What::Crash(Position::AfterEffect),
        What::Fail(Position::AfterEffect, Failure::Disconnect),
        What::Fail(Position::BeforeEffect, Failure::Disconnect),
        What::Late { by: 40 },
        What::Late { by: 120 },
        What::LedgerLost,
        What::Twice,
        What::Crash(Position::BeforeEffect),
    ];
    let reads = [
        What::Mangled(Mangling::UnknownMembers),
        What::Mangled(Mangling::MissingMembers),
        What::Partial,
        What::Stale { versions: usize::MAX },
        What::Fail(Position::BeforeEffect, Failure::Unavailable),
    ];
    let mut jobs = each(goldens, seed, &changes, leaves_something);
    jobs.extend(services(goldens, seed));
    jobs.extend(each(goldens, seed, &reads, is_read_of_aws));
    in_the_shortest_first(jobs)
}

/// The leading one of two daemons stands still at what changes something, for longer than its lease.
pub(crate) fn likely_takeovers(goldens: &[(&String, &Report)], seed: u64) -> Vec<Job> {
    in_the_shortest_first(each(goldens, seed, &[What::Freeze { lasts: 200 }], leaves_something))
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
                    let plan = Plan { faults: vec![Fault { at, what: what.clone() }] };
                    jobs.push(Job { scenario: scenario.clone(), seed, plan });
                }
            }
        }
    }
    jobs
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
