//! Sends a release's probes to its own listener and says, in our own words, what the first failing one found.
//!
//! Called by the executor, through [`Probes`]: a simulation has listeners that no socket leads to. It must not follow a redirect, send to any other address than the step's, or say anything of
//! what a body or header held: failures become ledger entries, events and status.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use futures_util::{FutureExt as _, future::BoxFuture};
use reqwest::{Client, StatusCode, Url, redirect::Policy};
use serde_json::Value;
use tidegate_model::{
    decision::Verify,
    spec::{Method, Probe},
};

/// How long one probe may take, in real time.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How often a probe is sent that gets no answer, where sending it again is harmless: it never arrived, or it only reads.
/// One broken connection says nothing of a version; three in a row do.
pub const ATTEMPTS: u32 = 3;

/// How long after one without an answer the next is sent.
pub const BETWEEN_ATTEMPTS: Duration = Duration::from_secs(2);

/// How much of an answer is read.
const BODY_LIMIT: usize = 1 << 20;

/// Sends the probes of a step.
pub trait Probes: Send + Sync {
    /// Sends them in order; tells what the first failing one found, in words of ours.
    fn verify<'a>(&'a self, verify: &'a Verify) -> BoxFuture<'a, Option<String>>;
}

/// Sends probes over HTTP.
#[derive(Clone, Debug)]
pub struct Prober(Client);

/// Why a probe failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("cannot be sent: its path or headers are not well formed for this listener")]
    NotSendable,
    #[error("needs {{{0}}}, which no earlier probe saved")]
    NotSaved(String),
    #[error("got no answer within {} s", TIMEOUT.as_secs())]
    Timeout,
    #[error("got no answer: the connection was refused or broke")]
    Broken,
    #[error("got status {} where {expected} was expected", got.as_u16())]
    Status { got: StatusCode, expected: String },
    #[error("got an answer larger than {BODY_LIMIT} bytes (status {})", got.as_u16())]
    TooLarge { got: StatusCode },
    #[error("got an answer that is not JSON (status {})", got.as_u16())]
    NotJson { got: StatusCode },
    #[error("got an answer without the expected value at {pointer} (status {})", got.as_u16())]
    OtherValue { got: StatusCode, pointer: String },
    #[error("got an answer without a value to save at {pointer} (status {})", got.as_u16())]
    NothingToSave { got: StatusCode, pointer: String },
}

/// What came back of a probe that was sent.
struct Answer {
    status: StatusCode,
    body: Vec<u8>,
    /// True if the body went on behind the limit.
    cut: bool,
}

