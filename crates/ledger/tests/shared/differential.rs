//! Every kind of store gives the same answers to the same operations.

use std::{fmt::Debug, time::Duration};

use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use tidegate_ledger::{
    Head, LedgerError, Sealed,
    store::{Store, memory::Memory, sqlite::Sqlite},
};
use tidegate_model::ReleaseName;

use crate::world::World;

/// Something that is asked of a store. Releases and holders are few, so that they meet.
#[derive(Clone, Debug)]
enum Op {
    Lease { release: u8, holder: u8, term: Term },
    Renew { holder: u8, term: Term },
    Resign { holder: u8 },
    Append { release: u8, epoch: u64, head: Place, rows: u64 },
    Read { release: u8 },
    ReadAll,
    Publish { release: u8, epoch: u64, document: Option<u8> },
    Published { release: u8 },
}

#[derive(Clone, Copy, Debug)]
enum Term {
    /// Over at once.
    Nothing,
    /// Longer than the test.
    Long,
}

/// Behind which head rows are appended.
#[derive(Clone, Copy, Debug)]
enum Place {
    End,
    OneFurther,
    OtherHash,
}

impl Term {
    fn duration(self) -> Duration {
        match self {
            Self::Nothing => Duration::ZERO,
            Self::Long => Duration::from_secs(3_600),
        }
    }
}

fn term() -> impl Strategy<Value = Term> {
    prop_oneof![Just(Term::Nothing), Just(Term::Long)]
}

fn append(epochs: std::ops::Range<u64>) -> impl Strategy<Value = Op> {
    let place = prop_oneof![4 => Just(Place::End), 1 => Just(Place::OneFurther), 1 => Just(Place::OtherHash)];
    (0..2_u8, epochs, place, 0..3_u64).prop_map(|(release, epoch, head, rows)| Op::Append {
        release,
        epoch,
        head,
        rows,
    })
}

fn read() -> impl Strategy<Value = Op> {
    prop_oneof![(0..2_u8).prop_map(|release| Op::Read { release }), Just(Op::ReadAll)]
}

fn any_op() -> impl Strategy<Value = Op> {
    let document = proptest::option::of(any::<u8>());
    prop_oneof![
        4 => (0..2_u8, 0..3_u8, term()).prop_map(|(release, holder, term)| Op::Lease { release, holder, term }),
        1 => (0..3_u8, term()).prop_map(|(holder, term)| Op::Renew { holder, term }),
        1 => (0..3_u8).prop_map(|holder| Op::Resign { holder }),
        4 => append(0..4),
        1 => read(),
        2 => (0..2_u8, 0..4_u64, document)
            .prop_map(|(release, epoch, document)| Op::Publish { release, epoch, document }),
        1 => (0..2_u8).prop_map(|release| Op::Published { release }),
    ]
}

/// Names that no other run on the same store has.
struct Names(u32);

impl Names {
    fn release(&self, number: u8) -> ReleaseName {
        format!("run-{}-release-{number}", self.0).parse().unwrap()
    }

    fn holder(&self, number: u8) -> String {
        format!("run-{}-holder-{number}", self.0)
    }
}

async fn rows(store: &dyn Store, of: Option<&ReleaseName>) -> Vec<(String, Sealed)> {
    let mut found = vec![];
    let mut take = |row: tidegate_ledger::store::Row| {
        found.push((row.release.unwrap().as_str().to_owned(), row.sealed.unwrap()));
    };
    store.read(of, &mut take).await.unwrap();
    found
}

async fn end(store: &dyn Store, release: &ReleaseName) -> Head {
    let last = rows(store, Some(release)).await.pop();
    last.map(|(_, row)| Head { length: row.seq + 1, hash: row.hash }).unwrap_or_default()
}

fn sealed(head: &Head, count: u64) -> Vec<Sealed> {
    let row = |seq| Sealed {
        seq,
        at: "2026-01-01T00:00:00Z".into(),
        format: 1,
        body: format!("\"körper {seq}\""),
        previous: head.hash.clone(),
        hash: format!("hash-{seq}"),
    };
    (head.length..head.length + count).map(row).collect()
}

