//! The modelled traffic: in each minute, requests spread by live weights over healthy targets and are answered as the
//! images behind them behave. In live mode real clients do this, and nothing is modelled.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{
    Mode, World,
    cloudwatch::{MetricKey, dimension},
    live::{Answer, Served},
};

/// The traffic model.
#[derive(Clone, Debug, Default)]
pub struct Traffic {
    /// Requests a minute on each listener, by listener ARN; listeners without an entry are idle.
    pub requests_per_minute: BTreeMap<String, f64>,
    /// How images behave; an image without an entry behaves like the default.
    pub images: BTreeMap<String, Behaviour>,
    /// When everything fails together, whichever image answers.
    pub incidents: Vec<Incident>,
    /// Minutes of traffic that each target group has served since it got its present image.
    served_minutes: BTreeMap<String, (String, u32)>,
}

/// A time in which a share of all requests fails.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Incident {
    /// Its begin.
    pub from: Timestamp,
    /// Its end.
    pub until: Timestamp,
    /// Share of requests answered with 5xx, 0 to 1.
    pub error_share: f64,
}

/// How an image answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Behaviour {
    /// Share of requests answered with 5xx, 0 to 1.
    pub error_share: f64,
    /// The same once the image has served traffic for `sound_minutes`: starts healthy, then fails.
    pub later_error_share: Option<f64>,
    /// Minutes under traffic before `later_error_share` counts.
    pub sound_minutes: u32,
    /// Share of everybody's requests that fail with 5xx once it has served traffic for `sound_minutes`: it hurts what all share.
    pub shared_error_share: f64,
    /// Minutes under traffic after which its tasks hang: health checks fail and requests time out.
    pub hangs_after: Option<u32>,
    /// Failures come in clusters of this size, as many as chance has it; `None` if they come evenly.
    pub error_cluster: Option<f64>,
    /// How many times as often it fails in the first, second, ... availability zone, beside each other; where none is given,
    /// all fail alike.
    pub error_zones: Vec<f64>,
    /// Median response time in seconds.
    pub latency: f64,
    /// Database connections that it takes in each minute under traffic and never gives back.
    pub leaked_connections: f64,
    /// What it counts itself, as the team's own metrics.
    pub counted: Vec<Counted>,
    /// True if its targets never pass a health check.
    pub unhealthy: bool,
    /// True if its tasks cannot be pulled.
    pub missing: bool,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            error_share: 0.0,
            later_error_share: None,
            sound_minutes: 0,
            shared_error_share: 0.0,
            hangs_after: None,
            error_cluster: None,
            error_zones: vec![],
            latency: 0.02,
            leaked_connections: 0.0,
            counted: vec![],
            unhealthy: false,
            missing: false,
        }
    }
}

/// A metric that an image publishes of its own accord.
#[derive(Clone, Debug, PartialEq)]
pub struct Counted {
    /// The namespace.
    pub namespace: String,
    /// The metric's name.
    pub metric: String,
    /// Its dimensions; `{taskDefinition}` in a value stands for the tasks' own, as `family:revision`.
    pub dimensions: BTreeMap<String, String>,
    /// How many a request, on average.
    pub share: f64,
}

/// Serves the minute that closes now, in modelled mode.
pub(crate) fn minute_closes(world: &mut World) {
    let Mode::Modelled { seed } = world.mode else { return };
    let at = world.now() - SignedDuration::from_secs(30);
    let shared = shared_error_share(world, at);
    for listener in world.live_listeners() {
        let Some(requests) = world.traffic.requests_per_minute.get(&listener.arn).copied() else { continue };
        let Some(load_balancer) = world.load_balancer_of(&listener.arn) else { continue };
        let total: u32 = listener.forward.iter().map(|(_, weight)| weight).sum();
        // A tenth of noise from minute to minute, the same for the same seed.
        let requests = (requests * (0.95 + 0.1 * unit(seed, at, &listener.arn))).round();
        for (group, weight) in &listener.forward {
            if *weight > 0 {
                let share = (requests * f64::from(*weight) / f64::from(total)).round();
                serve(world, (at, seed), &load_balancer, &listener.arn, group, (share, shared));
            }
        }
    }
}

