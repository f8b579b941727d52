//! Parameter Store's operations.

use std::collections::BTreeMap;

use super::{
    Handler::{Reads, Writes},
    Operation,
    page::Pages,
};
use crate::{
    error::ApiError,
    node::Node,
    world::{
        World,
        ssm::{Kind, Parameter, Put, Tier, Version},
    },
};

pub(super) const OPERATIONS: &[Operation] = &[
    ("PutParameter", Writes(put_parameter)),
    ("GetParameter", Reads(get_parameter)),
    ("GetParameters", Reads(get_parameters)),
    ("GetParametersByPath", Reads(get_parameters_by_path)),
    ("GetParameterHistory", Reads(get_parameter_history)),
    ("DescribeParameters", Reads(describe_parameters)),
    ("DeleteParameter", Writes(delete_parameter)),
    ("DeleteParameters", Writes(delete_parameters)),
    ("LabelParameterVersion", Writes(label_parameter_version)),
    ("ListTagsForResource", Reads(list_tags)),
    ("AddTagsToResource", Writes(add_tags)),
];

fn put_parameter(world: &mut World, input: &Node) -> Result<Node, ApiError> {
    let kind = match input.opt_text("Type")? {
        None => None,
        Some("String") => Some(Kind::String),
        Some("StringList") => Some(Kind::StringList),
        Some("SecureString") => Some(Kind::SecureString),
        Some(_) => return Err(enumeration("type", "[SecureString, StringList, String]")),
    };
    let value = input.text("Value")?.to_owned();
    let tier = match input.opt_text("Tier")? {
        None => None,
        Some("Standard") => Some(Tier::Standard),
        Some("Advanced") => Some(Tier::Advanced),
        Some("Intelligent-Tiering") => {
            Some(if value.len() > 4 * 1024 { Tier::Advanced } else { Tier::Standard })
        }
        Some(_) => return Err(enumeration("tier", "[Standard, Advanced, Intelligent-Tiering]")),
    };
    let mut tags = BTreeMap::new();
    for tag in input.items("Tags")? {
        tags.insert(tag.text("Key")?.to_owned(), tag.text("Value")?.to_owned());
    }
    let name = input.text("Name")?.to_owned();
    let (version, tier) = world.put_parameter(Put {
        name: name.clone(),
        value,
        kind,
        tier,
        overwrite: input.opt_bool("Overwrite")?.unwrap_or(false),
        description: input.opt_text("Description")?.map(str::to_owned),
        tags,
    })?;
    world.note_effect("ssm", "PutParameter", &name, format!("version {version} written"), None);
    let version = i64::try_from(version).unwrap_or(i64::MAX);
    Ok(Node::map([("Version", version.into()), ("Tier", tier.as_str().into())]))
}

fn enumeration(member: &str, values: &str) -> ApiError {
    ApiError::new(
        "ValidationException",
        format!(
            "1 validation error detected: Value at '{member}' failed to satisfy constraint: Member must satisfy enum value set: {values}"
        ),
    )
}

/// `name`, `name:3`, `name:label` or an ARN.
fn split_selector(asked: &str) -> (String, Option<String>) {
    let plain = match asked.strip_prefix("arn:") {
        Some(rest) => rest.split_once(":parameter").map_or(asked, |(_, tail)| tail),
        None => asked,
    };
    match plain.split_once(':') {
        Some((name, selector)) => (name.to_owned(), Some(selector.to_owned())),
        None => (plain.to_owned(), None),
    }
}

fn arn(world: &World, name: &str) -> String {
    let slash = if name.starts_with('/') { "" } else { "/" };
    world.identity.arn("ssm", &format!("parameter{slash}{name}"))
}

