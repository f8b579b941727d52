//! RDS's operations: instances, manual snapshots, restores, tags and server logs.

use super::{
    Handler::{Reads, Writes},
    Operation,
};
use crate::{
    error::ApiError,
    node::Node,
    world::{
        World,
        rds::{Groups, Instance, InstanceStatus, Snapshot, SnapshotStatus},
    },
};

mod log;

pub(super) const OPERATIONS: &[Operation] = &[
    ("DescribeDBInstances", Reads(describe_instances)),
    ("DescribeDBSnapshots", Reads(describe_snapshots)),
    ("DescribeBlueGreenDeployments", Reads(describe_blue_green)),
    ("CreateDBSnapshot", Writes(create_snapshot)),
    ("DeleteDBSnapshot", Writes(delete_snapshot)),
    ("RestoreDBInstanceFromDBSnapshot", Writes(restore)),
    ("ListTagsForResource", Reads(list_tags)),
    ("AddTagsToResource", Writes(add_tags)),
    ("RemoveTagsFromResource", Writes(remove_tags)),
    ("DescribeDBLogFiles", Reads(log::describe_files)),
    ("DownloadDBLogFilePortion", Reads(log::download_portion)),
];

/// Manual snapshots that an account may have in a region.
const SNAPSHOT_QUOTA: usize = 100;

fn invalid(message: &str) -> ApiError {
    ApiError::new("InvalidParameterValue", message)
}

fn instance_not_found(id: &str) -> ApiError {
    ApiError::new("DBInstanceNotFound", format!("DBInstance {id} not found.")).status(404)
}

fn snapshot_not_found(id: &str) -> ApiError {
    ApiError::new("DBSnapshotNotFound", format!("DBSnapshot {id} not found.")).status(404)
}

/// Identifiers are stored in lower case; where one is accepted, its ARN often is too.
fn identifier(text: &str) -> String {
    text.rsplit(':').next().unwrap_or(text).to_ascii_lowercase()
}

/// A new identifier: 1 to `most` letters, digits and hyphens, a letter first, no hyphen at the end and no two in a row.
fn new_identifier(input: &Node, key: &str, most: usize) -> Result<String, ApiError> {
    let id = input.text(key)?.to_ascii_lowercase();
    let right = id.starts_with(|c: char| c.is_ascii_lowercase())
        && id.len() <= most
        && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        && !id.ends_with('-')
        && !id.contains("--");
    if right {
        return Ok(id);
    }
    Err(invalid(&format!(
        "The parameter {key} is not a valid identifier. Identifiers must begin with a letter; must contain only ASCII letters, digits, and hyphens; and must not end with a hyphen or contain two consecutive hyphens."
    )))
}

fn tags(input: &Node) -> Result<Vec<(String, String)>, ApiError> {
    input
        .items("Tags")?
        .iter()
        .map(|tag| Ok((tag.text("Key")?.to_owned(), tag.opt_text("Value")?.unwrap_or("").to_owned())))
        .collect()
}

fn tag_nodes(tags: &[(String, String)]) -> Node {
    Node::list(tags.iter().map(|(k, v)| Node::map([("Key", k.into()), ("Value", v.into())])))
}

fn marker(tags: &[(String, String)]) -> Option<String> {
    tags.iter().find(|(key, _)| key == "tidegate:marker").map(|(_, value)| value.clone())
}

/// `(name, values)` of each filter; a name that the operation does not know is refused.
fn filters(input: &Node, known: &[&str]) -> Result<Vec<(String, Vec<String>)>, ApiError> {
    let mut all = vec![];
    for filter in input.items("Filters")? {
        let (name, values) = (filter.text("Name")?, filter.text_items("Values")?);
        if !known.contains(&name) {
            return Err(invalid(&format!("Unrecognized filter name: {name}")));
        }
        all.push((name.to_owned(), values));
    }
    Ok(all)
}

/// A page of what was found, and the marker of the next one: the id of the page's last item.
fn page<'w, T>(
    input: &Node,
    found: impl Iterator<Item = &'w T>,
    id: impl Fn(&T) -> &str,
) -> Result<(Vec<&'w T>, Option<String>), ApiError> {
    let size = input.opt_int("MaxRecords")?.unwrap_or(100);
    let size = usize::try_from(size)
        .ok()
        .filter(|size| (20..=100).contains(size))
        .ok_or_else(|| invalid("Invalid value for max records. Must be between 20 and 100"))?;
    let after = input.opt_text("Marker")?;
    let rest: Vec<&T> = found.filter(|item| after.is_none_or(|after| id(item) > after)).collect();
    let next = match rest.get(size - 1) {
        Some(last) if rest.len() > size => Some(id(last).to_owned()),
        Some(_) | None => None,
    };
    Ok((rest.into_iter().take(size).collect(), next))
}

