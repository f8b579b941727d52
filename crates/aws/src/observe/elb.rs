//! Listeners, target groups and the health of targets.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_elasticloadbalancingv2::types as elb;
use tidegate_model::{
    Fact, Why,
    observation::{DeploymentGroup, Listener, Listeners, RuleWeights, TargetGroup, TargetHealth},
};

use super::{GroupArns, recall, remember};
use crate::{
    Aws, ReadError,
    budget::Bucket,
    call::Operation,
    error::{Failure, Kind},
};

/// Load balancers in one DescribeLoadBalancers call. Source: the ELBv2 model.
const BALANCERS_A_CALL: usize = 20;

const fn operation(name: &'static str) -> Operation {
    Operation { service: "elasticloadbalancing", name, bucket: Bucket::Elb }
}

fn malformed(name: &'static str) -> ReadError {
    ReadError::new(name, Failure { code: "malformed".to_owned(), kind: Kind::Malformed })
}

impl Aws {
    /// Target groups by name. The load balancer is looked up again until there is one.
    pub(super) async fn target_groups(&self, names: &[&str]) -> Result<Vec<GroupArns>, ReadError> {
        let known: Vec<GroupArns> =
            names.iter().filter_map(|name| recall(&self.cache.groups, name)).collect();
        if known.len() == names.len() && known.iter().all(|group| group.balancer.is_some()) {
            return Ok(known);
        }
        let describe = operation("DescribeTargetGroups");
        let asked = names.iter().map(|name| (*name).to_owned()).collect();
        let request = self.read.elb.describe_target_groups().set_names(Some(asked));
        let output =
            self.calls.call(describe, request.send()).await.map_err(|f| ReadError::new(describe.name, f))?;
        let found = output.target_groups.unwrap_or_default();
        let in_order = names.iter().map(|name| {
            let group = found.iter().find(|g| g.target_group_name() == Some(name))?;
            let arns = GroupArns {
                group: TargetGroup(group.target_group_arn()?.to_owned()),
                balancer: group.load_balancer_arns().first().cloned(),
            };
            remember(&self.cache.groups, name, &arns);
            Some(arns)
        });
        in_order.collect::<Option<Vec<_>>>().ok_or_else(|| malformed(describe.name))
    }

    /// What a group's target groups are balanced by, for metric dimensions.
    pub(super) fn balancer_of(&self, group: &TargetGroup) -> Option<String> {
        recall(&self.cache.groups, group.name())?.balancer
    }

    /// Production and test listener with the weights of every rule that forwards to the pair.
    pub(super) async fn listeners(&self, group: &DeploymentGroup) -> Fact<Listeners> {
        let Some(production) = &group.production_listener else { return Fact::Absent };
        let arns: Vec<String> =
            [Some(production.clone()), group.test_listener.clone()].into_iter().flatten().collect();
        match self.read_listeners(&arns, &group.target_groups).await {
            Ok(mut all) => {
                let test = group.test_listener.as_ref().and_then(|arn| all.remove(arn));
                let complete = test.is_some() == group.test_listener.is_some();
                match all.remove(production) {
                    Some(production) if complete => Fact::Known(Listeners { production, test }),
                    Some(_) | None => Fact::Unknown(Why::Malformed),
                }
            }
            Err(error) if error.code == "ListenerNotFound" => Fact::Absent,
            Err(error) => error.unknown(),
        }
    }

    async fn read_listeners(
        &self,
        arns: &[String],
        pair: &[TargetGroup],
    ) -> Result<BTreeMap<String, Listener>, ReadError> {
        let describe = operation("DescribeListeners");
        let request = self.read.elb.describe_listeners().set_listener_arns(Some(arns.to_vec()));
        let output =
            self.calls.call(describe, request.send()).await.map_err(|f| ReadError::new(describe.name, f))?;
        let mut all = BTreeMap::new();
        for listener in output.listeners.unwrap_or_default() {
            let (Some(arn), Some(balancer)) = (listener.listener_arn(), listener.load_balancer_arn()) else {
                return Err(malformed(describe.name));
            };
            let scheme = match listener.protocol() {
                Some(elb::ProtocolEnum::Https) => "https",
                Some(_) | None => "http",
            };
            let host = self.dns_name(balancer).await?;
            let port = listener.port().unwrap_or(80);
            let rules = self.rules(arn, pair).await?;
            let address = format!("{scheme}://{host}:{port}");
            all.insert(arn.to_owned(), Listener { arn: arn.to_owned(), address, rules });
        }
        Ok(all)
    }

