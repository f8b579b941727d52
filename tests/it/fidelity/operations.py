"""Databases, deployments and metrics."""

import json

from sides import pages


def databases(side):
    def call(case, operation, **given):
        return side.call(case, "rds", operation, **given)

    instance = call("by name", "DescribeDBInstances", DBInstanceIdentifier="shop-db")["DBInstances"][0]["DBInstanceArn"]
    call("by filter", "DescribeDBInstances", Filters=[{"Name": "db-instance-id", "Values": ["shop-db"]}])
    call("by a wrong filter", "DescribeDBInstances", Filters=[{"Name": "colour", "Values": ["red"]}])
    call("none", "DescribeDBInstances", DBInstanceIdentifier="none")
    tags = [{"Key": "k", "Value": "v"}]
    snapshot = {"DBInstanceIdentifier": "shop-db", "DBSnapshotIdentifier": "Before-1"}
    call("a new one", "CreateDBSnapshot", **snapshot, Tags=tags)
    side.jump("30m")
    call("a name that is taken", "CreateDBSnapshot", **snapshot)
    call("of none", "CreateDBSnapshot", DBInstanceIdentifier="none", DBSnapshotIdentifier="before-2")
    call("a name that is not valid", "CreateDBSnapshot", DBInstanceIdentifier="shop-db", DBSnapshotIdentifier="1--a")
    found = call("by name", "DescribeDBSnapshots", DBSnapshotIdentifier="before-1")["DBSnapshots"]
    call("of an instance", "DescribeDBSnapshots", DBInstanceIdentifier="shop-db", SnapshotType="manual")
    call("of an instance without any", "DescribeDBSnapshots", DBInstanceIdentifier="none")
    call("none", "DescribeDBSnapshots", DBSnapshotIdentifier="none")
    for number in range(20):
        call(f"number {number}", "CreateDBSnapshot", DBInstanceIdentifier="shop-db", DBSnapshotIdentifier=f"more-{number:02}")
        side.jump("30m")
    pages(side, "manual ones", "rds", "DescribeDBSnapshots", "Marker", "Marker", SnapshotType="manual", MaxRecords=20)
    call("pages of one", "DescribeDBSnapshots", MaxRecords=1)
    call("of a snapshot", "ListTagsForResource", ResourceName=found[0]["DBSnapshotArn"])
    call("of an instance", "AddTagsToResource", ResourceName=instance, Tags=tags)
    call("of an instance", "ListTagsForResource", ResourceName=instance)
    call("of an instance", "RemoveTagsFromResource", ResourceName=instance, TagKeys=["k", "none"])
    gone = instance.replace("shop-db", "none")
    call("of none", "AddTagsToResource", ResourceName=gone, Tags=tags)
    call("of none", "ListTagsForResource", ResourceName=gone)
    call("of none", "RemoveTagsFromResource", ResourceName=gone, TagKeys=["k"])
    restore = {"DBInstanceIdentifier": "copy", "DBSnapshotIdentifier": "before-1"}
    call("a new one", "RestoreDBInstanceFromDBSnapshot", **restore)
    side.jump("30m")
    call("a name that is taken", "RestoreDBInstanceFromDBSnapshot", **restore)
    call("of no snapshot", "RestoreDBInstanceFromDBSnapshot", DBInstanceIdentifier="copy-2", DBSnapshotIdentifier="none")
    call("all", "DescribeDBInstances")
    call("one", "DeleteDBSnapshot", DBSnapshotIdentifier="before-1")
    call("none", "DeleteDBSnapshot", DBSnapshotIdentifier="none")
    call("none there", "DescribeBlueGreenDeployments")
    call("of an instance", "DescribeDBLogFiles", DBInstanceIdentifier="shop-db")
    call("of none", "DescribeDBLogFiles", DBInstanceIdentifier="none")


