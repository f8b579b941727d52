//! One release, from what blocks it down to its events.

use jiff::SignedDuration;
use tidegate_model::{
    duration::human,
    gate::{GateReading, GateState},
    ledger::EventKind,
    status::{CertificateStatus, ConditionStatus, Grade, ReleaseStatus, SchemaStatus, VerdictStatus},
    verdict::{Evidence, Guard, RuleReading, Standing, Verdict, to_one},
};

use super::{banner, html::Html, strip, summary};

/// The main part of the page.
pub(super) fn show(html: &mut Html, status: &ReleaseStatus) {
    html.raw("<main>");
    banner::show(html, status);
    title(html, status);
    problems(html, status);
    strip::show(html, status);
    html.raw("<div class=cards>");
    traffic(html, status);
    rollback(html, status);
    verdict(html, status);
    if let Some(schema) = &status.schema {
        self::schema(html, schema);
    }
    html.raw("</div>");
    gates(html, &status.gates);
    events(html, status);
    conditions(html, status);
    html.raw("</main>");
}

fn title(html: &mut Html, status: &ReleaseStatus) {
    html.wrap("<div class=title><h1>", status.name.as_str(), "</h1>");
    summary(html, status.summary);
    let rollout = &status.rollout;
    html.wrap("<p>service <b>", &rollout.service, "</b> in cluster <b>").text(&rollout.cluster);
    html.wrap("</b>, engine <b>", &rollout.engine, "</b>");
    if let Some(leader) = &status.led_by {
        html.wrap(" · led by <b>", leader, "</b>");
    }
    let versions = &status.versions;
    for (label, version) in [
        (" · spec observed <b>", versions.observed),
        (" · in force <b>", versions.in_force),
        (" · in flight <b>", versions.in_flight),
        (" · refused <b>", versions.refused),
    ] {
        if let Some(version) = version {
            html.wrap(label, &version.to_string(), "</b>");
        }
    }
    html.raw("</p></div>");
}

fn problems(html: &mut Html, status: &ReleaseStatus) {
    if status.problems.is_empty() {
        return;
    }
    html.raw("<section class=\"panel problems\"><h2>✗ What is wrong with spec and orders</h2><div class=scroll><table><thead><tr><th scope=col>Place<th scope=col>Code<th scope=col>Path<th scope=col>Problem<th scope=col>Remedy</tr></thead><tbody>");
    for problem in &status.problems {
        html.wrap("<tr><td class=num>", &format!("{}:{}", problem.line, problem.column), "<td><code>");
        html.wrap("", problem.code.as_str(), "</code><td><code>").wrap("", &problem.path, "</code><td>");
        html.text(&problem.message).wrap("<td>", &problem.remedy, "</tr>");
    }
    html.raw("</tbody></table></div></section>");
}

fn traffic(html: &mut Html, status: &ReleaseStatus) {
    let rollout = &status.rollout;
    html.raw("<section class=panel><h2>Traffic</h2>");
    match rollout.green_weight {
        Some(green) => weights(html, green),
        None => drop(
            html.raw("<p class=none>The listener's weights are not read while nothing is in flight.</p>"),
        ),
    }
    html.raw("<dl class=facts><dt>blue<dd class=blue>■ ");
    html.wrap("<span class=id>", rollout.blue.as_deref().map_or("unknown", short), "</span>");
    if let Some(green) = &rollout.green {
        html.raw("<dt>green<dd class=green>▲ ").wrap("<span class=id>", short(green), "</span>");
    }
    if let Some(asked) = rollout.green_weight_asked {
        html.raw("<dt>asked of green<dd>").number(asked).raw(" %");
    }
    if let Some(deployment) = &rollout.deployment {
        html.wrap("<dt>deployment<dd class=id>", deployment, "");
    }
    html.wrap("<dt>phase<dd>", &rollout.phase, "");
    if let Some(since) = rollout.since {
        html.raw(" since ").time(since);
    }
    html.raw("</dl>");
    if let (Some(served), Some(wanted)) = (rollout.baked_seconds, rollout.bake_seconds) {
        bake(html, served, wanted);
    }
    html.raw("</section>");
}

/// The production weights as one bar.
fn weights(html: &mut Html, green: f64) {
    let green = green.clamp(0.0, 100.0);
    html.raw("<div class=weights><span class=blue>■ blue <b>").number(100.0 - green);
    html.raw(" %</b></span><span class=green><b>").number(green).raw(" %</b> green ▲</span></div>");
    html.raw("<svg class=bar viewBox=\"0 0 100 6\" preserveAspectRatio=none role=img><title>Production traffic: blue ");
    html.number(100.0 - green)
        .raw(" %, green ")
        .number(green)
        .raw(" %</title><rect class=fill-blue width=100 height=6 />");
    html.raw("<rect class=fill-green y=0 height=6 x=\"")
        .number(100.0 - green)
        .raw("\" width=\"")
        .number(green);
    html.raw("\"/></svg>");
}

