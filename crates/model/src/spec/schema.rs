//! The schema section of a spec: text to [`SchemaSpec`]. Called by [`super::read`] alone.

use super::{
    Code, ContractMode, DatabaseSpec, Document, Members, Node, Runner, SchemaSpec, Source,
    default_contract_after, default_quarantine,
    read::{exact_revision, need_text, span},
};
use crate::{
    runner::{LONGEST_COMMAND, TaskRunner},
    schema::Object,
};

pub(super) fn schema(doc: &mut Document<'_>, node: &Node<'_, '_>) -> Option<SchemaSpec> {
    let keys = ["database", "change", "source", "contract", "contractAfter", "quarantine", "runner"];
    let members = node.object(doc, &keys)?;
    let database = members.need(doc, "database").cloned().and_then(|n| database(doc, &n));
    let change = members.need(doc, "change").cloned().and_then(|n| n.parsed(doc, str::parse));
    let runner = optional(doc, &members, "runner", runner);
    let source = match members.get("runner") {
        Some(_) => optional(doc, &members, "source", source),
        None => members.need(doc, "source").cloned().and_then(|n| source(doc, &n)).map(Some),
    };
    let contract =
        members.get("contract").cloned().map_or(Some(ContractMode::default()), |n| contract(doc, &n));
    let contract_after =
        members.get("contractAfter").cloned().map_or(Some(default_contract_after()), |n| span(doc, &n));
    let quarantine = members.get("quarantine").cloned().map_or(Some(default_quarantine()), |n| span(doc, &n));
    Some(SchemaSpec {
        database: database?,
        change: change?,
        source: source?,
        runner: runner?,
        contract: contract?,
        contract_after: contract_after?,
        quarantine: quarantine?,
    })
}

