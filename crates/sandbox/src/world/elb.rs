//! Load balancers, listeners, rules, target groups and the health of targets.
//!
//! Source: the ELBv2 model's texts. A target is `unused` while nothing forwards to its group, `initial` until its first
//! passed check, then healthy or unhealthy by the group's thresholds; a deregistered one drains for the group's delay.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use jiff::{SignedDuration, Timestamp};

use super::{
    World,
    live::{HealthProbe, LiveListener, LiveTarget, TargetState},
};
use crate::node::Node;

/// The service's state, everything by ARN.
#[derive(Clone, Debug, Default)]
pub struct Elb {
    pub(crate) balancers: BTreeMap<String, Balancer>,
    pub(crate) listeners: BTreeMap<String, Listener>,
    pub(crate) rules: BTreeMap<String, Rule>,
    pub(crate) groups: BTreeMap<String, Group>,
}

/// An application load balancer.
#[derive(Clone, Debug)]
pub(crate) struct Balancer {
    pub arn: String,
    pub name: String,
    pub dns_name: String,
    pub created: Timestamp,
}

/// A listener with its default action.
#[derive(Clone, Debug)]
pub(crate) struct Listener {
    pub arn: String,
    pub balancer: String,
    pub port: u16,
    pub protocol: String,
    pub default: Forward,
}

/// A rule besides the default one.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub arn: String,
    pub listener: String,
    pub priority: u32,
    pub conditions: Node,
    pub action: Forward,
}

/// A forward action: weights by target group, in the order given.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Forward {
    pub groups: Vec<(String, u32)>,
    /// Seconds of target group stickiness, if it is on.
    pub sticky: Option<i64>,
}

impl Forward {
    pub(crate) fn names(&self, group: &str) -> bool {
        self.groups.iter().any(|(arn, _)| arn == group)
    }
}

/// A target group.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub arn: String,
    pub name: String,
    pub port: u16,
    pub check: Check,
    pub deregistration_delay: i64,
    pub targets: BTreeMap<SocketAddr, Target>,
}

impl Group {
    /// The zone with the fewest targets, the first of equals: ECS spreads tasks over zones.
    fn emptiest(&self, zones: Vec<String>) -> String {
        let here = |zone: &String| {
            self.targets.values().filter(|t| t.state != State::Draining && t.zone == *zone).count()
        };
        zones.into_iter().min_by_key(here).unwrap_or_default()
    }

    /// Targets of a state in each zone that has any.
    fn by_zone(&self, state: State) -> BTreeMap<String, u32> {
        let mut counts = BTreeMap::new();
        for target in self.targets.values() {
            *counts.entry(target.zone.clone()).or_default() += u32::from(target.state == state);
        }
        counts
    }
}

/// How a group checks health.
#[derive(Clone, Debug)]
pub(crate) struct Check {
    pub path: String,
    pub interval: i64,
    pub timeout: i64,
    pub healthy_threshold: u32,
    pub unhealthy_threshold: u32,
    pub matcher: (u16, u16),
}

impl Default for Check {
    fn default() -> Self {
        Self {
            path: "/health".to_owned(),
            interval: 30,
            timeout: 5,
            healthy_threshold: 2,
            unhealthy_threshold: 3,
            matcher: (200, 299),
        }
    }
}

/// A registered target.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub state: State,
    /// The availability zone that it runs in.
    pub zone: String,
    /// Consecutive checks that speak against the present state.
    pub streak: u32,
    pub next_check: Timestamp,
}

/// What checks have said of a target. Whether it is in use is a question to the listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Initial,
    Healthy,
    Unhealthy,
    Draining,
}

/// What happens in this service by the clock.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {
    /// A modelled health check.
    CheckDue { group: String, target: SocketAddr },
    /// The deregistration delay is over.
    Drained { group: String, target: SocketAddr },
}

pub(crate) fn happen(world: &mut World, event: Event) {
    match event {
        Event::CheckDue { group, target } => modelled_check(world, &group, target),
        Event::Drained { group, target } => {
            if let Some(group) = world.elb.groups.get_mut(&group)
                && group.targets.get(&target).is_some_and(|t| t.state == State::Draining)
            {
                group.targets.remove(&target);
            }
        }
    }
}

fn modelled_check(world: &mut World, group: &str, target: SocketAddr) {
    let known =
        world.elb.groups.get(group).and_then(|g| g.targets.get(&target).map(|t| (g.check.interval, t.state)));
    let Some((interval, state)) = known else { return };
    if state == State::Draining {
        return;
    }
    if world.elb.is_in_use(group) {
        let ok = world.passes_checks(target);
        world.report_health(group, target, ok);
    }
    let event = Event::CheckDue { group: group.to_owned(), target };
    world.book(SignedDuration::from_secs(interval), super::Event::Elb(event));
}

/// A listener to make.
#[derive(Clone, Debug)]
pub struct NewListener<'a> {
    /// The load balancer's ARN.
    pub balancer: &'a str,
    /// The port.
    pub port: u16,
    /// Target groups with weights.
    pub forward: Vec<(String, u32)>,
}

