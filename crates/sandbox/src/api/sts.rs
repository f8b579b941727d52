//! STS: only who one is.

use super::{Handler::Reads, Operation};
use crate::{error::ApiError, node::Node, world::World};

pub(super) const OPERATIONS: &[Operation] = &[("GetCallerIdentity", Reads(get_caller_identity))];

fn get_caller_identity(world: &World, _: &Node) -> Result<Node, ApiError> {
    Ok(Node::map([
        ("Arn", format!("arn:aws:iam::{}:user/sandbox", world.identity.account).into()),
        ("UserId", "AIDASANDBOXSANDBOXSAN".into()),
        ("Account", (&world.identity.account).into()),
    ]))
}