fn instance_node(instance: &Instance) -> Node {
    let endpoint = instance.endpoint.as_ref().map(|(address, port)| {
        Node::map([
            ("Address", address.into()),
            ("Port", (*port).into()),
            ("HostedZoneId", "Z29XKXDKYMONMX".into()),
        ])
    });
    let secret = instance
        .master_secret
        .as_ref()
        .map(|arn| Node::map([("SecretArn", arn.into()), ("SecretStatus", "active".into())]));
    let groups = &instance.groups;
    let security = groups
        .security
        .iter()
        .map(|id| Node::map([("VpcSecurityGroupId", id.into()), ("Status", "active".into())]));
    let parameter = Node::map([
        ("DBParameterGroupName", (&groups.parameter).into()),
        ("ParameterApplyStatus", "in-sync".into()),
    ]);
    Node::map([
        ("DBInstanceIdentifier", (&instance.id).into()),
        ("DBInstanceClass", "db.t4g.medium".into()),
        ("Engine", (&instance.engine).into()),
        ("DBInstanceStatus", instance.status.as_str().into()),
        ("MasterUsername", (&instance.username).into()),
        ("DBName", instance.database.clone().into()),
        ("Endpoint", endpoint.into()),
        ("AllocatedStorage", 20_i64.into()),
        ("InstanceCreateTime", instance.created.into()),
        ("BackupRetentionPeriod", 7_i64.into()),
        ("MultiAZ", instance.groups.multi_az.into()),
        ("EngineVersion", (&instance.engine_version).into()),
        ("PubliclyAccessible", false.into()),
        ("StorageType", "gp3".into()),
        ("DbInstancePort", 0_i64.into()),
        ("DBClusterIdentifier", instance.cluster.clone().into()),
        ("StorageEncrypted", true.into()),
        ("DbiResourceId", (&instance.resource_id).into()),
        ("DBInstanceArn", (&instance.arn).into()),
        ("DeletionProtection", false.into()),
        ("MasterUserSecret", secret.into()),
        ("TagList", tag_nodes(&instance.tags)),
        ("DBSubnetGroup", Node::map([("DBSubnetGroupName", (&groups.subnet).into())])),
        ("VpcSecurityGroups", Node::list(security)),
        ("DBParameterGroups", Node::list([parameter])),
    ])
}

/// Filtered by their source, as the daemon asks; other filters are refused rather than ignored.
fn describe_blue_green(world: &World, input: &Node) -> Result<Node, ApiError> {
    let mut sources = None;
    for filter in input.items("Filters")? {
        match filter.text("Name")? {
            "source" => sources = Some(filter.text_items("Values")?),
            _ => return Err(invalid("The sandbox knows the filter source only.")),
        }
    }
    let of_source = |source: &String| sources.as_ref().is_none_or(|wanted| wanted.contains(source));
    let each = world.rds.blue_green.iter().filter(|(_, source)| of_source(source)).map(|(name, source)| {
        Node::map([
            ("BlueGreenDeploymentIdentifier", format!("bgd-{name}").into()),
            ("BlueGreenDeploymentName", name.into()),
            ("Source", source.into()),
            ("Status", "AVAILABLE".into()),
        ])
    });
    Ok(Node::map([("BlueGreenDeployments", Node::list(each))]))
}

fn snapshot_node(world: &World, snapshot: &Snapshot) -> Node {
    Node::map([
        ("DBSnapshotIdentifier", (&snapshot.id).into()),
        ("DBInstanceIdentifier", (&snapshot.instance).into()),
        ("SnapshotCreateTime", snapshot.created.into()),
        ("OriginalSnapshotCreateTime", snapshot.created.into()),
        ("SnapshotDatabaseTime", snapshot.created.into()),
        ("Engine", (&snapshot.engine).into()),
        ("EngineVersion", (&snapshot.engine_version).into()),
        ("AllocatedStorage", 20_i64.into()),
        ("Status", snapshot.status.as_str().into()),
        ("Port", snapshot.port.into()),
        ("InstanceCreateTime", snapshot.instance_created.into()),
        ("MasterUsername", (&snapshot.username).into()),
        ("SnapshotType", "manual".into()),
        ("PercentProgress", snapshot.percent(world.now()).into()),
        ("StorageType", "gp3".into()),
        ("Encrypted", true.into()),
        ("DBSnapshotArn", (&snapshot.arn).into()),
        ("DbiResourceId", (&snapshot.resource_id).into()),
        ("SnapshotTarget", "region".into()),
        ("TagList", tag_nodes(&snapshot.tags)),
    ])
}