fn bake(html: &mut Html, served: i64, wanted: i64) {
    let part = |seconds: i64| human(SignedDuration::from_secs(seconds));
    html.wrap(
        "<div class=weights><span>bake served <b>",
        &part(served.min(wanted)),
        "</b></span><span>of <b>",
    );
    html.wrap("", &part(wanted), "</b></span></div>");
    // Whole thousandths, so that no float arithmetic on times is needed.
    let thousandths = served.clamp(0, wanted) * 1_000 / wanted.max(1);
    let percent = f64::from(u16::try_from(thousandths).unwrap_or(0)) / 10.0;
    html.raw("<svg class=\"bar thin\" viewBox=\"0 0 100 6\" preserveAspectRatio=none role=img><title>Bake time served</title><rect class=fill-none width=100 height=6 /><rect class=fill-bake height=6 width=\"");
    html.number(percent).raw("\"/></svg>");
}

fn rollback(html: &mut Html, status: &ReleaseStatus) {
    let rollback = &status.rollback;
    html.raw("<section class=panel><h2>Rollback</h2><p class=big>");
    html.raw(match rollback.grade {
        Grade::Instant => "<span class=\"badge good\">⚡ instant</span>",
        Grade::Redeploy => "<span class=\"badge busy\">↻ redeploy</span>",
        Grade::Restore => "<span class=\"badge bad\">⛁ restore</span>",
        Grade::None => "<span class=\"badge wait\">∅ none</span>",
    });
    html.wrap("</p><p>", &rollback.how, "</p>");
    if let Some(certificate) = &rollback.certificate {
        let CertificateStatus { at, proven, unproven, broken } = certificate;
        let all = proven.saturating_add(*unproven).saturating_add(*broken);
        html.wrap("<p>", &format!("{proven} of {all} statements in the statistics are proven to hold under the change, {broken} broken; read "), "");
        html.time(*at).raw("</p>");
    }
    for unproven in &rollback.unproven {
        html.wrap("<p class=none>? not proven: ", unproven, "</p>");
    }
    html.raw("</section>");
}

fn verdict(html: &mut Html, status: &ReleaseStatus) {
    html.raw("<section class=\"panel row\"><h2>Verdict</h2>");
    if let Some(verdict) = &status.verdict {
        judged(html, verdict);
    } else {
        html.raw("<p class=none>Green has not been judged yet.</p>");
    }
    if let Some(calibration) = &status.rollout.calibration {
        html.wrap("<p class=none>The service before any release: ", &calibration.message, "; looked at ");
        html.time(calibration.at).raw("</p>");
    }
    if !status.rollout.detectable.is_empty() {
        html.raw("<p class=none>At this traffic the release usually goes back by");
        for (i, detectable) in status.rollout.detectable.iter().enumerate() {
            html.wrap(if i == 0 { " " } else { ", " }, &detectable.to_string(), "");
        }
        html.raw("</p>");
    }
    html.raw("</section>");
}

fn judged(html: &mut Html, verdict: &VerdictStatus) {
    html.raw("<p class=big>").raw(match verdict.verdict {
        Verdict::Pass => "<span class=\"badge good\">✓ pass</span>",
        Verdict::Fail(_) => "<span class=\"badge bad\">✗ fail</span>",
        Verdict::Suspect => "<span class=\"badge wait\">◔ suspect</span>",
        Verdict::Undecided => "<span class=\"badge wait\">◔ undecided</span>",
        Verdict::NoData { .. } => "<span class=\"badge wait\">▨ no data</span>",
    });
    html.wrap("</p><p>", &verdict.message, "</p>");
    if let Verdict::Fail(finding) = &verdict.verdict {
        html.wrap("<dl class=facts><dt>check<dd>", finding.check.as_str(), "<dt>measured<dd>");
        let against = if finding.factor.is_some() { "<dt>blue<dd>" } else { "<dt>limit<dd>" };
        html.wrap("", &finding.unit.show(finding.measured), against);
        html.wrap("", &finding.unit.show(finding.limit), "<dt>first failing<dd>").time(finding.first_failing);
        html.raw("</dl>");
    }
    if let Some(evidence) = &verdict.evidence {
        self::evidence(html, evidence);
    }
    rules(html, &verdict.rules);
    for finding in &verdict.dry_run {
        html.wrap("<p class=none>on trial, decides nothing: ", &finding.to_string(), "</p>");
    }
    if let Some(until) = verdict.until {
        html.raw("<p class=none>on closed minutes until ").time(until).raw("</p>");
    }
}