/// A member that may be absent: `None` only if it is there and wrong.
fn optional<T>(
    doc: &mut Document<'_>,
    members: &Members<'_, '_>,
    key: &str,
    read: impl FnOnce(&mut Document<'_>, &Node<'_, '_>) -> Option<T>,
) -> Option<Option<T>> {
    members.get(key).cloned().map_or(Some(None), |node| read(doc, &node).map(Some))
}

fn runner(doc: &mut Document<'_>, node: &Node<'_, '_>) -> Option<Runner> {
    let members = node.object(doc, &["task"])?;
    members.need(doc, "task").cloned().and_then(|n| task_runner(doc, &n)).map(Runner::Task)
}

fn task_runner(doc: &mut Document<'_>, node: &Node<'_, '_>) -> Option<TaskRunner> {
    let members =
        node.object(doc, &["taskDefinition", "container", "expand", "contract", "adds", "removes"])?;
    let task_definition =
        members.need(doc, "taskDefinition").cloned().and_then(|n| n.parsed(doc, exact_revision));
    let container = need_text(doc, &members, "container", 255);
    let expand = members.need(doc, "expand").cloned().and_then(|n| command(doc, &n));
    let contract = optional(doc, &members, "contract", command).map(Option::unwrap_or_default);
    let adds = members.need(doc, "adds").cloned().and_then(|n| objects(doc, &n));
    let removes = optional(doc, &members, "removes", objects).map(Option::unwrap_or_default);
    let runner = TaskRunner {
        task_definition: task_definition?,
        container: container?,
        expand: expand?,
        contract: contract?,
        adds: adds?,
        removes: removes?,
    };
    if runner.contract.is_empty() != runner.removes.is_empty() {
        let message = "a contract command and what it removes go together";
        doc.note(node, Code::Conflict, message, "give contract and removes, or neither");
    }
    Some(runner)
}

/// The words of a command: at least one.
fn command(doc: &mut Document<'_>, node: &Node<'_, '_>) -> Option<Vec<String>> {
    let words: Vec<String> =
        node.list(doc)?.iter().map(|word| word.any_text(doc, LONGEST_COMMAND)).collect::<Option<_>>()?;
    let long = words.iter().map(String::len).sum::<usize>() > LONGEST_COMMAND;
    if words.is_empty() || long {
        let message = format!("a command of at least one word and at most {LONGEST_COMMAND} bytes is needed");
        doc.note(node, Code::OutOfRange, message, "");
        return None;
    }
    Some(words)
}

/// Objects of the database: at least one, because the catalog must be able to tell whether a run did its work.
fn objects(doc: &mut Document<'_>, node: &Node<'_, '_>) -> Option<Vec<Object>> {
    let items = node.list(doc)?;
    if items.is_empty() {
        doc.note(node, Code::OutOfRange, "at least one object is needed", "name what the tool changes");
        return None;
    }
    items.iter().map(|item| item.parsed(doc, str::parse)).collect()
}

fn database(doc: &mut Document<'_>, node: &Node<'_, '_>) -> Option<DatabaseSpec> {
    let members = node.object(doc, &["secret", "instance"])?;
    let secret = members.need(doc, "secret").cloned().and_then(|n| {
        n.parsed(doc, |text| {
            let parts: Vec<&str> = text.split(':').collect();
            let ok =
                parts.len() == 7 && parts[0] == "arn" && parts[2] == "secretsmanager" && parts[5] == "secret";
            if ok { Ok(text.to_owned()) } else { Err("the ARN of a Secrets Manager secret is needed") }
        })
    });
    let instance = members.need(doc, "instance").cloned().and_then(|n| {
        n.parsed(doc, |text| {
            let plain = text.len() <= 63 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            if plain {
                Ok(text.to_owned())
            } else {
                Err("an RDS instance identifier is 1 to 63 letters, digits and hyphens")
            }
        })
    });
    Some(DatabaseSpec { secret: secret?, instance: instance? })
}

fn source(doc: &mut Document<'_>, node: &Node<'_, '_>) -> Option<Source> {
    if node.as_str().is_some_and(|text| text.starts_with("s3://")) {
        doc.note(node, Code::NotYet, "this version does not read migrations from S3", "use file:// or ssm");
        return None;
    }
    node.parsed(doc, |text| Source::try_from(text.to_owned()))
}

fn contract(doc: &mut Document<'_>, node: &Node<'_, '_>) -> Option<ContractMode> {
    match node.as_str() {
        Some("onApproval") => Some(ContractMode::OnApproval),
        Some("automatic") => Some(ContractMode::Automatic),
        Some("never") => Some(ContractMode::Never),
        Some(_) => {
            doc.note(node, Code::BadValue, "contract is onApproval, automatic or never", "");
            None
        }
        None => {
            node.text(doc, 32);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::spec::{Code, Problem, Runner, SchemaSpec, read};

    fn schema(members: &str) -> Result<SchemaSpec, Vec<Problem>> {
        let text = format!(
            r#"{{ "service": {{ "cluster": "shop", "name": "shop" }},
  "revision": {{ "taskDefinition": "shop:2" }},
  "traffic": {{ "engine": "codedeploy", "application": "shop", "deploymentGroup": "shop",
               "shift": {{ "linear": {{ "percent": 10, "every": "3m" }} }} }},
  "schema": {{ "database": {{ "secret": "arn:aws:secretsmanager:eu-west-1:1:secret:tidegate", "instance": "shop" }},
              "change": "city"{members} }} }}"#
        );
        read(&text).map(|spec| spec.schema.expect("a schema section"))
    }

    fn problems(members: &str) -> Vec<(Code, String)> {
        let found = schema(members).expect_err("a problem");
        found.into_iter().map(|problem| (problem.code, problem.path)).collect()
    }

    #[test]
    fn a_runner_needs_no_source_and_a_change_without_runner_does() {
        let task = r#", "runner": { "task": { "taskDefinition": "flyway:7", "container": "flyway",
            "expand": ["migrate", ""], "adds": ["column customers.city", "table sales.cities"] } }"#;
        let read = schema(task).expect("a valid spec");
        assert_eq!(read.source, None);
        let Some(Runner::Task(task)) = read.runner else { panic!("a runner") };
        let adds: Vec<String> = task.adds.iter().map(ToString::to_string).collect();
        assert_eq!(adds, ["column public.customers.city", "table sales.cities"]);
        assert_eq!(task.expand, ["migrate", ""]);
        assert_eq!(problems(""), [(Code::MissingKey, "schema.source".to_owned())]);
    }

    #[test]
    fn a_runner_says_what_the_catalog_is_to_show() {
        let runner = |members: &str| {
            let task = r#""taskDefinition": "flyway:7", "container": "flyway", "expand": ["migrate"]"#;
            format!(r#", "runner": {{ "task": {{ {task}, {members} }} }}"#)
        };
        let path = |last: &str| format!("schema.runner.task{last}");
        let adds = r#""adds": ["column customers.city"]"#;
        assert_eq!(problems(&runner(r#""adds": []"#)), [(Code::OutOfRange, path(".adds"))]);
        assert_eq!(problems(&runner(r#""adds": ["customers.city"]"#)), [(Code::BadValue, path(".adds[0]"))]);
        let contract = format!(r#"{adds}, "contract": ["migrate"]"#);
        assert_eq!(problems(&runner(&contract)), [(Code::Conflict, path(""))]);
        let removes = format!(r#"{adds}, "removes": ["column customers.address"]"#);
        assert_eq!(problems(&runner(&removes)), [(Code::Conflict, path(""))]);
    }
}