impl Elb {
    /// True if any listener or rule forwards to the group, at any weight.
    pub(crate) fn is_in_use(&self, group: &str) -> bool {
        self.listeners.values().any(|l| l.default.names(group))
            || self.rules.values().any(|r| r.action.names(group))
    }

    /// The load balancer in front of a group, by the listeners that forward to it.
    pub(crate) fn balancer_of_group(&self, group: &str) -> Option<&Balancer> {
        let by_rule = self.rules.values().filter(|r| r.action.names(group)).map(|r| &r.listener);
        let listener = self
            .listeners
            .values()
            .find(|l| l.default.names(group))
            .or_else(|| by_rule.into_iter().find_map(|arn| self.listeners.get(arn)))?;
        self.balancers.get(&listener.balancer)
    }

    /// Every forward of a listener: its default action and its rules.
    pub(crate) fn forwards_mut<'e>(&'e mut self, listener: &'e str) -> impl Iterator<Item = &'e mut Forward> {
        let default = self.listeners.get_mut(listener).map(|l| &mut l.default);
        let rules = self.rules.values_mut().filter(move |r| r.listener == listener).map(|r| &mut r.action);
        default.into_iter().chain(rules)
    }

    /// Healthy targets of a group.
    pub(crate) fn healthy(&self, group: &str) -> usize {
        self.groups.get(group).map_or(0, |g| g.targets.values().filter(|t| t.state == State::Healthy).count())
    }
}

impl World {
    /// Makes a load balancer; gives its ARN.
    pub fn create_balancer(&mut self, name: &str) -> String {
        let id = self.hex_id()[..16].to_owned();
        let arn = self.identity.arn("elasticloadbalancing", &format!("loadbalancer/app/{name}/{id}"));
        let dns_name = match self.is_live() {
            true => "127.0.0.1".to_owned(),
            false => format!("{name}-1234567890.{}.elb.amazonaws.com", self.identity.region),
        };
        let balancer = Balancer { arn: arn.clone(), name: name.to_owned(), dns_name, created: self.now() };
        self.elb.balancers.insert(arn.clone(), balancer);
        arn
    }

    /// Makes a listener; gives its ARN. `None` if the load balancer does not exist.
    pub fn create_listener(&mut self, new: NewListener<'_>) -> Option<String> {
        let id = self.hex_id()[..16].to_owned();
        let balancer = self.elb.balancers.get(new.balancer)?;
        let arn = format!("{}/{id}", balancer.arn.replace(":loadbalancer/", ":listener/"));
        let listener = Listener {
            arn: arn.clone(),
            balancer: new.balancer.to_owned(),
            port: new.port,
            protocol: "HTTP".to_owned(),
            default: Forward { groups: new.forward, sticky: None },
        };
        self.elb.listeners.insert(arn.clone(), listener);
        Some(arn)
    }

    /// Makes a target group; gives its ARN.
    pub(crate) fn create_target_group(
        &mut self,
        name: &str,
        port: u16,
        check: Check,
        deregistration_delay: i64,
    ) -> String {
        let id = self.hex_id()[..16].to_owned();
        let arn = self.identity.arn("elasticloadbalancing", &format!("targetgroup/{name}/{id}"));
        let group = Group {
            arn: arn.clone(),
            name: name.to_owned(),
            port,
            check,
            deregistration_delay,
            targets: BTreeMap::new(),
        };
        self.elb.groups.insert(arn.clone(), group);
        arn
    }

    /// Registers a target, as ECS does when a task runs. A draining one comes back.
    pub(crate) fn register_target(&mut self, group: &str, target: SocketAddr) {
        let now = self.now();
        let zones = self.identity.zone_names();
        let Some(found) = self.elb.groups.get_mut(group) else { return };
        let before = found.targets.get(&target).map(|t| t.state);
        if before.is_some_and(|state| state != State::Draining) {
            return;
        }
        let first = SignedDuration::from_secs(found.check.interval.min(10));
        let zone = found.emptiest(zones);
        let new = Target { state: State::Initial, zone, streak: 0, next_check: now + first };
        found.targets.insert(target, new);
        if !self.is_live() {
            let event = Event::CheckDue { group: group.to_owned(), target };
            self.book(first, super::Event::Elb(event));
        }
    }

    /// Deregisters a target: it drains for the group's delay and then goes.
    pub(crate) fn deregister_target(&mut self, group: &str, target: SocketAddr) {
        let Some(found) = self.elb.groups.get_mut(group) else { return };
        let delay = SignedDuration::from_secs(found.deregistration_delay);
        if let Some(known) = found.targets.get_mut(&target) {
            known.state = State::Draining;
            let event = Event::Drained { group: group.to_owned(), target };
            self.book(delay, super::Event::Elb(event));
        }
    }

