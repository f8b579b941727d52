//! Metrics that the modelled traffic leaves, metric math, and alarms that evaluate by the minute.

use std::time::Instant;

use aws_sdk_cloudwatch::{
    primitives::DateTime,
    types::{
        ComparisonOperator, Dimension, Metric, MetricDataQuery, MetricDatum, MetricStat, StateValue,
        Statistic,
    },
};
use jiff::{SignedDuration, Timestamp};

use crate::support::{STORY, Stage, code, start};

fn at(instant: Timestamp) -> DateTime {
    DateTime::from_secs(instant.as_second())
}

fn dimension(name: &str, value: &str) -> Dimension {
    Dimension::builder().name(name).value(value).build()
}

/// What CloudWatch calls the story's load balancer and one of its target groups.
async fn dimensions(stage: &Stage, group: &str) -> [Dimension; 2] {
    let found = stage.elb().describe_target_groups().names(group).send().await.unwrap();
    let group = found.target_groups()[0].target_group_arn().unwrap();
    let balancers = stage.elb().describe_load_balancers().send().await.unwrap();
    let balancer = balancers.load_balancers()[0].load_balancer_arn().unwrap();
    let tail = |arn: &str| arn.rsplit(':').next().unwrap().to_owned();
    [
        dimension("LoadBalancer", tail(balancer).strip_prefix("loadbalancer/").unwrap()),
        dimension("TargetGroup", &tail(group)),
    ]
}

fn query(id: &str, name: &str, statistic: &str, dimensions: &[Dimension]) -> MetricDataQuery {
    let metric = Metric::builder()
        .namespace("AWS/ApplicationELB")
        .metric_name(name)
        .set_dimensions(Some(dimensions.to_vec()))
        .build();
    let stat = MetricStat::builder().metric(metric).period(60).stat(statistic).build();
    MetricDataQuery::builder().id(id).metric_stat(stat).build()
}

fn expression(id: &str, text: &str) -> MetricDataQuery {
    MetricDataQuery::builder().id(id).expression(text).build()
}

/// The values of each query in the minutes `[from, to)` after the start, oldest first.
async fn values(stage: &Stage, from: i64, to: i64, queries: Vec<MetricDataQuery>) -> Vec<Vec<f64>> {
    let minute = |n| at(start() + SignedDuration::from_mins(n));
    let data = stage.cloudwatch().get_metric_data().start_time(minute(from)).end_time(minute(to));
    let data = data.scan_by("TimestampAscending".into()).set_metric_data_queries(Some(queries));
    let results = data.send().await.unwrap().metric_data_results.unwrap();
    results.into_iter().map(|result| result.values.unwrap_or_default()).collect()
}

#[tokio::test]
async fn the_history_before_the_start_is_that_of_a_service_in_order() {
    let stage = Stage::story();
    let blue = dimensions(&stage, "ecommerce-blue").await;
    let balancer = &blue[..1];
    let found = values(
        &stage,
        -10,
        0,
        vec![
            query("requests", "RequestCount", "Sum", &blue),
            query("good", "HTTPCode_Target_2XX_Count", "Sum", &blue),
            query("failed", "HTTPCode_ELB_5XX_Count", "Sum", balancer),
            query("p99", "TargetResponseTime", "p99", &blue),
            query("healthy", "HealthyHostCount", "Minimum", &blue),
        ],
    )
    .await;
    let [requests, good, failed, p99, healthy] = found.as_slice() else { panic!("five results") };
    // The minute before the start is not published yet: its delay is a minute.
    assert_eq!(requests.len(), 9);
    assert!(requests.iter().all(|n| (570.0..=630.0).contains(n) && n.fract() == 0.0), "{requests:?}");
    assert_eq!(requests, good);
    assert!(failed.is_empty(), "zero is not reported: {failed:?}");
    assert!(p99.iter().all(|seconds| (0.02..=0.08).contains(seconds)), "{p99:?}");
    assert!(healthy.iter().all(|n| *n == 2.0), "{healthy:?}");
}

#[tokio::test]
async fn counts_need_their_exact_dimensions_and_idle_groups_have_none() {
    let stage = Stage::story();
    let blue = dimensions(&stage, "ecommerce-blue").await;
    let green = dimensions(&stage, "ecommerce-green").await;
    let found = values(
        &stage,
        -5,
        0,
        vec![
            query("whole", "RequestCount", "Sum", &blue[..1]),
            query("half", "RequestCount", "Sum", &blue[1..]),
            query("green", "RequestCount", "Sum", &green),
        ],
    )
    .await;
    assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), [4, 0, 0]);
}

