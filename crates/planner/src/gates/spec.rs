//! Gates on what people ask.

use tidegate_model::{
    Fact,
    gate::{Gate, GateReading},
    ledger::Rollout,
    waiting::Class,
};

use super::{closed, not_applicable, open, unknown};
use crate::draft::Draft;

/// There is a spec that can be read. Enough for what is under way: a newer spec that is invalid leaves the accepted one in force.
pub(crate) fn spec_there(draft: &Draft<'_>) -> GateReading {
    let gate = Gate::SpecValid;
    match &draft.spec_unread {
        Some(why) => closed(gate, Class::NeedsFix, why.clone(), "make the spec parameter readable again"),
        None => open(gate),
    }
}

/// The newest spec is valid, and readable.
pub(crate) fn spec_valid(draft: &Draft<'_>) -> GateReading {
    let gate = Gate::SpecValid;
    let there = spec_there(draft);
    if !there.lets_pass() {
        return there;
    }
    match &draft.state.refused {
        Some(refused) => closed(
            gate,
            Class::NeedsFix,
            format!("spec version {} is invalid ({} problems)", refused.version, refused.problems.len()),
            "write a corrected spec; tidegate validate shows every problem with its place",
        ),
        None => open(gate),
    }
}

/// No hold order, for this release or for all, and no abort that cannot be understood.
pub(crate) fn not_held(draft: &Draft<'_>) -> GateReading {
    let gate = Gate::NotHeld;
    if let Some(why) = &draft.unmatched_abort {
        return closed(
            gate,
            Class::NeedsHuman,
            why.clone(),
            "correct or delete the abort; until then it acts as a hold",
        );
    }
    if draft.state.hold.is_some() {
        let fleet = draft.seen.orders.fleet_hold.known().is_some();
        let which = if fleet { "_fleet/hold" } else { "hold" };
        return closed(
            gate,
            Class::Suspended,
            format!("the order {which} is there"),
            format!("delete the parameter {which}"),
        );
    }
    match (&draft.seen.orders.hold, &draft.seen.orders.fleet_hold) {
        (Fact::Unknown(why), _) | (_, Fact::Unknown(why)) => {
            unknown(gate, "whether a hold is ordered", why.as_str())
        }
        (Fact::Known(_) | Fact::Absent, Fact::Known(_) | Fact::Absent) => open(gate),
    }
}

/// No newer accepted spec changes revision or traffic.
pub(crate) fn not_superseded(draft: &Draft<'_>, rollout: &Rollout) -> GateReading {
    let gate = Gate::NotSuperseded;
    if rollout.traffic_since.is_some() {
        return not_applicable(gate);
    }
    match &draft.state.accepted {
        Some(newest) if !newest.same_rollout(&rollout.start.spec) => closed(
            gate,
            Class::NeedsTime,
            format!("spec version {} asks for something else", newest.version),
            "the rollout in flight is stopped and the newer one begins",
        ),
        Some(_) | None => open(gate),
    }
}
