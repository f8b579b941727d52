//! Target groups' attributes, and their targets: registered, deregistered, and in what health.

use std::net::{IpAddr, SocketAddr};

use super::group_not_found;
use crate::{
    error::ApiError,
    node::Node,
    world::{
        World,
        elb::{Group, State, Target},
    },
};

fn attributes(group: &Group) -> Node {
    let pairs = [
        ("deregistration_delay.timeout_seconds", group.deregistration_delay.to_string()),
        ("stickiness.enabled", "false".to_owned()),
        ("stickiness.type", "lb_cookie".to_owned()),
        ("stickiness.lb_cookie.duration_seconds", "86400".to_owned()),
        ("slow_start.duration_seconds", "0".to_owned()),
        ("load_balancing.algorithm.type", "round_robin".to_owned()),
        ("load_balancing.cross_zone.enabled", "use_load_balancer_configuration".to_owned()),
    ];
    Node::list(pairs.into_iter().map(|(k, v)| Node::map([("Key", k.into()), ("Value", v.into())])))
}

pub(super) fn describe_target_group_attributes(world: &World, input: &Node) -> Result<Node, ApiError> {
    let group = world.elb.groups.get(input.text("TargetGroupArn")?).ok_or_else(group_not_found)?;
    Ok(Node::map([("Attributes", attributes(group))]))
}

pub(super) fn modify_target_group_attributes(world: &mut World, input: &Node) -> Result<Node, ApiError> {
    let arn = input.text("TargetGroupArn")?.to_owned();
    let group = world.elb.groups.get_mut(&arn).ok_or_else(group_not_found)?;
    for attribute in input.items("Attributes")? {
        let (key, value) = (attribute.text("Key")?, attribute.text("Value")?);
        match (key, value.parse::<i64>()) {
            ("deregistration_delay.timeout_seconds", Ok(seconds)) if (0..=3_600).contains(&seconds) => {
                group.deregistration_delay = seconds;
            }
            _ => {
                return Err(ApiError::new(
                    "InvalidConfigurationRequest",
                    format!("The attribute '{key}' is not valid here"),
                ));
            }
        }
    }
    let shown = attributes(group);
    world.note_effect(
        "elasticloadbalancing",
        "ModifyTargetGroupAttributes",
        &arn,
        "attributes changed".to_owned(),
        None,
    );
    Ok(Node::map([("Attributes", shown)]))
}

pub(super) fn describe_target_health(world: &World, input: &Node) -> Result<Node, ApiError> {
    let arn = input.text("TargetGroupArn")?;
    let group = world.elb.groups.get(arn).ok_or_else(group_not_found)?;
    let in_use = world.elb.is_in_use(arn);
    let asked = input.items("Targets")?;
    let described = if asked.is_empty() {
        group.targets.iter().map(|(address, target)| registered_node(*address, target, in_use)).collect()
    } else {
        let one = |target: &Node| {
            let address = address(target, group.port)?;
            let found = group.targets.get(&address);
            Ok(found.map_or_else(|| unregistered_node(address), |t| registered_node(address, t, in_use)))
        };
        asked.iter().map(one).collect::<Result<_, ApiError>>()?
    };
    Ok(Node::map([("TargetHealthDescriptions", Node::List(described))]))
}

fn registered_node(address: SocketAddr, target: &Target, in_use: bool) -> Node {
    let (state, why) = match target.state {
        State::Draining => {
            ("draining", Some(("Target.DeregistrationInProgress", "Target deregistration is in progress")))
        }
        State::Initial | State::Healthy | State::Unhealthy if !in_use => (
            "unused",
            Some((
                "Target.NotInUse",
                "Target group is not configured to receive traffic from the load balancer",
            )),
        ),
        State::Initial => {
            ("initial", Some(("Elb.RegistrationInProgress", "Target registration is in progress")))
        }
        State::Healthy => ("healthy", None),
        State::Unhealthy => ("unhealthy", Some(("Target.FailedHealthChecks", "Health checks failed"))),
    };
    health_node(address, Some(&target.zone), state, why)
}

/// Source: `TargetHealthReasonEnum`: a target that is not registered is `unused`.
fn unregistered_node(address: SocketAddr) -> Node {
    let why = ("Target.NotRegistered", "Target is not registered to the target group");
    health_node(address, None, "unused", Some(why))
}

fn health_node(address: SocketAddr, zone: Option<&String>, state: &str, why: Option<(&str, &str)>) -> Node {
    let target = Node::map([
        ("Id", address.ip().to_string().into()),
        ("Port", address.port().into()),
        ("AvailabilityZone", zone.into()),
    ]);
    let health = Node::map([
        ("State", state.into()),
        ("Reason", why.map(|(reason, _)| reason).into()),
        ("Description", why.map(|(_, description)| description).into()),
    ]);
    Node::map([
        ("Target", target),
        ("HealthCheckPort", address.port().to_string().into()),
        ("TargetHealth", health),
    ])
}

/// A target's address; its group's port if it names none.
fn address(target: &Node, port: u16) -> Result<SocketAddr, ApiError> {
    let id = target.text("Id")?;
    let ip: IpAddr = id
        .parse()
        .map_err(|_| ApiError::new("InvalidTarget", format!("The IP address '{id}' is not valid")))?;
    let port = target.opt_int("Port")?.and_then(|p| u16::try_from(p).ok()).unwrap_or(port);
    Ok(SocketAddr::new(ip, port))
}

pub(super) fn register_targets(world: &mut World, input: &Node) -> Result<Node, ApiError> {
    change_targets(world, "RegisterTargets", input)
}

pub(super) fn deregister_targets(world: &mut World, input: &Node) -> Result<Node, ApiError> {
    change_targets(world, "DeregisterTargets", input)
}

fn change_targets(world: &mut World, operation: &str, input: &Node) -> Result<Node, ApiError> {
    let arn = input.text("TargetGroupArn")?.to_owned();
    let port = world.elb.groups.get(&arn).ok_or_else(group_not_found)?.port;
    for target in input.items("Targets")? {
        let address = address(target, port)?;
        if operation == "RegisterTargets" {
            world.register_target(&arn, address);
        } else {
            world.deregister_target(&arn, address);
        }
        world.note_effect("elasticloadbalancing", operation, &arn, format!("target {address}"), None);
    }
    Ok(Node::empty())
}
