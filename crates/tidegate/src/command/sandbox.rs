//! `tidegate sandbox`: the simulated AWS for any SDK, boto3 and the AWS CLI.

use std::fs;

use tidegate_sandbox::live::tasks::Catalogue;

use crate::{
    cli::SandboxArgs,
    config::LogFormat,
    daemon,
    exit::{Exit, Failure},
    local::{Local, LocalSettings, story},
    logging,
};

#[derive(Debug, thiserror::Error)]
#[error("read the world file {path}")]
struct WorldUnreadable {
    path: String,
    source: std::io::Error,
}

/// Serves until interrupted.
///
/// # Errors
/// If the world cannot begin.
pub async fn run(args: &SandboxArgs) -> Result<Exit, Failure> {
    logging::start("info", LogFormat::Auto).map_err(Failure::usage)?;
    let stop = daemon::on_signal().map_err(Failure::internal)?;
    let local = Local::start(settings(args)?).await.map_err(Failure::usage)?;
    say(args, &local);
    stop.cancelled().await;
    local.stop().await;
    Ok(Exit::Done)
}

fn settings(args: &SandboxArgs) -> Result<LocalSettings, Failure> {
    let world = match &args.world {
        Some(path) => fs::read_to_string(path)
            .map_err(|source| Failure::usage(WorldUnreadable { path: path.display().to_string(), source }))?,
        None => story::WORLD.to_owned(),
    };
    let catalogue = match (&args.catalogue, args.modelled) {
        (_, true) => None,
        (Some(path), false) => Some(Catalogue::load(path).map_err(Failure::usage)?),
        (None, false) => Some(story::catalogue().map_err(Failure::internal)?),
    };
    // One's own world brings its own data.
    let sql = if args.world.is_none() { vec![story::initial(1_000, None)] } else { vec![] };
    Ok(LocalSettings {
        world,
        catalogue,
        sql,
        speed: args.speed,
        listen: args.listen,
        folder: args.folder.clone(),
    })
}

fn say(args: &SandboxArgs, local: &Local) {
    let url = local.url();
    match args.speed {
        1 => println!("The sandbox serves AWS at {url}, in real time."),
        speed => println!("The sandbox serves AWS at {url}, {speed} times as fast as real time."),
    }
    for (balancer, port) in local.listeners() {
        if args.modelled {
            println!("  load balancer {balancer}: port {port} (modelled)");
        } else {
            println!("  load balancer {balancer}: http://127.0.0.1:{port}");
        }
    }
    if !args.modelled {
        println!("  logs of tasks and copies of databases: {}", local.folder.display());
    }
    println!("For the AWS CLI, boto3 and any SDK:");
    println!(
        "  export AWS_ENDPOINT_URL={url} AWS_REGION=eu-west-1 AWS_DEFAULT_REGION=eu-west-1 AWS_ACCESS_KEY_ID=sandbox AWS_SECRET_ACCESS_KEY=sandbox"
    );
    println!("For Tidegate, in a second terminal:");
    println!("  tidegate run --endpoint-url {url} --clock {url} --migration-root config/migrations");
}