    /// Takes the result of one health check: one passed check makes a new target healthy, the thresholds count for
    /// changes of a known one.
    pub fn report_health(&mut self, target_group: &str, address: SocketAddr, ok: bool) {
        let Some(group) = self.elb.groups.get_mut(target_group) else { return };
        let Some(target) = group.targets.get_mut(&address) else { return };
        let (next, needed) = match (target.state, ok) {
            (State::Draining, _) => return,
            (State::Initial, true) => (State::Healthy, 1),
            (State::Unhealthy, true) => (State::Healthy, group.check.healthy_threshold),
            (State::Initial | State::Healthy, false) => (State::Unhealthy, group.check.unhealthy_threshold),
            (State::Healthy, true) | (State::Unhealthy, false) => {
                target.streak = 0;
                return;
            }
        };
        target.streak += 1;
        if target.streak >= needed {
            (target.state, target.streak) = (next, 0);
        }
    }

    /// Health checks that are due in live mode; each is due again after the group's interval.
    pub fn health_probes_due(&mut self) -> Vec<HealthProbe> {
        let now = self.now();
        let in_use: Vec<String> =
            self.elb.groups.keys().filter(|arn| self.elb.is_in_use(arn)).cloned().collect();
        let mut due = vec![];
        for group in self.elb.groups.values_mut().filter(|g| in_use.contains(&g.arn)) {
            for (address, target) in &mut group.targets {
                if target.state != State::Draining && target.next_check <= now {
                    target.next_check = now + SignedDuration::from_secs(group.check.interval);
                    due.push(HealthProbe {
                        target_group: group.arn.clone(),
                        address: *address,
                        path: group.check.path.clone(),
                        timeout: Duration::from_secs(u64::try_from(group.check.timeout).unwrap_or(5)),
                        matcher: group.check.matcher,
                    });
                }
            }
        }
        due
    }

    /// Every listener and where its default action forwards.
    pub fn live_listeners(&self) -> Vec<LiveListener> {
        self.elb
            .listeners
            .values()
            .map(|listener| LiveListener {
                arn: listener.arn.clone(),
                load_balancer: self
                    .elb
                    .balancers
                    .get(&listener.balancer)
                    .map(|b| b.name.clone())
                    .unwrap_or_default(),
                port: listener.port,
                forward: listener.default.groups.clone(),
            })
            .collect()
    }

    /// The targets of a group with their state.
    pub fn live_targets(&self, target_group: &str) -> Vec<LiveTarget> {
        let in_use = self.elb.is_in_use(target_group);
        let Some(group) = self.elb.groups.get(target_group) else { return vec![] };
        let state = |state: State| match state {
            State::Draining => TargetState::Draining,
            State::Initial | State::Healthy | State::Unhealthy if !in_use => TargetState::Unused,
            State::Initial => TargetState::Initial,
            State::Healthy => TargetState::Healthy,
            State::Unhealthy => TargetState::Unhealthy,
        };
        group
            .targets
            .iter()
            .map(|(address, t)| LiveTarget { address: *address, state: state(t.state) })
            .collect()
    }

    /// The ARN of the load balancer that a listener belongs to.
    pub(crate) fn load_balancer_of(&self, listener: &str) -> Option<String> {
        self.elb.listeners.get(listener).map(|l| l.balancer.clone())
    }

    /// The zone that a target runs in, while it is registered or drains.
    pub(crate) fn zone_of(&self, target_group: &str, target: SocketAddr) -> Option<String> {
        Some(self.elb.groups.get(target_group)?.targets.get(&target)?.zone.clone())
    }

    /// The zones of the targets that a group's requests go to, one for each target: the healthy ones, and if there are none
    /// every one that is not draining.
    pub(crate) fn serving_zones(&self, target_group: &str) -> Vec<String> {
        let Some(group) = self.elb.groups.get(target_group) else { return vec![] };
        let of = |wanted: fn(State) -> bool| -> Vec<String> {
            group.targets.values().filter(|t| wanted(t.state)).map(|t| t.zone.clone()).collect()
        };
        let healthy = of(|state| state == State::Healthy);
        if healthy.is_empty() { of(|state| state != State::Draining) } else { healthy }
    }

    /// Healthy and unhealthy hosts of each group that a load balancer forwards to, by zone.
    pub(crate) fn host_counts(&self) -> Vec<HostCounts> {
        let dimension = |arn: &str| super::cloudwatch::dimension(arn).to_owned();
        let in_use = self.elb.groups.values().filter_map(|group| {
            Some(HostCounts {
                load_balancer: dimension(&self.elb.balancer_of_group(&group.arn)?.arn),
                group: dimension(&group.arn),
                healthy: group.by_zone(State::Healthy),
                unhealthy: group.by_zone(State::Unhealthy),
            })
        });
        in_use.collect()
    }
}

/// Hosts of a target group by zone, with the dimensions of its metrics.
pub(crate) struct HostCounts {
    pub load_balancer: String,
    pub group: String,
    pub healthy: BTreeMap<String, u32>,
    pub unhealthy: BTreeMap<String, u32>,
}
