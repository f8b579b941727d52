//! One shopper: creates customers, reads them back, changes them, looks at the list, and buys for them.
//!
//! Called by: `Customers::start`, as a task. Must not: touch a customer of another shopper.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use http::{Method, StatusCode};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::Value;
use tokio::time::MissedTickBehavior;

use super::{
    Shared,
    content::{Content, Form, Written},
    tally::{Cause, Outcome, Request},
    wire::{Answer, Wire},
};

/// Customers that one shopper owns at most; then it changes them instead of making more.
const OWNED_MAX: usize = 500;

const LIST: &str = "/api/customers?limit=10";
const LIST_LENGTH_MAX: usize = 10;

pub(super) struct Shopper {
    shared: Arc<Shared>,
    wire: Wire,
    random: StdRng,
    owned: Vec<Owned>,
}

#[derive(Clone, Copy)]
struct Owned {
    id: i64,
    /// True once text without a structured form was written. Then its address is not set to NULL any more:
    /// version 3 cannot see that text, so it could not remove it either.
    had_text_only: bool,
}

/// What to do at a turn.
enum Action {
    Create,
    Read(Owned),
    Update(usize),
    List,
    CheckOut(Owned),
}

impl Shopper {
    pub(super) fn new(shared: Arc<Shared>, target: SocketAddr, keeps_connection: bool, seed: u64) -> Self {
        let random = StdRng::seed_from_u64(seed);
        Self { shared, wire: Wire::new(target, keeps_connection), random, owned: Vec::new() }
    }

    /// Acts once each `period`, the first time after `delay`, until told to stop. Turns missed while an answer was
    /// slow are made up for: other customers do not wait either.
    pub(super) async fn shop(mut self, delay: Duration, period: Duration) {
        let mut turns = tokio::time::interval_at(tokio::time::Instant::now() + delay, period);
        turns.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let stop = self.shared.stop.clone();
        while stop.run_until_cancelled(turns.tick()).await.is_some() && !stop.is_cancelled() {
            match self.choose() {
                Action::Create => self.create().await,
                Action::Read(owned) => self.read(owned).await,
                Action::Update(index) => self.update(index).await,
                Action::List => self.list().await,
                Action::CheckOut(owned) => self.check_out(owned).await,
            }
        }
    }

    fn choose(&mut self) -> Action {
        if self.owned.is_empty() {
            return Action::Create;
        }
        let index = self.random.random_range(0..self.owned.len());
        // Nobody draws a lot where nobody buys: the sequence of the other actions stays what it was.
        let buys = self.shared.checkout_percent;
        if buys > 0 && self.random.random_range(0..100) < buys {
            return Action::CheckOut(self.owned[index]);
        }
        match self.random.random_range(0..100) {
            0..25 if self.owned.len() < OWNED_MAX => Action::Create,
            0..55 => Action::Update(index),
            55..85 => Action::Read(self.owned[index]),
            _ => Action::List,
        }
    }

    async fn create(&mut self) {
        let content = self.content(true);
        let body = content.body(self.form());
        let (request, answer) = self.send(Method::POST, "/api/customers".to_owned(), Some(&body)).await;
        let outcome = match answer {
            Err(cause) => Outcome::Failed(cause),
            Ok(answer) if answer.status == StatusCode::CREATED => self.created(content, &answer.body),
            Ok(answer) => refused_or(&content, &answer, "answer to a create is no 201"),
        };
        self.shared.tally.count(request, outcome);
    }

    fn created(&mut self, content: Content, answer: &Value) -> Outcome {
        let Some(id) = answer.get("id").and_then(Value::as_i64) else {
            return Outcome::Wrong("created customer has no id");
        };
        let shown = content.is_shown_by(answer);
        self.owned.push(Owned { id, had_text_only: is_text_only(&content) });
        self.shared.memory.created(id, content);
        if shown { Outcome::Fine } else { Outcome::Wrong("created customer is not what was sent") }
    }

