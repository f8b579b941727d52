//! Text to [`Spec`]: strict, and complete in what it reports. Called at acceptance and by `tidegate validate`.

use std::collections::BTreeMap;

use super::{
    Checks, Code, CodeDeployTraffic, Document, ExactRevision, ImageOverlay, Members, Node, Problem,
    RevisionSpec, ServiceKey, Shift, Spec, Traffic,
    checks::checks,
    default_bake,
    probes::{probes, texts},
    schema::schema,
};
use crate::duration::{NotASpan, Span};

/// CodeDeploy keeps blue at most 48 h (source: `terminationWaitTimeInMinutes`, at most 2,880), and 45 minutes of that are not the bake's:
/// it begins once it is confirmed that all traffic is on green, and must end half an hour before blue is deleted.
const CODEDEPLOY_BAKE_MAX: Span = Span::minutes(2_880 - 45);

/// Reads a spec.
///
/// # Errors
/// Every problem at once, in reading order, each with code, path, line and column. The text is never quoted.
pub fn read(text: &str) -> Result<Spec, Vec<Problem>> {
    let mut doc = Document::new(text);
    let spec = doc.parse().and_then(|value| spec(&mut doc, &Node::root(&value)));
    match spec {
        Some(spec) if doc.problems.is_empty() => Ok(spec),
        Some(_) | None => Err(doc.into_problems()),
    }
}

fn spec(doc: &mut Document<'_>, root: &Node<'_, '_>) -> Option<Spec> {
    let known = ["$schema", "service", "revision", "traffic", "verify", "checks", "bake", "schema"];
    let members = root.object(doc, &known)?;
    let service = members.need(doc, "service").cloned().and_then(|n| service(doc, &n));
    let revision = members.need(doc, "revision").cloned().and_then(|n| revision(doc, &n));
    let verify = members.get("verify").cloned().map_or(Some(vec![]), |n| probes(doc, &n));
    let unverified = verify.as_ref().is_some_and(Vec::is_empty);
    let traffic = members.need(doc, "traffic").cloned().and_then(|n| traffic(doc, &n, unverified));
    let with_database = members.get("schema").is_some();
    let checks =
        members.get("checks").cloned().map_or(Some(Checks::default()), |n| checks(doc, &n, with_database));
    let bake = members.get("bake").cloned().map_or(Some(default_bake()), |n| bake(doc, &n));
    let schema = members.get("schema").cloned().map(|n| schema(doc, &n));
    Some(Spec {
        service: service?,
        revision: revision?,
        traffic: traffic?,
        verify: verify?,
        checks: checks?,
        bake: bake?,
        schema: schema.map_or(Some(None), |s| s.map(Some))?,
    })
}

pub(super) fn need_text(
    doc: &mut Document<'_>,
    members: &Members<'_, '_>,
    key: &str,
    max: usize,
) -> Option<String> {
    let node = members.need(doc, key)?.clone();
    node.text(doc, max)
}

fn service(doc: &mut Document<'_>, node: &Node<'_, '_>) -> Option<ServiceKey> {
    let members = node.object(doc, &["cluster", "name"])?;
    let cluster = need_text(doc, &members, "cluster", 255);
    let name = need_text(doc, &members, "name", 255);
    Some(ServiceKey { cluster: cluster?, name: name? })
}

fn revision(doc: &mut Document<'_>, node: &Node<'_, '_>) -> Option<RevisionSpec> {
    let members = node.object(doc, &["container", "image", "environment", "taskDefinition"])?;
    if let Some(exact) = members.get("taskDefinition").cloned() {
        if members.len() > 1 {
            doc.note(
                node,
                Code::Conflict,
                "taskDefinition excludes container, image and environment",
                "give one form",
            );
        }
        let task_definition = exact.parsed(doc, exact_revision)?;
        return Some(RevisionSpec::TaskDefinition(ExactRevision { task_definition }));
    }
    let container = need_text(doc, &members, "container", 255);
    let image = need_text(doc, &members, "image", 1_024);
    let environment =
        members.get("environment").cloned().map_or(Some(BTreeMap::new()), |n| texts(doc, &n, |_, _, _| true));
    Some(RevisionSpec::Image(ImageOverlay {
        container: container?,
        image: image?,
        environment: environment?,
    }))
}

pub(super) fn exact_revision(text: &str) -> Result<String, &'static str> {
    let (family, number) = text.rsplit_once(':').unwrap_or((text, ""));
    let family_ok =
        !family.is_empty() && family.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if family_ok && number.parse::<u32>().is_ok_and(|n| n > 0) {
        Ok(text.to_owned())
    } else {
        Err("an exact revision is family:number, without an ARN")
    }
}

