//! The state of the releases as metrics, made afresh for each scrape from what is published.

use jiff::Timestamp;
use prometheus::{GaugeVec, Opts, Registry, proto::MetricFamily};
use tidegate_model::{
    schema::SchemaPhase,
    status::{ConditionStatus, Grade, Published, ReleaseStatus, Summary},
    verdict::{Check, Verdict},
};

/// The words that the traffic machine's phase can have.
pub const ROLLOUT_PHASES: [&str; 11] = [
    "unknown",
    "preflight",
    "provisioning",
    "verifying",
    "shifting",
    "confirming",
    "baking",
    "retiring",
    "settled",
    "rolling-back",
    "rolled-back",
];

const VERDICTS: [&str; 5] = ["pass", "fail", "undecided", "suspect", "no-data"];

/// Every family of state.
struct State {
    registry: Registry,
    last_sync: GaugeVec,
    leader: GaugeVec,
    info: GaugeVec,
    summary: GaugeVec,
    condition: GaugeVec,
    version: GaugeVec,
    weight: GaugeVec,
    phase: GaugeVec,
    phase_start: GaugeVec,
    bake: GaugeVec,
    waiting: GaugeVec,
    waiting_since: GaugeVec,
    gate: GaugeVec,
    grade: GaugeVec,
    verdict: GaugeVec,
    check: GaugeVec,
    backfill: GaugeVec,
    disagreeing: GaugeVec,
    unmapped: GaugeVec,
    unmapped_back: GaugeVec,
    conflicts: GaugeVec,
    certificate: GaugeVec,
}

/// The families of what is published.
pub(super) fn families(published: &Published) -> Result<Vec<MetricFamily>, prometheus::Error> {
    let state = State::new()?;
    if let Some(last) = published.last_pass {
        state.last_sync.with_label_values::<&str>(&[]).set(seconds(last));
    }
    for (release, status) in &published.releases {
        let leads = !published.followed.contains_key(release);
        one_of(&state.leader, &[release.as_str()], leads);
        // The leader exports the rest: sums over daemons count a release once.
        if leads {
            state.release(status);
        }
    }
    Ok(state.registry.gather())
}