#[tokio::test]
async fn a_closed_minute_is_visible_only_after_the_publication_delay() {
    let stage = Stage::of_file(&format!("publication_delay_seconds = 120\n{STORY}"));
    let blue = dimensions(&stage, "ecommerce-blue").await;
    let requests =
        async || values(&stage, 0, 10, vec![query("r", "RequestCount", "Sum", &blue)]).await[0].len();
    stage.pass_seconds(179);
    assert_eq!(requests().await, 0);
    stage.pass_seconds(1);
    assert_eq!(requests().await, 1);
}

#[tokio::test]
async fn an_image_starts_healthy_and_then_fails_under_traffic() {
    let stage = Stage::of_file(
        &STORY
            .replace("image = \"shop:v1\"", "image = \"shop:v4\"")
            .replace("history_minutes = 10", "history_minutes = 0"),
    );
    stage.pass_minutes(6);
    let blue = dimensions(&stage, "ecommerce-blue").await;
    let mut queries = vec![
        query("failed", "HTTPCode_Target_5XX_Count", "Sum", &blue),
        query("requests", "RequestCount", "Sum", &blue),
        expression("rate", "IF(requests > 0, 100 * FILL(failed, 0) / requests)"),
    ];
    queries[0] = query("failed", "HTTPCode_Target_5XX_Count", "Sum", &blue);
    let found = values(&stage, 0, 5, queries).await;
    let rate = &found[2];
    assert_eq!((rate.len(), rate[0]), (5, 0.0), "{rate:?}");
    assert!(rate[1..].iter().all(|percent| (20.0..=40.0).contains(percent)), "{rate:?}");
    assert_eq!(found[0].len(), 4, "the sound minute has no count of failures at all");
}

#[tokio::test]
async fn weights_share_the_requests_and_a_dead_group_shows_as_the_balancers_own_503() {
    let stage = Stage::story();
    let (blue, green) =
        (dimensions(&stage, "ecommerce-blue").await, dimensions(&stage, "ecommerce-green").await);
    let elb = stage.elb();
    let balancers = elb.describe_load_balancers().send().await.unwrap();
    let balancer = balancers.load_balancers()[0].load_balancer_arn().unwrap().to_owned();
    let listeners = elb.describe_listeners().load_balancer_arn(balancer).send().await.unwrap();
    let production = listeners.listeners().iter().find(|l| l.port() == Some(8080)).unwrap();
    let arn = |name: &str| {
        let elb = elb.clone();
        let name = name.to_owned();
        async move {
            let found = elb.describe_target_groups().names(name).send().await.unwrap();
            found.target_groups()[0].target_group_arn().unwrap().to_owned()
        }
    };
    let tuple = |arn: String, weight| {
        aws_sdk_elasticloadbalancingv2::types::TargetGroupTuple::builder()
            .target_group_arn(arn)
            .weight(weight)
            .build()
    };
    let forward = aws_sdk_elasticloadbalancingv2::types::ForwardActionConfig::builder()
        .target_groups(tuple(arn("ecommerce-blue").await, 90))
        .target_groups(tuple(arn("ecommerce-green").await, 10))
        .build();
    let action = aws_sdk_elasticloadbalancingv2::types::Action::builder()
        .r#type("forward".into())
        .forward_config(forward)
        .build();
    elb.modify_listener()
        .listener_arn(production.listener_arn().unwrap())
        .default_actions(action)
        .send()
        .await
        .unwrap();
    stage.pass_minutes(3);
    let found = values(
        &stage,
        0,
        2,
        vec![
            query("blue", "RequestCount", "Sum", &blue),
            query("green", "RequestCount", "Sum", &green),
            query("dead", "HTTPCode_ELB_503_Count", "Sum", &blue[..1]),
        ],
    )
    .await;
    assert!(found[0].iter().all(|n| (510.0..=570.0).contains(n)), "{found:?}");
    assert!(found[1].is_empty(), "no target of green was chosen: {found:?}");
    assert!(found[2].len() == 2 && found[2].iter().all(|n| (55.0..=65.0).contains(n)), "{found:?}");
}