fn traffic(doc: &mut Document<'_>, node: &Node<'_, '_>, unverified: bool) -> Option<Traffic> {
    let members = node.object(doc, &["engine", "application", "deploymentGroup", "shift"])?;
    let engine = members.need(doc, "engine").cloned();
    match engine.as_ref().and_then(Node::as_str) {
        Some("codedeploy") | None => {}
        Some("ecs" | "listener" | "rolling") => {
            let node = engine.as_ref()?;
            doc.note(
                node,
                Code::NotYet,
                "this version moves traffic with the engine codedeploy only",
                "use codedeploy",
            );
        }
        Some(_) => {
            let node = engine.as_ref()?;
            doc.note(node, Code::BadValue, "not an engine", "engines: codedeploy, ecs, listener, rolling");
        }
    }
    if let Some(node) = engine.filter(|n| n.as_str().is_none()) {
        node.text(doc, 32);
    }
    let application = need_text(doc, &members, "application", 100);
    let deployment_group = need_text(doc, &members, "deploymentGroup", 100);
    let shift_node = members.need(doc, "shift").cloned();
    let shift = shift_node.as_ref().and_then(|n| shift(doc, n));
    if let (Some(node), Some(Shift::AllAtOnce), true) = (&shift_node, shift, unverified) {
        doc.note(
            node,
            Code::Conflict,
            "allAtOnce without a verification moves everything to a revision nobody has asked anything",
            "add verify, or shift in steps",
        );
    }
    Some(Traffic::Codedeploy(CodeDeployTraffic {
        application: application?,
        deployment_group: deployment_group?,
        shift: shift?,
    }))
}

