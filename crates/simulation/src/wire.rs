//! The way from a daemon's SDK clients to the world: the real serialisers, signers, retries and parsers on one side, the
//! sandbox's real protocols on the other, and faults between them.

use std::{collections::BTreeMap, sync::Arc};

use aws_smithy_runtime_api::{
    client::{
        http::{HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector},
        orchestrator::{HttpRequest, HttpResponse},
        result::ConnectorError,
        runtime_components::RuntimeComponents,
    },
    shared::IntoShared,
};
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use jiff::SignedDuration;
use tidegate_sandbox::{Call, Disconnected, error::ApiError, node::Node};

use crate::{
    fault::{Failure, Fault, Mangling, Mishap, What},
    machine::Machine,
    scene::{Crossing, Passed, Scene, locked},
    wording,
};

/// A machine's HTTP client.
#[derive(Clone)]
pub(crate) struct Wire {
    pub(crate) scene: Arc<Scene>,
    pub(crate) machine: Arc<Machine>,
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wire")
    }
}

impl HttpClient for Wire {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        self.clone().into_shared()
    }
}

impl HttpConnector for Wire {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let wire = self.clone();
        HttpConnectorFuture::new(async move {
            let request = request
                .try_into_http1x()
                .map_err(|error| ConnectorError::user(error.into()))?
                .map(|body| body.bytes().map(Bytes::copy_from_slice).unwrap_or_default());
            let response = wire.answer(&request).await?.map(SdkBody::from);
            HttpResponse::try_from(response).map_err(|error| ConnectorError::user(error.into()))
        })
    }
}

/// How far a request's signature may be from AWS's own time.
const MOST_SKEW: SignedDuration = SignedDuration::from_mins(5);

/// What a call comes to, as it would be written.
type Outcome = Result<Node, ApiError>;

impl Wire {
    async fn answer(&self, request: &http::Request<Bytes>) -> Result<http::Response<Bytes>, ConnectorError> {
        let call = match tidegate_sandbox::protocol::read(request) {
            Ok(call) => call,
            Err(refused) => return Ok(*refused),
        };
        self.scene.sends(&self.machine, &call);
        if self.is_skewed(request) {
            let error = ApiError::new("InvalidSignatureException", "Signature expired").status(403);
            self.scene.declined(&call);
            return Ok(self.scene.sandbox.reply(&call, Err(error)));
        }
        let operation = format!("{}.{}", call.service.name(), call.operation);
        let crossing = Crossing { operation, changes: call.counts_as_mutating() };
        let wire = self.clone();
        let sent = call.clone();
        let (mut outcome, bends) =
            match self.scene.cross(&self.machine, &crossing, move || wire.perform(&sent)).await {
                Passed::Answer(outcome, bends) => (outcome, bends),
                Passed::Failed(how) => {
                    if how.is_refusal() {
                        self.scene.declined(&call);
                    }
                    self.note_unread(&call);
                    return self.refused(&call, how).await;
                }
            };
        if let (Ok(node), "GetMetricData") = (&mut outcome, call.operation.as_str()) {
            let changed = locked(&self.scene.gaps).reshape(node, self.scene.calendar.now());
            changed.into_iter().for_each(|how| self.scene.bites(Mishap::Metrics(how)));
        }
        self.scene.remember(&call, &outcome);
        let mut cut = false;
        for fault in bends {
            cut |= self.bend(&call, &crossing.operation, &mut outcome, fault);
        }
        self.note(&call, &outcome);
        if outcome.is_err() {
            self.scene.declined(&call);
        }
        let response = self.scene.sandbox.reply(&call, outcome);
        self.scene.said(request.body(), response.body());
        Ok(if cut { response.map(|body| body.slice(..body.len() / 2)) } else { response })
    }

