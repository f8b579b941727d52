//! Acting: one exhaustive match from a step to one call.

use std::future::Future;

use aws_sdk_codedeploy::types as cd;
use aws_sdk_ssm::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use tidegate_model::{
    Digest,
    decision::{CreateDeployment, Outcome, Register, Step},
    name::Marker,
    revision::RevisionArn,
    spec::Shift,
};

use crate::{
    ActError, Aws,
    budget::Bucket,
    call::Operation,
    error::{Failure, Kind},
    task_definition::{MARKER_TAG, registration},
};

const fn codedeploy(name: &'static str) -> Operation {
    Operation { service: "codedeploy", name, bucket: Bucket::CodeDeploy }
}

const REGISTER: Operation =
    Operation { service: "ecs", name: "RegisterTaskDefinition", bucket: Bucket::EcsWrite };
const SNAPSHOT: Operation = Operation { service: "rds", name: "CreateDBSnapshot", bucket: Bucket::Rds };

impl Aws {
    /// Sends one step. What it causes is observed, not believed.
    ///
    /// # Errors
    /// [`ActError::Refused`] if it had no effect, [`ActError::InDoubt`] if that is not known, [`ActError::NotMine`] for
    /// steps that are not calls to AWS.
    pub async fn act(&self, step: &Step) -> Result<Outcome, ActError> {
        match step {
            Step::RegisterTaskDefinition(register) => self.register(register).await,
            Step::CreateDeploymentConfig { name, shift } => self.create_config(name, *shift).await,
            Step::CreateDeployment(create) => self.create_deployment(create).await,
            Step::ContinueTraffic { deployment } => {
                self.continue_deployment(deployment, cd::DeploymentWaitType::ReadyWait).await
            }
            Step::ContinueTermination { deployment } => {
                self.continue_deployment(deployment, cd::DeploymentWaitType::TerminationWait).await
            }
            Step::StopDeployment { deployment } => self.stop_deployment(deployment).await,
            Step::RunTask(run) => self.run_task(run).await,
            Step::CreateSnapshot { instance, snapshot, marker } => {
                self.create_snapshot(instance, snapshot, marker).await
            }
            Step::Verify(_)
            | Step::Expand(_)
            | Step::Backfill(_)
            | Step::Hide(_)
            | Step::Unhide(_)
            | Step::Purge(_) => Err(ActError::NotMine),
        }
    }