    async fn dns_name(&self, balancer: &str) -> Result<String, ReadError> {
        if let Some(name) = recall(&self.cache.dns_names, balancer) {
            return Ok(name);
        }
        let describe = operation("DescribeLoadBalancers");
        let request = self.read.elb.describe_load_balancers().load_balancer_arns(balancer);
        let output =
            self.calls.call(describe, request.send()).await.map_err(|f| ReadError::new(describe.name, f))?;
        let name = output.load_balancers().first().and_then(elb::LoadBalancer::dns_name).map(str::to_owned);
        let name = name.ok_or_else(|| malformed(describe.name))?;
        remember(&self.cache.dns_names, balancer, &name);
        Ok(name)
    }

    /// The availability zones of load balancers, in order, by ARN. A load balancer can get new ones, so nothing is remembered.
    pub(super) async fn zones(
        &self,
        balancers: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, Vec<String>>, ReadError> {
        let describe = operation("DescribeLoadBalancers");
        let arns: Vec<String> = balancers.iter().cloned().collect();
        let mut all = BTreeMap::new();
        for chunk in arns.chunks(BALANCERS_A_CALL) {
            let request =
                self.read.elb.describe_load_balancers().set_load_balancer_arns(Some(chunk.to_vec()));
            let output = self
                .calls
                .call(describe, request.send())
                .await
                .map_err(|f| ReadError::new(describe.name, f))?;
            for balancer in output.load_balancers() {
                let mut zones: Vec<String> = balancer
                    .availability_zones()
                    .iter()
                    .filter_map(|zone| zone.zone_name().map(str::to_owned))
                    .collect();
                zones.sort();
                all.extend(balancer.load_balancer_arn().map(|arn| (arn.to_owned(), zones)));
            }
        }
        Ok(all)
    }

    async fn rules(&self, listener: &str, pair: &[TargetGroup]) -> Result<Vec<RuleWeights>, ReadError> {
        let describe = operation("DescribeRules");
        let mut rules = vec![];
        let mut marker: Option<String> = None;
        loop {
            let request = self.read.elb.describe_rules().listener_arn(listener).set_marker(marker.take());
            let output = self
                .calls
                .call(describe, request.send())
                .await
                .map_err(|f| ReadError::new(describe.name, f))?;
            rules.extend(output.rules().iter().filter_map(|rule| read_rule(rule, pair)));
            marker = output.next_marker.filter(|marker| !marker.is_empty());
            if marker.is_none() {
                return Ok(rules);
            }
        }
    }

    /// Target health of both groups: both, or unknown.
    pub(super) async fn health(&self, group: &DeploymentGroup) -> Fact<BTreeMap<TargetGroup, TargetHealth>> {
        let mut all = BTreeMap::new();
        for target_group in &group.target_groups {
            let request = self.read.elb.describe_target_health().target_group_arn(&target_group.0);
            match self.calls.call(operation("DescribeTargetHealth"), request.send()).await {
                Ok(output) => {
                    let mut health = TargetHealth::default();
                    for target in output.target_health_descriptions() {
                        count(&mut health, target.target_health().and_then(elb::TargetHealth::state));
                    }
                    all.insert(target_group.clone(), health);
                }
                Err(failure) => return Fact::Unknown(failure.why()),
            }
        }
        Fact::Known(all)
    }
}

fn count(health: &mut TargetHealth, state: Option<&elb::TargetHealthStateEnum>) {
    match state {
        Some(elb::TargetHealthStateEnum::Healthy) => health.healthy += 1,
        Some(elb::TargetHealthStateEnum::Unhealthy) => health.unhealthy += 1,
        Some(elb::TargetHealthStateEnum::Initial) => health.initial += 1,
        Some(elb::TargetHealthStateEnum::Draining) => health.draining += 1,
        Some(_) | None => health.other += 1,
    }
}

/// A rule that forwards to one of the pair; other rules are none of this release's.
fn read_rule(rule: &elb::Rule, pair: &[TargetGroup]) -> Option<RuleWeights> {
    let action =
        rule.actions().iter().find(|action| action.r#type() == Some(&elb::ActionTypeEnum::Forward))?;
    let mut weights = BTreeMap::new();
    let mut sticky = false;
    match action.forward_config() {
        Some(config) => {
            for tuple in config.target_groups() {
                let weight = u32::try_from(tuple.weight().unwrap_or(1)).unwrap_or(0);
                weights.insert(TargetGroup(tuple.target_group_arn()?.to_owned()), weight);
            }
            sticky = config
                .target_group_stickiness_config()
                .and_then(elb::TargetGroupStickinessConfig::enabled)
                .unwrap_or(false);
        }
        None => {
            weights.insert(TargetGroup(action.target_group_arn()?.to_owned()), 1);
        }
    }
    let ours = pair.iter().any(|group| weights.contains_key(group));
    let name = if rule.is_default() == Some(true) { "default" } else { rule.rule_arn().unwrap_or_default() };
    ours.then(|| RuleWeights { rule: name.to_owned(), weights, sticky })
}
