//! `tidegate restore-plan`: how people get back what a purge destroyed. It only reads and prints: a restore loses data, and
//! that is decided by people.

use jiff::Timestamp;
use reqwest::StatusCode;
use serde::Serialize;
use tidegate_aws::{Aws, InstanceSetup, Settings};
use tidegate_model::{
    Fact, ReleaseName,
    duration::human,
    fact::Why,
    observation::{Snapshot, SnapshotStatus},
    status::{ReleaseStatus, SchemaStatus},
};

use crate::{
    cli::{Output, RestorePlanArgs},
    command::ask,
    exit::{Exit, Failure},
};

#[derive(Debug, thiserror::Error)]
enum PlanError {
    #[error("the name is not a release's: [a-z0-9][a-z0-9-]{{0,62}}")]
    Name,
    #[error("the daemon answered {0}")]
    Refused(StatusCode),
    #[error("the daemon's answer is not a status of this version")]
    NotAStatus(#[source] reqwest::Error),
    #[error("{what} could not be read: {why}")]
    Unread { what: &'static str, why: &'static str },
}

/// What a person needs to restore.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RestorePlan {
    release: String,
    change: String,
    /// The instance that the snapshot is of.
    instance: String,
    snapshot: String,
    /// Everything written since then is not in it.
    taken_at: Option<Timestamp>,
    /// The new instance: RDS always restores to one.
    target: String,
    /// RDS's own estimate is none; blocks are read from storage on first use.
    estimate: &'static str,
    commands: Vec<String>,
}

pub(super) async fn run(args: &RestorePlanArgs) -> Result<Exit, Failure> {
    let name: ReleaseName = args.name.parse().map_err(|_| Failure::usage(PlanError::Name))?;
    let Some(status) = status(&args.url, &name).await? else {
        eprintln!("tidegate: no such release");
        return Ok(Exit::NotFound);
    };
    let taken = status.schema.as_ref().and_then(|schema| Some((schema, schema.snapshot.clone()?)));
    let Some((schema, snapshot)) = taken else {
        println!("No snapshot was taken for release {name}: nothing of it was purged.");
        println!("Going back: {}", status.rollback.how);
        return Ok(Exit::Done);
    };
    let settings = Settings { endpoint_url: args.endpoint_url.clone(), ..Settings::default() };
    let aws = Aws::connect(&settings).await.map_err(Failure::usage)?;
    let taken = known("the snapshot", aws.snapshot(&snapshot).await)?;
    let setup = known("the instance", aws.instance_setup(&schema.instance).await)?;
    let plan = plan(&name, schema, &taken, &setup);
    match args.output {
        Output::Json => {
            println!("{}", serde_json::to_string_pretty(&plan).map_err(Failure::internal)?);
        }
        Output::Text => print(&plan, &status, taken.status),
    }
    Ok(Exit::Done)
}

async fn status(url: &str, name: &ReleaseName) -> Result<Option<ReleaseStatus>, Failure> {
    let answer = ask::get(url, &format!("/api/v1/releases/{name}")).await?;
    match answer.status() {
        StatusCode::OK => {
            let status = answer.json().await;
            Ok(Some(status.map_err(|e| Failure::internal(PlanError::NotAStatus(e.without_url())))?))
        }
        StatusCode::NOT_FOUND => Ok(None),
        other => Err(Failure::internal(PlanError::Refused(other))),
    }
}

fn known<T>(what: &'static str, fact: Fact<T>) -> Result<T, Failure> {
    let why = match fact {
        Fact::Known(value) => return Ok(value),
        Fact::Absent => "it does not exist",
        Fact::Unknown(Why::Denied) => "access was denied",
        Fact::Unknown(_) => "AWS did not answer as it should",
    };
    Err(Failure::internal(PlanError::Unread { what, why }))
}