fn shape(
    world: &World,
    name: &str,
    parameter: &Parameter,
    version: &Version,
    selector: Option<String>,
    decrypt: bool,
) -> Node {
    // Without decryption AWS gives the ciphertext: never the value.
    let value = if parameter.kind == Kind::SecureString && !decrypt {
        format!("AQICAHhEncrypted{:016x}", version.number)
    } else {
        version.value.clone()
    };
    Node::map([
        ("Name", name.into()),
        ("Type", parameter.kind.as_str().into()),
        ("Value", value.into()),
        ("Version", i64::try_from(version.number).unwrap_or(i64::MAX).into()),
        ("Selector", selector.map(|s| format!(":{s}")).into()),
        ("LastModifiedDate", version.modified.into()),
        ("ARN", arn(world, name).into()),
        ("DataType", "text".into()),
    ])
}

fn find(world: &World, asked: &str, decrypt: bool) -> Result<Node, ApiError> {
    let (name, selector) = split_selector(asked);
    let parameter = world.ssm.parameters.get(&name).ok_or_else(|| ApiError::new("ParameterNotFound", ""))?;
    let version = parameter.select(selector.as_deref()).ok_or_else(|| {
        ApiError::new(
            "ParameterVersionNotFound",
            format!(
                "Systems Manager could not find version {} of {name}.",
                selector.clone().unwrap_or_default()
            ),
        )
    })?;
    Ok(shape(world, &name, parameter, version, selector, decrypt))
}

fn get_parameter(world: &World, input: &Node) -> Result<Node, ApiError> {
    let decrypt = input.opt_bool("WithDecryption")?.unwrap_or(false);
    Ok(Node::map([("Parameter", find(world, input.text("Name")?, decrypt)?)]))
}

fn get_parameters(world: &World, input: &Node) -> Result<Node, ApiError> {
    let mut names = input.text_items("Names")?;
    if names.is_empty() || names.len() > 10 {
        return Err(ApiError::new(
            "ValidationException",
            "1 validation error detected: Value at 'names' failed to satisfy constraint: Member must have length less than or equal to 10",
        ));
    }
    let decrypt = input.opt_bool("WithDecryption")?.unwrap_or(false);
    // Results come in alphabetical order, not in the order asked.
    names.sort();
    names.dedup();
    let mut found = vec![];
    let mut invalid = vec![];
    for name in names {
        match find(world, &name, decrypt) {
            Ok(parameter) => found.push(parameter),
            Err(_) => invalid.push(name),
        }
    }
    Ok(Node::map([("Parameters", Node::List(found)), ("InvalidParameters", Node::texts(invalid))]))
}

/// The pages of an operation that gives at most so many at once.
fn pages(most: usize) -> Pages {
    Pages {
        size: "MaxResults",
        token: "NextToken",
        most,
        usual: most,
        wrong_size: "ValidationException",
        wrong_token: "InvalidNextToken",
    }
}

fn get_parameters_by_path(world: &World, input: &Node) -> Result<Node, ApiError> {
    let path = input.text("Path")?;
    if !path.starts_with('/') {
        return Err(ApiError::new("ValidationException", "The parameter path must begin with a slash."));
    }
    let recursive = input.opt_bool("Recursive")?.unwrap_or(false);
    let decrypt = input.opt_bool("WithDecryption")?.unwrap_or(false);
    let below = world.ssm.parameters.iter().filter(|(name, _)| is_below(name, path, recursive));
    let all = below
        .filter_map(|(name, parameter)| {
            Some(shape(world, name, parameter, parameter.newest()?, None, decrypt))
        })
        .collect();
    let (parameters, token) = pages(10).cut(input, all)?;
    Ok(Node::map([("Parameters", Node::List(parameters)), ("NextToken", token)]))
}

fn metadata(world: &World, name: &str, parameter: &Parameter, version: &Version) -> Node {
    Node::map([
        ("Name", name.into()),
        ("ARN", arn(world, name).into()),
        ("Type", parameter.kind.as_str().into()),
        // Only of secret ones; who names no key gets the account's own.
        ("KeyId", (parameter.kind == Kind::SecureString).then_some("alias/aws/ssm").into()),
        ("LastModifiedDate", version.modified.into()),
        ("LastModifiedUser", (&version.user).into()),
        ("Description", parameter.description.clone().into()),
        ("Version", i64::try_from(version.number).unwrap_or(i64::MAX).into()),
        ("Tier", parameter.tier.as_str().into()),
        ("Policies", Node::List(vec![])),
        ("DataType", "text".into()),
    ])
}

