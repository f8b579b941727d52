//! Questions to a running daemon over its read-only HTTP.

use std::time::Duration;

use reqwest::{Client, Response};

use crate::exit::Failure;

const TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
#[error("ask the daemon at {url}")]
struct NoAnswer {
    url: String,
    source: reqwest::Error,
}

/// GETs a path of the daemon at `url`.
pub(super) async fn get(url: &str, path: &str) -> Result<Response, Failure> {
    let url = format!("{}{path}", url.trim_end_matches('/'));
    let answer = async {
        let client = Client::builder().no_proxy().timeout(TIMEOUT).build()?;
        client.get(&url).send().await
    };
    // The error's own URL would stand in the text twice.
    answer.await.map_err(|source| Failure::internal(NoAnswer { url, source: source.without_url() }))
}