fn evidence(html: &mut Html, evidence: &Evidence) {
    html.wrap("<p>Evidence that green is worse: ", &to_one(evidence.factor), ", rolled back at ");
    html.wrap("", &to_one(evidence.limit), "</p>");
    html.raw("<div class=scroll><table><thead><tr><th scope=col>Counted<th scope=col>Green<th scope=col>Blue<th scope=col>Minutes<th scope=col>Evidence<th scope=col>Would take<th scope=col>Share<th scope=col>Before the release</tr></thead><tbody>");
    for metric in &evidence.metrics {
        let share =
            if metric.share > 0.0 { format!("{:.0} %", 100.0 * metric.share) } else { "on trial".into() };
        let part = |counted: f64, requests: f64| format!("{counted:.0} of {requests:.0}");
        let (green, blue) = match metric.values {
            Some(values) => (values.unit.show(values.green), values.unit.show(values.blue)),
            None => (
                part(metric.green_counted, metric.green_requests),
                part(metric.blue_counted, metric.blue_requests),
            ),
        };
        html.wrap("<tr><td>", &metric.counted, "<td class=num>");
        html.wrap("", &green, "<td class=num>").wrap("", &blue, "<td class=num>");
        html.wrap("", &metric.minutes.to_string(), "<td class=num>");
        html.wrap("", &to_one(metric.factor), "<td class=num>");
        let needed = metric.needed.map_or_else(|| "–".to_owned(), |needed| format!("{needed} in a minute"));
        html.wrap("", &needed, "<td class=num>");
        html.wrap("", &share, "<td>").wrap("", &metric.calibration, "</tr>");
    }
    html.raw("</tbody></table></div>");
}

fn rules(html: &mut Html, rules: &[RuleReading]) {
    if rules.is_empty() {
        return;
    }
    html.raw("<details><summary>Limits and guards</summary><div class=scroll><table><thead><tr><th scope=col>Rule<th scope=col>Measured<th scope=col>Limit<th scope=col>Broken in<th scope=col>Rolled back at</tr></thead><tbody>");
    for rule in rules {
        let name = rule.guard.map_or(rule.check.as_str(), Guard::as_str);
        html.wrap("<tr><td>", rule.measure.as_deref().unwrap_or(name), "");
        html.raw(match (rule.dry_run, rule.standing) {
            (true, _) => " <span class=\"badge quiet\">on trial</span>",
            (false, Standing::Kept) => "",
            (false, Standing::Suspect) => " <span class=\"badge wait\">◔ suspect</span>",
            (false, Standing::Broken) => " <span class=\"badge bad\">✗ broken</span>",
        });
        let show = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| rule.unit.show(value));
        html.wrap("<td class=num>", &show(rule.measured), "<td class=num>").text(&show(rule.limit));
        html.wrap("<td class=num>", &rule.failing_minutes.to_string(), " of ");
        html.wrap("", &rule.of_minutes.to_string(), "<td class=num>");
        html.wrap("", &rule.needed_minutes.to_string(), "</tr>");
    }
    html.raw("</tbody></table></div></details>");
}

fn objects(html: &mut Html, objects: &[String]) {
    html.raw("<ul class=plain>");
    for object in objects {
        html.wrap("<li><code>", object, "</code>");
    }
    html.raw("</ul>");
}

