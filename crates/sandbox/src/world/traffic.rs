//! The modelled traffic.

use super::World;

/// The traffic model.
#[derive(Debug, Default)]
pub struct Traffic {}

pub(crate) fn minute_closes(_world: &mut World) {}