/// What fails for everybody: incidents, and images that hurt what all share.
fn shared_error_share(world: &World, at: Timestamp) -> f64 {
    let now = world.traffic.incidents.iter().filter(|one| one.from <= at && at < one.until);
    let hurt = world.traffic.served_minutes.iter().filter_map(|(group, (image, minutes))| {
        let behaviour = world.traffic.images.get(image)?;
        let alive = world.image_behind(group).is_some_and(|running| running == *image);
        (alive && *minutes > behaviour.sound_minutes).then_some(behaviour.shared_error_share)
    });
    now.map(|one| one.error_share).chain(hurt).fold(0.0, f64::max)
}

fn serve(
    world: &mut World,
    (at, seed): (Timestamp, u64),
    load_balancer: &str,
    listener: &str,
    group: &str,
    (requests, shared): (f64, f64),
) {
    let served = |answer, seconds| Served {
        listener: listener.to_owned(),
        target_group: Some(group.to_owned()),
        target: None,
        answer,
        seconds,
        connection_error: false,
    };
    let targets = world.serving_zones(group);
    if targets.is_empty() {
        let refused = Served { target_group: None, ..served(Answer::Elb(503), None) };
        world.count_served(at, dimension(load_balancer), &refused, None, requests);
        return;
    }
    let image = world.image_behind(group).unwrap_or_default();
    let behaviour = world.traffic.images.get(&image).cloned().unwrap_or_default();
    let minutes = world.traffic.age(group, &image);
    if behaviour.hangs_after.is_some_and(|after| minutes > after) {
        world.count_served(at, dimension(load_balancer), &served(Answer::Elb(504), None), None, requests);
        return;
    }
    let own = match behaviour.later_error_share {
        Some(later) if minutes > behaviour.sound_minutes => later,
        Some(_) | None => behaviour.error_share,
    };
    let share = own + (1.0 - own) * shared;
    // A failure that comes alone is a cluster of one.
    let (size, clusters) = match behaviour.error_cluster.map(f64::round) {
        Some(size) => (size, poisson(requests * share / size, unit(seed, at, group))),
        None => (1.0, (requests * share * (0.8 + 0.4 * unit(seed, at, group))).round()),
    };
    count_own(world, at, seed, group, &behaviour, requests);
    let mut parts = parts(&world.identity.zone_names(), &targets, requests);
    spread(&mut parts, &behaviour.error_zones, clusters, |zone| unit(seed, at, &format!("{group}/{zone}")));
    for part in parts {
        let failures = (size * part.clusters).min(part.requests);
        let good = part.requests - failures;
        // Three response times make percentiles mean something: median, slow twentieth, slowest hundredth.
        let (slow, slowest) = ((good * 0.05).round(), (good * 0.01).round());
        for (status, count, factor) in
            [(500, failures, 1.0), (200, good - slow - slowest, 1.0), (200, slow, 2.0), (200, slowest, 4.0)]
        {
            if count > 0.0 {
                let served = served(Answer::Status(status), Some(behaviour.latency * factor));
                world.count_served(at, dimension(load_balancer), &served, Some(&part.zone), count);
            }
        }
    }
}

/// What falls on one availability zone.
struct Part {
    zone: String,
    /// Which zone of the region it is.
    index: usize,
    /// Its share of the targets, 0 to 1.
    share: f64,
    requests: f64,
    clusters: f64,
}

/// The zones that targets run in, each with its requests: targets take turns.
fn parts(zones: &[String], targets: &[String], requests: f64) -> Vec<Part> {
    let mut before = 0.0;
    let mut parts = vec![];
    for (index, zone) in zones.iter().enumerate() {
        let here = targets.iter().filter(|target| *target == zone).count() as f64;
        if here > 0.0 {
            let share = here / targets.len() as f64;
            let requests = ((before + share) * requests).round() - (before * requests).round();
            parts.push(Part { zone: zone.clone(), index, share, requests, clusters: 0.0 });
            before += share;
        }
    }
    parts
}

/// Chance spreads clusters of failures over zones, each cluster whole.
fn spread(parts: &mut [Part], weights: &[f64], mut clusters: f64, unit: impl Fn(&str) -> f64) {
    let weight = |part: &Part| part.share * weights.get(part.index).copied().unwrap_or(1.0);
    let mut rest: f64 = parts.iter().map(weight).sum();
    for part in parts {
        let weight = weight(part);
        let chance = if weight < rest { weight / rest } else { 1.0 };
        part.clusters = binomial(clusters, chance, unit(&part.zone));
        clusters -= part.clusters;
        rest -= weight;
    }
}