#[tokio::test]
async fn own_metrics_come_back_by_every_statistic() {
    let stage = Stage::empty();
    let datum = |value: f64, count: f64| {
        MetricDatum::builder().metric_name("m").values(value).counts(count).timestamp(at(start())).build()
    };
    let put = stage.cloudwatch().put_metric_data().namespace("Shop");
    put.metric_data(datum(1.0, 98.0))
        .metric_data(datum(5.0, 1.0))
        .metric_data(datum(9.0, 1.0))
        .send()
        .await
        .unwrap();
    stage.pass_minutes(2);
    let end = at(stage.sandbox.now());
    let statistics = stage
        .cloudwatch()
        .get_metric_statistics()
        .namespace("Shop")
        .metric_name("m")
        .start_time(at(start()))
        .end_time(end)
        .period(60)
        .statistics(Statistic::Sum)
        .statistics(Statistic::Average)
        .statistics(Statistic::SampleCount)
        .statistics(Statistic::Minimum)
        .statistics(Statistic::Maximum)
        .extended_statistics("p99")
        .send()
        .await
        .unwrap();
    let [point] = statistics.datapoints() else { panic!("one point") };
    assert_eq!((point.sum(), point.sample_count()), (Some(112.0), Some(100.0)));
    assert_eq!((point.minimum(), point.average(), point.maximum()), (Some(1.0), Some(1.12), Some(9.0)));
    assert_eq!(point.extended_statistics().unwrap()["p99"], 5.0);
    let reserved = stage.cloudwatch().put_metric_data().namespace("AWS/RDS").metric_data(datum(1.0, 1.0));
    assert_eq!(code(reserved.send().await), "InvalidParameterValue");
}

#[tokio::test]
async fn a_large_batch_of_metric_data_is_gzipped_by_the_sdk_and_read() {
    let stage = Stage::empty();
    let data = (0..500).map(|n| MetricDatum::builder().metric_name(format!("metric-{n}")).value(1.0).build());
    let put = stage.cloudwatch().put_metric_data().namespace("Shop").set_metric_data(Some(data.collect()));
    put.send().await.unwrap();
    let listed = stage.cloudwatch().list_metrics().namespace("Shop").send().await.unwrap();
    assert_eq!(listed.metrics().len(), 500);
}

#[tokio::test]
async fn malformed_metric_queries_get_aws_codes() {
    let stage = Stage::story();
    let blue = dimensions(&stage, "ecommerce-blue").await;
    let ask = |query: MetricDataQuery, from: i64, to: i64| {
        let minute = |n| at(start() + SignedDuration::from_mins(n));
        stage
            .cloudwatch()
            .get_metric_data()
            .start_time(minute(from))
            .end_time(minute(to))
            .metric_data_queries(query)
            .send()
    };
    assert_eq!(code(ask(query("Upper", "RequestCount", "Sum", &blue), -5, 0).await), "ValidationError");
    assert_eq!(code(ask(query("a", "RequestCount", "Total", &blue), -5, 0).await), "ValidationError");
    assert_eq!(code(ask(expression("a", "b + 1"), -5, 0).await), "ValidationError");
    assert_eq!(code(ask(query("a", "RequestCount", "Sum", &blue), 0, -5).await), "InvalidParameterValue");
}

/// An alarm on more than ten failures of blue in `of` minutes' worth of points.
async fn alarm(stage: &Stage, periods: i32, needed: i32, missing: &str) {
    let blue = dimensions(stage, "ecommerce-blue").await;
    stage
        .cloudwatch()
        .put_metric_alarm()
        .alarm_name("red")
        .namespace("AWS/ApplicationELB")
        .metric_name("HTTPCode_Target_5XX_Count")
        .set_dimensions(Some(blue.to_vec()))
        .statistic(Statistic::Sum)
        .period(60)
        .evaluation_periods(periods)
        .datapoints_to_alarm(needed)
        .threshold(10.0)
        .comparison_operator(ComparisonOperator::GreaterThanThreshold)
        .treat_missing_data(missing)
        .send()
        .await
        .unwrap();
}

async fn state(stage: &Stage) -> StateValue {
    let found = stage.cloudwatch().describe_alarms().alarm_names("red").send().await.unwrap();
    found.metric_alarms()[0].state_value().unwrap().clone()
}

#[tokio::test]
async fn an_alarm_rises_when_enough_points_breach() {
    let stage = Stage::of_file(
        &STORY
            .replace("image = \"shop:v1\"", "image = \"shop:v4\"")
            .replace("history_minutes = 10", "history_minutes = 0"),
    );
    alarm(&stage, 3, 2, "notBreaching").await;
    assert_eq!(state(&stage).await, StateValue::InsufficientData, "a new alarm has not evaluated yet");
    stage.pass_minutes(3);
    assert_eq!(state(&stage).await, StateValue::Ok, "one failing minute is visible");
    stage.pass_minutes(1);
    assert_eq!(state(&stage).await, StateValue::Alarm, "two failing minutes are visible");
}

