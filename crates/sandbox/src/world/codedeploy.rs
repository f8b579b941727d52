//! The state and the dynamics of this service: applications, groups, configs and deployments.

use super::World;

/// The service's state.
#[derive(Debug, Default)]
pub struct CodeDeploy {}

/// What happens in this service by the clock.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {}

pub(crate) fn happen(_world: &mut World, event: Event) {
    match event {}
}

pub(crate) fn minute_closes(_world: &mut World) {}
