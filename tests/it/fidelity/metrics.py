"""Metrics and alarms."""


def metrics(side):
    def call(case, operation, **given):
        return side.call(case, "cloudwatch", operation, **given)

    start, end = "2026-11-23T08:00:00Z", "2026-11-23T09:00:00Z"
    at = "2026-11-23T08:30:00Z"
    metric = {"Namespace": "Own", "MetricName": "m", "Dimensions": [{"Name": "d", "Value": "v"}]}
    datum = {"MetricName": "m", "Dimensions": metric["Dimensions"], "Timestamp": at}
    call(
        "two values",
        "PutMetricData",
        Namespace="Own",
        MetricData=[{**datum, "Value": 1.5}, {**datum, "Value": 2.5}],
    )
    call(
        "a namespace of AWS",
        "PutMetricData",
        Namespace="AWS/Own",
        MetricData=[{**datum, "MetricName": "wrong", "Value": 1.0}],
    )
    call("no namespace", "PutMetricData", MetricData=[{**datum, "MetricName": "wrong", "Value": 1.0}])
    window = {"StartTime": start, "EndTime": end}
    call(
        "five statistics",
        "GetMetricStatistics",
        **metric,
        **window,
        Period=60,
        Statistics=["Sum", "Average", "Minimum", "Maximum", "SampleCount"]
    )
    call(
        "of no metric",
        "GetMetricStatistics",
        **{**metric, "MetricName": "none"},
        **window,
        Period=60,
        Statistics=["Sum"]
    )
    call(
        "backwards",
        "GetMetricStatistics",
        **metric,
        StartTime=end,
        EndTime=start,
        Period=60,
        Statistics=["Sum"]
    )
    stat = {"Id": "m", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Sum"}}
    call("one metric", "GetMetricData", MetricDataQueries=[stat], **window)
    call(
        "of no metric",
        "GetMetricData",
        MetricDataQueries=[
            {"Id": "m", "MetricStat": {**stat["MetricStat"], "Metric": {**metric, "MetricName": "none"}}}
        ],
        **window
    )
    call(
        "an expression",
        "GetMetricData",
        MetricDataQueries=[stat, {"Id": "e", "Expression": "m * 2"}],
        **window
    )
    call("of a namespace", "ListMetrics", Namespace="Own")
    call("of no namespace", "ListMetrics", Namespace="None")
    alarms(call, metric)


def alarms(call, metric):
    alarm = {"AlarmName": "a", **metric, "Period": 60, "EvaluationPeriods": 1, "Statistic": "Sum"}
    alarm.update(Threshold=1.0, ComparisonOperator="GreaterThanThreshold", TreatMissingData="notBreaching")
    call("one", "PutMetricAlarm", **alarm)
    call(
        "an unknown operator",
        "PutMetricAlarm",
        **{**alarm, "AlarmName": "wrong", "ComparisonOperator": "Equal"}
    )
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
