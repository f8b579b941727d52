"""Every operation that the sandbox has under the model check; CloudWatch's in each of its three protocols.

Some can only be refused: no world has a rule to be modified, and task sets are CodeDeploy's.
"""

import json
import os
import sys
import urllib.request

# The CLI carries its own botocore, and makes it importable.
import awscli  # noqa: F401
import botocore.session
from botocore import xform_name
from botocore.exceptions import ClientError

import modelcheck

GROUP = {"applicationName": "ecommerce-bluegreen", "deploymentGroupName": "ecommerce-bluegreen"}
APP = {"applicationName": "ecommerce-bluegreen"}


def jump(by):
    url = os.environ["AWS_ENDPOINT_URL"] + "/_sandbox/clock"
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps({"jump": by}).encode())):
        pass


def clients(protocol):
    """Clients that speak what a service has first, or `protocol` where it has that."""
    session = botocore.session.get_session()
    modelcheck.attach(session.get_component("event_emitter"))
    loader = session.get_component("data_loader")
    load = loader.load_service_model

    def load_with_protocol(service, kind, api_version=None):
        model = load(service, kind, api_version)
        metadata = model.get("metadata", {}) if kind == "service-2" else {}
        if protocol in metadata.get("protocols", []):
            metadata.update(protocol=protocol, protocols=[protocol])
        return model

    loader.load_service_model = load_with_protocol
    made = {}

    def call(service, operation, /, **given):
        if service not in made:
            made[service] = session.create_client(service)
        return getattr(made[service], xform_name(operation))(**given)

    return call


def parameters(call):
    call("ssm", "PutParameter", Name="/all/a", Value="1", Type="String", Tags=[{"Key": "k", "Value": "v"}])
    call("ssm", "PutParameter", Name="/all/b", Value="2", Type="SecureString", Description="d", Tier="Advanced")
    call("ssm", "LabelParameterVersion", Name="/all/a", Labels=["good", "1bad"])
    call("ssm", "GetParameter", Name="/all/a:good")
    call("ssm", "GetParameters", Names=["/all/a:1", "/all/none"], WithDecryption=True)
    call("ssm", "GetParametersByPath", Path="/all", MaxResults=1)
    call("ssm", "GetParameterHistory", Name="/all/a")
    call("ssm", "DescribeParameters", ParameterFilters=[{"Key": "Path", "Values": ["/all"]}])
    call("ssm", "AddTagsToResource", ResourceType="Parameter", ResourceId="/all/a", Tags=[{"Key": "x", "Value": "y"}])
    call("ssm", "ListTagsForResource", ResourceType="Parameter", ResourceId="/all/a")
    call("ssm", "DeleteParameter", Name="/all/a")
    call("ssm", "DeleteParameters", Names=["/all/b", "/all/none"])
    call("sts", "GetCallerIdentity")


def secrets(call):
    call("secretsmanager", "CreateSecret", Name="all", SecretString="1", Tags=[{"Key": "k", "Value": "v"}])
    call("secretsmanager", "PutSecretValue", SecretId="all", SecretString="2")
    call("secretsmanager", "TagResource", SecretId="all", Tags=[{"Key": "x", "Value": "y"}])
    call("secretsmanager", "UntagResource", SecretId="all", TagKeys=["x"])
    call("secretsmanager", "GetSecretValue", SecretId="all")
    call("secretsmanager", "DescribeSecret", SecretId="all")
    call("secretsmanager", "ListSecrets")


