//! Which target gets the next request: weights choose the group, turns choose its target. No I/O.

use std::{net::SocketAddr, sync::Arc};

use crate::world::live::{LiveTarget, TargetState};

/// Where a listener forwards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routes {
    /// Target groups with their weights and targets.
    pub groups: Vec<GroupRoute>,
}

/// A target group behind a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupRoute {
    /// Its ARN.
    pub arn: Arc<str>,
    /// Its weight, 0 to 999.
    pub weight: u32,
    /// Its registered targets.
    pub targets: Vec<LiveTarget>,
}

/// A chosen target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chosen {
    pub(super) group: Arc<str>,
    pub(super) target: SocketAddr,
}

/// Chooses by smooth weighted round robin: in every window of requests the groups' shares are as near to their weights as
/// whole requests allow, without runs of the same group.
#[derive(Debug, Default)]
pub(super) struct Chooser {
    lanes: Vec<Lane>,
}

#[derive(Debug)]
struct Lane {
    group: Arc<str>,
    weight: i64,
    /// What the group is owed: grows by its weight with each request, falls by the sum of weights when it is chosen.
    credit: i64,
    /// Targets that may get a request.
    targets: Vec<SocketAddr>,
    turn: usize,
}

impl Chooser {
    /// Takes new routes. Credits are kept while the weights stay, so that a change of targets does not skew the shares.
    pub(super) fn route(&mut self, routes: &Routes) {
        let same_weights = self.lanes.len() == routes.groups.len()
            && self
                .lanes
                .iter()
                .zip(&routes.groups)
                .all(|(lane, group)| lane.group == group.arn && lane.weight == i64::from(group.weight));
        let old = std::mem::take(&mut self.lanes);
        self.lanes = routes
            .groups
            .iter()
            .map(|group| {
                let before = old.iter().find(|lane| lane.group == group.arn);
                Lane {
                    group: group.arn.clone(),
                    weight: i64::from(group.weight),
                    credit: before.filter(|_| same_weights).map_or(0, |lane| lane.credit),
                    targets: eligible(&group.targets),
                    turn: before.map_or(0, |lane| lane.turn),
                }
            })
            .collect();
    }

    /// The next target. `None` if no weight is set, or if the chosen group has no target: a load balancer does not look
    /// into its other groups then.
    pub(super) fn next(&mut self) -> Option<Chosen> {
        let total: i64 = self.lanes.iter().map(|lane| lane.weight).sum();
        for lane in &mut self.lanes {
            lane.credit += lane.weight;
        }
        // The first of equals, so that the order of the groups decides and not chance.
        let best = self.lanes.iter().filter(|lane| lane.weight > 0).map(|lane| lane.credit).max()?;
        let lane = self.lanes.iter_mut().find(|lane| lane.weight > 0 && lane.credit == best)?;
        lane.credit -= total;
        let count = lane.targets.len();
        lane.turn = lane.turn.wrapping_add(1);
        let target = *lane.targets.get(lane.turn.checked_rem(count)?)?;
        Some(Chosen { group: lane.group.clone(), target })
    }
}

/// Healthy targets; if there are none, every registered one that is not draining: a load balancer fails open.
fn eligible(targets: &[LiveTarget]) -> Vec<SocketAddr> {
    let with = |wanted: fn(TargetState) -> bool| -> Vec<SocketAddr> {
        targets.iter().filter(|target| wanted(target.state)).map(|target| target.address).collect()
    };
    let healthy = with(|state| state == TargetState::Healthy);
    if healthy.is_empty() { with(|state| state != TargetState::Draining) } else { healthy }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn target(port: u16, state: TargetState) -> LiveTarget {
        LiveTarget { address: SocketAddr::from(([127, 0, 0, 1], port)), state }
    }

    fn group(arn: &str, weight: u32, targets: &[LiveTarget]) -> GroupRoute {
        GroupRoute { arn: arn.into(), weight, targets: targets.to_vec() }
    }

    fn chooser(groups: &[GroupRoute]) -> Chooser {
        let mut chooser = Chooser::default();
        chooser.route(&Routes { groups: groups.to_vec() });
        chooser
    }

    fn ports(chooser: &mut Chooser, requests: usize) -> BTreeMap<u16, usize> {
        let mut counts = BTreeMap::new();
        for _ in 0..requests {
            if let Some(chosen) = chooser.next() {
                *counts.entry(chosen.target.port()).or_default() += 1;
            }
        }
        counts
    }

    #[test]
    fn shares_equal_the_weights_in_every_hundred_requests() {
        for green in 0..=100_u32 {
            let blue = 100 - green;
            let mut chooser = chooser(&[
                group("blue", blue, &[target(1, TargetState::Healthy)]),
                group("green", green, &[target(2, TargetState::Healthy)]),
            ]);
            for _ in 0..3 {
                let counts = ports(&mut chooser, 100);
                assert_eq!(counts.get(&1).copied().unwrap_or(0), blue as usize);
                assert_eq!(counts.get(&2).copied().unwrap_or(0), green as usize);
            }
        }
    }

    #[test]
    fn targets_of_a_group_take_turns() {
        let healthy = [1, 2, 3].map(|port| target(port, TargetState::Healthy));
        let mut chooser = chooser(&[group("blue", 1, &healthy)]);
        assert_eq!(ports(&mut chooser, 300), BTreeMap::from([(1, 100), (2, 100), (3, 100)]));
    }

    #[test]
    fn only_healthy_targets_are_chosen_while_there_is_one() {
        let mut chooser = chooser(&[group(
            "blue",
            1,
            &[
                target(1, TargetState::Unhealthy),
                target(2, TargetState::Healthy),
                target(3, TargetState::Initial),
                target(4, TargetState::Draining),
            ],
        )]);
        assert_eq!(ports(&mut chooser, 10), BTreeMap::from([(2, 10)]));
    }

    #[test]
    fn it_fails_open_when_every_target_is_unhealthy_but_never_to_a_draining_one() {
        let mut chooser = chooser(&[group(
            "blue",
            1,
            &[
                target(1, TargetState::Unhealthy),
                target(2, TargetState::Draining),
                target(3, TargetState::Unhealthy),
            ],
        )]);
        assert_eq!(ports(&mut chooser, 10), BTreeMap::from([(1, 5), (3, 5)]));
    }

    #[test]
    fn a_group_without_targets_gets_its_share_of_requests_and_cannot_serve_it() {
        let mut chooser =
            chooser(&[group("blue", 3, &[target(1, TargetState::Healthy)]), group("green", 1, &[])]);
        assert_eq!(ports(&mut chooser, 100), BTreeMap::from([(1, 75)]));
    }

    #[test]
    fn no_group_is_chosen_while_all_weights_are_zero() {
        let mut chooser = chooser(&[group("blue", 0, &[target(1, TargetState::Healthy)])]);
        assert_eq!(chooser.next(), None);
    }

    #[test]
    fn a_change_of_targets_does_not_skew_the_shares() {
        let mut chooser = Chooser::default();
        let mut counts: BTreeMap<u16, usize> = BTreeMap::new();
        for round in 0..1000_u32 {
            let state = if round % 2 == 0 { TargetState::Healthy } else { TargetState::Unhealthy };
            chooser.route(&Routes {
                groups: vec![
                    group("blue", 9, &[target(1, TargetState::Healthy), target(3, state)]),
                    group("green", 1, &[target(2, state)]),
                ],
            });
            *counts.entry(chooser.next().unwrap().target.port()).or_default() += 1;
        }
        assert_eq!(counts[&2], 100);
    }
}