    /// Does to an answer what a fault does to it. True if it is to be cut off.
    fn bend(&self, call: &Call, operation: &str, outcome: &mut Outcome, fault: Fault) -> bool {
        let before = outcome.clone();
        let mut cut = false;
        match (&fault.what, outcome.as_mut()) {
            (What::Stale { versions }, _) => {
                *outcome = self.scene.older(call, *versions).unwrap_or_else(|| before.clone());
            }
            (What::Partial, Ok(node)) => wording::leave_out(node),
            (What::Mangled(Mangling::CutOff), Ok(_)) => cut = true,
            (What::Mangled(mangling), Ok(node)) => wording::mangle(node, *mangling),
            (_, _) => {}
        }
        self.scene.bent(fault, operation, cut || *outcome != before);
        cut
    }

    /// True if a request was signed at another time than now. Source: AWS takes signatures of up to five minutes before and
    /// after its own time (Signature Version 4, "Signature expired").
    fn is_skewed(&self, request: &http::Request<Bytes>) -> bool {
        let signed = request.headers().get("x-amz-date").and_then(|value| value.to_str().ok());
        let signed = signed
            .and_then(|text| jiff::fmt::strtime::parse("%Y%m%dT%H%M%S%z", text.replace('Z', "+0000")).ok());
        let signed = signed.and_then(|time| time.to_timestamp().ok());
        signed.is_some_and(|at| at.duration_since(self.scene.calendar.now()).abs() > MOST_SKEW)
    }

    fn perform(&self, call: &Call) -> Outcome {
        self.scene.about_to(&self.machine, call);
        let outcome = self.scene.sandbox.perform(call);
        self.scene.done(&self.machine, call, &outcome);
        outcome
    }

    /// Remembers what the daemon may know from now on.
    fn note(&self, call: &Call, outcome: &Outcome) {
        let asked = asked_of_ours(call);
        if asked.is_empty() {
            return;
        }
        let Ok(node) = outcome else { return self.note_unread(call) };
        let found = node.items("Parameters").unwrap_or(&[]).iter().filter_map(|parameter| {
            let name = name_of_ours(parameter.get("Name").as_text()?)?;
            Some((name, parameter.get("Value").as_text()?.to_owned()))
        });
        self.machine.has_read(&asked, found.collect::<BTreeMap<_, _>>());
    }

    /// Remembers that the daemon was not told what it asked.
    fn note_unread(&self, call: &Call) {
        if asked_of_ours(call).iter().any(|name| name == "spec") {
            self.machine.has_read_no_spec();
        }
    }

    /// An answer that says no, in the call's own protocol.
    async fn refused(&self, call: &Call, how: Failure) -> Result<http::Response<Bytes>, ConnectorError> {
        let error = match how {
            Failure::Disconnect => return Err(broken()),
            Failure::Silence => return std::future::pending().await,
            Failure::ServerError => ApiError::new("InternalFailure", "a fault").status(500),
            Failure::Unavailable => {
                let mut response = http::Response::new(Bytes::from_static(b"<html>no</html>"));
                *response.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
                return Ok(response);
            }
            Failure::Throttle => ApiError::new("ThrottlingException", "Rate exceeded"),
            Failure::Denied => ApiError::new("AccessDeniedException", "not authorized to perform this"),
            Failure::Expired => ApiError::new("ExpiredTokenException", "The security token is expired"),
        };
        Ok(self.scene.sandbox.reply(call, Err(error)))
    }
}

/// What of the simulated release a call asks Parameter Store for; nothing if it is another call, or about other releases.
fn asked_of_ours(call: &Call) -> Vec<String> {
    if call.operation != "GetParameters" {
        return Vec::new();
    }
    let asked = call.input.text_items("Names").unwrap_or_default();
    asked.iter().filter_map(|path| name_of_ours(path)).collect()
}

fn name_of_ours(path: &str) -> Option<String> {
    path.rsplit_once("/ecommerce/").map(|(_, name)| name.to_owned())
}

fn broken() -> ConnectorError {
    ConnectorError::io(Disconnected.into())
}
