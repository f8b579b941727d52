"""Load balancers, their listeners, and the targets of their groups."""

from sides import pages

ARN = "arn:aws:elasticloadbalancing:eu-west-1:123456789012"
NO_GROUP = f"{ARN}:targetgroup/none/0123456789abcdef"
NO_BALANCER = f"{ARN}:loadbalancer/app/none/0123456789abcdef"
NO_LISTENER = f"{ARN}:listener/app/none/0123456789abcdef/0123456789abcdef"
NO_RULE = f"{ARN}:listener-rule/app/none/0123456789abcdef/0123456789abcdef/0123456789abcdef"


def balancing(side):
    def call(case, operation, **given):
        return side.call(case, "elbv2", operation, **given)

    balancer = call("by name", "DescribeLoadBalancers", Names=["shop"])["LoadBalancers"][0]["LoadBalancerArn"]
    call("none", "DescribeLoadBalancers", Names=["none"])
    call("of no ARN", "DescribeLoadBalancers", LoadBalancerArns=[NO_BALANCER])
    listener = call("of a balancer", "DescribeListeners", LoadBalancerArn=balancer)["Listeners"][0][
        "ListenerArn"
    ]
    call("by ARN", "DescribeListeners", ListenerArns=[listener])
    call("none", "DescribeListeners", ListenerArns=[NO_LISTENER])
    call("of no balancer", "DescribeListeners", LoadBalancerArn=NO_BALANCER)
    call("of nothing", "DescribeListeners")
    call("pages of five hundred", "DescribeListeners", LoadBalancerArn=balancer, PageSize=500)
    rule = call("of a listener", "DescribeRules", ListenerArn=listener)["Rules"][0]["RuleArn"]
    call("none", "DescribeRules", RuleArns=[NO_RULE])
    call("of no listener", "DescribeRules", ListenerArn=NO_LISTENER)
    call("of nothing", "DescribeRules")
    found = call("by name", "DescribeTargetGroups", Names=["shop-blue", "shop-green"])["TargetGroups"]
    blue, green = (group["TargetGroupArn"] for group in found)
    pages(side, "all", "elbv2", "DescribeTargetGroups", "NextMarker", "Marker", PageSize=1)
    call("of a balancer", "DescribeTargetGroups", LoadBalancerArn=balancer)
    call("none", "DescribeTargetGroups", Names=["none"])
    call("of no ARN", "DescribeTargetGroups", TargetGroupArns=[NO_GROUP])
    forwards(side, listener, rule, blue, green)
    targets(side, blue, green)
    call("of a group and a balancer", "DescribeTags", ResourceArns=[blue, balancer])
    call("of none", "DescribeTags", ResourceArns=[NO_GROUP])


def forwards(side, listener, rule, blue, green):
    def modify(case, actions, of=listener):
        side.call(case, "elbv2", "ModifyListener", ListenerArn=of, DefaultActions=actions)

    def weighted(*weights, **more):
        groups = [{"TargetGroupArn": group, "Weight": weight} for group, weight in weights]
        return [{"Type": "forward", "ForwardConfig": {"TargetGroups": groups, **more}}]

    modify("two weights", weighted((blue, 90), (green, 10)))
    side.call("of two weights", "elbv2", "DescribeListeners", ListenerArns=[listener])
    side.call("of two weights", "elbv2", "DescribeRules", ListenerArn=listener)
    sticky = {"TargetGroupStickinessConfig": {"Enabled": True, "DurationSeconds": 60}}
    modify("sticky", weighted((blue, 1), (green, 0), **sticky))
    modify("a weight of 1000", weighted((blue, 1000), (green, 0)))
    modify("six groups", weighted(*[(blue, 1)] * 6))
    modify("no such group", weighted((NO_GROUP, 1)))
    modify("no group", [{"Type": "forward"}])
    modify("an unknown type", [{"Type": "colour"}])
    modify("of none", weighted((blue, 1)), of=NO_LISTENER)
    plain = [{"Type": "forward", "TargetGroupArn": blue}]
    modify("a single group", plain)
    side.call("the default rule", "elbv2", "ModifyRule", RuleArn=rule, Actions=plain)
    side.call("of none", "elbv2", "ModifyRule", RuleArn=NO_RULE, Actions=plain)


def targets(side, blue, green):
    def call(case, operation, group, **given):
        return side.call(case, "elbv2", operation, TargetGroupArn=group, **given)

    call("as made", "DescribeTargetGroupAttributes", blue)
    call("of none", "DescribeTargetGroupAttributes", NO_GROUP)
    delay = {"Key": "deregistration_delay.timeout_seconds", "Value": "20"}
    call("a delay", "ModifyTargetGroupAttributes", blue, Attributes=[delay])
    call(
        "an unknown key", "ModifyTargetGroupAttributes", blue, Attributes=[{"Key": "colour", "Value": "red"}]
    )
    call("of none", "ModifyTargetGroupAttributes", NO_GROUP, Attributes=[delay])
    target = [{"Id": "10.0.9.9", "Port": 8080}]
    call("none yet", "DescribeTargetHealth", green)
    call("an address", "RegisterTargets", green, Targets=target)
    call("no address", "RegisterTargets", blue, Targets=[{"Id": "colour"}])
    call("of none", "RegisterTargets", NO_GROUP, Targets=target)
    call("behind no listener", "DescribeTargetHealth", green)
    call(
        "of a target that is not there",
        "DescribeTargetHealth",
        green,
        Targets=[{"Id": "10.0.9.8", "Port": 8080}],
    )
    call("of none", "DescribeTargetHealth", NO_GROUP)
    call("an address", "DeregisterTargets", green, Targets=target)
    call("of none", "DeregisterTargets", NO_GROUP, Targets=target)
