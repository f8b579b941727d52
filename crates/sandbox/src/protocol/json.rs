//! awsJson 1.0 and 1.1: the operation in a header, JSON both ways, times as epoch seconds.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde_json::Value;

use super::{Call, Protocol, Reply, Service, error_type, query_error, respond};
use crate::node::Node;

pub(super) fn read(
    prefix: &str,
    operation: &str,
    content_type: &str,
    body: &[u8],
) -> Result<Call, Box<http::Response<Bytes>>> {
    let minor = u8::from(!content_type.contains("json-1.0"));
    let fail = |code: &str, message: &str| {
        let body = serde_json::json!({ "__type": code, "message": message }).to_string();
        respond(400, content(minor), "unparsed", body)
    };
    let Some(service) = Service::by_target(prefix) else {
        return Err(Box::new(fail(
            "UnknownOperationException",
            "the target names no service of this endpoint",
        )));
    };
    let input = if body.is_empty() {
        Value::Object(serde_json::Map::new())
    } else {
        serde_json::from_slice(body).map_err(|_| fail("SerializationException", "the body is not JSON"))?
    };
    Ok(Call {
        service,
        operation: operation.to_owned(),
        input: from_json(input),
        protocol: Protocol::Json { minor },
    })
}

fn content(minor: u8) -> &'static str {
    if minor == 0 { "application/x-amz-json-1.0" } else { "application/x-amz-json-1.1" }
}

pub(super) fn write(call: &Call, minor: u8, reply: Reply) -> http::Response<Bytes> {
    match reply.result {
        Ok(output) => {
            // Operations without an output shape answer with an empty object in 1.0 and an empty body in 1.1 is allowed;
            // clients take {} in both.
            respond(200, content(minor), &reply.request_id, to_json(&output).to_string())
        }
        Err(error) => {
            let kind = error_type(call.service, &error);
            let body = serde_json::json!({ "__type": kind, "message": error.message }).to_string();
            let mut response = respond(error.status, content(minor), &reply.request_id, body);
            if call.service == Service::CloudWatch {
                query_error(&mut response, &error);
            }
            response
        }
    }
}

fn from_json(value: Value) -> Node {
    match value {
        Value::Null => Node::Null,
        Value::Bool(value) => Node::Bool(value),
        Value::Number(number) => {
            number.as_i64().map_or_else(|| Node::Float(number.as_f64().unwrap_or(0.0)), Node::Int)
        }
        Value::String(text) => Node::Text(text),
        Value::Array(items) => Node::List(items.into_iter().map(from_json).collect()),
        Value::Object(members) => Node::Map(members.into_iter().map(|(k, v)| (k, from_json(v))).collect()),
    }
}

pub(crate) fn to_json(node: &Node) -> Value {
    match node {
        Node::Null => Value::Null,
        Node::Bool(value) => Value::Bool(*value),
        Node::Int(number) => Value::from(*number),
        Node::Float(number) => Value::from(*number),
        Node::Text(text) => Value::from(text.as_str()),
        #[expect(clippy::cast_precision_loss, reason = "epoch milliseconds are far below 2^53")]
        Node::Time(time) => Value::from(time.as_millisecond() as f64 / 1_000.0),
        Node::Blob(bytes) => Value::from(STANDARD.encode(bytes)),
        Node::List(items) => Value::Array(items.iter().map(to_json).collect()),
        Node::Map(members) => Value::Object(members.iter().map(|(k, v)| (k.clone(), to_json(v))).collect()),
    }
}
