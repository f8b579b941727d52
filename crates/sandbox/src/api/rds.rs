//! This service's operations.

use crate::{error::ApiError, node::Node, world::World};

pub(crate) fn handle(_world: &mut World, operation: &str, _input: &Node) -> Result<Node, ApiError> {
    Err(ApiError::unknown_operation(operation))
}
