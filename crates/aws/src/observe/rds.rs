//! The instance and the snapshot before purge.

use aws_sdk_rds::types as rds;
use tidegate_model::{
    Fact, Why,
    observation::{Instance, Snapshot, SnapshotStatus},
};

use crate::{Aws, budget::Bucket, call::Operation, parameters::instant, task_definition::MARKER_TAG};

const INSTANCES: Operation = Operation { service: "rds", name: "DescribeDBInstances", bucket: Bucket::Rds };
const BLUE_GREEN: Operation =
    Operation { service: "rds", name: "DescribeBlueGreenDeployments", bucket: Bucket::Rds };
const SNAPSHOTS: Operation = Operation { service: "rds", name: "DescribeDBSnapshots", bucket: Bucket::Rds };

/// What decides how an instance is reached and how strong it is. RDS restores a snapshot with the account's default groups
/// and in one zone, unless it is told otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceSetup {
    /// Its class, for example `db.t4g.medium`.
    pub class: String,
    /// Its subnet group; none outside of a VPC.
    pub subnet_group: Option<String>,
    /// Its VPC security groups.
    pub security_groups: Vec<String>,
    /// Its parameter group.
    pub parameter_group: Option<String>,
    /// Whether it has a standby in another zone.
    pub multi_az: bool,
}

impl Aws {
    /// An instance by its identifier.
    pub(super) async fn instance(&self, id: &str) -> Fact<Instance> {
        let request = self.read.rds.describe_db_instances().db_instance_identifier(id);
        let output = match self.calls.call(INSTANCES, request.send()).await {
            Ok(output) => output,
            Err(failure) if failure.code.starts_with("DBInstanceNotFound") => return Fact::Absent,
            Err(failure) => return Fact::Unknown(failure.why()),
        };
        let Some(found) = output.db_instances().first() else { return Fact::Absent };
        let blue_green = match self.blue_green(found.db_instance_arn().unwrap_or_default()).await {
            Ok(name) => name,
            Err(why) => return Fact::Unknown(why),
        };
        let storage = found.max_allocated_storage().max(found.allocated_storage());
        let status = found.db_instance_status().unwrap_or("unknown").to_owned();
        Fact::Known(Instance {
            id: id.to_owned(),
            resource_id: found.dbi_resource_id().unwrap_or_default().to_owned(),
            storage_bytes: storage.and_then(|gib| u64::try_from(gib).ok()).map(|gib| gib << 30),
            blue_green,
            snapshot_possible: ["available", "storage-optimization"].contains(&status.as_str()),
            status,
        })
    }

    /// The RDS blue/green deployment of an instance that is not over, if there is one.
    async fn blue_green(&self, instance: &str) -> Result<Option<String>, Why> {
        let source = rds::Filter::builder().name("source").values(instance).build();
        let request = self.read.rds.describe_blue_green_deployments().filters(source);
        let output = self.calls.call(BLUE_GREEN, request.send()).await.map_err(|failure| failure.why())?;
        let over = ["SWITCHOVER_COMPLETED", "DELETING", "INVALID_CONFIGURATION", "PROVISIONING_FAILED"];
        let under_way =
            |found: &&rds::BlueGreenDeployment| found.status().is_none_or(|status| !over.contains(&status));
        let found = output.blue_green_deployments().iter().find(under_way);
        Ok(found.map(|found| found.blue_green_deployment_name().unwrap_or("without a name").to_owned()))
    }

    /// How an instance is set up: a restore carries none of it over by itself.
    pub async fn instance_setup(&self, id: &str) -> Fact<InstanceSetup> {
        let request = self.read.rds.describe_db_instances().db_instance_identifier(id);
        let output = match self.calls.call(INSTANCES, request.send()).await {
            Ok(output) => output,
            Err(failure) if failure.code.starts_with("DBInstanceNotFound") => return Fact::Absent,
            Err(failure) => return Fact::Unknown(failure.why()),
        };
        let Some(found) = output.db_instances().first() else { return Fact::Absent };
        let security = found.vpc_security_groups().iter().filter_map(|group| group.vpc_security_group_id());
        Fact::Known(InstanceSetup {
            class: found.db_instance_class().unwrap_or_default().to_owned(),
            subnet_group: found
                .db_subnet_group()
                .and_then(|group| group.db_subnet_group_name())
                .map(str::to_owned),
            security_groups: security.map(str::to_owned).collect(),
            parameter_group: found
                .db_parameter_groups()
                .first()
                .and_then(|group| group.db_parameter_group_name())
                .map(str::to_owned),
            multi_az: found.multi_az().unwrap_or(false),
        })
    }

    /// A manual snapshot by its id.
    pub async fn snapshot(&self, id: &str) -> Fact<Snapshot> {
        let request = self.read.rds.describe_db_snapshots().db_snapshot_identifier(id);
        let output = match self.calls.call(SNAPSHOTS, request.send()).await {
            Ok(output) => output,
            Err(failure) if failure.code.starts_with("DBSnapshotNotFound") => return Fact::Absent,
            Err(failure) => return Fact::Unknown(failure.why()),
        };
        let Some(found) = output.db_snapshots().first() else { return Fact::Absent };
        let status = match found.status() {
            Some("creating") => SnapshotStatus::Creating,
            Some("available") => SnapshotStatus::Available,
            Some("failed") => SnapshotStatus::Failed,
            Some(_) | None => SnapshotStatus::Other,
        };
        let marker = found
            .tag_list()
            .iter()
            .find(|tag| tag.key() == Some(MARKER_TAG))
            .and_then(|tag| tag.value()?.parse().ok());
        Fact::Known(Snapshot {
            id: id.to_owned(),
            resource_id: found.dbi_resource_id().unwrap_or_default().to_owned(),
            marker,
            status,
            percent: u8::try_from(found.percent_progress().unwrap_or(0).clamp(0, 100)).unwrap_or(0),
            available_at: found
                .snapshot_create_time()
                .and_then(instant)
                .filter(|_| status == SnapshotStatus::Available),
        })
    }
}
