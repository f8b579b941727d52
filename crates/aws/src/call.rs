//! One call: budgeted, timed, reported, its error read by code.

use std::{future::Future, sync::Arc};

use aws_sdk_ssm::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use tokio::time::Instant;

use crate::{
    budget::{Bucket, Budget},
    error::{Failure, Kind},
};

/// What a call came to, for metrics.
#[derive(Clone, Debug, PartialEq)]
pub struct CallReport {
    /// The service, as IAM writes it.
    pub service: &'static str,
    /// The operation.
    pub operation: &'static str,
    /// `ok`, the service's code, or `timeout`, `connection`.
    pub code: String,
    /// Seconds it took, its wait for the budget excluded.
    pub seconds: f64,
    /// True if AWS throttled it.
    pub throttled: bool,
}

/// An operation with its service and budget.
#[derive(Clone, Copy)]
pub(crate) struct Operation {
    pub service: &'static str,
    pub name: &'static str,
    pub bucket: Bucket,
}

/// Takes the report of every call.
pub(crate) type Report = Arc<dyn Fn(&CallReport) + Send + Sync>;

/// Makes calls.
#[derive(Clone)]
pub(crate) struct Calls {
    budget: Arc<Budget>,
    report: Option<Report>,
}

impl Calls {
    pub(crate) fn new(budget: Budget) -> Self {
        Self { budget: Arc::new(budget), report: None }
    }

    pub(crate) fn reporting(mut self, report: Report) -> Self {
        self.report = Some(report);
        self
    }

    /// Waits for the budget, then makes the call.
    pub(crate) async fn call<T, E: ProvideErrorMetadata>(
        &self,
        operation: Operation,
        send: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T, Failure> {
        self.budget.take(operation.bucket).await;
        self.at_once(operation, send).await
    }

    /// Makes a call that its intent was journaled for, without waiting: reads wait for what it takes too much. How long it may still
    /// land counts from the intent, and so does what was read before it; one that waited could be taken for lost and be sent again.
    pub(crate) async fn step<T, E: ProvideErrorMetadata>(
        &self,
        operation: Operation,
        send: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T, Failure> {
        self.budget.charge(operation.bucket).await;
        self.at_once(operation, send).await
    }

    /// Makes the call without waiting: going back has priority over every quota.
    pub(crate) async fn at_once<T, E: ProvideErrorMetadata>(
        &self,
        operation: Operation,
        send: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T, Failure> {
        let began = Instant::now();
        let result = send.await.map_err(|error| Failure::of(&error));
        if let Some(report) = &self.report {
            let failure = result.as_ref().err();
            report(&CallReport {
                service: operation.service,
                operation: operation.name,
                code: failure.map_or_else(|| "ok".to_owned(), |f| f.code.clone()),
                seconds: began.elapsed().as_secs_f64(),
                throttled: failure.is_some_and(|f| matches!(f.kind, Kind::Refused { throttled: true, .. })),
            });
        }
        result
    }
}