    pub(crate) async fn send<T, E: ProvideErrorMetadata>(
        &self,
        operation: Operation,
        send: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T, ActError> {
        self.calls.step(operation, send).await.map_err(Failure::into_act)
    }

    /// The content is sent as the JSON that was decided, whatever the SDK's types know of it.
    async fn register(&self, register: &Register) -> Result<Outcome, ActError> {
        if Digest::of_json(&register.content) != register.digest {
            return Err(ActError::Refused { code: "ContentChanged".to_owned(), retry: false });
        }
        let request = self
            .write
            .ecs
            .register_task_definition()
            .family(register.base.family())
            .container_definitions(aws_sdk_ecs::types::ContainerDefinition::builder().build())
            .customize()
            .mutate_request(registration(register));
        let output = self.send(REGISTER, request.send()).await?;
        let arn = output.task_definition.and_then(|definition| definition.task_definition_arn);
        arn.map(|arn| Outcome::Registered(RevisionArn(arn))).ok_or_else(no_answer)
    }

    async fn create_config(&self, name: &str, shift: Shift) -> Result<Outcome, ActError> {
        let request = self
            .write
            .codedeploy
            .create_deployment_config()
            .deployment_config_name(name)
            .compute_platform(cd::ComputePlatform::Ecs)
            .traffic_routing_config(routing(shift));
        match self.send(codedeploy("CreateDeploymentConfig"), request.send()).await {
            // The name is derived from the shift: one that exists is the same.
            Err(ActError::Refused { code, .. }) if code == "DeploymentConfigAlreadyExistsException" => {
                Ok(Outcome::Accepted)
            }
            result => result.map(|_| Outcome::Accepted),
        }
    }

    async fn create_deployment(&self, create: &CreateDeployment) -> Result<Outcome, ActError> {
        let content = appspec(create);
        let revision = cd::RevisionLocation::builder()
            .revision_type(cd::RevisionLocationType::AppSpecContent)
            .app_spec_content(cd::AppSpecContent::builder().content(content).build())
            .build();
        let rollback = cd::AutoRollbackConfiguration::builder()
            .enabled(true)
            .events(cd::AutoRollbackEvent::DeploymentFailure)
            .events(cd::AutoRollbackEvent::DeploymentStopOnAlarm)
            .events(cd::AutoRollbackEvent::DeploymentStopOnRequest)
            .build();
        let mut request = self
            .write
            .codedeploy
            .create_deployment()
            .application_name(&create.application)
            .deployment_group_name(&create.group)
            .deployment_config_name(&create.config)
            .description(create.marker.to_string())
            .revision(revision)
            .auto_rollback_configuration(rollback);
        if create.ignore_alarms {
            let none =
                cd::AlarmConfiguration::builder().enabled(false).ignore_poll_alarm_failure(true).build();
            request = request.override_alarm_configuration(none);
        }
        let operation = codedeploy("CreateDeployment");
        let output = if create.ignore_alarms {
            self.calls.at_once(operation, request.send()).await.map_err(Failure::into_act)?
        } else {
            self.send(operation, request.send()).await?
        };
        output.deployment_id.map(Outcome::DeploymentCreated).ok_or_else(no_answer)
    }

    async fn continue_deployment(
        &self,
        deployment: &str,
        wait: cd::DeploymentWaitType,
    ) -> Result<Outcome, ActError> {
        let request =
            self.write.codedeploy.continue_deployment().deployment_id(deployment).deployment_wait_type(wait);
        self.send(codedeploy("ContinueDeployment"), request.send()).await.map(|_| Outcome::Accepted)
    }

    async fn stop_deployment(&self, deployment: &str) -> Result<Outcome, ActError> {
        let request =
            self.write.codedeploy.stop_deployment().deployment_id(deployment).auto_rollback_enabled(true);
        let result = self.calls.at_once(codedeploy("StopDeployment"), request.send()).await;
        match result.map_err(Failure::into_act) {
            // It ended by itself meanwhile: what it came to is observed.
            Err(ActError::Refused { code, .. }) if code == "DeploymentAlreadyCompletedException" => {
                Ok(Outcome::Accepted)
            }
            result => result.map(|_| Outcome::Accepted),
        }
    }

    async fn create_snapshot(
        &self,
        instance: &str,
        snapshot: &str,
        marker: &Marker,
    ) -> Result<Outcome, ActError> {
        let tag = aws_sdk_rds::types::Tag::builder().key(MARKER_TAG).value(marker.to_string()).build();
        let request = self
            .write
            .rds
            .create_db_snapshot()
            .db_instance_identifier(instance)
            .db_snapshot_identifier(snapshot)
            .tags(tag);
        match self.send(SNAPSHOT, request.send()).await {
            // The id is the idempotency key; whose snapshot it is, is read before anything rests on it.
            Err(ActError::Refused { code, .. }) if code.starts_with("DBSnapshotAlreadyExists") => {
                Ok(Outcome::Accepted)
            }
            result => result.map(|_| Outcome::Accepted),
        }
    }
}

pub(crate) fn no_answer() -> ActError {
    Failure { code: "empty answer".to_owned(), kind: Kind::Malformed }.into_act()
}

fn whole_minutes(span: tidegate_model::duration::Span) -> i32 {
    span.whole_minutes().and_then(|minutes| i32::try_from(minutes).ok()).unwrap_or(1)
}

fn routing(shift: Shift) -> cd::TrafficRoutingConfig {
    let builder = cd::TrafficRoutingConfig::builder();
    match shift {
        Shift::AllAtOnce => builder.r#type(cd::TrafficRoutingType::AllAtOnce).build(),
        Shift::Linear { percent, every } => builder
            .r#type(cd::TrafficRoutingType::TimeBasedLinear)
            .time_based_linear(
                cd::TimeBasedLinear::builder()
                    .linear_percentage(i32::from(percent))
                    .linear_interval(whole_minutes(every))
                    .build(),
            )
            .build(),
        Shift::Canary { percent, r#for } => builder
            .r#type(cd::TrafficRoutingType::TimeBasedCanary)
            .time_based_canary(
                cd::TimeBasedCanary::builder()
                    .canary_percentage(i32::from(percent))
                    .canary_interval(whole_minutes(r#for))
                    .build(),
            )
            .build(),
    }
}

/// The AppSpec of an ECS deployment. Source: CodeDeploy's AppSpec reference for ECS.
fn appspec(create: &CreateDeployment) -> String {
    serde_json::json!({
        "version": 0.0,
        "Resources": [{ "TargetService": { "Type": "AWS::ECS::Service", "Properties": {
            "TaskDefinition": create.revision.0,
            "LoadBalancerInfo": { "ContainerName": create.container, "ContainerPort": create.port }
        } } }]
    })
    .to_string()
}