def deployments(side):
    def call(case, operation, **given):
        return side.call(case, "codedeploy", operation, **given)

    app, group = {"applicationName": "shop"}, {"applicationName": "shop", "deploymentGroupName": "shop"}
    call("all", "ListApplications")
    call("one", "GetApplication", **app)
    call("none", "GetApplication", applicationName="none")
    call("of an application", "ListDeploymentGroups", **app)
    call("of no application", "ListDeploymentGroups", applicationName="none")
    call("one", "GetDeploymentGroup", **group)
    call("none", "GetDeploymentGroup", **app, deploymentGroupName="none")
    call("of no application", "GetDeploymentGroup", applicationName="none", deploymentGroupName="shop")
    balancer = {"ContainerName": "app", "ContainerPort": 8080}
    properties = {"TaskDefinition": "arn:aws:ecs:eu-west-1:123456789012:task-definition/shop:1", "LoadBalancerInfo": balancer}
    service = {"TargetService": {"Type": "AWS::ECS::Service", "Properties": properties}}
    content = {"content": json.dumps({"version": 0.0, "Resources": [service]})}
    revision = {"revisionType": "AppSpecContent", "appSpecContent": content}
    made = call("one", "CreateDeployment", **group, revision=revision, description="d").get("deploymentId")
    call("a second at once", "CreateDeployment", **group, revision=revision)
    call("of no application", "CreateDeployment", applicationName="none", deploymentGroupName="shop", revision=revision)
    call("of no group", "CreateDeployment", **app, deploymentGroupName="none", revision=revision)
    call("one", "GetDeployment", deploymentId=made)
    call("none", "GetDeployment", deploymentId="d-NONENONE9")
    call("one there, one not", "BatchGetDeployments", deploymentIds=[made, "d-NONENONE9"])
    call("of a group", "ListDeployments", **group)
    call("of no group", "ListDeployments", **app, deploymentGroupName="none")


def metrics(side):
    def call(case, operation, **given):
        return side.call(case, "cloudwatch", operation, **given)

    start, end = "2026-11-23T08:00:00Z", "2026-11-23T09:00:00Z"
    at = "2026-11-23T08:30:00Z"
    metric = {"Namespace": "Own", "MetricName": "m", "Dimensions": [{"Name": "d", "Value": "v"}]}
    datum = {"MetricName": "m", "Dimensions": metric["Dimensions"], "Timestamp": at}
    call("two values", "PutMetricData", Namespace="Own", MetricData=[{**datum, "Value": 1.5}, {**datum, "Value": 2.5}])
    call("a namespace of AWS", "PutMetricData", Namespace="AWS/Own", MetricData=[{**datum, "MetricName": "wrong", "Value": 1.0}])
    call("no namespace", "PutMetricData", MetricData=[{**datum, "MetricName": "wrong", "Value": 1.0}])
    window = {"StartTime": start, "EndTime": end}
    call("five statistics", "GetMetricStatistics", **metric, **window, Period=60, Statistics=["Sum", "Average", "Minimum", "Maximum", "SampleCount"])
    call("of no metric", "GetMetricStatistics", **{**metric, "MetricName": "none"}, **window, Period=60, Statistics=["Sum"])
    call("backwards", "GetMetricStatistics", **metric, StartTime=end, EndTime=start, Period=60, Statistics=["Sum"])
    stat = {"Id": "m", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Sum"}}
    call("one metric", "GetMetricData", MetricDataQueries=[stat], **window)
    call("of no metric", "GetMetricData", MetricDataQueries=[{"Id": "m", "MetricStat": {**stat["MetricStat"], "Metric": {**metric, "MetricName": "none"}}}], **window)
    call("an expression", "GetMetricData", MetricDataQueries=[stat, {"Id": "e", "Expression": "m * 2"}], **window)
    call("of a namespace", "ListMetrics", Namespace="Own")
    call("of no namespace", "ListMetrics", Namespace="None")
    alarms(call, metric)


def alarms(call, metric):
    alarm = {"AlarmName": "a", **metric, "Period": 60, "EvaluationPeriods": 1, "Statistic": "Sum"}
    alarm.update(Threshold=1.0, ComparisonOperator="GreaterThanThreshold", TreatMissingData="notBreaching")
    call("one", "PutMetricAlarm", **alarm)
    call("an unknown operator", "PutMetricAlarm", **{**alarm, "AlarmName": "wrong", "ComparisonOperator": "Equal"})
    call("by name", "DescribeAlarms", AlarmNames=["a"])
    call("none", "DescribeAlarms", AlarmNames=["none"])
    call("a second", "PutMetricAlarm", **{**alarm, "AlarmName": "b"})
    call("by the beginning of a name", "DescribeAlarms", AlarmNamePrefix="b")
    call("to ALARM", "SetAlarmState", AlarmName="a", StateValue="ALARM", StateReason="test")
    call("none", "SetAlarmState", AlarmName="none", StateValue="ALARM", StateReason="test")
    call("in ALARM", "DescribeAlarms", StateValue="ALARM")
    call("one there, one not", "DeleteAlarms", AlarmNames=["none", "a"])
    call("none", "DeleteAlarms", AlarmNames=["none"])
    call("a deleted one", "DescribeAlarms", AlarmNames=["a"])