fn get_parameter_history(world: &World, input: &Node) -> Result<Node, ApiError> {
    let name = input.text("Name")?;
    let decrypt = input.opt_bool("WithDecryption")?.unwrap_or(false);
    let parameter = world.ssm.parameters.get(name).ok_or_else(|| ApiError::new("ParameterNotFound", ""))?;
    let all = parameter
        .versions
        .iter()
        .map(|version| {
            let mut node = metadata(world, name, parameter, version);
            let value = shape(world, name, parameter, version, None, decrypt).get("Value").clone();
            node.set("ARN", Node::Null);
            node.set("Value", value);
            node.set("Labels", Node::texts(version.labels.iter().cloned()));
            node
        })
        .collect();
    let (parameters, token) = pages(50).cut(input, all)?;
    Ok(Node::map([("Parameters", Node::List(parameters)), ("NextToken", token)]))
}

fn describe_parameters(world: &World, input: &Node) -> Result<Node, ApiError> {
    let mut all: Vec<Node> = vec![];
    for (name, parameter) in &world.ssm.parameters {
        if matches_filters(name, parameter, input)?
            && let Some(version) = parameter.newest()
        {
            all.push(metadata(world, name, parameter, version));
        }
    }
    let (parameters, token) = pages(50).cut(input, all)?;
    Ok(Node::map([("Parameters", Node::List(parameters)), ("NextToken", token)]))
}

fn matches_filters(name: &str, parameter: &Parameter, input: &Node) -> Result<bool, ApiError> {
    for filter in input.items("ParameterFilters")? {
        let (values, option) = (filter.text_items("Values")?, filter.opt_text("Option")?);
        let passes = match filter.text("Key")? {
            "Name" if option == Some("Contains") => values.iter().any(|part| name.contains(part)),
            "Name" => matches(name, &values, option)?,
            "Path" => lies_below(name, &values, option)?,
            "Type" => matches(parameter.kind.as_str(), &values, option)?,
            "Tier" => matches(parameter.tier.as_str(), &values, option)?,
            _ => return Err(ApiError::new("InvalidFilterKey", "The specified filter key isn't valid.")),
        };
        if !passes {
            return Ok(false);
        }
    }
    Ok(true)
}

fn invalid_option() -> ApiError {
    ApiError::new("InvalidFilterOption", "The specified filter option isn't valid.")
}

/// Source: `Option` of `ParameterStringFilter`.
fn matches(text: &str, values: &[String], option: Option<&str>) -> Result<bool, ApiError> {
    match option {
        None | Some("Equals") => Ok(values.iter().any(|value| text == value)),
        Some("BeginsWith") => Ok(values.iter().any(|value| text.starts_with(value))),
        Some(_) => Err(invalid_option()),
    }
}

/// A path's own level alone, if not asked for everything below it. Source: `ParameterStringFilter`.
fn lies_below(name: &str, paths: &[String], option: Option<&str>) -> Result<bool, ApiError> {
    let recursive = match option {
        None | Some("OneLevel") => false,
        Some("Recursive") => true,
        Some(_) => return Err(invalid_option()),
    };
    Ok(paths.iter().any(|path| is_below(name, path, recursive)))
}

fn is_below(name: &str, path: &str, recursive: bool) -> bool {
    let rest = name.strip_prefix(path.trim_end_matches('/')).and_then(|rest| rest.strip_prefix('/'));
    rest.is_some_and(|rest| recursive || !rest.contains('/'))
}

fn delete_parameter(world: &mut World, input: &Node) -> Result<Node, ApiError> {
    let name = input.text("Name")?.to_owned();
    world.delete_parameter(&name)?;
    world.note_effect("ssm", "DeleteParameter", &name, "parameter deleted".to_owned(), None);
    Ok(Node::empty())
}

