//! The plain page: rendered here, works without script, refreshes itself.
//!
//! `overview` lists the releases; `release` shows one, the waiting banner first. State is never told by colour alone: a
//! glyph and a word stand beside it.

mod banner;
mod html;
mod release;
mod strip;

use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::{Html as Page, IntoResponse, Response},
};
use tidegate_model::status::{Published, ReleaseStatus, Summary};

use crate::Shared;
use html::Html;

/// The one style sheet; the content security policy names its digest.
pub(crate) const STYLE: &str = include_str!("style.css");

/// `GET /`.
pub(crate) async fn overview(State(shared): State<Shared>) -> Response {
    let published = shared.published();
    let mut html = Html::new(shared.now());
    head(&mut html, None, &published);
    html.raw("<main><h1>Releases</h1>");
    if published.releases.is_empty() {
        html.raw(
            "<p class=empty>No release is managed yet. Write a spec into the parameter <code>&lt;prefix&gt;/&lt;release&gt;/spec</code>; it appears here within a minute.</p>",
        );
    } else {
        list(&mut html, &published);
    }
    html.raw("</main>");
    foot(&mut html);
    Page(html.finish()).into_response()
}

/// `GET /releases/{name}`.
pub(crate) async fn release(State(shared): State<Shared>, Path(name): Path<String>) -> Response {
    let published = shared.published();
    let mut html = Html::new(shared.now());
    let Some(status) = name.parse().ok().and_then(|name| published.releases.get(&name)) else {
        head(&mut html, None, &published);
        html.raw("<main><h1>No such release</h1><p><a href=\"/\">All releases</a></p></main>");
        foot(&mut html);
        return (StatusCode::NOT_FOUND, Page(html.finish())).into_response();
    };
    head(&mut html, Some(status), &published);
    release::show(&mut html, status);
    foot(&mut html);
    Page(html.finish()).into_response()
}

fn head(html: &mut Html, status: Option<&ReleaseStatus>, published: &Published) {
    html.raw("<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport content=\"width=device-width,initial-scale=1\"><meta name=color-scheme content=\"light dark\"><meta http-equiv=refresh content=3><title>");
    if let Some(status) = status {
        html.text(status.name.as_str()).raw(": ").text(status.summary.as_str()).raw(" · ");
    }
    html.raw("Tidegate</title><style>")
        .raw(STYLE)
        .raw("</style></head><body><header class=top><a class=brand href=\"/\">");
    html.raw("<svg viewBox=\"0 0 24 24\" width=22 height=22 aria-hidden=true><path class=wave d=\"M1 15c3.7 0 3.7-4 7.300-4s3.7 4 7.400 4 3.600-4 7.300-4v10H1z\"/><path class=post d=\"M5 3h2.500v17H5zM16.500 3H19v17h-2.500z\"/></svg>");
    html.raw("Tidegate</a>");
    if let Some(status) = status {
        html.wrap("<span class=crumb>/</span><span>", status.name.as_str(), "</span>");
    }
    html.raw("<span class=pass>");
    match published.last_pass {
        Some(last) => {
            let glyph = if published.ready { "● " } else { "◌ first pass under way · " };
            html.raw(glyph).raw("last look ").time(last);
        }
        None => drop(html.raw("◌ the first look at the world is not over")),
    }
    html.raw("</span></header>");
}

fn foot(html: &mut Html) {
    html.raw("<footer>Read-only. Every change is a parameter: spec, hold, abort, approve. <a href=\"/api/v1/releases\">API</a> · <a href=\"/metrics\">metrics</a> · <a href=\"/schema\">spec schema</a></footer></body></html>");
}

fn list(html: &mut Html, published: &Published) {
    html.raw("<div class=scroll><table><thead><tr><th scope=col>Release<th scope=col>State<th scope=col>Rollout<th scope=col>Green<th scope=col>Schema<th scope=col>Rollback<th scope=col>Waits for</tr></thead><tbody>");
    for status in published.releases.values() {
        let name = status.name.as_str();
        html.raw("<tr><td><a href=\"/releases/").text(name).raw("\">").text(name).raw("</a>");
        if let Some(leader) = &status.led_by {
            html.wrap(" <span class=age>led by ", leader, "</span>");
        }
        html.raw("<td>");
        summary(html, status.summary);
        html.wrap("<td>", &status.rollout.phase, "<td>");
        match status.rollout.green_weight {
            Some(weight) => drop(html.number(weight).raw(" %")),
            None => drop(html.raw("<span class=none>·</span>")),
        }
        let schema = status.schema.as_ref().map_or("·", |schema| &schema.phase);
        html.wrap("<td>", schema, "<td>").text(status.rollback.grade.as_str()).raw("<td>");
        match status.waiting.first() {
            Some(wait) => {
                html.text(&wait.message).raw(" <span class=age>since ").age(wait.since).raw("</span>");
            }
            None => drop(html.raw("nothing")),
        }
        html.raw("</tr>");
    }
    html.raw("</tbody></table></div>");
}

/// A release's state as a badge.
fn summary(html: &mut Html, summary: Summary) {
    let open = match summary {
        Summary::Healthy => "<span class=\"badge good\">✓ ",
        Summary::Progressing => "<span class=\"badge busy\">▶ ",
        Summary::Waiting => "<span class=\"badge wait\">◔ ",
        Summary::Held => "<span class=\"badge wait\">‖ ",
        Summary::RollingBack => "<span class=\"badge bad\">↩ ",
        Summary::RolledBack => "<span class=\"badge bad\">↶ ",
        Summary::Invalid => "<span class=\"badge bad\">✗ ",
        Summary::Unknown => "<span class=\"badge wait\">? ",
    };
    html.wrap(open, summary.as_str(), "</span>");
}
