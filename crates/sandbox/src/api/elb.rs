//! Elastic Load Balancing's operations (application load balancers).

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
        elb::{Balancer, Forward, Group, Listener, Rule},
    },
};

mod targets;

pub(super) const OPERATIONS: &[Operation] = &[
    ("DescribeLoadBalancers", Reads(describe_load_balancers)),
    ("DescribeListeners", Reads(describe_listeners)),
    ("DescribeRules", Reads(describe_rules)),
    ("DescribeTargetGroups", Reads(describe_target_groups)),
    ("DescribeTargetGroupAttributes", Reads(targets::describe_target_group_attributes)),
    ("DescribeTargetHealth", Reads(targets::describe_target_health)),
    ("DescribeTags", Reads(describe_tags)),
    ("ModifyListener", Writes(modify_listener)),
    ("ModifyRule", Writes(modify_rule)),
    ("ModifyTargetGroupAttributes", Writes(targets::modify_target_group_attributes)),
    ("RegisterTargets", Writes(targets::register_targets)),
    ("DeregisterTargets", Writes(targets::deregister_targets)),
];

const PAGES: Pages = Pages {
    size: "PageSize",
    token: "Marker",
    most: 400,
    usual: 400,
    wrong_size: "ValidationError",
    wrong_token: "ValidationError",
};

/// A page of a list under its member, and the marker of the next one.
fn page(input: &Node, member: &str, all: Vec<Node>) -> Result<Node, ApiError> {
    let (page, marker) = PAGES.cut(input, all)?;
    Ok(Node::map([(member, Node::List(page)), ("NextMarker", marker)]))
}

fn not_found(what: &str) -> ApiError {
    ApiError::new(&format!("{what}NotFound"), format!("One or more {what}s not found"))
}

fn group_not_found() -> ApiError {
    ApiError::new("TargetGroupNotFound", "One or more target groups not found")
}

fn describe_load_balancers(world: &World, input: &Node) -> Result<Node, ApiError> {
    let (arns, names) = (input.text_items("LoadBalancerArns")?, input.text_items("Names")?);
    let all: Vec<&Balancer> = world
        .elb
        .balancers
        .values()
        .filter(|b| {
            (arns.is_empty() || arns.contains(&b.arn)) && (names.is_empty() || names.contains(&b.name))
        })
        .collect();
    if all.len() < arns.len().max(names.len()) {
        return Err(ApiError::new("LoadBalancerNotFound", "One or more load balancers not found"));
    }
    let zones = world.identity.zone_names();
    let zone = |(i, name): (usize, &String)| {
        Node::map([("ZoneName", name.into()), ("SubnetId", format!("subnet-{i:017x}").into())])
    };
    let shape = |b: &&Balancer| {
        Node::map([
            ("LoadBalancerArn", (&b.arn).into()),
            ("DNSName", (&b.dns_name).into()),
            ("CanonicalHostedZoneId", "Z32O12XQLNTSW2".into()),
            ("CreatedTime", b.created.into()),
            ("LoadBalancerName", (&b.name).into()),
            ("Scheme", "internet-facing".into()),
            ("VpcId", "vpc-0123456789abcdef0".into()),
            ("State", Node::map([("Code", "active".into())])),
            ("Type", "application".into()),
            ("AvailabilityZones", Node::list(zones.iter().enumerate().map(zone))),
            ("IpAddressType", "ipv4".into()),
        ])
    };
    page(input, "LoadBalancers", all.iter().map(shape).collect())
}

/// The action as AWS describes it: the plain member as long as a single group takes everything.
fn actions(forward: &Forward) -> Node {
    let groups = Node::list(
        forward
            .groups
            .iter()
            .map(|(arn, weight)| Node::map([("TargetGroupArn", arn.into()), ("Weight", (*weight).into())])),
    );
    let stickiness =
        Node::map([("Enabled", forward.sticky.is_some().into()), ("DurationSeconds", forward.sticky.into())]);
    let only = match forward.groups.as_slice() {
        [(arn, _)] => Some(arn.clone()),
        _ => None,
    };
    Node::list([Node::map([
        ("Type", "forward".into()),
        ("TargetGroupArn", only.into()),
        ("ForwardConfig", Node::map([("TargetGroups", groups), ("TargetGroupStickinessConfig", stickiness)])),
    ])])
}

fn listener_node(listener: &Listener) -> Node {
    Node::map([
        ("ListenerArn", (&listener.arn).into()),
        ("LoadBalancerArn", (&listener.balancer).into()),
        ("Port", listener.port.into()),
        ("Protocol", (&listener.protocol).into()),
        ("DefaultActions", actions(&listener.default)),
    ])
}