fn plan(name: &ReleaseName, schema: &SchemaStatus, taken: &Snapshot, setup: &InstanceSetup) -> RestorePlan {
    // At most 63 characters, as RDS wants it.
    let target: String = format!("{:.54}-restored", schema.instance);
    let mut restore = vec![
        "aws rds restore-db-instance-from-db-snapshot".to_owned(),
        format!("--db-snapshot-identifier {}", taken.id),
        format!("--db-instance-identifier {target}"),
        format!("--db-instance-class {}", setup.class),
    ];
    // Without these the new instance has the account's default groups: nobody reaches it, and it is set up differently.
    restore.extend(setup.subnet_group.iter().map(|group| format!("--db-subnet-group-name {group}")));
    if !setup.security_groups.is_empty() {
        restore.push(format!("--vpc-security-group-ids {}", setup.security_groups.join(" ")));
    }
    restore.extend(setup.parameter_group.iter().map(|group| format!("--db-parameter-group-name {group}")));
    restore.push(if setup.multi_az { "--multi-az" } else { "--no-multi-az" }.to_owned());
    let commands = vec![
        restore.join(" \\\n    "),
        format!("aws rds wait db-instance-available --db-instance-identifier {target}"),
        format!(
            "aws rds describe-db-instances --db-instance-identifier {target} \
             --query 'DBInstances[0].Endpoint' --output json"
        ),
        // The snapshot was taken while the old form was hidden. Without an entry there this does nothing.
        "psql \"$RESTORED\" -XAtc 'SELECT undo FROM tidegate.hide' | psql \"$RESTORED\" -X -v ON_ERROR_STOP=1"
            .to_owned(),
    ];
    RestorePlan {
        release: name.to_string(),
        change: schema.change.clone(),
        instance: schema.instance.clone(),
        snapshot: taken.id.clone(),
        taken_at: taken.available_at,
        target,
        estimate: "10 to 30 minutes, more for a large instance; first reads are slow",
        commands,
    }
}

fn print(plan: &RestorePlan, status: &ReleaseStatus, snapshot: SnapshotStatus) {
    println!(
        "Release {}, change {}: going back is {}.",
        plan.release,
        plan.change,
        status.rollback.grade.as_str()
    );
    println!("  {}", status.rollback.how);
    let age = plan.taken_at.map(|at| human(status.observed_at.duration_since(at)));
    match (snapshot, age) {
        (SnapshotStatus::Available, Some(age)) => {
            println!("Snapshot {} of {} is available, {age} old.", plan.snapshot, plan.instance);
            println!(
                "What was written since then is LOST by a restore. Read it out of {} first if it is needed.",
                plan.instance
            );
        }
        (
            SnapshotStatus::Available
            | SnapshotStatus::Creating
            | SnapshotStatus::Failed
            | SnapshotStatus::Other,
            _,
        ) => {
            println!(
                "Snapshot {} of {} is NOT available: look at it before anything else.",
                plan.snapshot, plan.instance
            );
        }
    }
    println!("It takes {} (an estimate). {} stays as it is.\n", plan.estimate, plan.instance);
    for (step, command) in plan.commands.iter().enumerate() {
        println!("{}. {command}\n", step + 1);
    }
    let next = plan.commands.len() + 1;
    println!(
        "$RESTORED is the new endpoint's address with Tidegate's own role: the old form is hidden in the copy, and that role \
         gives it back.\n"
    );
    println!("{next}. Put the new endpoint into the secrets that name {}.", plan.instance);
    println!("{}. Write a spec whose revision is the one that needs the old form.", next + 1);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> SchemaStatus {
        serde_json::from_str(
            r#"{"change": "structured-address", "instance": "ecommerce-db", "phase": "purged", "plan": "x", "removes": []}"#,
        )
        .expect("a status")
    }

    #[test]
    fn a_restore_carries_over_what_rds_would_not() {
        let taken = Snapshot {
            id: "tidegate-x".into(),
            resource_id: "db-1".into(),
            marker: None,
            status: SnapshotStatus::Available,
            percent: 100,
            available_at: None,
        };
        let setup = InstanceSetup {
            class: "db.r6g.large".into(),
            subnet_group: Some("private".into()),
            security_groups: vec!["sg-1".into(), "sg-2".into()],
            parameter_group: Some("tuned".into()),
            multi_az: true,
        };
        let name = "ecommerce".parse().expect("a name");
        let restore = plan(&name, &schema(), &taken, &setup).commands.remove(0);
        for wanted in [
            "--db-snapshot-identifier tidegate-x",
            "--db-instance-identifier ecommerce-db-restored",
            "--db-instance-class db.r6g.large",
            "--db-subnet-group-name private",
            "--vpc-security-group-ids sg-1 sg-2",
            "--db-parameter-group-name tuned",
            "--multi-az",
        ] {
            assert!(restore.contains(wanted), "{wanted}: {restore}");
        }
    }
}
