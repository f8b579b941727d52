//! What runs beside the controller's loop: no task of it outlives the controller.

use std::{
    future::Future,
    sync::{Mutex, PoisonError},
};

use tokio::task::{AbortHandle, JoinSet};

/// Tasks that end together.
#[derive(Debug, Default)]
pub(crate) struct Tasks(Mutex<JoinSet<()>>);

impl Tasks {
    /// Starts one. Must be called inside a tokio runtime.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that are over are let go of here, so that the set holds no more than what runs.
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task)
    }

    /// Ends every task where it is.
    pub(crate) fn end(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }
}