impl State {
    fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let gauge = |name: &str, help: &str, labels: &[&str]| {
            let gauge = GaugeVec::new(Opts::new(format!("tidegate_{name}"), help), labels)?;
            registry.register(Box::new(gauge.clone())).map(|()| gauge)
        };
        Ok(Self {
            last_sync: gauge(
                "last_successful_sync_timestamp_seconds",
                "When a pass last ended that read the world.",
                &[],
            )?,
            leader: gauge(
                "leader",
                "Who leads a release: 1 in the daemon that does, 0 in those that follow.",
                &["release"],
            )?,
            info: gauge(
                "release_info",
                "A managed release; always 1.",
                &["release", "cluster", "service", "engine"],
            )?,
            summary: gauge(
                "release_state",
                // Not release_summary: promtool takes that for the metric type.
                "The state of a release in one word: 1 for the word that holds.",
                &["release", "state"],
            )?,
            condition: gauge(
                "release_condition",
                "Conditions: 1 for the status that holds.",
                &["release", "condition", "status"],
            )?,
            version: gauge(
                "release_version",
                "Spec versions: observed, in-force, in-flight, refused.",
                &["release", "kind"],
            )?,
            weight: gauge(
                "release_traffic_weight_ratio",
                "Share of production traffic: desired as the deployment says it, actual as the listener has it.",
                &["release", "color", "kind"],
            )?,
            phase: gauge(
                "release_phase",
                "Phases of the two machines: 1 for the phase that holds.",
                &["release", "machine", "phase"],
            )?,
            phase_start: gauge(
                "release_phase_start_timestamp_seconds",
                "When the machine's phase began.",
                &["release", "machine"],
            )?,
            bake: gauge("release_bake_seconds", "Bake time: served and wanted.", &["release", "kind"])?,
            waiting: gauge(
                "release_waiting",
                "What the release waits for; 1 for each reason that holds.",
                &["release", "reason", "class"],
            )?,
            waiting_since: gauge(
                "release_waiting_since_timestamp_seconds",
                "Since when the release waits for this reason.",
                &["release", "reason", "class"],
            )?,
            gate: gauge(
                "release_gate_open",
                "Gates that this stage reads: 1 open or not applicable, 0 closed.",
                &["release", "gate"],
            )?,
            grade: gauge(
                "release_rollback_grade",
                "What a rollback would be now: 1 for the grade that holds.",
                &["release", "grade"],
            )?,
            verdict: gauge(
                "release_verdict",
                "The last verdict on green: 1 for the result that holds.",
                &["release", "result"],
            )?,
            check: gauge(
                "release_check_failing",
                "Checks of the last verdict: 1 for the one that failed.",
                &["release", "check"],
            )?,
            backfill: gauge(
                "schema_backfill_keys_remaining",
                "Keys left to backfill: an upper bound of the rows.",
                &["release"],
            )?,
            disagreeing: gauge(
                "schema_disagreeing_rows",
                "Rows in which old and new form disagree.",
                &["release"],
            )?,
            unmapped: gauge("schema_unmapped_rows", "Rows that have no new form.", &["release"])?,
            unmapped_back: gauge("schema_unmapped_back_rows", "Rows that have no old form.", &["release"])?,
            conflicts: gauge(
                "schema_conflicting_writes",
                "Writes that gave both forms and they disagreed; the new one won.",
                &["release"],
            )?,
            certificate: gauge(
                "rollback_certificate_statements",
                "Statements in the statistics by whether they hold under the change, while blue is warm.",
                &["release", "result"],
            )?,
            registry,
        })
    }

    fn release(&self, status: &ReleaseStatus) {
        let release = status.name.as_str();
        let rollout = &status.rollout;
        self.info.with_label_values(&[release, &rollout.cluster, &rollout.service, &rollout.engine]).set(1.0);
        for summary in Summary::ALL {
            one_of(&self.summary, &[release, summary.as_str()], summary == status.summary);
        }
        for condition in &status.conditions {
            for word in ConditionStatus::ALL {
                let labels = [release, condition.r#type.as_str(), word.as_str()];
                one_of(&self.condition, &labels, word == condition.status);
            }
        }
        let versions = &status.versions;
        for (kind, version) in [
            ("observed", versions.observed),
            ("in-force", versions.in_force),
            ("in-flight", versions.in_flight),
            ("refused", versions.refused),
        ] {
            if let Some(version) = version {
                self.version.with_label_values(&[release, kind]).set(float(version.0));
            }
        }
        self.traffic(release, status);
        for wait in &status.waiting {
            let labels = [release, wait.reason.as_str(), wait.class.as_str()];
            self.waiting.with_label_values(&labels).set(1.0);
            self.waiting_since.with_label_values(&labels).set(seconds(wait.since));
        }
        for reading in &status.gates {
            one_of(&self.gate, &[release, reading.gate.as_str()], reading.lets_pass());
        }
        for grade in Grade::ALL {
            one_of(&self.grade, &[release, grade.as_str()], grade == status.rollback.grade);
        }
        if let Some(verdict) = &status.verdict {
            self.verdict(release, &verdict.verdict);
        }
        self.schema(release, status);
    }

    fn traffic(&self, release: &str, status: &ReleaseStatus) {
        let rollout = &status.rollout;
        for (kind, green) in [("actual", rollout.green_weight), ("desired", rollout.green_weight_asked)] {
            if let Some(green) = green {
                self.weight.with_label_values(&[release, "green", kind]).set(green / 100.0);
                self.weight.with_label_values(&[release, "blue", kind]).set(1.0 - green / 100.0);
            }
        }
        for phase in ROLLOUT_PHASES {
            one_of(&self.phase, &[release, "rollout", phase], phase == rollout.phase);
        }
        if let Some(since) = rollout.since {
            self.phase_start.with_label_values(&[release, "rollout"]).set(seconds(since));
        }
        for (kind, length) in [("served", rollout.baked_seconds), ("wanted", rollout.bake_seconds)] {
            if let Some(length) = length {
                self.bake.with_label_values(&[release, kind]).set(float(length.unsigned_abs()));
            }
        }
    }

    fn verdict(&self, release: &str, verdict: &Verdict) {
        let (word, failing) = match verdict {
            Verdict::Pass => ("pass", None),
            Verdict::Fail(finding) => ("fail", Some(finding.check)),
            Verdict::Undecided => ("undecided", None),
            Verdict::Suspect => ("suspect", None),
            Verdict::NoData { .. } => ("no-data", None),
        };
        for result in VERDICTS {
            one_of(&self.verdict, &[release, result], result == word);
        }
        for check in Check::ALL {
            one_of(&self.check, &[release, check.as_str()], failing == Some(check));
        }
    }

    fn schema(&self, release: &str, status: &ReleaseStatus) {
        let phase = status.schema.as_ref().map_or(SchemaPhase::Absent.as_str(), |schema| &schema.phase);
        for known in SchemaPhase::ALL {
            one_of(&self.phase, &[release, "schema", known.as_str()], known.as_str() == phase);
        }
        if let Some(certificate) = &status.rollback.certificate {
            for (result, count) in [
                ("proven", certificate.proven),
                ("unproven", certificate.unproven),
                ("broken", certificate.broken),
            ] {
                self.certificate.with_label_values(&[release, result]).set(f64::from(count));
            }
        }
        let Some(schema) = &status.schema else { return };
        for (gauge, count) in [
            (&self.backfill, schema.backfill_keys_left),
            (&self.disagreeing, schema.disagreeing),
            (&self.unmapped, schema.unmapped),
            (&self.unmapped_back, schema.unmapped_back),
            (&self.conflicts, schema.conflicts),
        ] {
            if let Some(count) = count {
                gauge.with_label_values(&[release]).set(float(count));
            }
        }
    }
}

/// One series of a state set.
fn one_of(gauge: &GaugeVec, labels: &[&str], holds: bool) {
    gauge.with_label_values(labels).set(if holds { 1.0 } else { 0.0 });
}

fn seconds(at: Timestamp) -> f64 {
    at.as_duration().as_secs_f64()
}

/// Counts beyond 2^53 lose their last digits in Prometheus anyway.
#[expect(clippy::cast_precision_loss, reason = "a metric is a float")]
fn float(count: u64) -> f64 {
    count as f64
}