fn shift(doc: &mut Document<'_>, node: &Node<'_, '_>) -> Option<Shift> {
    match node.as_str() {
        Some("allAtOnce") => return Some(Shift::AllAtOnce),
        Some("adaptive") => {
            doc.note(
                node,
                Code::EngineCannot,
                "codedeploy cannot wait between steps, so it cannot shift adaptively",
                "use linear or canary",
            );
            return None;
        }
        Some(_) => {
            doc.note(node, Code::BadValue, "not a shift", "linear, canary, steps, adaptive or allAtOnce");
            return None;
        }
        None => {}
    }
    let members = node.object(doc, &["linear", "canary", "steps"])?;
    let linear = members.get("linear").cloned().map(|n| {
        let (percent, every) = percent_and_minutes(doc, &n, "every")?;
        Some(Shift::Linear { percent, every })
    });
    let canary = members.get("canary").cloned().map(|n| {
        let (percent, wait) = percent_and_minutes(doc, &n, "for")?;
        Some(Shift::Canary { percent, r#for: wait })
    });
    let steps = members.get("steps").cloned().map(|n| steps_as_canary(doc, &n));
    if members.len() != 1 {
        doc.note(
            node,
            Code::Conflict,
            "a shift has exactly one form",
            "linear, canary, steps, adaptive or allAtOnce",
        );
        return None;
    }
    linear.or(canary).or(steps).flatten()
}

fn percent_and_minutes(doc: &mut Document<'_>, node: &Node<'_, '_>, key: &str) -> Option<(u8, Span)> {
    let members = node.object(doc, &["percent", key])?;
    let percent = members.need(doc, "percent").cloned().and_then(|n| n.integer(doc, 1, 99));
    let wait = members.need(doc, key).cloned().and_then(|n| {
        let span = span(doc, &n)?;
        if span.whole_minutes().is_none() {
            doc.note(&n, Code::EngineCannot, "codedeploy shifts in whole minutes", "use minutes");
            return None;
        }
        Some(span)
    });
    Some((u8::try_from(percent?).ok()?, wait?))
}

pub(super) fn span(doc: &mut Document<'_>, node: &Node<'_, '_>) -> Option<Span> {
    let text = node.text(doc, 64)?;
    match text.parse::<Span>() {
        Ok(span) => Some(span),
        Err(error) => {
            let code = match error {
                NotASpan::Malformed => Code::BadValue,
                NotASpan::OutOfRange => Code::OutOfRange,
            };
            doc.note(node, code, error.to_string(), "");
            None
        }
    }
}

/// CodeDeploy knows two-step and equal-step shifts only, so a list of steps must be one of a single entry.
fn steps_as_canary(doc: &mut Document<'_>, node: &Node<'_, '_>) -> Option<Shift> {
    let items = node.list(doc)?;
    let read: Vec<_> = items.iter().map(|item| percent_and_minutes(doc, item, "for")).collect();
    match read.as_slice() {
        [one] => one.map(|(percent, wait)| Shift::Canary { percent, r#for: wait }),
        [] => {
            doc.note(node, Code::BadValue, "steps must have at least one entry", "");
            None
        }
        _ => {
            doc.note(
                node,
                Code::EngineCannot,
                "codedeploy cannot shift in unequal steps",
                "use linear, or canary for a single first step",
            );
            None
        }
    }
}

fn bake(doc: &mut Document<'_>, node: &Node<'_, '_>) -> Option<Span> {
    let span = span(doc, node)?;
    if span > CODEDEPLOY_BAKE_MAX {
        doc.note(
            node,
            Code::EngineCannot,
            "codedeploy keeps blue at most 48h, and the bake must fit in 45m before",
            "at most 2835m",
        );
        return None;
    }
    Some(span)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// The example of the README, as a team would write it.
    const EXAMPLE: &str = r#"{
  "service":  { "cluster": "ecommerce", "name": "ecommerce" },
  "revision": { "container": "app", "image": "registry/ecommerce:v2.0.0", "environment": { "APP_VERSION": "green" } },
  "traffic":  { "engine": "codedeploy", "application": "ecommerce-bluegreen", "deploymentGroup": "ecommerce-bluegreen",
                "shift": { "linear": { "percent": 10, "every": "3m" } } },
  "verify":   [ { "post": "/api/customers", "json": { "name": "probe" }, "expect": { "status": 201 }, "save": { "id": "/id" } },
                { "get": "/api/customers/{id}", "expect": { "status": 200, "json": { "/name": "probe" } } },
                { "delete": "/api/customers/{id}", "always": true } ],
  "checks":   { "databaseConnections": {}, "latency": "off" },
  "bake":     "24h",
  "schema":   { "database": { "secret": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:tidegate-ecommerce-AbCdEf", "instance": "ecommerce-db" },
                "change": "structured-address", "source": "file:///migrations/structured-address",
                "contract": "onApproval", "contractAfter": "8d" }
}"#;

    #[test]
    fn the_example_is_accepted_and_survives_the_ledger() {
        let spec = read(EXAMPLE).unwrap();
        assert_eq!(spec.verify.len(), 3);
        assert!(spec.checks.errors.is_on() && !spec.checks.latency.is_on());
        let stored = serde_json::to_string(&spec).unwrap();
        assert_eq!(serde_json::from_str::<Spec>(&stored).unwrap(), spec);
    }

    #[test]
    fn every_problem_is_reported_at_once_with_its_place() {
        let text = EXAMPLE
            .replace("\"percent\": 10", "\"percent\": 0")
            .replace("\"bake\":     \"24h\"", "\"bake\":     \"72h\"")
            .replace("\"cluster\": \"ecommerce\",", "\"clusterr\": \"ecommerce\",");
        let problems = read(&text).unwrap_err();
        let codes: Vec<_> = problems.iter().map(|p| (p.code.as_str(), p.path.as_str(), p.line)).collect();
        assert_eq!(
            codes,
            [
                ("SPEC003", "service.cluster", 2),
                ("SPEC004", "service", 2),
                ("SPEC007", "traffic.shift.linear.percent", 5),
                ("SPEC011", "bake", 10)
            ]
        );
    }

    #[test]
    fn problems_never_quote_the_text() {
        let canary = "s3cr3t-canary";
        for text in [
            format!("{{ \"{canary}\": 1 }}"),
            EXAMPLE.replace("\"24h\"", &format!("\"{canary}\"")),
            EXAMPLE.replace("\"APP_VERSION\"", &format!("\"{canary}\"")).replace("\"green\"", "5"),
            canary.to_owned(),
        ] {
            for problem in read(&text).unwrap_err() {
                assert!(!problem.to_string().contains(canary), "{problem}");
            }
        }
    }

    #[test]
    fn a_path_may_take_only_what_an_earlier_probe_saved() {
        let problems = read(&EXAMPLE.replace("\"save\": { \"id\": \"/id\" }", "\"save\": {}")).unwrap_err();
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems.iter().all(|p| p.code == Code::Conflict));
    }

    #[test]
    fn engines_that_are_not_there_yet_are_refused_by_name() {
        for engine in ["ecs", "listener", "rolling"] {
            let problems = read(&EXAMPLE.replace("\"codedeploy\"", &format!("\"{engine}\""))).unwrap_err();
            assert_eq!(problems[0].code, Code::NotYet, "{problems:?}");
        }
    }

    #[test]
    fn all_at_once_needs_a_verification() {
        let text = EXAMPLE.replace("{ \"linear\": { \"percent\": 10, \"every\": \"3m\" } }", "\"allAtOnce\"");
        assert!(read(&text).is_ok());
        let start = text.find("\"verify\"").unwrap();
        let end = text.find("\"checks\"").unwrap();
        let without = format!("{}{}", &text[..start], &text[end..]);
        assert_eq!(read(&without).unwrap_err()[0].code, Code::Conflict);
    }

    #[test]
    fn the_json_schema_takes_the_keys_of_the_example() {
        let schema = super::super::json_schema();
        let example: Value = serde_json::from_str(EXAMPLE).unwrap();
        for key in example.as_object().unwrap().keys() {
            assert!(schema["properties"].get(key).is_some(), "{key} is missing in the schema");
        }
        assert!(schema["$defs"]["Probe"]["properties"].get("get").is_some());
        assert_eq!(schema["additionalProperties"], json!(false));
    }
}
