//! The world: the state of every simulated service and the agenda of what happens next.
//!
//! Deterministic: the same seed, calls and times give the same world. Time only comes in through [`World::advance`];
//! handlers in `api/` and the live half change state through methods of the service modules, which put what follows on the
//! agenda.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::audit::{AuditEntry, RequestEntry};

pub mod cloudwatch;
pub mod codedeploy;
pub mod ecs;
pub mod elb;
pub mod file;
pub mod live;
pub mod rds;
pub mod secrets;
pub mod ssm;
pub mod traffic;
pub mod truth;

/// The whole simulated account in one region. A clone is another world that goes on from the same state.
#[derive(Clone, Debug)]
pub struct World {
    now: Timestamp,
    /// Account and region, for ARNs.
    pub identity: Identity,
    /// Modelled or live.
    pub mode: Mode,
    agenda: Agenda,
    audit: Vec<AuditEntry>,
    requests: Vec<RequestEntry>,
    counter: u64,
    pub(crate) ssm: ssm::Ssm,
    pub(crate) secrets: secrets::Secrets,
    pub(crate) cloudwatch: cloudwatch::CloudWatch,
    pub(crate) traffic: traffic::Traffic,
    pub(crate) ecs: ecs::Ecs,
    pub(crate) codedeploy: codedeploy::CodeDeploy,
    pub(crate) elb: elb::Elb,
    pub(crate) rds: rds::Rds,
}

/// Whose world it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Twelve digits.
    pub account: String,
    /// For example `eu-west-1`.
    pub region: String,
    /// Availability zones that targets are spread over: 1 to 6.
    pub zones: u8,
}

impl Default for Identity {
    fn default() -> Self {
        Self { account: "123456789012".to_owned(), region: "eu-west-1".to_owned(), zones: 2 }
    }
}

impl Identity {
    /// The names of the availability zones: `eu-west-1a`, `eu-west-1b`.
    pub fn zone_names(&self) -> Vec<String> {
        ('a'..='f').take(usize::from(self.zones)).map(|letter| format!("{}{letter}", self.region)).collect()
    }

    /// `arn:aws:<service>:<region>:<account>:<resource>`.
    pub fn arn(&self, service: &str, resource: &str) -> String {
        format!("arn:aws:{service}:{}:{}:{resource}", self.region, self.account)
    }
}

/// Who plays the tasks, the balancer and the databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A seeded model: tests and simulation.
    Modelled {
        /// The seed of every random choice.
        seed: u64,
    },
    /// Real processes, a real balancer and real databases, through [`live`].
    Live,
}

/// Something that happens at its time.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {
    Ecs(ecs::Event),
    CodeDeploy(codedeploy::Event),
    Elb(elb::Event),
    Rds(rds::Event),
    /// A minute of metrics closes; the next one is put on the agenda.
    MinuteCloses,
}

/// What happens next, in order of time and, at the same time, of booking.
#[derive(Clone, Debug, Default)]
pub(crate) struct Agenda {
    booked: u64,
    events: BTreeMap<(Timestamp, u64), Event>,
}

impl World {
    /// An empty world at an instant.
    pub fn new(start: Timestamp, mode: Mode) -> Self {
        let mut world = Self {
            now: start,
            identity: Identity::default(),
            mode,
            agenda: Agenda::default(),
            audit: Vec::new(),
            requests: Vec::new(),
            counter: 0,
            ssm: ssm::Ssm::default(),
            secrets: secrets::Secrets::default(),
            cloudwatch: cloudwatch::CloudWatch::default(),
            traffic: traffic::Traffic::default(),
            ecs: ecs::Ecs::default(),
            codedeploy: codedeploy::CodeDeploy::default(),
            elb: elb::Elb::default(),
            rds: rds::Rds::default(),
        };
        let minute = start.as_second().div_euclid(60) + 1;
        world.book_at(Timestamp::from_second(minute * 60).unwrap_or(start), Event::MinuteCloses);
        world
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// True in live mode.
    pub fn is_live(&self) -> bool {
        self.mode == Mode::Live
    }

    /// Lets everything due until `to` happen, in order.
    pub fn advance(&mut self, to: Timestamp) {
        while let Some((at, event)) = self.agenda.pop_due(to) {
            self.now = self.now.max(at);
            self.happen(event);
        }
        self.now = self.now.max(to);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Ecs(event) => ecs::happen(self, event),
            Event::CodeDeploy(event) => codedeploy::happen(self, event),
            Event::Elb(event) => elb::happen(self, event),
            Event::Rds(event) => rds::happen(self, event),
            Event::MinuteCloses => {
                traffic::minute_closes(self);
                cloudwatch::minute_closes(self);
                codedeploy::minute_closes(self);
                self.book(SignedDuration::from_secs(60), Event::MinuteCloses);
            }
        }
    }

    /// Puts an event on the agenda, `after` from now.
    pub(crate) fn book(&mut self, after: SignedDuration, event: Event) {
        self.book_at(self.now + after, event);
    }

    /// Puts an event on the agenda.
    pub(crate) fn book_at(&mut self, at: Timestamp, event: Event) {
        self.agenda.booked += 1;
        self.agenda.events.insert((at, self.agenda.booked), event);
    }

    /// A number that is never given twice in this world.
    pub(crate) fn serial(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    /// A 32-hex-digit id, as ECS and ELB give them: deterministic in the world's history.
    pub(crate) fn hex_id(&mut self) -> String {
        use sha2::{Digest, Sha256};
        let serial = self.serial();
        let seed = match self.mode {
            Mode::Modelled { seed } => seed,
            Mode::Live => 0,
        };
        hex::encode(&Sha256::digest(format!("{seed}:{serial}"))[..16])
    }

    /// A request id in the form of a UUID.
    pub(crate) fn request_id(&mut self) -> String {
        let id = self.hex_id();
        format!("{}-{}-{}-{}-{}", &id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..])
    }

    /// Notes a mutating effect.
    pub(crate) fn note_effect(
        &mut self,
        service: &str,
        operation: &str,
        object: &str,
        effect: String,
        marker: Option<String>,
    ) {
        let entry = AuditEntry {
            seq: self.audit.len() as u64 + 1,
            at: self.now,
            service: service.to_owned(),
            operation: operation.to_owned(),
            object: object.to_owned(),
            effect,
            marker,
        };
        self.audit.push(entry);
    }

    /// Every mutating effect so far.
    pub fn audit_log(&self) -> &[AuditEntry] {
        &self.audit
    }

    pub(crate) fn log_request(&mut self, service: &str, operation: &str, outcome: &str) {
        self.requests.push(RequestEntry {
            at: self.now,
            service: service.to_owned(),
            operation: operation.to_owned(),
            outcome: outcome.to_owned(),
        });
    }

    /// Every request so far.
    pub fn request_log(&self) -> &[RequestEntry] {
        &self.requests
    }
}

impl Agenda {
    fn pop_due(&mut self, to: Timestamp) -> Option<(Timestamp, Event)> {
        let entry = self.events.first_entry()?;
        if entry.key().0 > to {
            return None;
        }
        let ((at, _), event) = entry.remove_entry();
        Some((at, event))
    }
}
