//! STS: only who one is.

use crate::{error::ApiError, node::Node, world::World};

pub(crate) fn handle(world: &mut World, operation: &str) -> Result<Node, ApiError> {
    match operation {
        "GetCallerIdentity" => Ok(Node::map([
            ("Arn", format!("arn:aws:iam::{}:user/sandbox", world.identity.account).into()),
            ("UserId", "AIDASANDBOXSANDBOXSAN".into()),
            ("Account", (&world.identity.account).into()),
        ])),
        _ => Err(ApiError::new(
            "InvalidAction",
            format!("Could not find operation {operation} for version 2011-06-15"),
        )),
    }
}
