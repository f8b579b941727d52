//! A model of a target database, for runs in which no real server can take part: paused time and a socket do not go together.
//!
//! The real controller uses it through the schema crate's port ([`Servers`] implements `Databases`), and nothing above that port
//! knows the difference. A simulation makes a [`Model`] from a [`Setup`] ([`story::setup`] is the story's), says which versions
//! of the application run, lets faults in at a [`Gate`], and hands the server's log on to the sandbox's world; oracles read the
//! truth from the model itself. Nothing here reads a clock, draws a random number or decides: time is handed in, waiting is
//! tokio's, and what is to happen is data.
//!
//! | module | has |
//! |---|---|
//! | `port`, `attempt`, `gate` | the schema crate's traits; one process's connection, waiting for locks; faults at its door |
//! | `state`, `model`, `truth` | the server as a whole; what a simulation does to it; what oracles read |
//! | `transaction`, `steps`, `backfill`, `build`, `hide` | our steps, each in one transaction, with the real ones' checks in their order |
//! | `catalog`, `rows`, `roles`, `sessions`, `journal` | what is in the database, who may use it, who holds it, what we wrote down |
//! | `tool` | what the team's own migration tool does beside our steps |
//! | `observe`, `statistics`, `log`, `traffic` | what is seen of it, and the application's statements that make it so |
//! | `plan` | what a change's files do: read by the schema crate's own classifier, so locks and objects are not told twice |
//!
//! # How it is held against a real server
//!
//! `tests/database/differential.rs` and `random.rs` send the same operations to a real PostgreSQL and to the model and compare
//! every answer, variant by variant, and every observation. `normal.rs` says what is left out of that: times, process ids,
//! sizes, object ids.
//!
//! # Where it differs, and why
//!
//! | real server | model | why |
//! |---|---|---|
//! | columns have types, values and constraints | a column may refuse NULL, have a default or be computed if a [`Setup`] says so; what an expand file adds takes NULL | a plan lists objects, not definitions |
//! | a row has values | a row has one of eight states of its two forms ([`Row`]); a table has one pair of forms | it is what trigger, backfill and check look at |
//! | check files are SQL | only checks that a sync file generates are understood; a team's own is `Malformed` | nothing runs SQL |
//! | a check may be asked for a sample | every row is read | tables here have thousands of rows, and a sample needs a hundred thousand |
//! | a row may refuse what a backfill writes (`Failure::Rows`) | none does; a [`Gate`] can answer so | constraints are not modelled |
//! | everybody else queues behind a lock that is waited for | nobody does, and the application's statements wait for no lock | the lock's limit bounds it; latency is not modelled |
//! | who is in the way may be gone before it was asked for | it is always named | no time passes between the two |
//! | locks on tables that a file does not name are taken | they are not | only a catalog with foreign keys and inheritance knows them |
//! | privileges can be granted one by one, on columns, to groups and PUBLIC; `PassedOn`, foreign keys, heirs | a role has all of a table, all but what is hidden, or nothing | hiding takes whole rights, and the story needs no others |
//! | views, functions and foreign keys that use the old form are found in the catalog | a hand declares them ([`Model::depend`]); they block or vanish, and no statement reads through them | see above |
//! | a build tells phase and percentage | it tells that it runs | nobody decides by it |
//! | a certificate finds statements that became ambiguous, or that the server cannot prepare for reasons of its own text | it finds missing tables and columns, and `*` | a statement here names one table |
//! | statistics forget entries when they are full | when told to | it is an event |
//! | `can_be_kept` goes by the columns' order in their table | by name | a model's columns have no order |
//! | two applied files that changed are told in the order of the heap | by name | one is enough to refuse |
//! | a batch's size is steered by how long it took | by [`Settings::pace`] for each key | nothing takes time by itself |
//! | preflight sizes are bytes on disk | rows times [`Settings::row_bytes`] | there is no disk |
//! | a flood of failing statements is logged whole | at most 20 lines, and at most 1,000 rows written, for each statement and look | the first lines say it all |
//! | a secret that is older or newer than the password is refused until either changes | a connection takes the password that was right when it was opened | it is opened again after a refusal |

mod attempt;
mod backfill;
mod build;
mod catalog;
mod gate;
mod hide;
mod journal;
mod log;
mod model;
mod observe;
mod plan;
mod port;
mod roles;
mod rows;
mod sessions;
mod state;
mod statistics;
mod steps;
pub mod story;
mod tool;
mod traffic;
mod transaction;
mod truth;

pub use catalog::{Catalog, Column, Dependent, Table};
pub use gate::{Answer, Gate, Open, Operation, Verdict};
pub use model::Model;
pub use plan::Plans;
pub use port::Servers;
pub use roles::{Power, Role};
pub use rows::{Row, Rows, Write};
pub use sessions::{Locks, Session};
pub use state::{Backup, Committed, Settings, Setup};
pub use traffic::{Does, Misfit, Names, Statement, Version};