def containers(call):
    definition = call("ecs", "DescribeTaskDefinition", taskDefinition="ecommerce", include=["TAGS"])["taskDefinition"]
    new = call("ecs", "RegisterTaskDefinition", family="all", containerDefinitions=definition["containerDefinitions"])
    call("ecs", "ListTaskDefinitions", sort="DESC")
    call("ecs", "ListClusters")
    call("ecs", "DescribeClusters", clusters=["ecommerce", "none"])
    call("ecs", "ListServices", cluster="ecommerce")
    call("ecs", "DescribeServices", cluster="ecommerce", services=["ecommerce", "none"])
    call("ecs", "UpdateService", cluster="ecommerce", service="ecommerce", desiredCount=3)
    task = call("ecs", "RunTask", cluster="ecommerce", taskDefinition="all", startedBy="test")["tasks"][0]["taskArn"]
    tasks = call("ecs", "ListTasks", cluster="ecommerce")["taskArns"]
    call("ecs", "StopTask", cluster="ecommerce", task=task, reason="over")
    call("ecs", "DescribeTasks", cluster="ecommerce", tasks=[*tasks, "none"])
    jump("5m")
    call("ecs", "DescribeTasks", cluster="ecommerce", tasks=[task])
    call("ecs", "DescribeServices", cluster="ecommerce", services=["ecommerce"])
    sets = {"cluster": "ecommerce", "service": "ecommerce"}
    refused("InvalidParameterException", call, "ecs", "CreateTaskSet", **sets, taskDefinition="all")
    scale = {"value": 50.0, "unit": "PERCENT"}
    refused("InvalidParameterException", call, "ecs", "UpdateTaskSet", **sets, taskSet="none", scale=scale)
    refused("InvalidParameterException", call, "ecs", "UpdateServicePrimaryTaskSet", **sets, primaryTaskSet="none")
    refused("InvalidParameterException", call, "ecs", "DeleteTaskSet", **sets, taskSet="none")
    call("ecs", "DeregisterTaskDefinition", taskDefinition=new["taskDefinition"]["taskDefinitionArn"])
    return definition["taskDefinitionArn"]


def balancing(call):
    balancer = call("elbv2", "DescribeLoadBalancers")["LoadBalancers"][0]["LoadBalancerArn"]
    listener = call("elbv2", "DescribeListeners", LoadBalancerArn=balancer)["Listeners"][0]
    rules = call("elbv2", "DescribeRules", ListenerArn=listener["ListenerArn"])["Rules"]
    call("elbv2", "DescribeRules", RuleArns=[rules[0]["RuleArn"]])
    rule = {"RuleArn": rules[0]["RuleArn"], "Actions": listener["DefaultActions"]}
    refused("OperationNotPermitted", call, "elbv2", "ModifyRule", **rule)
    group = call("elbv2", "DescribeTargetGroups")["TargetGroups"][0]["TargetGroupArn"]
    call("elbv2", "DescribeTargetGroupAttributes", TargetGroupArn=group)
    delay = {"Key": "deregistration_delay.timeout_seconds", "Value": "20"}
    call("elbv2", "ModifyTargetGroupAttributes", TargetGroupArn=group, Attributes=[delay])
    target = [{"Id": "10.0.9.9", "Port": 8080}]
    call("elbv2", "RegisterTargets", TargetGroupArn=group, Targets=target)
    call("elbv2", "DescribeTargetHealth", TargetGroupArn=group)
    call("elbv2", "DeregisterTargets", TargetGroupArn=group, Targets=target)
    call("elbv2", "DescribeTargetHealth", TargetGroupArn=group)
    call("elbv2", "DescribeTags", ResourceArns=[group, balancer])
    sticky = {"Enabled": True, "DurationSeconds": 60}
    forward = {"TargetGroups": [{"TargetGroupArn": group, "Weight": 1}], "TargetGroupStickinessConfig": sticky}
    actions = [{"Type": "forward", "ForwardConfig": forward}]
    call("elbv2", "ModifyListener", ListenerArn=listener["ListenerArn"], DefaultActions=actions)
    call("elbv2", "ModifyListener", ListenerArn=listener["ListenerArn"], DefaultActions=listener["DefaultActions"])
    return balancer.split(":loadbalancer/")[1]