#[tokio::test]
async fn missing_data_counts_as_the_alarm_says() {
    for (missing, expected) in [
        ("notBreaching", StateValue::Ok),
        ("breaching", StateValue::Alarm),
        ("missing", StateValue::InsufficientData),
        ("ignore", StateValue::InsufficientData),
    ] {
        let stage = Stage::story();
        alarm(&stage, 3, 3, missing).await;
        stage.pass_minutes(2);
        assert_eq!(state(&stage).await, expected, "{missing}");
    }
}

#[tokio::test]
async fn a_state_set_by_hand_lasts_until_the_alarm_evaluates_again() {
    let stage = Stage::story();
    alarm(&stage, 1, 1, "notBreaching").await;
    stage.pass_seconds(90);
    assert_eq!(state(&stage).await, StateValue::Ok);
    let set = stage.cloudwatch().set_alarm_state().alarm_name("red").state_value(StateValue::Alarm);
    set.state_reason("a drill").send().await.unwrap();
    stage.pass_seconds(40);
    assert_eq!(state(&stage).await, StateValue::Alarm);
    stage.pass_seconds(60);
    assert_eq!(state(&stage).await, StateValue::Ok);
    let unknown = stage.cloudwatch().set_alarm_state().alarm_name("none").state_value(StateValue::Ok);
    assert_eq!(code(unknown.state_reason("r").send().await), "ResourceNotFound");
}

#[tokio::test]
async fn alarms_are_described_in_pages() {
    let stage = Stage::story();
    for n in 0..7 {
        let alarm = stage.cloudwatch().put_metric_alarm().alarm_name(format!("paged-{n}"));
        let alarm = alarm.namespace("Shop").metric_name("m").statistic(Statistic::Sum).period(60);
        let alarm = alarm.evaluation_periods(1).threshold(1.0);
        alarm.comparison_operator(ComparisonOperator::GreaterThanThreshold).send().await.unwrap();
    }
    let (mut sizes, mut token) = (vec![], None);
    loop {
        let page = stage.cloudwatch().describe_alarms().alarm_name_prefix("paged-").max_records(3);
        let page = page.set_next_token(token.take()).send().await.unwrap();
        sizes.push(page.metric_alarms().len());
        token = page.next_token;
        if token.is_none() {
            break;
        }
    }
    assert_eq!(sizes, [3, 3, 1]);
}

#[tokio::test]
async fn a_day_passes_in_an_instant_and_leaves_its_minutes() {
    let stage = Stage::story();
    let began = Instant::now();
    stage.pass_minutes(24 * 60);
    let blue = dimensions(&stage, "ecommerce-blue").await;
    let found = values(&stage, 0, 24 * 60, vec![query("r", "RequestCount", "Sum", &blue)]).await;
    assert_eq!(found[0].len(), 24 * 60 - 1);
    // Far above what it takes, far below what a sleep or a scan of all minutes at each minute would take.
    assert!(began.elapsed() < std::time::Duration::from_secs(20), "{:?}", began.elapsed());
}

#[tokio::test]
async fn counts_between_bounds_are_exclusive_below_and_inclusive_above() {
    let stage = Stage::story();
    let blue = dimensions(&stage, "ecommerce-blue").await;
    stage.pass_minutes(5);
    let time = |id: &str, statistic: &str| query(id, "TargetResponseTime", statistic, &blue);
    let asked = ["SampleCount", "TC(0.02:)", "TC(:0.02)", "TC(0.02:0.04)", "TC(10:)", "PR(:0.02)"];
    let queries = asked.iter().enumerate().map(|(i, statistic)| time(&format!("q{i}"), statistic)).collect();
    let found = values(&stage, 1, 2, queries).await;
    let [all, above, within, middle, none, rank] = found.iter().map(|v| v[0]).collect::<Vec<_>>()[..] else {
        panic!("{found:?}");
    };
    assert!(above > 0.0 && middle > 0.0 && middle < above, "{found:?}");
    assert_eq!((above + within, none), (all, 0.0));
    assert!((rank - 100.0 * within / all).abs() < 1e-9, "{found:?}");
    for wrong in ["TC()", "TC(:)", "TC(2:1)", "XX(1:)", "TC(a:)"] {
        let minute = |n| at(start() + SignedDuration::from_mins(n));
        let data = stage.cloudwatch().get_metric_data().start_time(minute(1)).end_time(minute(2));
        let refused = data.metric_data_queries(time("q", wrong)).send().await;
        assert_eq!(code(refused), "ValidationError", "{wrong}");
    }
}

/// The same dimensions in one availability zone.
fn in_zone(zone: &str, of: &[Dimension]) -> Vec<Dimension> {
    [&[dimension("AvailabilityZone", zone)], of].concat()
}

