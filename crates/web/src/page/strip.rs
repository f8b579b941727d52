//! The two machines as strips of phases, the point of no return marked.

use tidegate_model::{schema::SchemaPhase, status::ReleaseStatus};

use super::html::Html;

/// The traffic machine's way; a rollback leaves it.
const ROLLOUT: [(&str, &str); 8] = [
    ("preflight", "preflight"),
    ("provisioning", "green up"),
    ("verifying", "verify"),
    ("shifting", "shift"),
    ("confirming", "confirm"),
    ("baking", "bake"),
    ("retiring", "retire blue"),
    ("settled", "settled"),
];

/// The schema machine's way.
const SCHEMA: [(SchemaPhase, &str); 7] = [
    (SchemaPhase::Expanding, "expand"),
    (SchemaPhase::Backfilling, "backfill"),
    (SchemaPhase::Expanded, "expanded"),
    (SchemaPhase::Soaking, "soak"),
    (SchemaPhase::Hidden, "hidden"),
    (SchemaPhase::Snapshotting, "snapshot"),
    (SchemaPhase::Purged, "purged"),
];

/// Shows both strips; the schema's only if a change was ever opened.
pub(super) fn show(html: &mut Html, status: &ReleaseStatus) {
    html.raw("<section class=strips aria-label=\"Phases\"><h2 class=lane>Traffic</h2>");
    rollout(html, status);
    if let Some(schema) = &status.schema {
        html.raw("<h2 class=lane>Schema</h2><ol class=strip>");
        let now = SCHEMA.iter().position(|(phase, _)| phase.as_str() == schema.phase);
        for (index, (phase, label)) in SCHEMA.into_iter().enumerate() {
            if phase == SchemaPhase::Purged {
                html.raw("<li class=edge><span>point of<br>no return</span>");
            }
            // At the end there is nothing under way: what was reached last is done.
            let over = phase == SchemaPhase::Purged && now == Some(index);
            step(html, label, if over { Place::Done } else { place(index, now) });
        }
        html.raw("</ol>");
    }
    html.raw("</section>");
}

fn rollout(html: &mut Html, status: &ReleaseStatus) {
    let phase = status.rollout.phase.as_str();
    let now = ROLLOUT.iter().position(|(word, _)| *word == phase);
    html.raw("<ol class=strip>");
    for (index, (word, label)) in ROLLOUT.into_iter().enumerate() {
        let over = word == "settled" && phase == "settled";
        step(html, label, if over { Place::Done } else { place(index, now) });
    }
    html.raw("</ol>");
    match phase {
        "rolling-back" => html.raw("<ol class=\"strip back\"><li class=now aria-current=step><i>↩</i><span>rolling back</span><li class=ahead><i>○</i><span>rolled back</span></ol>"),
        "rolled-back" => html.raw("<ol class=\"strip back\"><li class=done><i>✓</i><span>rolling back</span><li class=now aria-current=step><i>↶</i><span>rolled back</span></ol>"),
        _ => html,
    };
    if let Some(cause) = &status.rollout.cause {
        html.wrap("<p class=cause>✗ Went back: ", cause, "</p>");
    }
}

/// Where a phase stands to the present one.
#[derive(Clone, Copy)]
enum Place {
    Done,
    Now,
    Ahead,
}

fn place(index: usize, now: Option<usize>) -> Place {
    match now {
        Some(now) if index < now => Place::Done,
        Some(now) if index == now => Place::Now,
        Some(_) | None => Place::Ahead,
    }
}

fn step(html: &mut Html, label: &'static str, place: Place) {
    html.raw(match place {
        Place::Done => "<li class=done><i>✓</i><span>",
        Place::Now => "<li class=now aria-current=step><i>●</i><span>",
        Place::Ahead => "<li class=ahead><i>○</i><span>",
    });
    html.raw(label).raw("</span>");
}