def metrics(call, balancer, now):
    query = {"Namespace": "AWS/ApplicationELB", "MetricName": "RequestCount"}
    query["Dimensions"] = [{"Name": "LoadBalancer", "Value": balancer}]
    window = {"StartTime": now - 900, "EndTime": now}
    shown = {"Statistics": ["Sum", "SampleCount"], "ExtendedStatistics": ["p99"], "Period": 60}
    assert call("cloudwatch", "GetMetricStatistics", **query, **window, **shown)["Datapoints"]
    stat = {"Id": "m", "MetricStat": {"Metric": query, "Period": 60, "Stat": "p99"}}
    queries = [stat, {"Id": "e", "Expression": "FILL(m, 0)"}]
    found = call("cloudwatch", "GetMetricData", MetricDataQueries=queries, **window)
    assert found["MetricDataResults"][0]["Values"]
    call("cloudwatch", "ListMetrics")
    call("cloudwatch", "PutMetricData", Namespace="Own", MetricData=[{"MetricName": "m", "Value": 1.5}])
    alarm = {"AlarmName": "all", "Namespace": "Own", "MetricName": "m", "Period": 60, "EvaluationPeriods": 1}
    alarm.update(Threshold=1.0, ComparisonOperator="GreaterThanThreshold", Statistic="Sum")
    call("cloudwatch", "PutMetricAlarm", **alarm)
    call("cloudwatch", "SetAlarmState", AlarmName="all", StateValue="ALARM", StateReason="test")
    call("cloudwatch", "DescribeAlarms", MaxRecords=1)
    call("cloudwatch", "DescribeAlarms", AlarmNames=["all"])
    call("cloudwatch", "DeleteAlarms", AlarmNames=["all"])
    backwards = {"StartTime": now, "EndTime": now - 900}
    refused("InvalidParameterValue", call, "cloudwatch", "GetMetricStatistics", **query, **backwards, **shown)
    state = {"AlarmName": "none", "StateValue": "OK", "StateReason": "test"}
    refused("ResourceNotFound", call, "cloudwatch", "SetAlarmState", **state)


def refused(code, call, service, operation, /, **given):
    try:
        call(service, operation, **given)
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, error
    else:
        raise AssertionError(f"{operation} was not refused with {code}")


def deployments(call, definition):
    call("codedeploy", "ListApplications")
    call("codedeploy", "GetApplication", **APP)
    call("codedeploy", "ListDeploymentGroups", **APP)
    call("codedeploy", "BatchGetDeploymentGroups", **APP, deploymentGroupNames=["ecommerce-bluegreen"])
    routing = {"type": "TimeBasedCanary", "timeBasedCanary": {"canaryPercentage": 20, "canaryInterval": 2}}
    routing = {"computePlatform": "ECS", "trafficRoutingConfig": routing}
    call("codedeploy", "CreateDeploymentConfig", deploymentConfigName="all", **routing)
    call("codedeploy", "CreateDeploymentConfig", deploymentConfigName="gone", **routing)
    call("codedeploy", "DeleteDeploymentConfig", deploymentConfigName="gone")
    call("codedeploy", "ListDeploymentConfigs")
    for config in ("all", "CodeDeployDefault.ECSLinear10PercentEvery1Minutes", "CodeDeployDefault.ECSAllAtOnce"):
        call("codedeploy", "GetDeploymentConfig", deploymentConfigName=config)
    current = {**APP, "currentDeploymentGroupName": "ecommerce-bluegreen"}
    call("codedeploy", "UpdateDeploymentGroup", **current, deploymentConfigName="all")
    lb = {"ContainerName": "app", "ContainerPort": 8080}
    properties = {"TaskDefinition": definition, "LoadBalancerInfo": lb}
    service = {"TargetService": {"Type": "AWS::ECS::Service", "Properties": properties}}
    content = {"content": json.dumps({"version": 0.0, "Resources": [service]})}
    revision = {"revisionType": "AppSpecContent", "appSpecContent": content}
    made = call("codedeploy", "CreateDeployment", **GROUP, revision=revision)["deploymentId"]
    jump("10m")
    look_at_deployment(call, made)
    call("codedeploy", "ContinueDeployment", deploymentId=made, deploymentWaitType="READY_WAIT")
    jump("5m")
    look_at_deployment(call, made)
    call("codedeploy", "ContinueDeployment", deploymentId=made, deploymentWaitType="TERMINATION_WAIT")
    jump("5m")
    look_at_deployment(call, made)
    call("codedeploy", "ListDeployments", includeOnlyStatuses=["Succeeded"])
    made = call("codedeploy", "CreateDeployment", **GROUP, revision=revision)["deploymentId"]
    jump("10m")
    call("codedeploy", "StopDeployment", deploymentId=made)
    look_at_deployment(call, made)


