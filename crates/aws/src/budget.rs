//! The call budget: one token bucket for each category that AWS throttles by. Half of each default quota is left to
//! people and other tools. Only reads and status writes wait here: no step does.

use std::time::Duration;

use tokio::{sync::Mutex, time::Instant};

/// A category of calls with its own quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Bucket {
    SsmRead,
    SsmWrite,
    EcsRead,
    EcsWrite,
    CodeDeploy,
    Elb,
    CloudWatch,
    Alarms,
    Rds,
    Secrets,
}

/// Refill a second and burst of each category: half of the default quotas. Source: the services' quota pages; CodeDeploy
/// publishes none, and one call a second was seen to be safe.
const QUOTAS: [(Bucket, f64, f64); 10] = [
    (Bucket::SsmRead, 20.0, 20.0),
    (Bucket::SsmWrite, 1.5, 3.0),
    (Bucket::EcsRead, 10.0, 50.0),
    (Bucket::EcsWrite, 0.5, 10.0),
    (Bucket::CodeDeploy, 1.0, 10.0),
    (Bucket::Elb, 5.0, 20.0),
    (Bucket::CloudWatch, 25.0, 50.0),
    (Bucket::Alarms, 4.5, 9.0),
    (Bucket::Rds, 6.0, 150.0),
    (Bucket::Secrets, 50.0, 50.0),
];

/// The buckets.
pub(crate) struct Budget {
    buckets: Option<Mutex<Vec<(Bucket, f64, Instant)>>>,
}

impl Budget {
    /// The quotas of AWS.
    pub(crate) fn of_aws() -> Self {
        let full = QUOTAS.iter().map(|(bucket, _, burst)| (*bucket, *burst, Instant::now())).collect();
        Self { buckets: Some(Mutex::new(full)) }
    }

    /// No quotas.
    pub(crate) fn unlimited() -> Self {
        Self { buckets: None }
    }

    /// Waits until a call of this category may be sent.
    pub(crate) async fn take(&self, wanted: Bucket) {
        let wait = self.charge(wanted).await;
        tokio::time::sleep(wait).await;
    }

    /// Takes the token of a call that is sent at once, and says how long it should have waited: those after it do.
    pub(crate) async fn charge(&self, wanted: Bucket) -> Duration {
        let Some(buckets) = &self.buckets else { return Duration::ZERO };
        let mut buckets = buckets.lock().await;
        reserve(&mut buckets, wanted)
    }
}

/// Takes a token, in advance if there is none, and says how long to wait for it.
fn reserve(buckets: &mut [(Bucket, f64, Instant)], wanted: Bucket) -> Duration {
    let quota = QUOTAS.iter().find(|(bucket, ..)| *bucket == wanted);
    let (Some((_, rate, burst)), Some(bucket)) = (quota, buckets.iter_mut().find(|(b, ..)| *b == wanted))
    else {
        return Duration::ZERO;
    };
    let now = Instant::now();
    bucket.1 = (bucket.1 + now.duration_since(bucket.2).as_secs_f64() * rate).min(*burst) - 1.0;
    bucket.2 = now;
    if bucket.1 >= 0.0 { Duration::ZERO } else { Duration::from_secs_f64(-bucket.1 / rate) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_at_once_and_then_calls_wait_for_their_token() {
        let budget = Budget::of_aws();
        let began = Instant::now();
        for _ in 0..10 {
            budget.take(Bucket::CodeDeploy).await;
        }
        assert_eq!(began.elapsed(), Duration::ZERO);
        for _ in 0..3 {
            budget.take(Bucket::CodeDeploy).await;
        }
        assert!(began.elapsed() >= Duration::from_millis(2_900), "{:?}", began.elapsed());
        budget.take(Bucket::Elb).await;
        assert!(began.elapsed() < Duration::from_millis(3_100), "categories do not wait for each other");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_sent_at_once_is_waited_for_by_those_after_it() {
        let budget = Budget::of_aws();
        let began = Instant::now();
        for _ in 0..15 {
            budget.charge(Bucket::CodeDeploy).await;
        }
        assert_eq!(began.elapsed(), Duration::ZERO);
        budget.take(Bucket::CodeDeploy).await;
        assert!(began.elapsed() >= Duration::from_millis(5_900), "{:?}", began.elapsed());
    }
}
