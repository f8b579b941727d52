//! The waiting banner: why the release waits, on what, since when, until when, and what unblocks it.

use tidegate_model::{
    status::ReleaseStatus,
    waiting::{Class, OnDeadline, Waiting},
};

use super::html::Html;

/// Shows the first waiting record as the banner, and the others folded below it.
pub(super) fn show(html: &mut Html, status: &ReleaseStatus) {
    let Some((first, others)) = status.waiting.split_first() else {
        html.raw(
            "<section class=\"banner calm\" role=status><p class=say>✓ Nothing to wait for.</p></section>",
        );
        return;
    };
    html.raw(match first.class {
        Class::NeedsTime => "<section class=\"banner busy\" role=status>",
        Class::NeedsHuman | Class::Suspended => "<section class=\"banner wait\" role=status>",
        Class::NeedsFix => "<section class=\"banner bad\" role=alert>",
        Class::Throttled => "<section class=\"banner wait\" role=status>",
    });
    record(html, first);
    if !others.is_empty() {
        html.raw("<details><summary>").number(u32::try_from(others.len()).unwrap_or(u32::MAX));
        html.raw(" more</summary>");
        for wait in others {
            html.raw("<div class=also>");
            record(html, wait);
            html.raw("</div>");
        }
        html.raw("</details>");
    }
    html.raw("</section>");
}

fn record(html: &mut Html, wait: &Waiting) {
    html.raw("<p class=kind>").raw(class(wait.class)).wrap(" <code>", wait.reason.as_str(), "</code></p>");
    html.wrap("<p class=say>", &wait.message, "</p><dl class=facts>");
    html.raw("<dt>since<dd>").time(wait.since);
    for (name, fact) in [
        ("<dt>measured<dd>", &wait.measured),
        ("<dt>required<dd>", &wait.required),
        ("<dt>waits on<dd>", &wait.blocked_by),
    ] {
        if let Some(fact) = fact {
            html.raw(name).text(fact);
        }
    }
    if let Some(deadline) = wait.deadline {
        html.raw("<dt>until<dd>").time(deadline).raw(match wait.on_deadline {
            OnDeadline::RollBack => ", then Tidegate rolls back",
            OnDeadline::Continue => ", then it goes on",
            OnDeadline::Stall => ", then it stays as it is",
        });
    }
    html.raw("<dt>next look<dd>").time(wait.next_check_at).raw("</dl>");
    if !wait.unblock.is_empty() {
        html.wrap("<p class=unblock><b>To go on:</b> ", &wait.unblock, "</p>");
    }
}

/// Who can end the wait, with its glyph.
fn class(class: Class) -> &'static str {
    match class {
        Class::NeedsTime => "◔ Needs time",
        Class::NeedsHuman => "⚑ Needs a person",
        Class::NeedsFix => "✗ Needs a fix",
        Class::Throttled => "≋ Throttled",
        Class::Suspended => "‖ Held",
    }
}
