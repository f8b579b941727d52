//! The sandbox's clock: asked each second, extrapolated in between.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use reqwest::{Client, Url};
use serde::Deserialize;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::{Clock, Newest, left};

/// How often the sandbox is asked, in real time: a jump is noticed this late at most.
const REFRESH: Duration = Duration::from_secs(1);

/// How long one answer may take, in real time.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The clock of a sandbox on this machine.
#[derive(Debug)]
pub struct Remote {
    readings: watch::Receiver<Reading>,
    newest: Newest,
    _refresh: AbortOnDropHandle<()>,
}

/// The sandbox's clock cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ClockError {
    /// The text is no URL.
    #[error("the clock's URL is not well formed")]
    NotAUrl,
    /// The URL leads to another machine: a clock decides when things are deleted.
    #[error("the clock's URL must be http on a loopback address")]
    NotLoopback,
    /// No answer, or none that is a clock's.
    #[error("the sandbox's clock gives no usable answer")]
    Unusable(#[source] reqwest::Error),
}

/// What the sandbox answered, and when.
#[derive(Clone, Copy, Debug)]
struct Reading {
    now: Timestamp,
    speed: f64,
    read: Instant,
}

/// `GET /_sandbox/clock`.
#[derive(Deserialize)]
struct Answer {
    now: Timestamp,
    /// Virtual seconds in a real one; 0 if the clock only jumps.
    speed: f64,
}

impl Remote {
    /// Asks the sandbox at `url` (its address, or the full address of its clock) and keeps asking.
    ///
    /// # Errors
    /// If the URL is not one of this machine's, or the first answer does not come.
    pub async fn connect(url: &str) -> Result<Self, ClockError> {
        let url = clock_url(url)?;
        crate::tls::install();
        let client = Client::builder().no_proxy().timeout(TIMEOUT).build().map_err(ClockError::Unusable)?;
        let first = ask(&client, &url).await.map_err(ClockError::Unusable)?;
        let (sender, readings) = watch::channel(first);
        let refresh = AbortOnDropHandle::new(tokio::spawn(refresh(client, url, sender)));
        Ok(Self { readings, newest: Newest::default(), _refresh: refresh })
    }
}

impl Clock for Remote {
    fn now(&self) -> Timestamp {
        let reading = *self.readings.borrow();
        self.newest.at_least(reading.at(Instant::now()))
    }

    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'_, ()> {
        let mut readings = self.readings.clone();
        Box::pin(async move {
            while let Some(left) = left(at, self.now()) {
                let speed = readings.borrow_and_update().speed;
                tokio::select! {
                    () = real_sleep(left, speed) => {}
                    // A jump may have brought the time; a closed channel cannot happen while `self` is borrowed.
                    _ = readings.changed() => {}
                }
            }
        })
    }
}

impl Reading {
    fn at(&self, instant: Instant) -> Timestamp {
        let real = instant.saturating_duration_since(self.read).as_secs_f64();
        SignedDuration::try_from_secs_f64(real * self.speed)
            .ok()
            .and_then(|passed| self.now.saturating_add(passed).ok())
            .unwrap_or(self.now)
    }
}

/// Sleeps `left` of virtual time; until the next refresh at most.
async fn real_sleep(left: SignedDuration, speed: f64) {
    let real = Duration::try_from_secs_f64(left.as_secs_f64() / speed).unwrap_or(REFRESH);
    // At least a millisecond: the timer's grain. Less would spin.
    tokio::time::sleep(real.clamp(Duration::from_millis(1), REFRESH)).await;
}

async fn refresh(client: Client, url: Url, readings: watch::Sender<Reading>) {
    let mut failing = false;
    loop {
        tokio::time::sleep(REFRESH).await;
        match ask(&client, &url).await {
            Ok(reading) => {
                failing = false;
                readings.send_replace(reading);
            }
            Err(_) if failing => {}
            Err(error) => {
                failing = true;
                let timeout = error.is_timeout();
                tracing::warn!(timeout, "the sandbox's clock does not answer; its time is extrapolated");
            }
        }
    }
}

async fn ask(client: &Client, url: &Url) -> Result<Reading, reqwest::Error> {
    let sent = Instant::now();
    let answer: Answer = client.get(url.clone()).send().await?.error_for_status()?.json().await?;
    // The answer was made about half way between question and answer.
    let read = sent + sent.elapsed() / 2;
    Ok(Reading { now: answer.now, speed: answer.speed.max(0.0), read })
}

fn clock_url(text: &str) -> Result<Url, ClockError> {
    let mut url = Url::parse(text).map_err(|_| ClockError::NotAUrl)?;
    let host = url.host_str().unwrap_or_default();
    let address: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    let loopback = address.map_or(host == "localhost", |address| address.is_loopback());
    if url.scheme() != "http" || !loopback {
        return Err(ClockError::NotLoopback);
    }
    if url.path() == "/" {
        url.set_path("/_sandbox/clock");
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_may_give_the_time() {
        for (text, taken) in [
            ("http://127.0.0.1:4566", true),
            ("http://[::1]:4566/", true),
            ("http://localhost:4566/_sandbox/clock", true),
            ("http://10.0.0.1:4566", false),
            ("http://localhost.evil.example", false),
            ("https://127.0.0.1:4566", false),
            ("4566", false),
        ] {
            assert_eq!(clock_url(text).is_ok(), taken, "{text}");
        }
        assert_eq!(clock_url("http://127.0.0.1:1").unwrap().path(), "/_sandbox/clock");
    }

    #[test]
    fn a_reading_is_extrapolated_at_its_speed() {
        let read = Instant::now();
        let reading = Reading { now: Timestamp::UNIX_EPOCH, speed: 60.0, read };
        let later = reading.at(read + Duration::from_secs(2));
        assert_eq!(later, Timestamp::UNIX_EPOCH + SignedDuration::from_secs(120));
    }
}