#[tokio::test]
async fn a_target_groups_metrics_are_also_told_by_zone() {
    let stage = Stage::of_file(&STORY.replace("image = \"shop:v1\"", "image = \"shop:v4\""));
    stage.pass_minutes(3);
    let blue = dimensions(&stage, "ecommerce-blue").await;
    for name in ["RequestCount", "HTTPCode_Target_5XX_Count", "HTTPCode_Target_2XX_Count", "HealthyHostCount"]
    {
        let asked = [blue.to_vec(), in_zone("eu-west-1a", &blue), in_zone("eu-west-1b", &blue)];
        let queries =
            asked.iter().enumerate().map(|(i, d)| query(&format!("q{i}"), name, "Sum", d)).collect();
        let found = values(&stage, 0, 2, queries).await;
        assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 2], "{name}");
        for ((all, a), b) in found[0].iter().zip(&found[1]).zip(&found[2]) {
            assert!(*a > 0.0 && *b > 0.0 && a + b == *all, "{name}: {found:?}");
        }
    }
    let elsewhere = query("q", "RequestCount", "Sum", &in_zone("eu-west-1c", &blue));
    assert!(values(&stage, 0, 2, vec![elsewhere]).await[0].is_empty());
}

#[tokio::test]
async fn load_balancers_and_targets_tell_their_zones() {
    let stage =
        Stage::of_file(&STORY.replace("zones = 2", "zones = 3").replace("desired = 2", "desired = 4"));
    let balancers = stage.elb().describe_load_balancers().send().await.unwrap();
    let zones: Vec<_> = balancers.load_balancers()[0]
        .availability_zones()
        .iter()
        .filter_map(|zone| zone.zone_name())
        .collect();
    assert_eq!(zones, ["eu-west-1a", "eu-west-1b", "eu-west-1c"]);
    let groups = stage.elb().describe_target_groups().names("ecommerce-blue").send().await.unwrap();
    let arn = groups.target_groups()[0].target_group_arn().unwrap();
    let health = stage.elb().describe_target_health().target_group_arn(arn).send().await.unwrap();
    let mut of_targets: Vec<_> = health
        .target_health_descriptions()
        .iter()
        .filter_map(|target| target.target()?.availability_zone())
        .collect();
    of_targets.sort_unstable();
    assert_eq!(of_targets, ["eu-west-1a", "eu-west-1a", "eu-west-1b", "eu-west-1c"]);
}

#[tokio::test]
async fn an_image_may_fail_more_often_in_one_zone_than_in_another() {
    let noisy = "[[images]]\nname = \"shop:v1\"\nerror_share = 0.1\nerror_zones = [1.0, 3.0]\n";
    let stage = Stage::of_file(&format!("{STORY}\n{noisy}"));
    stage.pass_minutes(61);
    let blue = dimensions(&stage, "ecommerce-blue").await;
    let failures =
        |id: &str, zone: &str| query(id, "HTTPCode_Target_5XX_Count", "Sum", &in_zone(zone, &blue));
    let found = values(&stage, 0, 60, vec![failures("a", "eu-west-1a"), failures("b", "eu-west-1b")]).await;
    let [a, b] = [&found[0], &found[1]].map(|minutes| minutes.iter().sum::<f64>());
    assert!((2.6..=3.4).contains(&(b / a)), "{a} in one zone and {b} in the other");
}

#[tokio::test]
async fn points_of_one_minute_are_kept_for_fifteen_days() {
    let stage = Stage::empty();
    let datum = MetricDatum::builder().metric_name("m").value(1.0).timestamp(at(start())).build();
    stage.cloudwatch().put_metric_data().namespace("Shop").metric_data(datum).send().await.unwrap();
    let visible = async || {
        let metric = Metric::builder().namespace("Shop").metric_name("m").build();
        let stat = MetricStat::builder().metric(metric).period(60).stat("Sum").build();
        let query = MetricDataQuery::builder().id("m").metric_stat(stat).build();
        values(&stage, 0, 1, vec![query]).await[0].len()
    };
    stage.pass_minutes(15 * 24 * 60);
    assert_eq!(visible().await, 1);
    stage.pass_minutes(2);
    assert_eq!(visible().await, 0);
}

#[tokio::test]
async fn alarms_are_deleted_though_other_names_are_of_none() {
    let stage = Stage::story();
    let delete = stage.cloudwatch().delete_alarms().alarm_names("none").alarm_names("ecommerce-5xx");
    delete.send().await.unwrap();
    assert!(stage.cloudwatch().describe_alarms().send().await.unwrap().metric_alarms().is_empty());
    assert_eq!(stage.effects(), ["DeleteAlarms"]);
}
