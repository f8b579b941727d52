//! Wire protocols: HTTP requests to calls and results to HTTP responses. What a call does is not known here.

use bytes::Bytes;

use crate::{error::ApiError, node::Node};

mod cbor;
mod json;
mod query;

/// The services that the sandbox simulates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the services' names")]
pub enum Service {
    Ssm,
    Sts,
    SecretsManager,
    CloudWatch,
    Ecs,
    CodeDeploy,
    Elb,
    Rds,
}

/// A service with its awsJson target prefix and its awsQuery version. Source: the official service models.
const SERVICES: [(Service, &str, Option<&str>, Option<&str>); 8] = [
    (Service::Ssm, "ssm", Some("AmazonSSM"), None),
    (Service::Sts, "sts", None, Some("2011-06-15")),
    (Service::SecretsManager, "secretsmanager", Some("secretsmanager"), None),
    (Service::CloudWatch, "cloudwatch", Some("GraniteServiceVersion20100801"), Some("2010-08-01")),
    (Service::Ecs, "ecs", Some("AmazonEC2ContainerServiceV20141113"), None),
    (Service::CodeDeploy, "codedeploy", Some("CodeDeploy_20141006"), None),
    (Service::Elb, "elasticloadbalancing", None, Some("2015-12-01")),
    (Service::Rds, "rds", None, Some("2014-10-31")),
];

impl Service {
    /// The service's name as IAM writes it before the colon.
    pub fn name(self) -> &'static str {
        SERVICES.iter().find(|(service, ..)| *service == self).map_or("", |(_, name, ..)| name)
    }

    fn by_target(prefix: &str) -> Option<Self> {
        SERVICES.iter().find(|(_, _, target, _)| *target == Some(prefix)).map(|(service, ..)| *service)
    }

    fn by_version(version: &str) -> Option<Self> {
        SERVICES.iter().find(|(.., known)| *known == Some(version)).map(|(service, ..)| *service)
    }

    /// The version that awsQuery clients name, if the service speaks that protocol.
    pub(crate) fn query_version(self) -> Option<&'static str> {
        SERVICES.iter().find(|(service, ..)| *service == self).and_then(|(.., version)| *version)
    }

    /// Every service.
    pub fn all() -> impl Iterator<Item = Self> {
        SERVICES.iter().map(|(service, ..)| *service)
    }
}

/// The protocol in which a call came and in which its answer goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// awsJson1.0 or 1.1, by its content type.
    Json {
        /// The version behind the point.
        minor: u8,
    },
    /// awsQuery: form in, XML out.
    Query,
    /// Smithy RPC v2 CBOR.
    Cbor,
}

/// A parsed request.
#[derive(Clone, Debug)]
pub struct Call {
    /// Whose operation it is.
    pub service: Service,
    /// The operation.
    pub operation: String,
    /// What it asks.
    pub input: Node,
    /// How it came.
    pub protocol: Protocol,
}

/// What a call came to.
pub(crate) struct Reply {
    pub result: Result<Node, ApiError>,
    pub request_id: String,
}

impl Call {
    /// True for calls that may change the world, status writes excepted.
    pub fn counts_as_mutating(&self) -> bool {
        let reads = ["Get", "Describe", "List", "BatchGet"];
        let status_write = self.operation == "PutParameter"
            && self.input.get("Name").as_text().is_some_and(|name| name.ends_with("/status"));
        !status_write && !reads.iter().any(|prefix| self.operation.starts_with(prefix))
    }
}

/// Reads a request of any service, by its headers and path.
///
/// # Errors
/// The finished response for a request that belongs to no protocol.
pub fn read(request: &http::Request<Bytes>) -> Result<Call, Box<http::Response<Bytes>>> {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
    let body = inflate(request.body(), header("content-encoding"));
    if header("smithy-protocol") == "rpc-v2-cbor" {
        return cbor::read(request.uri().path(), &body);
    }
    if let Some((prefix, operation)) = header("x-amz-target").rsplit_once('.') {
        return json::read(prefix, operation, header("content-type"), &body);
    }
    query::read(&body)
}

/// Writes what a call came to, in the call's own protocol.
pub(crate) fn write(call: &Call, reply: Reply) -> http::Response<Bytes> {
    match call.protocol {
        Protocol::Json { minor } => json::write(call, minor, reply),
        Protocol::Query => query::write(call, reply),
        Protocol::Cbor => cbor::write(call, reply),
    }
}

/// Request bodies of 10,240 bytes and more come gzipped from PutMetricData.
fn inflate(body: &Bytes, encoding: &str) -> Bytes {
    use std::io::Read;
    if encoding != "gzip" {
        return body.clone();
    }
    let mut plain = Vec::new();
    let limit = 16 * 1024 * 1024;
    match flate2::read::GzDecoder::new(body.as_ref()).take(limit).read_to_end(&mut plain) {
        Ok(_) => Bytes::from(plain),
        Err(_) => Bytes::new(),
    }
}

fn respond(
    status: u16,
    content_type: &str,
    request_id: &str,
    body: impl Into<Bytes>,
) -> http::Response<Bytes> {
    let mut response = http::Response::new(body.into());
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::BAD_REQUEST);
    let headers = response.headers_mut();
    for (name, value) in [("content-type", content_type), ("x-amzn-requestid", request_id)] {
        if let Ok(value) = http::HeaderValue::from_str(value) {
            headers.insert(http::HeaderName::from_static(name), value);
        }
    }
    response
}

/// CloudWatch's error shapes whose names differ from their query codes. Source: `error.code` of the CloudWatch model.
const SHAPES: [(&str, &str); 6] = [
    ("InternalServiceError", "InternalServiceFault"),
    ("InvalidFormat", "InvalidFormatFault"),
    ("InvalidParameterCombination", "InvalidParameterCombinationException"),
    ("InvalidParameterValue", "InvalidParameterValueException"),
    ("LimitExceeded", "LimitExceededFault"),
    ("MissingParameter", "MissingRequiredParameterException"),
];

/// `__type` of an error: JSON and CBOR bodies name the shape. Where that is not the query code, the header has the code.
fn error_type(service: Service, error: &ApiError) -> &str {
    let shape = SHAPES.iter().find(|(code, _)| service == Service::CloudWatch && *code == error.code);
    shape.map_or(&error.code, |(_, shape)| shape)
}

/// `x-amzn-query-error: Code;Sender`: how CloudWatch's newer protocols carry the old query code.
fn query_error(response: &mut http::Response<Bytes>, error: &ApiError) {
    let fault = if error.status >= 500 { "Receiver" } else { "Sender" };
    if let Ok(value) = http::HeaderValue::from_str(&format!("{};{fault}", error.code)) {
        response.headers_mut().insert("x-amzn-query-error", value);
    }
}
