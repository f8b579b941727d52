//! The instance and the snapshot before purge.

use tidegate_model::{
    Fact,
    observation::{Instance, Snapshot, SnapshotStatus},
};

use crate::{Aws, budget::Bucket, call::Operation, parameters::instant, task_definition::MARKER_TAG};

const INSTANCES: Operation = Operation { service: "rds", name: "DescribeDBInstances", bucket: Bucket::Rds };
const SNAPSHOTS: Operation = Operation { service: "rds", name: "DescribeDBSnapshots", bucket: Bucket::Rds };

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
        let status = found.db_instance_status().unwrap_or("unknown").to_owned();
        Fact::Known(Instance {
            id: id.to_owned(),
            resource_id: found.dbi_resource_id().unwrap_or_default().to_owned(),
            snapshot_possible: ["available", "storage-optimization"].contains(&status.as_str()),
            status,
        })
    }

    /// A manual snapshot by its id.
    pub(super) async fn snapshot(&self, id: &str) -> Fact<Snapshot> {
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
