//! F16 and F26: what is asked for is written anew, taken away, or has a secret in it.
//!
//! Whoever disturbs puts back what was there, unless somebody has written something else meanwhile: how a scenario ends is still
//! the scenario's to say.

use std::time::Duration;

use serde_json::{Value, json};
use tidegate_sandbox::protocol::Service;

use super::{After, Begun, done, perform, undone};
use crate::{
    fault::{CANARY, CanaryMishap, SpecMishap},
    oracle::traffic::SPEC,
    scenario::parameter,
    scene::Scene,
};

/// How long a name cannot be used again once its parameter is deleted, and a moment. Source: Parameter Store's DeleteParameter.
const ANEW: Duration = Duration::from_secs(32);

/// Versions of a parameter that are kept.
const KEPT: usize = 100;

pub(super) fn begin(scene: &Scene, how: SpecMishap) -> Begun {
    let Some(text) = read(scene, SPEC) else { return Begun::NotYet };
    match how {
        SpecMishap::EditedTwice => {
            let Some(other) = with(&text, "bake", json!("7m")) else { return Begun::NotYet };
            put(scene, SPEC, &other);
            put(scene, SPEC, &text);
            Begun::Done
        }
        SpecMishap::Reverted => match older(scene, &text) {
            Some(older) => replaced(scene, &older, text),
            None => Begun::NotYet,
        },
        SpecMishap::Deleted => {
            let answer = perform(scene, Service::Ssm, "DeleteParameter", &json!({ "Name": SPEC }));
            undone(answer, move |scene| again(scene, &text))
        }
        SpecMishap::Recreated => {
            perform(scene, Service::Ssm, "DeleteParameter", &json!({ "Name": SPEC }));
            Begun::Soon(ANEW, After::then(move |scene| again(scene, &text)))
        }
        SpecMishap::Malformed => replaced(scene, r#"{"service": "#, text),
        SpecMishap::Oversized => {
            let padded = format!("{text}{}", " ".repeat(8_000_usize.saturating_sub(text.len())));
            let input = json!({ "Name": SPEC, "Value": padded, "Type": "String", "Overwrite": true, "Tier": "Advanced" });
            done(perform(scene, Service::Ssm, "PutParameter", &input))
        }
        SpecMishap::AgedOut => {
            (0..=KEPT).for_each(|_| put(scene, SPEC, &text));
            Begun::Done
        }
        SpecMishap::Hold => order(scene, "hold", "somebody looks at something".to_owned()),
        SpecMishap::Abort => {
            let version = scene.sandbox.world().parameter(SPEC).map_or(0, |(version, _)| version);
            order(scene, "abort", json!({ "spec": version }).to_string())
        }
    }
}

/// Writes the spec where there is none, as version 1.
fn again(scene: &Scene, text: &str) {
    if read(scene, SPEC).is_none() {
        put(scene, SPEC, text);
    }
}

/// F26.
pub(super) fn leak(scene: &Scene, how: CanaryMishap) -> Begun {
    let Some(text) = read(scene, SPEC) else { return Begun::NotYet };
    match how {
        CanaryMishap::SpecMember => match with(&text, "password", json!(CANARY)) {
            Some(leaking) => replaced(scene, &leaking, text),
            None => Begun::NotYet,
        },
        CanaryMishap::SpecText => replaced(scene, &format!(r#"{{"password": "{CANARY}"#), text),
        CanaryMishap::Abort => order(scene, "abort", json!({ "spec": CANARY }).to_string()),
    }
}

/// Writes something else, and what was there when its time is over.
fn replaced(scene: &Scene, other: &str, text: String) -> Begun {
    put(scene, SPEC, other);
    let other = other.to_owned();
    Begun::Until(After::then(move |scene| {
        if read(scene, SPEC).as_ref() == Some(&other) {
            put(scene, SPEC, &text);
        }
    }))
}

/// Writes an order where there is none, and takes it away when its time is over.
fn order(scene: &Scene, name: &str, text: String) -> Begun {
    let path = parameter(name);
    if read(scene, &path).is_some() {
        return Begun::NotYet;
    }
    put(scene, &path, &text);
    Begun::Until(After::then(move |scene| {
        if read(scene, &path).as_ref() == Some(&text) {
            perform(scene, Service::Ssm, "DeleteParameter", &json!({ "Name": path }));
        }
    }))
}

fn read(scene: &Scene, path: &str) -> Option<String> {
    scene.sandbox.world().parameter(path).map(|(_, text)| text)
}

pub(super) fn put(scene: &Scene, path: &str, text: &str) {
    let input = json!({ "Name": path, "Value": text, "Type": "String", "Overwrite": true });
    perform(scene, Service::Ssm, "PutParameter", &input);
}

fn with(text: &str, member: &str, value: Value) -> Option<String> {
    let mut spec: Value = serde_json::from_str(text).ok()?;
    spec.as_object_mut()?.insert(member.to_owned(), value);
    Some(spec.to_string())
}

/// The newest text from before that is another one.
fn older(scene: &Scene, text: &str) -> Option<String> {
    let history = perform(scene, Service::Ssm, "GetParameterHistory", &json!({ "Name": SPEC }))?;
    let versions = history.items("Parameters").ok()?;
    let texts = versions.iter().rev().filter_map(|version| version.get("Value").as_text());
    // What somebody has disturbed before is no earlier wish.
    let is_one = |other: &&str| *other != text && serde_json::from_str::<Value>(other).is_ok();
    texts.into_iter().find(is_one).map(str::to_owned)
}
