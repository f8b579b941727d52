//! Checkouts: what the business counts, as a metric of its own in CloudWatch.
//!
//! Called by the HTTP API (counts) and by the service (publishes until it stops). Must not: fail a checkout because it cannot
//! be published.
//!
//! Namespace `Shop`, metric `Checkouts`, dimension `Revision`: the task definition that this task runs, as ECS's metadata
//! endpoint tells it. So blue and green are told apart although neither knows which it is.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use aws_config::{BehaviorVersion, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_cloudwatch::{
    Client,
    types::{Dimension, MetricDatum, StandardUnit},
};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::task::{self, Unknown};

const NAMESPACE: &str = "Shop";
const METRIC: &str = "Checkouts";
const DIMENSION: &str = "Revision";

/// A count that is not taken by then is published with the next.
const PUBLISH_LIMIT: Duration = Duration::from_secs(5);

/// The checkouts of this process.
#[derive(Clone, Debug)]
pub(crate) struct Checkouts {
    lost: f64,
    unpublished: Arc<AtomicU64>,
}

impl Checkouts {
    /// None yet; of those to come this share is lost, from 0 to 1.
    pub(crate) fn new(lost: f64) -> Self {
        Self { lost, unpublished: Arc::default() }
    }

    /// Counts a checkout. False if it is lost: then it is not counted.
    pub(crate) fn takes_one(&self) -> bool {
        let taken = rand::random::<f64>() >= self.lost;
        if taken {
            self.unpublished.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    /// Publishes the count again and again until `stop`, and then what is left.
    pub(crate) async fn publish(self, publisher: Publisher, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(publisher.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            self.publish_once(&publisher).await;
        }
        self.publish_once(&publisher).await;
    }

    async fn publish_once(&self, publisher: &Publisher) {
        let count = self.unpublished.swap(0, Ordering::Relaxed);
        if count > 0 && !publisher.put(count).await {
            self.unpublished.fetch_add(count, Ordering::Relaxed);
        }
    }
}

/// Where counts go, and how often.
#[derive(Clone, Debug)]
pub(crate) struct Publisher {
    client: Client,
    revision: String,
    every: Duration,
}

impl Publisher {
    /// Finds out what it is, and by the SDK's standard chain where AWS is.
    pub(crate) async fn connect(every: Duration) -> Result<Self, Unknown> {
        let revision = task::revision().await?;
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(aws_smithy_http_client::tls::Provider::Rustls(
                aws_smithy_http_client::tls::rustls_provider::CryptoMode::Ring,
            ))
            .build_https();
        let config = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(http)
            // PutMetricData has no token: a count that may have arrived must not be sent again by the SDK.
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::builder().operation_timeout(PUBLISH_LIMIT).build())
            .load()
            .await;
        Ok(Self { client: Client::new(&config), revision, every })
    }

    /// Publishes a count for the minute that is running; false if CloudWatch did not take it.
    async fn put(&self, count: u64) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52 checkouts")]
        let value = count as f64;
        let datum = MetricDatum::builder()
            .metric_name(METRIC)
            .dimensions(Dimension::builder().name(DIMENSION).value(&self.revision).build())
            .unit(StandardUnit::Count)
            .value(value)
            .build();
        let sent = self.client.put_metric_data().namespace(NAMESPACE).metric_data(datum).send().await;
        if let Err(error) = &sent {
            let code = error.as_service_error().and_then(|e| e.meta().code());
            tracing::warn!(code, "checkouts are not published");
        }
        sent.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_checkout_is_not_counted() {
        let (all, none) = (Checkouts::new(0.0), Checkouts::new(1.0));
        assert!(all.takes_one() && all.takes_one());
        assert!(!none.takes_one());
        assert_eq!(all.unpublished.load(Ordering::Relaxed), 2);
        assert_eq!(none.unpublished.load(Ordering::Relaxed), 0);
    }
}