fn describe_listeners(world: &World, input: &Node) -> Result<Node, ApiError> {
    let arns = input.text_items("ListenerArns")?;
    let balancer = input.opt_text("LoadBalancerArn")?;
    if arns.is_empty() && balancer.is_none() {
        return Err(ApiError::new(
            "ValidationError",
            "You must specify either listener ARNs or a load balancer ARN",
        ));
    }
    if balancer.is_some_and(|arn| !world.elb.balancers.contains_key(arn)) {
        return Err(ApiError::new("LoadBalancerNotFound", "One or more load balancers not found"));
    }
    if arns.iter().any(|arn| !world.elb.listeners.contains_key(arn)) {
        return Err(not_found("Listener"));
    }
    let found = world
        .elb
        .listeners
        .values()
        .filter(|l| arns.contains(&l.arn) || balancer.is_some_and(|arn| l.balancer == arn))
        .map(listener_node);
    page(input, "Listeners", found.collect())
}

fn default_rule_arn(listener: &str) -> String {
    let arn = listener.replace(":listener/", ":listener-rule/");
    let tail = arn.rsplit('/').next().unwrap_or("").to_owned();
    format!("{arn}/{}", tail.chars().rev().collect::<String>())
}

fn rule_node(rule: &Rule) -> Node {
    Node::map([
        ("RuleArn", (&rule.arn).into()),
        ("Priority", rule.priority.to_string().into()),
        ("Conditions", rule.conditions.clone()),
        ("Actions", actions(&rule.action)),
        ("IsDefault", false.into()),
    ])
}

fn default_rule_node(listener: &Listener) -> Node {
    Node::map([
        ("RuleArn", default_rule_arn(&listener.arn).into()),
        ("Priority", "default".into()),
        ("Conditions", Node::List(vec![])),
        ("Actions", actions(&listener.default)),
        ("IsDefault", true.into()),
    ])
}

fn describe_rules(world: &World, input: &Node) -> Result<Node, ApiError> {
    let arns = input.text_items("RuleArns")?;
    let listener = input.opt_text("ListenerArn")?;
    if arns.is_empty() == listener.is_none() {
        return Err(ApiError::new("ValidationError", "You must specify either rule ARNs or a listener ARN"));
    }
    if listener.is_some_and(|arn| !world.elb.listeners.contains_key(arn)) {
        return Err(not_found("Listener"));
    }
    let wanted = |arn: &String, of: &str| arns.contains(arn) || listener == Some(of);
    let mut found: Vec<Node> =
        world.elb.rules.values().filter(|rule| wanted(&rule.arn, &rule.listener)).map(rule_node).collect();
    found.extend(
        world
            .elb
            .listeners
            .values()
            .filter(|l| wanted(&default_rule_arn(&l.arn), &l.arn))
            .map(default_rule_node),
    );
    if found.len() < arns.len() {
        return Err(not_found("Rule"));
    }
    page(input, "Rules", found)
}

fn group_node(world: &World, group: &Group) -> Node {
    let balancer = world.elb.balancer_of_group(&group.arn).map(|b| b.arn.clone());
    let matcher = match group.check.matcher {
        (low, high) if low == high => low.to_string(),
        (low, high) => format!("{low}-{high}"),
    };
    Node::map([
        ("TargetGroupArn", (&group.arn).into()),
        ("TargetGroupName", (&group.name).into()),
        ("Protocol", "HTTP".into()),
        ("Port", group.port.into()),
        ("VpcId", "vpc-0123456789abcdef0".into()),
        ("HealthCheckProtocol", "HTTP".into()),
        ("HealthCheckPort", "traffic-port".into()),
        ("HealthCheckEnabled", true.into()),
        ("HealthCheckIntervalSeconds", group.check.interval.into()),
        ("HealthCheckTimeoutSeconds", group.check.timeout.into()),
        ("HealthyThresholdCount", group.check.healthy_threshold.into()),
        ("UnhealthyThresholdCount", group.check.unhealthy_threshold.into()),
        ("HealthCheckPath", (&group.check.path).into()),
        ("Matcher", Node::map([("HttpCode", matcher.into())])),
        ("LoadBalancerArns", Node::texts(balancer)),
        ("TargetType", "ip".into()),
        ("ProtocolVersion", "HTTP1".into()),
        ("IpAddressType", "ipv4".into()),
    ])
}

fn describe_target_groups(world: &World, input: &Node) -> Result<Node, ApiError> {
    let (arns, names) = (input.text_items("TargetGroupArns")?, input.text_items("Names")?);
    let balancer = input.opt_text("LoadBalancerArn")?;
    let found: Vec<Node> = world
        .elb
        .groups
        .values()
        .filter(|g| {
            (arns.is_empty() || arns.contains(&g.arn)) && (names.is_empty() || names.contains(&g.name))
        })
        .filter(|g| {
            balancer.is_none_or(|arn| world.elb.balancer_of_group(&g.arn).is_some_and(|b| b.arn == arn))
        })
        .map(|g| group_node(world, g))
        .collect();
    if found.len() < arns.len().max(names.len()) {
        return Err(group_not_found());
    }
    page(input, "TargetGroups", found)
}

