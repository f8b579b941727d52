//! The engine `codedeploy`: CodeDeploy shifts between the two target groups of a deployment group.
//!
//! CodeDeploy cannot wait between steps: gates are read before the first production weight (in its Ready wait), and from
//! then on the only step is to stop with rollback.

mod reading;
mod rules;

pub(crate) use reading::{Where, deployment, newest_of_ours, read, under_way};
pub use rules::config_name;
pub(crate) use rules::{bake_deadline, ready_problems, ready_wait, shift_step};