    async fn update(&mut self, index: usize) {
        let Owned { id, had_text_only } = self.owned[index];
        let content = self.content(!had_text_only);
        let body = content.body(self.form());
        self.owned[index].had_text_only |= is_text_only(&content);
        self.shared.memory.sends(id, content.clone());
        let (request, answer) = self.send(Method::PUT, format!("/api/customers/{id}"), Some(&body)).await;
        let outcome = match answer {
            Err(cause) => Outcome::Failed(cause),
            Ok(answer) if answer.status == StatusCode::OK => {
                let shown = content.is_shown_by(&answer.body);
                self.shared.memory.acknowledged(id);
                if shown { Outcome::Fine } else { Outcome::Wrong("changed customer is not what was sent") }
            }
            Ok(answer) => {
                self.shared.memory.refused(id);
                refused_or(&content, &answer, "answer to a change is no 200")
            }
        };
        self.shared.tally.count(request, outcome);
    }

    async fn read(&mut self, owned: Owned) {
        let (request, answer) = self.send(Method::GET, format!("/api/customers/{}", owned.id), None).await;
        let outcome = match answer {
            Err(cause) => Outcome::Failed(cause),
            Ok(answer) if answer.status != StatusCode::OK => {
                Outcome::Wrong("acknowledged customer is not there")
            }
            Ok(answer)
                if self.shared.memory.may_show(owned.id, |content| content.is_shown_by(&answer.body)) =>
            {
                Outcome::Fine
            }
            Ok(_) => Outcome::Wrong("acknowledged customer reads differently"),
        };
        self.shared.tally.count(request, outcome);
    }

    async fn list(&mut self) {
        let (request, answer) = self.send(Method::GET, LIST.to_owned(), None).await;
        let is_list = |answer: &Answer| {
            answer.body.as_array().is_some_and(|list| (1..=LIST_LENGTH_MAX).contains(&list.len()))
        };
        let outcome = match answer {
            Err(cause) => Outcome::Failed(cause),
            Ok(answer) if answer.status == StatusCode::OK && is_list(&answer) => Outcome::Fine,
            Ok(_) => Outcome::Wrong("list is no list of customers"),
        };
        self.shared.tally.count(request, outcome);
    }

    async fn check_out(&mut self, owned: Owned) {
        let path = format!("/api/customers/{}/checkout", owned.id);
        let (request, answer) = self.send(Method::POST, path, None).await;
        let outcome = match answer {
            Err(cause) => Outcome::Failed(cause),
            Ok(answer) if answer.status == StatusCode::CREATED => Outcome::Bought,
            Ok(answer) if answer.status == StatusCode::PAYMENT_REQUIRED => Outcome::Lost,
            Ok(_) => Outcome::Wrong("answer to a checkout is no 201"),
        };
        self.shared.tally.count(request, outcome);
    }

    async fn send(
        &mut self,
        method: Method,
        path: String,
        body: Option<&Value>,
    ) -> (Request, Result<Answer, Cause>) {
        let request = Request {
            sent_at: Instant::now(),
            line: format!("{method} {path}"),
            writes: body.is_some(),
            kept: self.wire.keeps_connection(),
        };
        let answer = self.wire.send(method, &path, body).await;
        (request, answer)
    }

    fn content(&mut self, may_be_empty: bool) -> Content {
        let awkward_percent = self.shared.awkward_percent.load(Ordering::Relaxed);
        if self.random.random_range(0..100) < awkward_percent {
            Content::awkward(&mut self.random, may_be_empty)
        } else {
            Content::ordinary(&mut self.random)
        }
    }

    fn form(&mut self) -> Form {
        if self.random.random() { Form::Text } else { Form::Both }
    }
}

/// Only text without a structured form may be refused.
fn refused_or(content: &Content, answer: &Answer, wrong: &'static str) -> Outcome {
    let may_be_refused = answer.status == StatusCode::UNPROCESSABLE_ENTITY && is_text_only(content);
    if may_be_refused { Outcome::Refused } else { Outcome::Wrong(wrong) }
}

fn is_text_only(content: &Content) -> bool {
    match content.address {
        Written::Empty | Written::Mapped(_) => false,
        Written::TextOnly(_) => true,
    }
}
