//! The probes of a spec: what is asked of green, in order.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Code, Document, Expect, Member, Method, Node, Probe};

/// Most probes in one spec: a verification is a short story, and each request waits up to 10 s.
const MAX_PROBES: usize = 32;

/// Reads the list of probes.
pub(super) fn probes(doc: &mut Document<'_>, node: &Node<'_, '_>) -> Option<Vec<Probe>> {
    let items = node.list(doc)?;
    if items.len() > MAX_PROBES {
        doc.note(node, Code::OutOfRange, format!("at most {MAX_PROBES} probes"), "");
    }
    let mut saved: Vec<String> = vec![];
    let mut all = vec![];
    for item in &items {
        all.push(probe(doc, item, &mut saved));
    }
    all.into_iter().collect()
}

const PROBE_KEYS: [&str; 11] =
    ["get", "head", "post", "put", "patch", "delete", "headers", "json", "expect", "save", "always"];

/// Reads one probe and adds what it saves to `saved`: also if it is wrong otherwise, so that a later probe is not blamed.
fn probe(doc: &mut Document<'_>, node: &Node<'_, '_>, saved: &mut Vec<String>) -> Option<Probe> {
    let members = node.object(doc, &PROBE_KEYS)?;
    let methods: Vec<_> =
        Method::ALL.iter().filter_map(|(key, m)| Some((*m, members.get(key)?.clone()))).collect();
    let mut requests: Vec<_> = methods
        .into_iter()
        .map(|(method, node)| {
            let path = node.text(doc, 1_024)?;
            probe_path(doc, &node, &path, saved).then_some((method, path))
        })
        .collect();
    if requests.len() != 1 {
        doc.note(
            node,
            Code::Conflict,
            "a probe has exactly one method",
            "one of get, head, post, put, patch, delete with the path",
        );
        requests.clear();
    }
    let headers = members.get("headers").cloned().map_or(Some(BTreeMap::new()), |n| headers(doc, &n));
    let json = members.get("json").map(Node::json);
    let expect = members.get("expect").cloned().map_or(Some(Expect::default()), |n| expect(doc, &n));
    let save = members.get("save").cloned().map_or(Some(BTreeMap::new()), |n| pointers(doc, &n, saved));
    let always = members.get("always").cloned().map_or(Some(false), |n| n.boolean(doc));
    let (method, path) = requests.pop().flatten()?;
    Some(Probe { method, path, headers: headers?, json, expect: expect?, save: save?, always: always? })
}

fn probe_path(doc: &mut Document<'_>, node: &Node<'_, '_>, path: &str, saved: &[String]) -> bool {
    if !path.starts_with('/') || path.starts_with("//") || path.contains("://") || path.contains(' ') {
        doc.note(node, Code::BadValue, "a probe gives a path that begins with one slash, never a host", "");
        return false;
    }
    let names: Vec<&str> =
        path.split('{').skip(1).filter_map(|rest| rest.split_once('}').map(|(n, _)| n)).collect();
    if names.iter().any(|name| !saved.iter().any(|s| s == name)) {
        doc.note(
            node,
            Code::Conflict,
            "the path takes a value that no earlier probe saves",
            "save it in an earlier probe",
        );
        return false;
    }
    true
}

fn headers(doc: &mut Document<'_>, node: &Node<'_, '_>) -> Option<BTreeMap<String, String>> {
    let token =
        |k: &str| !k.is_empty() && k.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    let reserved = ["host", "content-length", "transfer-encoding", "connection"];
    texts(doc, node, |doc, member, _| {
        let ok = token(&member.key) && !reserved.contains(&member.key.to_ascii_lowercase().as_str());
        if !ok {
            doc.note_at(
                member.at,
                &member.node.path,
                Code::BadValue,
                "a header name is not well formed or is set by Tidegate itself",
                "host, content-length, transfer-encoding and connection cannot be given",
            );
        }
        ok
    })
}

fn expect(doc: &mut Document<'_>, node: &Node<'_, '_>) -> Option<Expect> {
    let members = node.object(doc, &["status", "json"])?;
    let status = match members.get("status").cloned() {
        None => Some(None),
        Some(n) => n.integer(doc, 100, 599).and_then(|status| u16::try_from(status).ok()).map(Some),
    };
    let json = members.get("json").cloned().map_or(Some(BTreeMap::new()), |n| expected_values(doc, &n));
    Some(Expect { status: status?, json: json? })
}

fn expected_values(doc: &mut Document<'_>, node: &Node<'_, '_>) -> Option<BTreeMap<String, Value>> {
    let read: Vec<_> = node
        .free_object(doc)?
        .into_iter()
        .map(|member| {
            let ok = is_pointer(&member.key);
            if !ok {
                doc.note_at(member.at, &member.node.path, Code::BadValue, NO_POINTER, "");
            }
            ok.then(|| (member.key, member.node.json()))
        })
        .collect();
    read.into_iter().collect()
}

const NO_POINTER: &str = "a JSON pointer begins with a slash";

fn is_pointer(text: &str) -> bool {
    text.is_empty() || text.starts_with('/')
}

fn pointers(
    doc: &mut Document<'_>,
    node: &Node<'_, '_>,
    saved: &mut Vec<String>,
) -> Option<BTreeMap<String, String>> {
    texts(doc, node, |doc, member, pointer| {
        saved.push(member.key.clone());
        let ok = is_pointer(pointer);
        if !ok {
            doc.note(&member.node, Code::BadValue, NO_POINTER, "");
        }
        ok
    })
}

/// An object of texts under free keys. Each is looked at even if an earlier one is wrong.
pub(super) fn texts(
    doc: &mut Document<'_>,
    node: &Node<'_, '_>,
    mut check: impl FnMut(&mut Document<'_>, &Member<'_, '_>, &str) -> bool,
) -> Option<BTreeMap<String, String>> {
    let read: Vec<_> = node
        .free_object(doc)?
        .into_iter()
        .map(|member| {
            let text = member.node.any_text(doc, 4_096)?;
            check(doc, &member, &text).then_some((member.key, text))
        })
        .collect();
    read.into_iter().collect()
}

/// In a spec a probe's method is a key that holds the path, which a derived schema cannot say.
pub(super) fn describe_probe(schema: &mut Value) {
    let Some(probe) = schema.pointer_mut("/$defs/Probe").and_then(Value::as_object_mut) else { return };
    if let Some(properties) = probe.get_mut("properties").and_then(Value::as_object_mut) {
        properties.remove("method");
        properties.remove("path");
        for (key, method) in Method::ALL {
            properties.insert(
                key.to_owned(),
                json!({ "type": "string", "pattern": "^/", "description": format!("{} this path", method.as_str()) }),
            );
        }
    }
    probe.remove("required");
    probe.insert("oneOf".into(), Method::ALL.iter().map(|(key, _)| json!({ "required": [key] })).collect());
}