fn describe_instances(world: &World, input: &Node) -> Result<Node, ApiError> {
    let asked = input.opt_text("DBInstanceIdentifier")?.map(identifier);
    if let Some(id) = asked.as_ref().filter(|id| !world.rds.instances.contains_key(*id)) {
        return Err(instance_not_found(id));
    }
    let filters = filters(input, &["db-instance-id", "dbi-resource-id", "db-cluster-id", "engine"])?;
    let passes = |instance: &&Instance| {
        asked.as_ref().is_none_or(|id| instance.id == *id)
            && filters.iter().all(|(name, values)| {
                values.iter().any(|value| match name.as_str() {
                    "db-instance-id" => instance.id == identifier(value),
                    "dbi-resource-id" => instance.resource_id == *value,
                    "db-cluster-id" => instance.cluster.as_ref() == Some(value),
                    _ => instance.engine == *value,
                })
            })
    };
    let (found, next) = page(input, world.rds.instances.values().filter(passes), |i| &i.id)?;
    let shown = found.into_iter().map(instance_node);
    Ok(Node::map([("Marker", next.into()), ("DBInstances", Node::list(shown))]))
}

fn describe_snapshots(world: &World, input: &Node) -> Result<Node, ApiError> {
    let asked = input.opt_text("DBSnapshotIdentifier")?.map(identifier);
    if let Some(id) = asked.as_ref().filter(|id| !world.rds.snapshots.contains_key(*id)) {
        return Err(snapshot_not_found(id));
    }
    let instance = input.opt_text("DBInstanceIdentifier")?.map(identifier);
    let (kind, resource) = (input.opt_text("SnapshotType")?, input.opt_text("DbiResourceId")?);
    let known = ["db-snapshot-id", "db-instance-id", "dbi-resource-id", "snapshot-type", "engine"];
    let filters = filters(input, &known)?;
    let passes = |snapshot: &&Snapshot| {
        asked.as_ref().is_none_or(|id| snapshot.id == *id)
            && instance.as_ref().is_none_or(|id| snapshot.instance == *id)
            && kind.is_none_or(|kind| kind == "manual")
            && resource.is_none_or(|id| snapshot.resource_id == id)
            && filters.iter().all(|(name, values)| {
                values.iter().any(|value| match name.as_str() {
                    "db-snapshot-id" => snapshot.id == identifier(value),
                    "db-instance-id" => snapshot.instance == identifier(value),
                    "dbi-resource-id" => snapshot.resource_id == *value,
                    "snapshot-type" => value == "manual",
                    _ => snapshot.engine == *value,
                })
            })
    };
    let (found, next) = page(input, world.rds.snapshots.values().filter(passes), |s| &s.id)?;
    let shown = found.into_iter().map(|snapshot| snapshot_node(world, snapshot));
    Ok(Node::map([("Marker", next.into()), ("DBSnapshots", Node::list(shown))]))
}

fn create_snapshot(world: &mut World, input: &Node) -> Result<Node, ApiError> {
    let id = new_identifier(input, "DBSnapshotIdentifier", 255)?;
    let of = identifier(input.text("DBInstanceIdentifier")?);
    let tags = tags(input)?;
    if world.rds.snapshots.contains_key(&id) {
        return Err(ApiError::new(
            "DBSnapshotAlreadyExists",
            format!("Cannot create the snapshot because a snapshot with the identifier {id} already exists."),
        ));
    }
    let instance = world.rds.instances.get(&of).cloned().ok_or_else(|| instance_not_found(&of))?;
    match instance.status {
        InstanceStatus::Available => {}
        InstanceStatus::Creating | InstanceStatus::BackingUp => {
            return Err(ApiError::new(
                "InvalidDBInstanceState",
                format!(
                    "Cannot create a snapshot because the database instance {of} is not currently in the available state."
                ),
            ));
        }
    }
    if world.rds.snapshots.len() >= world.rds.snapshot_quota.unwrap_or(SNAPSHOT_QUOTA) {
        return Err(ApiError::new("SnapshotQuotaExceeded", "Cannot create more than 100 manual snapshots"));
    }
    let marker = marker(&tags);
    let snapshot = world.create_db_snapshot(&id, &instance, tags);
    world.note_effect("rds", "CreateDBSnapshot", &id, format!("snapshot of {of} begun"), marker);
    Ok(Node::map([("DBSnapshot", snapshot_node(world, &snapshot))]))
}

fn delete_snapshot(world: &mut World, input: &Node) -> Result<Node, ApiError> {
    let id = identifier(input.text("DBSnapshotIdentifier")?);
    let snapshot = world.rds.snapshots.get(&id).ok_or_else(|| snapshot_not_found(&id))?;
    if snapshot.status == SnapshotStatus::Creating {
        return Err(ApiError::new(
            "InvalidDBSnapshotState",
            format!("Cannot delete the snapshot {id} because it is not currently in the available state."),
        ));
    }
    let mut shown = snapshot_node(world, snapshot);
    shown.set("Status", "deleted".into());
    world.rds.snapshots.remove(&id);
    world.note_effect("rds", "DeleteDBSnapshot", &id, "snapshot deleted".to_owned(), None);
    Ok(Node::map([("DBSnapshot", shown)]))
}

