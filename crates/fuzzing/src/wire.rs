//! Requests to the sandbox, as bytes: whatever they are, they are answered, in the protocol in which they were asked, and the
//! world goes on. An input is requests with a line of equals signs between them; behind a zero byte stand bytes, each three of
//! which put something hostile into a place of the requests that could be read.

use std::sync::OnceLock;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use tidegate_sandbox::{
    Sandbox,
    clock::Clock,
    node::Node,
    protocol::{Call, Protocol, read},
    world::{Mode, World},
};

use crate::text_and_choices;

/// What separates requests.
pub(crate) const NEXT: &str = "\n====\n";
const MOST_REQUESTS: usize = 16;
/// After each request: long enough for tasks to start and for traffic to shift.
const STEP: SignedDuration = SignedDuration::from_mins(2);

pub(crate) fn run(data: &[u8]) {
    let (text, choices) = text_and_choices(data);
    let sandbox = Sandbox::new(world(), Clock::standing(start()));
    let mut calls: Vec<Call> = Vec::new();
    for request in text.split(NEXT).take(MOST_REQUESTS).filter_map(request) {
        match read(&request) {
            Ok(call) => calls.push(call),
            Err(refused) => assert!(refused.status().is_client_error(), "{}", refused.status()),
        }
    }
    for call in &calls {
        answered(&sandbox, call);
    }
    for choice in choices.chunks_exact(3).take(MOST_REQUESTS) {
        let [which, place, what] = *choice else { return };
        let which = usize::from(which) % calls.len().max(1);
        let Some(call) = calls.get_mut(which) else { return };
        let mut place = usize::from(place) % leaves(&call.input).max(1);
        put(&mut call.input, &mut place, &hostile(what));
        answered(&sandbox, call);
    }
}

fn start() -> Timestamp {
    // When the requests of the corpus were recorded.
    "2026-11-26T21:00:00Z".parse().expect("a time")
}

/// Parsed once: the file takes longer than all that is done to the world.
fn world() -> World {
    static WORLD: OnceLock<World> = OnceLock::new();
    let file = include_str!("../../../config/world.toml");
    let made =
        || World::from_file(file, start(), Mode::Modelled { seed: 7 }).expect("the example is a world");
    WORLD.get_or_init(made).clone()
}

/// `POST /path`, headers, an empty line, the body: as HTTP has it, with plain line ends. A body is given as it is, or in hex.
fn request(text: &str) -> Option<http::Request<Bytes>> {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let (method, path) = lines.next()?.split_once(' ')?;
    let mut request = http::Request::builder().method(method).uri(path);
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        request = request.header(name, value);
    }
    let bytes = body.strip_prefix("hex:").and_then(unhex).unwrap_or_else(|| body.as_bytes().to_vec());
    request.body(Bytes::from(bytes)).ok()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end().as_bytes();
    let pairs = digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
    pairs.collect()
}

fn answered(sandbox: &Sandbox, call: &Call) {
    let response = sandbox.reply(call, sandbox.perform(call));
    assert!((200..600).contains(&response.status().as_u16()), "{}", response.status());
    assert!(response.headers().contains_key("x-amzn-requestid"));
    let body = response.body();
    let readable = match call.protocol {
        Protocol::Json { .. } => serde_json::from_slice::<serde_json::Value>(body).is_ok(),
        Protocol::Cbor => ciborium::from_reader::<ciborium::Value, _>(body.as_ref()).is_ok(),
        Protocol::Query => is_xml(body),
    };
    assert!(readable, "{} {}: {}", call.service.name(), call.operation, String::from_utf8_lossy(body));
    sandbox.jump(STEP);
}

fn is_xml(body: &[u8]) -> bool {
    let mut reader = quick_xml::Reader::from_reader(body);
    loop {
        match reader.read_event() {
            Ok(quick_xml::events::Event::Eof) => return true,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}

/// Places that a value can be put into.
fn leaves(node: &Node) -> usize {
    match node {
        Node::Map(members) => 1 + members.iter().map(|(_, member)| leaves(member)).sum::<usize>(),
        Node::List(items) => 1 + items.iter().map(leaves).sum::<usize>(),
        Node::Null
        | Node::Bool(_)
        | Node::Int(_)
        | Node::Float(_)
        | Node::Text(_)
        | Node::Time(_)
        | Node::Blob(_) => 1,
    }
}

/// Puts a value into the place that many places on.
fn put(node: &mut Node, place: &mut usize, value: &Node) -> bool {
    if *place == 0 {
        *node = value.clone();
        return true;
    }
    *place -= 1;
    match node {
        Node::Map(members) => members.iter_mut().any(|(_, member)| put(member, place, value)),
        Node::List(items) => items.iter_mut().any(|item| put(item, place, value)),
        Node::Null
        | Node::Bool(_)
        | Node::Int(_)
        | Node::Float(_)
        | Node::Text(_)
        | Node::Time(_)
        | Node::Blob(_) => false,
    }
}

/// What a handler may not expect: the ends of ranges, the wrong type, nothing, too much.
fn hostile(choice: u8) -> Node {
    match choice % 24 {
        0 => Node::Null,
        1 => Node::Bool(true),
        2 => Node::Int(0),
        3 => Node::Int(-1),
        4 => Node::Int(i64::MIN),
        5 => Node::Int(i64::MAX),
        6 => Node::Float(f64::NAN),
        7 => Node::Float(f64::INFINITY),
        8 => Node::Float(-0.5),
        9 => Node::Float(1e300),
        10 => Node::from(""),
        11 => Node::from("x".repeat(10_000)),
        12 => Node::from("\u{0}\u{1f}\u{ffff}<&>\"'\u{202e}"),
        13 => Node::from("arn:aws:"),
        14 => Node::from(i64::MIN.to_string()),
        15 => Node::from("ecommerce"),
        16 => Node::Time(Timestamp::MIN),
        17 => Node::Time(Timestamp::MAX),
        18 => Node::Blob(vec![0xff; 3]),
        19 => Node::List(vec![]),
        20 => Node::List(vec![Node::Null, Node::from(""), Node::Int(1), Node::empty()]),
        21 => Node::List(vec![Node::from("a"); 2_000]),
        22 => Node::empty(),
        _ => Node::Map(vec![("".to_owned(), Node::Null), ("a b<".to_owned(), Node::from("="))]),
    }
}