fn schema(html: &mut Html, schema: &SchemaStatus) {
    html.wrap("<section class=\"panel row\"><h2>Schema change ", &schema.change, "</h2><dl class=facts>");
    html.wrap("<dt>phase<dd>", &schema.phase, "<dt>contract removes<dd>");
    if schema.removes.is_empty() && schema.removes_added.is_empty() {
        html.raw("nothing");
    } else {
        objects(html, &schema.removes);
    }
    if !schema.removes_added.is_empty() {
        let summary = format!("{} that expand added", schema.removes_added.len());
        html.wrap("<details><summary>and ", &summary, "</summary>");
        objects(html, &schema.removes_added);
        html.raw("</details>");
    }
    if !schema.vanishing.is_empty() {
        html.wrap("<dt>goes with it<dd>", &schema.vanishing.join(", "), "");
    }
    if !schema.noticed.is_empty() {
        html.wrap("<dt>worth knowing<dd>", &schema.noticed.join("; "), "");
    }
    if !schema.locked.is_empty() {
        html.wrap("<dt>locks it took<dd>", &schema.locked.join("; "), "");
    }
    for (label, count) in [
        ("<dt>keys left to backfill<dd class=num>", schema.backfill_keys_left),
        ("<dt>rows a second<dd class=num>", schema.backfill_rows_per_second),
        ("<dt>seconds to go<dd class=num>", schema.backfill_seconds_left),
        ("<dt>disagreeing rows<dd class=num>", schema.disagreeing),
        ("<dt>rows without a new form<dd class=num>", schema.unmapped),
        ("<dt>rows without an old form<dd class=num>", schema.unmapped_back),
        ("<dt>writes of both forms that disagreed<dd class=num>", schema.conflicts),
    ] {
        if let Some(count) = count {
            html.wrap(label, &count.to_string(), "");
        }
    }
    if let Some(since) = schema.quiet_since {
        html.raw("<dt>quiet since<dd>").time(since);
    }
    if let Some(since) = schema.hidden_since {
        html.raw("<dt>hidden since<dd>").time(since);
    }
    if !schema.bypassed_by.is_empty() {
        html.wrap("<dt>not hidden from<dd>", &schema.bypassed_by.join(", "), "");
    }
    if let Some(snapshot) = &schema.snapshot {
        html.wrap("<dt>snapshot<dd class=id>", snapshot, "");
    }
    html.wrap("<dt>plan to approve<dd class=id>", &schema.plan, "</dl>");
    if let Some(reader) = &schema.last_reader {
        html.raw("<p><b>Last statement that named the old form</b>");
        if let Some(at) = schema.last_reader_at {
            html.raw(", seen growing ").time(at);
        }
        html.wrap("</p><pre>", reader, "</pre>");
    }
    html.raw("</section>");
}

fn gates(html: &mut Html, gates: &[GateReading]) {
    html.raw("<section class=panel><h2>Gates</h2>");
    if gates.is_empty() {
        html.raw("<p class=none>This stage reads no gate.</p></section>");
        return;
    }
    html.raw("<div class=scroll><table><thead><tr><th scope=col>Gate<th scope=col>State<th scope=col>Why<th scope=col>Measured<th scope=col>Required<th scope=col>What opens it</tr></thead><tbody>");
    for reading in gates {
        html.wrap("<tr><td><code>", reading.gate.as_str(), "</code><td>");
        match &reading.state {
            GateState::Open => drop(html.raw("<span class=\"badge good\">✓ open</span><td><td><td><td>")),
            GateState::NotApplicable => {
                html.raw("<span class=\"badge quiet\">– does not apply</span><td><td><td><td>");
            }
            GateState::Closed(closed) => {
                html.wrap("<span class=\"badge bad\">✗ closed</span><td>", &closed.message, "<td>");
                html.wrap("", closed.measured.as_deref().unwrap_or(""), "<td>");
                html.wrap("", closed.required.as_deref().unwrap_or(""), "<td>").text(&closed.unblock);
            }
        }
        html.raw("</tr>");
    }
    html.raw("</tbody></table></div></section>");
}

fn events(html: &mut Html, status: &ReleaseStatus) {
    html.raw("<section class=panel><h2>Events</h2>");
    if status.events.is_empty() {
        html.raw("<p class=none>Nothing has happened yet.</p></section>");
        return;
    }
    html.raw("<div class=scroll><table class=events><tbody>");
    for event in status.events.iter().rev() {
        html.raw("<tr><td class=when>").time(event.at).raw(match event.kind {
            EventKind::Normal => "<td><span class=normal>· ",
            EventKind::Warning => "<td><span class=warning>▲ ",
        });
        html.text(&event.reason).wrap("</span><td>", &event.message, "");
        if event.count > 1 {
            html.raw(" <span class=age>×").number(event.count).raw("</span>");
        }
        html.raw("</tr>");
    }
    html.raw("</tbody></table></div></section>");
}

fn conditions(html: &mut Html, status: &ReleaseStatus) {
    html.raw("<details class=panel><summary>Conditions</summary><div class=scroll><table><thead><tr><th scope=col>Condition<th scope=col>Status<th scope=col>Reason<th scope=col>Message</tr></thead><tbody>");
    for condition in &status.conditions {
        html.wrap("<tr><td>", condition.r#type.as_str(), "<td>").raw(match condition.status {
            ConditionStatus::True => "✓ True",
            ConditionStatus::False => "– False",
            ConditionStatus::Unknown => "? Unknown",
        });
        html.wrap("<td><code>", &condition.reason, "</code><td>").wrap("", &condition.message, "</tr>");
    }
    html.raw("</tbody></table></div></details>");
}

/// The readable end of an ARN; the API has the whole.
fn short(arn: &str) -> &str {
    arn.rsplit_once('/').map_or(arn, |(_, end)| end)
}