/// Publishes what the tasks behind a group count themselves: nothing where there is nothing to count.
fn count_own(world: &mut World, at: Timestamp, seed: u64, group: &str, image: &Behaviour, requests: f64) {
    let definition = world.definition_behind(group).unwrap_or_default();
    for counted in &image.counted {
        let count = poisson(requests * counted.share, unit(seed, at, &format!("{group}/{}", counted.metric)));
        if count > 0.0 {
            let mut key = MetricKey::new(&counted.namespace, &counted.metric, []);
            for (name, value) in &counted.dimensions {
                key.dimensions.insert(name.clone(), value.replace("{taskDefinition}", &definition));
            }
            world.cloudwatch.record(at, key, 1.0, count, "Count");
        }
    }
}

/// A number of independent events with this mean, by one uniform number; beyond a few hundred the mean itself.
fn poisson(mean: f64, unit: f64) -> f64 {
    if mean > 500.0 {
        return mean.round();
    }
    let (mut count, mut probability) = (0.0, (-mean).exp());
    let mut rest = unit;
    while rest > probability && count < 2_000.0 {
        rest -= probability;
        count += 1.0;
        probability *= mean / count;
    }
    count
}

/// How many of `count` independent events have an outcome of this chance, by one uniform number; of more than a few hundred
/// as many as are due, give or take their standard deviation.
fn binomial(count: f64, chance: f64, unit: f64) -> f64 {
    if chance >= 1.0 {
        return count;
    }
    if chance > 0.5 {
        return count - binomial(count, 1.0 - chance, unit);
    }
    if count > 500.0 {
        let deviation = (count * chance * (1.0 - chance)).sqrt();
        return (count * chance + deviation * 12_f64.sqrt() * (unit - 0.5)).round().clamp(0.0, count);
    }
    let (mut hits, mut probability) = (0.0, (1.0 - chance).powf(count));
    let mut rest = unit;
    while rest > probability && hits < count {
        rest -= probability;
        probability *= (count - hits) / (hits + 1.0) * chance / (1.0 - chance);
        hits += 1.0;
    }
    hits
}

impl World {
    /// From now on, for so long, this share of everybody's requests fails.
    pub fn begin_incident(&mut self, lasts: SignedDuration, error_share: f64) {
        let from = self.now();
        self.traffic.incidents.push(Incident { from, until: from + lasts, error_share });
    }

    /// How an image behaves.
    pub fn behaviour(&self, image: &str) -> Behaviour {
        self.traffic.images.get(image).cloned().unwrap_or_default()
    }

    /// From now on an image behaves like this.
    pub fn set_behaviour(&mut self, image: &str, behaviour: Behaviour) {
        self.traffic.images.insert(image.to_owned(), behaviour);
    }

    /// Connections that running images took and did not give back.
    pub(crate) fn leaked_connections(&self) -> f64 {
        let leaked = |(group, (image, minutes)): (&String, &(String, u32))| {
            let alive = self.image_behind(group).is_some_and(|running| running == *image);
            let rate = self.traffic.images.get(image).map_or(0.0, |image| image.leaked_connections);
            if alive { f64::from(*minutes) * rate } else { 0.0 }
        };
        self.traffic.served_minutes.iter().map(leaked).sum()
    }
}

impl Traffic {
    /// True if this image behind this group hangs.
    pub(crate) fn hangs(&self, group: &str, image: &str) -> bool {
        let after = self.images.get(image).and_then(|image| image.hangs_after);
        let served = self.served_minutes.get(group).filter(|(served, _)| served == image);
        after.is_some_and(|after| served.is_some_and(|(_, minutes)| *minutes > after))
    }

    /// Counts a minute of traffic for the image behind a group and gives how many it has served.
    fn age(&mut self, group: &str, image: &str) -> u32 {
        let entry = self.served_minutes.entry(group.to_owned()).or_insert_with(|| (image.to_owned(), 0));
        if entry.0 != image {
            *entry = (image.to_owned(), 0);
        }
        entry.1 += 1;
        entry.1
    }
}

/// A number in [0, 1) that depends on seed, time and name only.
fn unit(seed: u64, at: Timestamp, name: &str) -> f64 {
    use sha2::{Digest, Sha256};
    let hash = Sha256::digest(format!("{seed}:{}:{name}", at.as_second()));
    f64::from(u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]])) / (f64::from(u32::MAX) + 1.0)
}
