//! Smithy RPC v2 CBOR, as the Rust SDK's CloudWatch client speaks it: the operation in the path, CBOR both ways, times as
//! tag 1. Errors carry `__type` in the body and the old query code in a header.

use bytes::Bytes;
use ciborium::Value;

use super::{Call, Protocol, Reply, Service, error_type, query_error, respond};
use crate::node::Node;

const CONTENT: &str = "application/cbor";

pub(super) fn read(path: &str, body: &[u8]) -> Result<Call, Box<http::Response<Bytes>>> {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let (service, operation) = match parts.as_slice() {
        ["service", service, "operation", operation] => (Service::by_target(service), *operation),
        _ => (None, ""),
    };
    let Some(service) = service else { return Err(Box::new(fail("UnknownOperationException"))) };
    let input = if body.is_empty() {
        Node::empty()
    } else {
        let value: Value = ciborium::from_reader(body).map_err(|_| fail("SerializationException"))?;
        from_cbor(value)
    };
    Ok(Call { service, operation: operation.to_owned(), input, protocol: Protocol::Cbor })
}

fn fail(code: &str) -> http::Response<Bytes> {
    let body = encode(&Node::map([("__type", code.into())]));
    marked(respond(400, CONTENT, "unparsed", body))
}

fn marked(mut response: http::Response<Bytes>) -> http::Response<Bytes> {
    response.headers_mut().insert("smithy-protocol", http::HeaderValue::from_static("rpc-v2-cbor"));
    response
}

pub(super) fn write(call: &Call, reply: Reply) -> http::Response<Bytes> {
    match reply.result {
        Ok(output) => marked(respond(200, CONTENT, &reply.request_id, encode(&output))),
        Err(error) => {
            let kind = error_type(call.service, &error);
            let body = Node::map([("__type", kind.into()), ("message", (&error.message).into())]);
            let mut response = marked(respond(error.status, CONTENT, &reply.request_id, encode(&body)));
            query_error(&mut response, &error);
            response
        }
    }
}

fn encode(node: &Node) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Writing to memory cannot fail, and every node has a CBOR form.
    let _ = ciborium::into_writer(&to_cbor(node), &mut bytes);
    bytes
}

fn from_cbor(value: Value) -> Node {
    match value {
        Value::Integer(number) => i64::try_from(number).map_or(Node::Null, Node::Int),
        Value::Float(number) => Node::Float(number),
        Value::Text(text) => Node::Text(text),
        Value::Bool(value) => Node::Bool(value),
        Value::Bytes(bytes) => Node::Blob(bytes),
        Value::Tag(1, seconds) => from_cbor(*seconds).as_time().map_or(Node::Null, Node::Time),
        Value::Array(items) => Node::List(items.into_iter().map(from_cbor).collect()),
        Value::Map(members) => Node::Map(
            members.into_iter().filter_map(|(k, v)| Some((k.into_text().ok()?, from_cbor(v)))).collect(),
        ),
        // ciborium's enum is open; null, undefined and foreign tags are absent values here.
        _ => Node::Null,
    }
}

fn to_cbor(node: &Node) -> Value {
    match node {
        Node::Null => Value::Null,
        Node::Bool(value) => Value::Bool(*value),
        Node::Int(number) => Value::from(*number),
        Node::Float(number) => Value::Float(*number),
        Node::Text(text) => Value::from(text.as_str()),
        #[expect(clippy::cast_precision_loss, reason = "epoch milliseconds are far below 2^53")]
        Node::Time(time) => Value::Tag(1, Box::new(Value::Float(time.as_millisecond() as f64 / 1_000.0))),
        Node::Blob(bytes) => Value::Bytes(bytes.clone()),
        Node::List(items) => Value::Array(items.iter().map(to_cbor).collect()),
        Node::Map(members) => {
            Value::Map(members.iter().map(|(k, v)| (Value::from(k.as_str()), to_cbor(v))).collect())
        }
    }
}