/// An answer as text: what callers can tell apart.
fn told<T: Debug>(answer: Result<T, LedgerError>) -> String {
    match answer {
        Ok(value) => format!("{value:?}"),
        Err(LedgerError::Conflict { expected, found, .. }) => format!("conflict {expected} {found}"),
        Err(LedgerError::Fenced { .. }) => "fenced".into(),
        Err(other) => panic!("{other:?}"),
    }
}

async fn answer(store: &dyn Store, names: &Names, op: &Op) -> String {
    match *op {
        Op::Lease { release, holder, term } => {
            told(store.lease(&names.release(release), &names.holder(holder), term.duration()).await)
        }
        Op::Renew { holder, term } => told(store.renew(&names.holder(holder), term.duration()).await),
        Op::Resign { holder } => told(store.resign(&names.holder(holder)).await),
        Op::Append { release, epoch, head: place, rows } => {
            let release = names.release(release);
            let mut head = end(store, &release).await;
            match place {
                Place::End => {}
                Place::OneFurther => head.length += 1,
                Place::OtherHash => head.hash.push('x'),
            }
            told(store.append(&release, epoch, &head, &sealed(&head, rows)).await)
        }
        Op::Read { release } => format!("{:?}", rows(store, Some(&names.release(release))).await),
        Op::ReadAll => {
            let all = rows(store, None).await;
            let ours = |name: &str| (0..2).any(|number| names.release(number).as_str() == name);
            format!("{:?}", all.into_iter().filter(|(name, _)| ours(name)).collect::<Vec<_>>())
        }
        Op::Publish { release, epoch, document } => {
            let document = document.map(|number| format!("{{\"number\": {number}}}"));
            told(store.publish(&names.release(release), epoch, document.as_deref()).await)
        }
        Op::Published { release } => told(store.published(&names.release(release)).await),
    }
}

async fn answers(store: &dyn Store, names: &Names, ops: &[Op]) -> Vec<String> {
    let mut answers = vec![];
    for op in ops {
        answers.push(answer(store, names, op).await);
    }
    answers
}

/// What fails is printed whole and small; no file is written.
fn config(cases: u32) -> Config {
    Config { cases, failure_persistence: None, ..Config::default() }
}

#[test]
fn a_database_answers_as_memory_does() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (_world, store) = runtime.block_on(async {
        let world = World::new().await;
        let store = world.store().await;
        (world, store)
    });
    let mut runner = TestRunner::new(config(96));
    let runs = std::cell::Cell::new(0);
    let ops = proptest::collection::vec(any_op(), 1..40);
    let same = runner.run(&ops, |ops| {
        let names = Names(runs.replace(runs.get() + 1));
        let (found, wanted) = runtime.block_on(async {
            (answers(&store, &names, &ops).await, answers(&Memory::default(), &names, &ops).await)
        });
        prop_assert_eq!(found, wanted);
        Ok(())
    });
    same.unwrap();
}

#[test]
fn a_file_appends_and_reads_as_memory_does() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = runtime.block_on(Sqlite::open(&folder.path().join("ledger.db"))).unwrap();
    let mut runner = TestRunner::new(config(32));
    let runs = std::cell::Cell::new(0);
    let ops = proptest::collection::vec(prop_oneof![4 => append(0..3), 1 => read()], 1..30);
    let same = runner.run(&ops, |ops| {
        let names = Names(runs.replace(runs.get() + 1));
        // The file's lease is of every release and for ever: in memory somebody has to take it first.
        let memory = Memory::default();
        let leased = [0, 1].map(|release| Op::Lease { release, holder: 0, term: Term::Long });
        let (found, wanted) = runtime.block_on(async {
            answers(&memory, &names, &leased).await;
            (answers(&store, &names, &ops).await, answers(&memory, &names, &ops).await)
        });
        prop_assert_eq!(found, wanted);
        Ok(())
    });
    same.unwrap();
}