/// Nothing of ours has tags; what is not there is refused by its kind.
fn describe_tags(world: &World, input: &Node) -> Result<Node, ApiError> {
    let arns = input.text_items("ResourceArns")?;
    for arn in &arns {
        let (known, kind) = match arn.split(':').nth(5).and_then(|resource| resource.split('/').next()) {
            Some("loadbalancer") => (world.elb.balancers.contains_key(arn), "LoadBalancer"),
            Some("targetgroup") => (world.elb.groups.contains_key(arn), "TargetGroup"),
            Some("listener") => (world.elb.listeners.contains_key(arn), "Listener"),
            Some("listener-rule") => (is_rule(world, arn), "Rule"),
            Some(_) | None => {
                return Err(ApiError::new("ValidationError", format!("'{arn}' is not a valid ARN")));
            }
        };
        if !known {
            return Err(not_found(kind));
        }
    }
    let shape = |arn: String| Node::map([("ResourceArn", arn.into()), ("Tags", Node::List(vec![]))]);
    Ok(Node::map([("TagDescriptions", Node::list(arns.into_iter().map(shape)))]))
}

fn is_rule(world: &World, arn: &str) -> bool {
    world.elb.rules.contains_key(arn)
        || world.elb.listeners.keys().any(|listener| default_rule_arn(listener) == arn)
}

/// Reads and checks the one forward action that the sandbox models.
fn read_forward(world: &World, items: &[Node]) -> Result<Forward, ApiError> {
    let invalid = |message: &str| ApiError::new("ValidationError", message);
    let [action] = items else {
        return Err(invalid("A listener must have exactly one default action here"));
    };
    if action.text("Type")? != "forward" {
        return Err(ApiError::new("InvalidLoadBalancerAction", "Only forward actions are simulated"));
    }
    let config = action.get("ForwardConfig");
    let mut groups = vec![];
    for group in config.items("TargetGroups")? {
        let weight = group.opt_int("Weight")?.unwrap_or(1);
        let weight = u32::try_from(weight).ok().filter(|w| *w <= 999).ok_or_else(|| {
            ApiError::new("ValidationError", format!("Weight '{weight}' must be between 0 and 999"))
        })?;
        groups.push((group.text("TargetGroupArn")?.to_owned(), weight));
    }
    match (action.opt_text("TargetGroupArn")?, groups.as_slice()) {
        (Some(arn), []) => groups.push((arn.to_owned(), 1)),
        (Some(arn), [(only, _)]) if arn == only => {}
        (Some(_), _) => return Err(invalid("TargetGroupArn and ForwardConfig must agree")),
        (None, []) => return Err(invalid("A forward action needs a target group")),
        (None, _) => {}
    }
    if groups.len() > 5 {
        return Err(invalid("A forward action can have up to 5 target groups"));
    }
    if groups.iter().any(|(arn, _)| !world.elb.groups.contains_key(arn)) {
        return Err(group_not_found());
    }
    let stickiness = config.get("TargetGroupStickinessConfig");
    let sticky = stickiness.opt_bool("Enabled")?.unwrap_or(false);
    let sticky = if sticky { Some(stickiness.opt_int("DurationSeconds")?.unwrap_or(3_600)) } else { None };
    Ok(Forward { groups, sticky })
}

fn weights(forward: &Forward) -> String {
    let name = |arn: &str| arn.split('/').nth(1).unwrap_or(arn).to_owned();
    forward.groups.iter().map(|(arn, weight)| format!("{}={weight}", name(arn))).collect::<Vec<_>>().join(" ")
}

fn modify_listener(world: &mut World, input: &Node) -> Result<Node, ApiError> {
    let arn = input.text("ListenerArn")?.to_owned();
    if !world.elb.listeners.contains_key(&arn) {
        return Err(not_found("Listener"));
    }
    let items = input.items("DefaultActions")?;
    if !items.is_empty() {
        let forward = read_forward(world, items)?;
        world.note_effect("elasticloadbalancing", "ModifyListener", &arn, weights(&forward), None);
        if let Some(listener) = world.elb.listeners.get_mut(&arn) {
            listener.default = forward;
        }
    }
    let shown = world.elb.listeners.get(&arn).map(listener_node);
    Ok(Node::map([("Listeners", Node::list(shown))]))
}

fn modify_rule(world: &mut World, input: &Node) -> Result<Node, ApiError> {
    let arn = input.text("RuleArn")?.to_owned();
    if world.elb.listeners.keys().any(|listener| default_rule_arn(listener) == arn) {
        return Err(ApiError::new(
            "OperationNotPermitted",
            "The default rule can't be modified; modify the listener",
        ));
    }
    if !world.elb.rules.contains_key(&arn) {
        return Err(not_found("Rule"));
    }
    let forward = read_forward(world, input.items("Actions")?)?;
    world.note_effect("elasticloadbalancing", "ModifyRule", &arn, weights(&forward), None);
    if let Some(rule) = world.elb.rules.get_mut(&arn) {
        rule.action = forward;
    }
    let shown = world.elb.rules.get(&arn).map(rule_node);
    Ok(Node::map([("Rules", Node::list(shown))]))
}
