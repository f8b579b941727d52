//! Operations: one module per service turns inputs into changes of the world and outputs with AWS's member names.

use crate::{error::ApiError, node::Node, protocol::Service, world::World};

mod cloudwatch;
mod codedeploy;
mod ecs;
mod elb;
mod page;
mod rds;
mod secrets;
mod ssm;
mod sts;

/// What carries an operation out; the variant says whether it can change the world.
#[derive(Clone, Copy)]
enum Handler {
    Reads(fn(&World, &Node) -> Result<Node, ApiError>),
    Writes(fn(&mut World, &Node) -> Result<Node, ApiError>),
}

/// An operation's name and what carries it out.
type Operation = (&'static str, Handler);

/// The operations of a service: the only way to a handler, and so the whole of what is simulated.
fn table(service: Service) -> &'static [Operation] {
    match service {
        Service::Ssm => ssm::OPERATIONS,
        Service::Sts => sts::OPERATIONS,
        Service::SecretsManager => secrets::OPERATIONS,
        Service::CloudWatch => cloudwatch::OPERATIONS,
        Service::Ecs => ecs::OPERATIONS,
        Service::CodeDeploy => codedeploy::OPERATIONS,
        Service::Elb => elb::OPERATIONS,
        Service::Rds => rds::OPERATIONS,
    }
}

/// The names of the operations of a service that are simulated. The ledger of fidelity (`FIDELITY.md`) is held against them.
pub fn operations(service: Service) -> impl Iterator<Item = &'static str> {
    table(service).iter().map(|(name, _)| *name)
}

/// Carries out one operation. An operation that AWS does not have, or that is not modelled, is refused as AWS refuses it:
/// never with a 5xx, which SDKs would retry.
pub(crate) fn dispatch(
    world: &mut World,
    service: Service,
    operation: &str,
    input: &Node,
) -> Result<Node, ApiError> {
    let Some((_, handler)) = table(service).iter().find(|(name, _)| *name == operation) else {
        return Err(ApiError::unknown_operation(service, operation));
    };
    let result = match handler {
        Handler::Reads(read) => read(world, input),
        Handler::Writes(write) => write(world, input),
    };
    result.map_err(|error| as_said_by(service, error))
}

/// The general codes of a malformed input, as the service calls them.
fn as_said_by(service: Service, error: ApiError) -> ApiError {
    match service {
        Service::Ecs if error.is_malformed() => error.coded("InvalidParameterException"),
        Service::CloudWatch if error.code == "ValidationException" => error.coded("MissingParameter"),
        Service::Ssm
        | Service::Sts
        | Service::SecretsManager
        | Service::CloudWatch
        | Service::Ecs
        | Service::CodeDeploy
        | Service::Elb
        | Service::Rds => error,
    }
}
