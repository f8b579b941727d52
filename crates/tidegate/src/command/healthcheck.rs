//! `tidegate healthcheck`: what a container's health check runs, since the image has no shell.

use crate::{
    cli::HealthcheckArgs,
    command::ask,
    exit::{Exit, Failure},
};

pub(super) async fn run(args: &HealthcheckArgs) -> Result<Exit, Failure> {
    let path = if args.ready { "/readyz" } else { "/healthz" };
    let answer = ask::get(&args.url, path).await?;
    let well = answer.status().is_success();
    print!("{}", answer.text().await.unwrap_or_default());
    Ok(if well { Exit::Done } else { Exit::Internal })
}
