//! The one integration-test binary: each module is a part of the behaviour.

mod rollout;