fn delete_parameters(world: &mut World, input: &Node) -> Result<Node, ApiError> {
    let (mut deleted, mut invalid) = (vec![], vec![]);
    for name in input.text_items("Names")? {
        if world.delete_parameter(&name).is_ok() {
            world.note_effect("ssm", "DeleteParameters", &name, "parameter deleted".to_owned(), None);
            deleted.push(name);
        } else {
            invalid.push(name);
        }
    }
    Ok(Node::map([("DeletedParameters", Node::texts(deleted)), ("InvalidParameters", Node::texts(invalid))]))
}

fn label_parameter_version(world: &mut World, input: &Node) -> Result<Node, ApiError> {
    let name = input.text("Name")?.to_owned();
    let asked = input.opt_int("ParameterVersion")?;
    let labels = input.text_items("Labels")?;
    let parameter =
        world.ssm.parameters.get_mut(&name).ok_or_else(|| ApiError::new("ParameterNotFound", ""))?;
    let number =
        asked.and_then(|n| u64::try_from(n).ok()).or(parameter.newest().map(|v| v.number)).unwrap_or(0);
    let valid = |label: &String| {
        label.len() <= 100
            && label.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
            && !label.starts_with(|c: char| c.is_ascii_digit())
            && !["aws", "ssm"].iter().any(|p| label.to_ascii_lowercase().starts_with(p))
    };
    let (good, bad): (Vec<String>, Vec<String>) = labels.into_iter().partition(valid);
    let Some(position) = parameter.versions.iter().position(|v| v.number == number) else {
        return Err(ApiError::new(
            "ParameterVersionNotFound",
            format!("Systems Manager could not find version {number} of {name}."),
        ));
    };
    if parameter.versions[position].labels.len() + good.len() > 10 {
        return Err(ApiError::new(
            "ParameterVersionLabelLimitExceeded",
            "A parameter version can have a maximum of ten labels.",
        ));
    }
    for version in &mut parameter.versions {
        version.labels.retain(|label| !good.contains(label));
    }
    parameter.versions[position].labels.extend(good);
    world.note_effect("ssm", "LabelParameterVersion", &name, format!("version {number} labelled"), None);
    Ok(Node::map([
        ("InvalidLabels", Node::texts(bad)),
        ("ParameterVersion", i64::try_from(number).unwrap_or(i64::MAX).into()),
    ]))
}

/// What can have tags. Source: `ResourceTypeForTagging` of the SSM model.
const TAGGED: [&str; 10] = [
    "Document",
    "ManagedInstance",
    "MaintenanceWindow",
    "Parameter",
    "PatchBaseline",
    "OpsItem",
    "OpsMetadata",
    "Automation",
    "Association",
    "CloudConnector",
];

/// Tags of a parameter; other resource types are not modelled, and AWS knows no such resource then either.
fn tagged<'n>(world: &World, input: &'n Node) -> Result<&'n str, ApiError> {
    let (name, kind) = (input.text("ResourceId")?, input.text("ResourceType")?);
    if !TAGGED.contains(&kind) {
        return Err(ApiError::new("InvalidResourceType", "The resource type isn't valid."));
    }
    let known = kind == "Parameter" && world.ssm.parameters.contains_key(name);
    if known { Ok(name) } else { Err(ApiError::new("InvalidResourceId", "")) }
}

fn list_tags(world: &World, input: &Node) -> Result<Node, ApiError> {
    let parameter = &world.ssm.parameters[tagged(world, input)?];
    let tags = parameter.tags.iter().map(|(k, v)| Node::map([("Key", k.into()), ("Value", v.into())]));
    Ok(Node::map([("TagList", Node::list(tags))]))
}

fn add_tags(world: &mut World, input: &Node) -> Result<Node, ApiError> {
    let mut given = vec![];
    for tag in input.items("Tags")? {
        given.push((tag.text("Key")?.to_owned(), tag.text("Value")?.to_owned()));
    }
    let name = tagged(world, input)?;
    if let Some(parameter) = world.ssm.parameters.get_mut(name) {
        parameter.tags.extend(given);
    }
    world.note_effect("ssm", "AddTagsToResource", name, "tags written".to_owned(), None);
    Ok(Node::empty())
}
