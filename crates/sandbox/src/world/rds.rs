//! The state and the dynamics of this service: instances and snapshots.

use super::World;

/// The service's state.
#[derive(Debug, Default)]
pub struct Rds {}

/// What happens in this service by the clock.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {}

pub(crate) fn happen(_world: &mut World, event: Event) {
    match event {}
}

impl World {
    /// Connections of each instance now.
    pub(crate) fn database_connections(&self) -> Vec<(String, f64)> {
        vec![]
    }
}
