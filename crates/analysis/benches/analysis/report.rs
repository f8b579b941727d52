//! The tables: false rollbacks by family, bad requests over the floor by regression, and how far the aims are reached.

use crate::{
    detectors::names,
    measure::{Bad, Cost, Family, Good},
    ramps::{Compared, Finished},
    simulate::{KINDS, Service},
};

/// A regression counts only where the oracle itself misses fewer than this share.
const FINDABLE: f64 = 0.2;

/// False rollbacks: a share, its 95 % upper bound, and the worst service.
#[derive(Clone, Copy)]
pub(crate) struct False {
    pub(crate) share: f64,
    pub(crate) upper: f64,
    pub(crate) worst: f64,
    pub(crate) worst_in: Service,
}

/// Of one detector in one family.
pub(crate) fn of_good(cells: &[Good], detector: usize) -> False {
    let releases: usize = cells.iter().map(|c| c.rolled_back[detector].1).sum();
    let hits: usize = cells.iter().map(|c| c.rolled_back[detector].0).sum();
    let share = |c: &Good| c.rolled_back[detector].0 as f64 / c.rolled_back[detector].1.max(1) as f64;
    let worst = cells.iter().max_by(|a, b| share(a).total_cmp(&share(b))).unwrap();
    False {
        share: hits as f64 / releases as f64,
        upper: upper_bound(hits, releases),
        worst: share(worst),
        worst_in: worst.service,
    }
}

/// The 95 % upper bound of a share (Clopper and Pearson).
fn upper_bound(hits: usize, of: usize) -> f64 {
    use statrs::distribution::{Beta, ContinuousCDF as _};
    if hits >= of { 1.0 } else { Beta::new(hits as f64 + 1.0, (of - hits) as f64).unwrap().inverse_cdf(0.95) }
}

/// Bad requests over the floor (geometric mean of kinds and services) and misses, over the cells in which the oracle finds.
pub(crate) fn of_bad(cells: &[Bad], kind: Option<&str>, detector: usize) -> (f64, f64) {
    let mut by_kind = vec![];
    for k in KINDS.iter().filter(|k| kind.is_none_or(|kind| kind == k.name)) {
        let found: Vec<&Bad> =
            cells.iter().filter(|c| c.kind == k.name && c.floor.missed() < FINDABLE).collect();
        let n = found.len() as f64;
        let of = |c: &&Bad| -> Cost { c.costs[detector] };
        let ln: f64 = found.iter().map(|c| (of(c).bad().max(1e-9) / c.floor.bad().max(1e-9)).ln()).sum();
        let missed: f64 = found.iter().map(|c| of(c).missed()).sum();
        if n > 0.0 {
            by_kind.push((ln / n, missed / n));
        }
    }
    let n = by_kind.len().max(1) as f64;
    ((by_kind.iter().map(|k| k.0).sum::<f64>() / n).exp(), by_kind.iter().map(|k| k.1).sum::<f64>() / n)
}

/// The cells in which the oracle misses too much to compare.
pub(crate) fn excluded(cells: &[Bad]) -> Vec<String> {
    let out = cells.iter().filter(|c| c.floor.missed() >= FINDABLE);
    out.map(|c| format!("{} at {}", c.kind, named(c.service))).collect()
}

pub(crate) fn named(service: Service) -> String {
    format!("{} rpm failing {}", service.rpm, service.rate)
}

/// Prints false rollbacks of every detector in every family.
pub(crate) fn print_good(families: &[(Family, Vec<Good>)]) {
    println!("\n## Good releases that are rolled back, in % (in brackets the worst service)\n");
    print!("| detector |");
    families.iter().for_each(|(family, _)| print!(" {} |", family.name));
    println!("\n|---|{}", "---|".repeat(families.len()));
    for (detector, name) in names().iter().enumerate() {
        print!("| {name} |");
        for (_, cells) in families {
            let found = of_good(cells, detector);
            print!(" {:.3} ({:.2}) |", 100.0 * found.share, 100.0 * found.worst);
        }
        println!();
    }
    println!("\nThe first line with its 95 % upper bounds:");
    for (family, cells) in families {
        let found = of_good(cells, 0);
        println!(
            "- {}: {:.3} %, at most {:.3} %; worst {:.2} % at {}",
            family.name,
            100.0 * found.share,
            100.0 * found.upper,
            100.0 * found.worst,
            named(found.worst_in)
        );
    }
}

/// Prints what regressions cost under one law of noise.
pub(crate) fn print_bad(name: &str, cells: &[Bad]) {
    println!("\n## Bad requests over the floor, and misses in %: {name}\n");
    print!("| detector |");
    KINDS.iter().for_each(|kind| print!(" {} |", kind.name));
    println!(" all | misses |\n|---|{}", "---|".repeat(KINDS.len() + 2));
    for (detector, name) in names().iter().enumerate() {
        print!("| {name} |");
        for kind in KINDS {
            let (ratio, missed) = of_bad(cells, Some(kind.name), detector);
            print!(" {ratio:.2} ({:.0}) |", 100.0 * missed);
        }
        let (ratio, missed) = of_bad(cells, None, detector);
        println!(" **{ratio:.2}** | {:.1} |", 100.0 * missed);
    }
    println!("\nNot counted, because the oracle misses a fifth or more: {}", excluded(cells).join("; "));
}

/// Prints what regressions cost on the ramp that goes by the evidence, and how long good releases take on it.
pub(crate) fn print_ramps(bad: &[Compared], good: &[Finished]) {
    println!(
        "\n## The ramp that goes by the evidence: bad requests over the linear ramp's floor (misses in %)\n"
    );
    println!(
        "| noise | service | regression | floor, requests | judge on the linear ramp | adaptive |\n|---|---|---|---|---|---|"
    );
    let over = |cell: &Compared, cost: Cost| cost.bad() / cell.floor.bad();
    for cell in bad {
        println!(
            "| {} | {} | {} | {:.1} | {:.2} ({:.1}) | {:.2} ({:.1}) |",
            cell.noise.name,
            named(cell.service),
            cell.kind,
            cell.floor.bad(),
            over(cell, cell.linear),
            100.0 * cell.linear.missed(),
            over(cell, cell.adaptive),
            100.0 * cell.adaptive.missed()
        );
    }
    let mean = |of: fn(&Compared) -> Cost| {
        let ln: f64 = bad.iter().map(|cell| over(cell, of(cell)).ln()).sum();
        (ln / bad.len() as f64).exp()
    };
    println!(
        "\nGeometric mean: {:.2} on the linear ramp, **{:.2}** on the adaptive one.\n",
        mean(|cell| cell.linear),
        mean(|cell| cell.adaptive)
    );
    for finished in good {
        let minutes = &finished.minutes;
        let at = |share: f64| minutes[((minutes.len() - 1) as f64 * share) as usize];
        println!(
            "- good releases, {}: everything served after {} minutes (95 %: {}, 99.9 %: {}, all: {}); {} of {} rolled back",
            finished.noise.name,
            at(0.5),
            at(0.95),
            at(0.999),
            at(1.0),
            finished.rolled_back,
            finished.rolled_back + minutes.len()
        );
    }
}
