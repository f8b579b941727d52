//! What the modelled server logs, through the sandbox's RDS and the daemon's own reader; and its secret, through the sandbox's
//! Secrets Manager.

use std::sync::Arc;

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use jiff::{SignedDuration, Timestamp};
use tidegate_aws::{Aws, LogPosition};
use tidegate_model::schema::{Denial, FilePhase};
use tidegate_sandbox::{
    Sandbox,
    clock::Clock,
    world::{Mode, World as AwsWorld},
};
use tidegate_schema::{
    Attempt, Databases as _, Secret, TargetDatabase,
    server_log::{LogReader, Rules},
};
use tidegate_simulation::database::{Open, Servers, story};

use crate::world::World;

const INSTANCE: &str = "ecommerce-db";

/// A simulated AWS at the model's time, and clients of it.
fn aws(world: &World) -> (Sandbox, Aws) {
    let text = include_str!("../../../../config/world.toml");
    let begun = world.model.now();
    let aws_world = AwsWorld::from_file(text, begun, Mode::Modelled { seed: 7 }).unwrap();
    let sandbox = Sandbox::new(aws_world, Clock::standing(begun));
    let version = aws_smithy_runtime_api::client::behavior_version::BehaviorVersion::v2026_01_12();
    let credentials = Credentials::new("sandbox", "sandbox", None, None, "sandbox");
    let config = aws_types::SdkConfig::builder()
        .behavior_version(version)
        .region(aws_types::region::Region::new("eu-west-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(sandbox.connector())
        .build();
    let aws = Aws::from_config(&config, "/tidegate");
    (sandbox, aws)
}

/// The change is complete and its old form is hidden.
async fn hidden(world: &World, database: &dyn TargetDatabase) {
    let epoch = database.claim(&world.release, "1", 1).await.unwrap();
    for file in world.files(FilePhase::Expand) {
        assert_eq!(database.expand(world.job(epoch), &file).await, Ok(Attempt::Done(())));
    }
    let file = world.files(FilePhase::Backfill).remove(0);
    while !matches!(
        database.backfill(world.job(epoch), &file).await.unwrap(),
        Attempt::Done(batch) if batch.progress.done
    ) {}
    assert_eq!(database.hide(world.job(epoch)).await, Ok(Attempt::Done(())));
}

/// The newest refusal in what was logged since.
async fn denial(
    world: &World,
    (sandbox, aws): &(Sandbox, Aws),
    database: &dyn TargetDatabase,
    since: Timestamp,
) -> Option<Denial> {
    world.model.deliver_log(&mut sandbox.world(), INSTANCE);
    let portion =
        aws.server_log(INSTANCE, &LogPosition::since(since)).await.unwrap_or_else(|_| panic!("no log"));
    assert!(portion.complete && !portion.lost);
    let journal = world.model.journal(&world.release, &world.plan.change).unwrap();
    let (ours, name) = database.identity();
    let rules = Rules {
        plan: &world.plan,
        hidden: journal.hidden.as_ref(),
        database: &name,
        ours: &ours,
        failures_since: None,
    };
    let mut reader = LogReader::default();
    reader.read(&portion.text, &rules);
    reader.settle(&rules);
    assert!(reader.understood());
    reader.denial().cloned()
}

#[tokio::test(start_paused = true)]
async fn whom_the_model_refuses_is_read_from_its_log_through_rds() {
    let world = World::new();
    let (aws, database) = (aws(&world), world.process());
    let begun = world.model.now();
    hidden(&world, &*database).await;
    world.model.set_running(&["shop:v3"]);
    world.clock.advance(SignedDuration::from_mins(5));
    world.model.advance(world.model.now());
    assert_eq!(denial(&world, &aws, &*database, begun).await, None, "version 3 misses nothing");
    world.model.set_running(&["shop:v2", "shop:v3"]);
    world.clock.advance(SignedDuration::from_mins(70));
    world.model.advance(world.model.now());
    let denial = denial(&world, &aws, &*database, begun).await.unwrap();
    assert_eq!((denial.role.as_str(), denial.how.as_str()), ("shop", "names the column"));
    assert_eq!(denial.at, world.model.now());
}

#[tokio::test(start_paused = true)]
async fn the_secret_of_the_sandbox_opens_the_model() {
    let world = World::with(|setup| {
        setup.roles.get_mut(story::OURS).unwrap().password = "sandbox-tidegate-password".into();
    });
    let (sandbox, aws) = aws(&world);
    let arn = sandbox.world().secret_arn("tidegate-ecommerce").unwrap();
    let value = aws.secret(&arn).await.unwrap_or_else(|_| panic!("no secret"));
    let secret = Secret::new(value.expose().to_owned());
    let servers = Servers::new(Arc::new(Open)).with("127.0.0.1", 5432, story::DATABASE, world.model.clone());
    let database = servers.open(&secret, None).unwrap();
    assert_eq!(database.identity(), ("tidegate".to_owned(), "ecommerce".to_owned()));
    assert_eq!(database.claim(&world.release, "1", 2).await.unwrap().number(), 1);
}
