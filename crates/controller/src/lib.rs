//! Queue, reconcile pass, executor.
