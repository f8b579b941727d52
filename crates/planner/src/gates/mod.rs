//! Every gate, as a small pure function over the draft. The parent functions (`rollout`, `change`) read them in order;
//! a gate never looks at another gate.

use tidegate_model::{
    gate::{Closed, Gate, GateReading, GateState},
    waiting::Class,
};

mod schema;
mod spec;
mod traffic;

pub(crate) use schema::{
    contract_approved, counted, expanded, grown, hidden_long_enough, in_sync, instance_in_the_way,
    no_blockers, one_change_per_database, quiet_wanted, readers_gone, recurrence_covered, redeploy_ready,
    rollout_at_rest, snapshot_available,
};
pub(crate) use spec::{not_held, not_superseded, spec_there, spec_valid};
pub(crate) use traffic::{
    baked, engine_ready, green_healthy, healthy_so_far, not_cleared, rollback_ready, verified,
};

fn open(gate: Gate) -> GateReading {
    GateReading { gate, state: GateState::Open }
}

fn not_applicable(gate: Gate) -> GateReading {
    GateReading { gate, state: GateState::NotApplicable }
}

fn closed(gate: Gate, class: Class, message: impl Into<String>, unblock: impl Into<String>) -> GateReading {
    let closed =
        Closed { message: message.into(), measured: None, required: None, unblock: unblock.into(), class };
    GateReading { gate, state: GateState::Closed(closed) }
}

fn measured(
    mut reading: GateReading,
    measured: impl Into<String>,
    required: impl Into<String>,
) -> GateReading {
    if let GateState::Closed(closed) = &mut reading.state {
        closed.measured = Some(measured.into());
        closed.required = Some(required.into());
    }
    reading
}

/// Closed because a fact is unknown: unknown is not absent, and not good either.
fn unknown(gate: Gate, what: &str, why: &str) -> GateReading {
    closed(gate, Class::NeedsTime, format!("{what} is not known: {why}"), "it is read again")
}