fn restore(world: &mut World, input: &Node) -> Result<Node, ApiError> {
    let id = new_identifier(input, "DBInstanceIdentifier", 63)?;
    let from = identifier(input.text("DBSnapshotIdentifier")?);
    let tags = tags(input)?;
    if world.rds.instances.contains_key(&id) {
        return Err(ApiError::new("DBInstanceAlreadyExists", "DB instance already exists"));
    }
    let snapshot = world.rds.snapshots.get(&from).cloned().ok_or_else(|| snapshot_not_found(&from))?;
    if snapshot.status != SnapshotStatus::Available {
        return Err(ApiError::new(
            "InvalidDBSnapshotState",
            format!(
                "Cannot restore from the snapshot {from} because it is not currently in the available state."
            ),
        ));
    }
    let marker = marker(&tags);
    let groups = groups_asked(input, &snapshot.engine_version)?;
    let instance = world.restore_db_instance(&id, &snapshot, groups, tags);
    let effect = format!("restore from {from} begun");
    world.note_effect("rds", "RestoreDBInstanceFromDBSnapshot", &id, effect, marker);
    Ok(Node::map([("DBInstance", instance_node(&instance))]))
}

/// The groups that a restore asks for, over the defaults: what is not asked for is not carried over.
fn groups_asked(input: &Node, engine_version: &str) -> Result<Groups, ApiError> {
    let mut groups = Groups::default_for(engine_version);
    if let Some(subnet) = input.opt_text("DBSubnetGroupName")? {
        subnet.clone_into(&mut groups.subnet);
    }
    if let Some(parameter) = input.opt_text("DBParameterGroupName")? {
        parameter.clone_into(&mut groups.parameter);
    }
    let security = input.text_items("VpcSecurityGroupIds")?;
    if !security.is_empty() {
        groups.security = security;
    }
    groups.multi_az = input.opt_bool("MultiAZ")?.unwrap_or(false);
    Ok(groups)
}

type Tags = Vec<(String, String)>;

/// What has tags: an instance or a snapshot.
enum Tagged<'a> {
    Instance(&'a str),
    Snapshot(&'a str),
}

fn tagged(arn: &str) -> Result<Tagged<'_>, ApiError> {
    let parts: Vec<&str> = arn.splitn(7, ':').collect();
    match parts.as_slice() {
        ["arn", _, "rds", _, _, "db", id] => Ok(Tagged::Instance(id)),
        ["arn", _, "rds", _, _, "snapshot", id] => Ok(Tagged::Snapshot(id)),
        _ => Err(invalid("The specified resource name does not match an RDS resource in this region.")),
    }
}

fn tags_of_mut<'w>(world: &'w mut World, arn: &str) -> Result<&'w mut Tags, ApiError> {
    match tagged(arn)? {
        Tagged::Instance(id) => {
            let found = world.rds.instances.get_mut(id).map(|instance| &mut instance.tags);
            found.ok_or_else(|| instance_not_found(id))
        }
        Tagged::Snapshot(id) => {
            let found = world.rds.snapshots.get_mut(id).map(|snapshot| &mut snapshot.tags);
            found.ok_or_else(|| snapshot_not_found(id))
        }
    }
}

fn list_tags(world: &World, input: &Node) -> Result<Node, ApiError> {
    let tags = match tagged(input.text("ResourceName")?)? {
        Tagged::Instance(id) => &world.rds.instances.get(id).ok_or_else(|| instance_not_found(id))?.tags,
        Tagged::Snapshot(id) => &world.rds.snapshots.get(id).ok_or_else(|| snapshot_not_found(id))?.tags,
    };
    Ok(Node::map([("TagList", tag_nodes(tags))]))
}

fn add_tags(world: &mut World, input: &Node) -> Result<Node, ApiError> {
    let (arn, new) = (input.text("ResourceName")?, tags(input)?);
    let known = tags_of_mut(world, arn)?;
    for (key, value) in new {
        known.retain(|(k, _)| *k != key);
        known.push((key, value));
    }
    let marker = marker(known);
    world.note_effect("rds", "AddTagsToResource", arn, "tags added".to_owned(), marker);
    Ok(Node::empty())
}

fn remove_tags(world: &mut World, input: &Node) -> Result<Node, ApiError> {
    let (arn, keys) = (input.text("ResourceName")?, input.text_items("TagKeys")?);
    tags_of_mut(world, arn)?.retain(|(key, _)| !keys.contains(key));
    world.note_effect("rds", "RemoveTagsFromResource", arn, "tags removed".to_owned(), None);
    Ok(Node::empty())
}
