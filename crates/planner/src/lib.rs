//! The decision: rollout machine, schema machine, gates and engines.
