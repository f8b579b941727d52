//! The state and the dynamics of this service: load balancers, listeners, rules, target groups and targets.

use super::World;

/// The service's state.
#[derive(Debug, Default)]
pub struct Elb {}

/// What happens in this service by the clock.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {}

pub(crate) fn happen(_world: &mut World, event: Event) {
    match event {}
}
