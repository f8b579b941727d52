use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use tidegate_model::ledger::{Cause, RolloutPhase};

use super::*;
use crate::tests::sample::{published, release};

fn busy() -> Metrics {
    let metrics = Metrics::new("1.2.3").unwrap();
    metrics.expect(&["quiet", "failed"], &["create-deployment"], &["done", "refused"]);
    metrics.pass("quiet", 0.02);
    metrics.step("create-deployment", "done");
    metrics.event(EventKind::Warning, "RolledBack");
    metrics.finished("verdict", 700.0);
    metrics.aws_call("codedeploy", "CreateDeployment", "ok", 0.1, false);
    metrics.aws_call("ssm", "GetParameters", "ThrottlingException", 0.1, true);
    metrics
}

fn value(text: &str, series: &str) -> Option<f64> {
    let found = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    found.map(|value| value.parse().unwrap())
}

#[test]
fn promtool_accepts_what_is_scraped() {
    let text = busy().render(&published([release("shop")])).unwrap();
    let promtool = std::env::var_os("TIDEGATE_PROMTOOL").unwrap_or_else(|| "promtool".into());
    let child = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        assert!(std::env::var_os("CI").is_none(), "promtool is not installed");
        eprintln!("skipped: promtool is not installed");
        return;
    };
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

#[test]
fn the_series_of_a_release_vanish_with_it() {
    let metrics = busy();
    let both = metrics.render(&published([release("shop"), release("forum")])).unwrap();
    assert!(both.contains("release=\"shop\"") && both.contains("release=\"forum\""));
    let one = metrics.render(&published([release("forum")])).unwrap();
    assert!(!one.contains("release=\"shop\"") && one.contains("release=\"forum\""));
}

#[test]
fn who_follows_exports_of_a_release_only_that_it_does() {
    let metrics = busy();
    let mut shown = published([release("shop"), release("forum")]);
    shown.followed.insert("shop".parse().unwrap(), "other".into());
    let text = metrics.render(&shown).unwrap();
    let of_shop: Vec<&str> = text.lines().filter(|line| line.contains("release=\"shop\"")).collect();
    assert_eq!(of_shop, ["tidegate_leader{release=\"shop\"} 0"]);
    assert_eq!(value(&text, "tidegate_leader{release=\"forum\"}"), Some(1.0));
    assert!(text.contains("tidegate_release_state{release=\"forum\""));
}

#[test]
fn state_sets_have_exactly_one_word_that_holds() {
    let text = busy().render(&published([release("shop")])).unwrap();
    for family in ["tidegate_release_phase", "tidegate_release_rollback_grade", "tidegate_release_state"] {
        let series: Vec<&str> =
            text.lines().filter(|line| line.starts_with(&format!("{family}{{"))).collect();
        let holding = series.iter().filter(|line| line.ends_with(" 1")).count();
        let machines = if family == "tidegate_release_phase" { 2 } else { 1 };
        assert_eq!(holding, machines, "{series:?}");
        assert!(series.len() > machines, "{series:?}");
    }
    let phase = |machine, phase| {
        value(
            &text,
            &format!("tidegate_release_phase{{machine=\"{machine}\",phase=\"{phase}\",release=\"shop\"}}"),
        )
    };
    assert_eq!(phase("rollout", "baking"), Some(1.0));
    assert_eq!(phase("rollout", "settled"), Some(0.0));
    assert_eq!(phase("schema", "soaking"), Some(1.0));
}

#[test]
fn figures_are_what_is_published_in_base_units() {
    let text = busy().render(&published([release("shop")])).unwrap();
    for (series, wanted) in [
        ("tidegate_release_traffic_weight_ratio{color=\"green\",kind=\"actual\",release=\"shop\"}", 0.7),
        ("tidegate_release_traffic_weight_ratio{color=\"green\",kind=\"desired\",release=\"shop\"}", 0.8),
        ("tidegate_release_version{kind=\"in-flight\",release=\"shop\"}", 12.0),
        ("tidegate_release_waiting{class=\"NeedsTime\",reason=\"baking\",release=\"shop\"}", 1.0),
        ("tidegate_release_gate_open{gate=\"readers-gone\",release=\"shop\"}", 0.0),
        ("tidegate_release_gate_open{gate=\"in-sync\",release=\"shop\"}", 1.0),
        ("tidegate_release_verdict{release=\"shop\",result=\"pass\"}", 1.0),
        ("tidegate_schema_unmapped_rows{release=\"shop\"}", 3.0),
        ("tidegate_rollback_certificate_statements{release=\"shop\",result=\"proven\"}", 41.0),
        ("tidegate_schema_unmapped_back_rows{release=\"shop\"}", 1.0),
        ("tidegate_schema_conflicting_writes{release=\"shop\"}", 2.0),
        ("tidegate_last_successful_sync_timestamp_seconds", 1_772_366_398.0),
        ("tidegate_reconcile_total{result=\"failed\"}", 0.0),
        ("tidegate_steps_total{result=\"done\",step=\"create-deployment\"}", 1.0),
        ("tidegate_releases_finished_total{outcome=\"settled\"}", 0.0),
        ("tidegate_releases_finished_total{outcome=\"verdict\"}", 1.0),
        ("tidegate_aws_throttles_total", 1.0),
        ("tidegate_build_info{version=\"1.2.3\"}", 1.0),
    ] {
        let found = value(&text, series).unwrap_or_else(|| panic!("{series} is missing in\n{text}"));
        assert!((found - wanted).abs() < 1e-9, "{series} is {found}");
    }
}

#[test]
fn a_label_takes_no_free_text_and_not_without_end() {
    let metrics = busy();
    metrics.aws_call("ssm", "GetParameters", "no such thing: arn:aws:ssm", 0.1, false);
    for number in 0..1_000 {
        metrics.aws_call("ssm", "GetParameters", &format!("Code{number}"), 0.1, false);
    }
    let text = metrics.render(&published([])).unwrap();
    assert!(!text.contains("no such thing"));
    assert!(text.matches("operation=\"GetParameters\"").count() <= WORDS + 1);
    let other =
        "tidegate_aws_requests_total{code=\"other\",operation=\"GetParameters\",service=\"ssm\"}".to_owned();
    assert!(value(&text, &other).unwrap() > 700.0);
}

/// Every phase that is in flight; the match breaks when one is added.
#[test]
fn every_phase_of_the_traffic_machine_is_in_the_state_set() {
    let phases = [
        RolloutPhase::Preflight,
        RolloutPhase::Provisioning,
        RolloutPhase::Verifying,
        RolloutPhase::Shifting,
        RolloutPhase::Confirming,
        RolloutPhase::Baking,
        RolloutPhase::Retiring,
        RolloutPhase::RollingBack(Cause::Ordered),
    ];
    for phase in phases {
        assert!(ROLLOUT_PHASES.contains(&phase.as_str()), "{}", phase.as_str());
        match phase {
            RolloutPhase::Preflight
            | RolloutPhase::Provisioning
            | RolloutPhase::Verifying
            | RolloutPhase::Shifting
            | RolloutPhase::Confirming
            | RolloutPhase::Baking
            | RolloutPhase::Retiring
            | RolloutPhase::RollingBack(_) => {}
        }
    }
}
