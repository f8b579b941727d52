//! A simulated AWS that behaves: tasks start and pass health checks, CodeDeploy walks its lifecycle by the clock, weights
//! route, alarms evaluate, snapshots take time.
//!
//! One [`world::World`], two doors: an in-process connector for the SDK ([`connector`], for tests and simulation in virtual
//! time) and an HTTP endpoint ([`door`], for `aws --endpoint-url` and any SDK). Both speak the real wire protocols. The
//! daemon never depends on this crate except through those protocols.

use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;

pub mod api;
pub mod audit;
pub mod clock;
pub mod connector;
pub mod door;
pub mod error;
pub mod fault;
pub mod live;
mod metadata;
pub mod node;
pub mod protocol;
pub mod world;

use audit::{AuditEntry, RequestEntry};
use clock::Clock;
use error::ApiError;
use fault::{Action, FaultPlan, Position};
use node::Node;
pub use protocol::Call;
use protocol::Reply;
use world::World;

/// A running sandbox; cheap to clone.
#[derive(Clone)]
pub struct Sandbox(Arc<Inner>);

struct Inner {
    world: Mutex<World>,
    clock: Clock,
    faults: Mutex<FaultPlan>,
    cleared: Notify,
}

/// The connection breaks without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the connection was broken by an armed fault")]
pub struct Disconnected;

impl Sandbox {
    /// Puts a world under a clock. The world's own time must not be after the clock's.
    pub fn new(world: World, clock: Clock) -> Self {
        Self(Arc::new(Inner {
            world: Mutex::new(world),
            clock,
            faults: Mutex::new(FaultPlan::default()),
            cleared: Notify::new(),
        }))
    }

    /// The clock.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// The time, by the clock.
    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// Jumps the clock forward and lets the world catch up.
    pub fn jump(&self, by: SignedDuration) {
        self.0.clock.jump(by);
        drop(self.world());
    }

    /// The world, advanced to the clock. Never hold it across an await.
    pub fn world(&self) -> MutexGuard<'_, World> {
        let now = self.0.clock.now();
        let mut world = self.0.world.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        world.advance(now);
        world
    }

    /// Every mutating effect so far.
    pub fn audit(&self) -> Vec<AuditEntry> {
        self.world().audit_log().to_vec()
    }

    /// Every request so far.
    pub fn requests(&self) -> Vec<RequestEntry> {
        self.world().request_log().to_vec()
    }

    /// The faults that are armed.
    pub fn faults(&self) -> MutexGuard<'_, FaultPlan> {
        self.0.faults.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Disarms every fault and lets stopped calls go on.
    pub fn clear_faults(&self) {
        self.faults().clear();
        self.0.cleared.notify_waiters();
    }

    /// Answers one HTTP request of any service in its own protocol: the one way in for both doors.
    ///
    /// # Errors
    /// [`Disconnected`] if an armed fault breaks the connection.
    pub async fn answer(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, Disconnected> {
        let call = match protocol::read(&request) {
            Ok(call) => call,
            Err(reply) => return Ok(*reply),
        };
        self.pass_stop().await;
        let struck = if call.counts_as_mutating() { self.faults().strike(&call.operation) } else { None };
        if let Some((Position::BeforeEffect, action)) = struck
            && let Some(reply) = self.suffer(&call, action).await?
        {
            return Ok(reply);
        }
        let reply = self.apply(&call);
        match struck {
            Some((Position::AfterEffect, action)) => Ok(self.suffer(&call, action).await?.unwrap_or(reply)),
            Some((Position::AfterReply, Action::Stop)) => {
                self.faults().stop(&call.operation);
                Ok(reply)
            }
            Some((Position::BeforeEffect | Position::AfterReply, _)) | None => Ok(reply),
        }
    }

    fn apply(&self, call: &Call) -> http::Response<Bytes> {
        self.reply(call, self.perform(call))
    }

    /// Carries a call out, now. For those who stand between a client and the world, as the simulation's wire does: faults
    /// that are armed here do not strike it.
    ///
    /// # Errors
    /// The service's.
    pub fn perform(&self, call: &Call) -> Result<Node, ApiError> {
        let mut world = self.world();
        let result = api::dispatch(&mut world, call.service, &call.operation, &call.input);
        let outcome = result.as_ref().map_or_else(|error| error.code.as_str(), |_| "ok");
        world.log_request(call.service.name(), &call.operation, outcome);
        result
    }

    /// Writes what a call came to, or is to be told to have come to, in the call's own protocol.
    pub fn reply(&self, call: &Call, result: Result<Node, ApiError>) -> http::Response<Bytes> {
        let request_id = self.world().request_id();
        protocol::write(call, Reply { result, request_id })
    }

    /// Waits while everything is stopped.
    async fn pass_stop(&self) {
        loop {
            let cleared = self.0.cleared.notified();
            if self.faults().stopped_at().is_none() {
                return;
            }
            cleared.await;
        }
    }

    async fn suffer(
        &self,
        call: &Call,
        action: Action,
    ) -> Result<Option<http::Response<Bytes>>, Disconnected> {
        let refuse = |error: ApiError| {
            Some(protocol::write(call, Reply { result: Err(error), request_id: "fault".to_owned() }))
        };
        match action {
            Action::Stop => {
                self.faults().stop(&call.operation);
                self.pass_stop().await;
                Err(Disconnected)
            }
            Action::Disconnect => Err(Disconnected),
            Action::ServerError => Ok(refuse(ApiError::new("InternalFailure", "an armed fault").status(500))),
            Action::Throttle => Ok(refuse(ApiError::new("ThrottlingException", "Rate exceeded"))),
        }
    }
}