impl Prober {
    /// A prober with a client of its own. A connection is used for one probe only, so that each probe is routed anew.
    ///
    /// # Errors
    /// If the client cannot be set up.
    pub fn new() -> Result<Self, ProberError> {
        crate::tls::install();
        let client = Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .timeout(TIMEOUT)
            .pool_max_idle_per_host(0)
            .user_agent(concat!("tidegate/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(ProberError)?;
        Ok(Self(client))
    }

    /// After a failure only those marked `always` are sent; the first failure is told.
    async fn sent(&self, verify: &Verify) -> Option<String> {
        let mut saved = BTreeMap::new();
        let mut first_failure = None;
        for (index, probe) in verify.probes.iter().enumerate() {
            if first_failure.is_some() && !probe.always {
                continue;
            }
            if let Err(failure) = self.send(&verify.address, probe, &mut saved).await {
                first_failure.get_or_insert_with(|| {
                    format!("probe {} ({}) {failure}", index + 1, probe.method.as_str())
                });
            }
        }
        first_failure
    }

    async fn send(
        &self,
        address: &str,
        probe: &Probe,
        saved: &mut BTreeMap<String, String>,
    ) -> Result<(), Failure> {
        let url = target(address, &substituted(&probe.path, saved)?)?;
        let mut attempts = 1;
        let answer = loop {
            match self.asked(&url, probe).await {
                Ok(answer) => break answer,
                Err(error) if attempts < ATTEMPTS && may_be_sent_again(probe.method, &error) => {
                    attempts += 1;
                    tokio::time::sleep(BETWEEN_ATTEMPTS).await;
                }
                Err(error) => return Err(unanswered(error)),
            }
        };
        judge(probe, &answer, saved)
    }

    async fn asked(&self, url: &Url, probe: &Probe) -> Result<Answer, reqwest::Error> {
        let mut request = self.0.request(method(probe.method), url.clone());
        for (name, value) in &probe.headers {
            request = request.header(name, value);
        }
        if let Some(json) = &probe.json {
            request = request.json(json);
        }
        read(request.send().await?).await
    }
}

/// True if a probe without an answer may be sent again: it only reads, or it never arrived.
fn may_be_sent_again(method: Method, error: &reqwest::Error) -> bool {
    match method {
        Method::Get | Method::Head => !error.is_builder(),
        Method::Post | Method::Put | Method::Patch | Method::Delete => error.is_connect(),
    }
}

impl Probes for Prober {
    fn verify<'a>(&'a self, verify: &'a Verify) -> BoxFuture<'a, Option<String>> {
        self.sent(verify).boxed()
    }
}

/// The client for probes cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up the client for probes")]
pub struct ProberError(#[source] reqwest::Error);

async fn read(mut response: reqwest::Response) -> Result<Answer, reqwest::Error> {
    let mut answer = Answer { status: response.status(), body: Vec::new(), cut: false };
    while let Some(chunk) = response.chunk().await? {
        if answer.body.len() + chunk.len() > BODY_LIMIT {
            answer.cut = true;
            break;
        }
        answer.body.extend_from_slice(&chunk);
    }
    Ok(answer)
}

fn judge(probe: &Probe, answer: &Answer, saved: &mut BTreeMap<String, String>) -> Result<(), Failure> {
    let got = answer.status;
    let as_expected = probe.expect.status.map_or(got.is_success(), |wanted| got.as_u16() == wanted);
    if !as_expected {
        let expected = probe.expect.status.map_or("2xx".to_owned(), |wanted| wanted.to_string());
        return Err(Failure::Status { got, expected });
    }
    if answer.cut {
        return Err(Failure::TooLarge { got });
    }
    if probe.expect.json.is_empty() && probe.save.is_empty() {
        return Ok(());
    }
    let body: Value = serde_json::from_slice(&answer.body).map_err(|_| Failure::NotJson { got })?;
    for (pointer, wanted) in &probe.expect.json {
        if body.pointer(pointer) != Some(wanted) {
            return Err(Failure::OtherValue { got, pointer: pointer.clone() });
        }
    }
    for (name, pointer) in &probe.save {
        let value = body
            .pointer(pointer)
            .and_then(as_text)
            .ok_or_else(|| Failure::NothingToSave { got, pointer: pointer.clone() })?;
        saved.insert(name.clone(), value);
    }
    Ok(())
}

/// A value that can stand in a path. Nothing, `.` and `..` cannot: the path would lead to another object, and URLs read
/// the dots even where they are percent-encoded.
fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if matches!(text.as_str(), "" | "." | "..") => None,
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The path with each `{name}` replaced by what was saved under it.
fn substituted(path: &str, saved: &BTreeMap<String, String>) -> Result<String, Failure> {
    let mut done = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, behind)) = rest.split_once('{') {
        done.push_str(before);
        let Some((name, after)) = behind.split_once('}') else {
            done.push('{');
            rest = behind;
            continue;
        };
        let value = saved.get(name).ok_or_else(|| Failure::NotSaved(name.to_owned()))?;
        encode_into(&mut done, value);
        rest = after;
    }
    done.push_str(rest);
    Ok(done)
}

/// Percent-encodes everything but the unreserved characters of RFC 3986, so that a saved value stays one path segment.
fn encode_into(done: &mut String, value: &str) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            done.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(done, "%{byte:02X}");
        }
    }
}

/// The URL of `path` at `address`; refused if it would lead anywhere else.
fn target(address: &str, path: &str) -> Result<Url, Failure> {
    let base = Url::parse(address).map_err(|_| Failure::NotSendable)?;
    let url =
        Url::parse(&format!("{}{path}", address.trim_end_matches('/'))).map_err(|_| Failure::NotSendable)?;
    let plain = url.username().is_empty() && url.password().is_none();
    if path.starts_with('/') && plain && url.origin() == base.origin() {
        Ok(url)
    } else {
        Err(Failure::NotSendable)
    }
}

fn method(method: Method) -> reqwest::Method {
    match method {
        Method::Get => reqwest::Method::GET,
        Method::Head => reqwest::Method::HEAD,
        Method::Post => reqwest::Method::POST,
        Method::Put => reqwest::Method::PUT,
        Method::Patch => reqwest::Method::PATCH,
        Method::Delete => reqwest::Method::DELETE,
    }
}

// By value: it is what `map_err` hands over.
#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err calls")]
fn unanswered(error: reqwest::Error) -> Failure {
    if error.is_builder() {
        Failure::NotSendable
    } else if error.is_timeout() {
        Failure::Timeout
    } else {
        Failure::Broken
    }
}

#[cfg(test)]
mod tests;