def look_at_deployment(call, made):
    shown = call("codedeploy", "GetDeployment", deploymentId=made)["deploymentInfo"]
    rollback = shown.get("rollbackInfo", {}).get("rollbackDeploymentId")
    call("codedeploy", "BatchGetDeployments", deploymentIds=[made, *([rollback] if rollback else [])])
    targets = call("codedeploy", "ListDeploymentTargets", deploymentId=made)["targetIds"]
    call("codedeploy", "GetDeploymentTarget", deploymentId=made, targetId=targets[0])
    call("codedeploy", "BatchGetDeploymentTargets", deploymentId=made, targetIds=targets)
    call("codedeploy", "GetDeploymentGroup", **GROUP)
    call("ecs", "DescribeServices", cluster="ecommerce", services=["ecommerce"])


def databases(call):
    instance = call("rds", "DescribeDBInstances")["DBInstances"][0]
    tags = [{"Key": "k", "Value": "v"}]
    call("rds", "AddTagsToResource", ResourceName=instance["DBInstanceArn"], Tags=tags)
    call("rds", "ListTagsForResource", ResourceName=instance["DBInstanceArn"])
    call("rds", "RemoveTagsFromResource", ResourceName=instance["DBInstanceArn"], TagKeys=["k"])
    filters = [{"Name": "source", "Values": [instance["DBInstanceArn"]]}]
    call("rds", "DescribeBlueGreenDeployments", Filters=filters)
    source = instance["DBInstanceIdentifier"]
    logs = call("rds", "DescribeDBLogFiles", DBInstanceIdentifier=source, FilenameContains="log", MaxRecords=20)
    assert logs["DescribeDBLogFiles"] == [], "a modelled instance has no server that writes"
    portion = {"LogFileName": "error/postgresql.log.2026-11-23-07", "Marker": "0", "NumberOfLines": 10}
    portion_of = {"DBInstanceIdentifier": source, **portion}
    refused("DBLogFileNotFoundFault", call, "rds", "DownloadDBLogFilePortion", **portion_of)
    refused("DBInstanceNotFound", call, "rds", "DescribeDBLogFiles", DBInstanceIdentifier="none")
    refused("DBInstanceNotFound", call, "rds", "DownloadDBLogFilePortion", DBInstanceIdentifier="none", **portion)
    call("rds", "CreateDBSnapshot", DBInstanceIdentifier=source, DBSnapshotIdentifier="all", Tags=tags)
    jump("30m")
    filters = [{"Name": "db-instance-id", "Values": [source]}]
    call("rds", "DescribeDBSnapshots", Filters=filters)
    call("rds", "RestoreDBInstanceFromDBSnapshot", DBInstanceIdentifier="copy", DBSnapshotIdentifier="all")
    refused("DBInstanceNotReady", call, "rds", "DescribeDBLogFiles", DBInstanceIdentifier="copy")
    jump("30m")
    call("rds", "DescribeDBInstances", DBInstanceIdentifier="copy")
    call("rds", "DeleteDBSnapshot", DBSnapshotIdentifier="all")


def main():
    call = clients("json")
    parameters(call)
    secrets(call)
    definition = containers(call)
    balancer = balancing(call)
    deployments(call, definition)
    databases(call)
    for protocol in ("json", "query", "smithy-rpc-v2-cbor"):
        metrics(clients(protocol), balancer, int(sys.argv[1]) + 3_600)


if __name__ == "__main__":
    main()
