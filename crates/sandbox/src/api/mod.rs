//! Operations: one module per service turns inputs into changes of the world and outputs with AWS's member names.

use crate::{error::ApiError, node::Node, protocol::Service, world::World};

mod cloudwatch;
mod codedeploy;
mod ecs;
mod elb;
mod rds;
mod secrets;
mod ssm;
mod sts;

/// Carries out one operation. An operation that AWS does not have, or that is not modelled, is refused as AWS refuses it:
/// never with a 5xx, which SDKs would retry.
pub(crate) fn dispatch(
    world: &mut World,
    service: Service,
    operation: &str,
    input: &Node,
) -> Result<Node, ApiError> {
    match service {
        Service::Ssm => ssm::handle(world, operation, input),
        Service::Sts => sts::handle(world, operation),
        Service::SecretsManager => secrets::handle(world, operation, input),
        Service::CloudWatch => cloudwatch::handle(world, operation, input),
        Service::Ecs => ecs::handle(world, operation, input),
        Service::CodeDeploy => codedeploy::handle(world, operation, input),
        Service::Elb => elb::handle(world, operation, input),
        Service::Rds => rds::handle(world, operation, input),
    }
}
