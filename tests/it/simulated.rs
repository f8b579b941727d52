//! What the sandbox simulates, as botocore calls it.

use std::collections::BTreeSet;

use tidegate_sandbox::{api, protocol::Service};

/// Every operation, as `service:Operation`.
pub(crate) fn operations() -> BTreeSet<String> {
    let named =
        |service| api::operations(service).map(move |name| format!("{}:{name}", in_botocore(service)));
    Service::all().flat_map(named).collect()
}

fn in_botocore(service: Service) -> &'static str {
    match service {
        Service::Elb => "elbv2",
        Service::Ssm
        | Service::Sts
        | Service::SecretsManager
        | Service::CloudWatch
        | Service::Ecs
        | Service::CodeDeploy
        | Service::Rds => service.name(),
    }
}
