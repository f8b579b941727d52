//! The same operations on a real server and on the model, and what both answered, compared; see [`crate::normal`] for what is
//! left out of it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use sqlx::PgConnection;
use tidegate_controller::System;
use tidegate_model::{
    Digest, ReleaseName,
    name::Marker,
    schema::{ChangePlan, FilePhase, Object, SchemaObservation},
};
use tidegate_schema::{
    Attempt, Databases as _, Endpoint, Epoch, Failure, Job, Limits, Secret, TargetDatabase,
    classify::lock::LockMode,
    server_log::{LogReader, Rules},
};
use tidegate_simulation::database::{
    Dependent, Does, Locks, Misfit, Model, Names, Open, Plans, Power, Role, Row, Servers, Statement, story,
};

use crate::{
    application::{App, statement, values},
    normal::{attempt, difference, normal},
    server::{Server, run},
    world::{ALL, plan_of, story_plan},
};

/// How long a lock is waited for here.
pub(crate) const LOCK: Duration = Duration::from_millis(300);

/// Rows of the compared databases: more than two batches.
pub(crate) fn rows() -> Vec<Row> {
    (0..120)
        .map(|n| {
            if n % 17 == 3 {
                Row::OldOdd
            } else if n % 11 == 5 {
                Row::Bare
            } else {
                Row::Old
            }
        })
        .collect()
}

/// One database twice, with two processes in front of each.
pub(crate) struct Pair {
    pub(crate) model: Model,
    pub(crate) plan: ChangePlan,
    /// A change of another release.
    pub(crate) other: ChangePlan,
    real: [Arc<dyn TargetDatabase>; 2],
    modelled: [Arc<dyn TargetDatabase>; 2],
    /// What each process has claimed, for each release.
    epochs: BTreeMap<(usize, ReleaseName), Epoch>,
    marker: Marker,
    pub(crate) shop: PgConnection,
    pub(crate) admin: PgConnection,
    blocking: PgConnection,
    blocked_by: Option<i32>,
    next: i64,
    last: i64,
    written: u32,
    /// What the model has logged.
    logged: Vec<String>,
    /// Leases so far.
    leases: u64,
}

/// Whose session is open, and what it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// It read the table.
    Read,
    /// It wrote the row with key 7.
    Wrote,
}

pub(crate) fn column(name: &str) -> Object {
    Object::Column { table: story::customers(), column: name.into() }
}

impl Pair {
    pub(crate) async fn new(server: &Server, name: &str) -> Self {
        let limits = Limits { lock: LOCK, batch_target: Duration::from_secs(3_600), ..Limits::default() };
        server.copy(name).await;
        let keyed = (1..).zip(rows());
        let mut setup = story::setup(keyed, ("hunter2", "hunter2"));
        name.clone_into(&mut setup.database);
        for (role, power) in [("reporter", Power::None), ("guest", Power::None), ("auditor", Power::ReadsAll)]
        {
            setup.roles.insert(role.into(), Role { password: "hunter2".into(), power });
        }
        let table = setup.tables.remove(&story::customers()).unwrap();
        setup.tables.insert(story::customers(), table.granted_to("reporter"));
        setup.settings.limits = limits;
        setup.settings.max_connections = 60;
        setup.settings.build = Duration::from_millis(1);
        let model = Model::new(setup, Arc::new(System::default()), Plans::default());
        let endpoint = Endpoint { host: "model".into(), port: 5432, database: name.into() };
        let secret = Secret::new(r#"{"username":"tidegate","password":"hunter2"}"#.into());
        let servers = Servers::new(Arc::new(Open)).with("model", 5432, name, model.clone());
        let open = || servers.open(&secret, Some(&endpoint)).unwrap();
        Self {
            plan: story_plan(50),
            other: plan_of("note", &[("1_expand_note.sql", "ALTER TABLE suppliers ADD COLUMN note text;")]),
            real: [server.process(name, limits), server.process(name, limits)],
            modelled: [open(), open()],
            model,
            epochs: BTreeMap::new(),
            marker: "tidegate:ecommerce/1-0a1b2c3d/i1".parse().unwrap(),
            shop: server.session("shop", name).await,
            admin: server.session("postgres", name).await,
            blocking: server.session("shop", name).await,
            blocked_by: None,
            next: 1,
            last: i64::try_from(rows().len()).unwrap(),
            written: 0,
            logged: Vec::new(),
            leases: 0,
        }
    }

    /// The release of a change.
    fn release(plan: &ChangePlan) -> ReleaseName {
        if plan.change.as_str() == "note" { "supplies" } else { "ecommerce" }.parse().unwrap()
    }

    pub(crate) async fn claim(&mut self, process: usize, plan: &ChangePlan) -> String {
        let release = Self::release(plan);
        self.leases += 1;
        self.claim_as(process, &release, "1", self.leases).await
    }

    /// A process claims in the name of a ledger and a lease.
    pub(crate) async fn claim_as(
        &mut self,
        process: usize,
        release: &ReleaseName,
        ledger: &str,
        lease: u64,
    ) -> String {
        let real = self.real[process].claim(release, ledger, lease).await;
        let modelled = self.modelled[process].claim(release, ledger, lease).await;
        if let Ok(epoch) = &real {
            self.epochs.insert((process, release.clone()), *epoch);
        }
        self.same("claim", &format!("{real:?}"), &format!("{modelled:?}"))
    }

    /// A file is expanded by a process.
    pub(crate) async fn expand(&mut self, process: usize, plan: &ChangePlan, file: &str) -> String {
        let (release, epoch) = self.claimed(process, plan);
        let job = Job { release: &release, plan, marker: &self.marker, epoch };
        let real = attempt(self.real[process].expand(job, file).await);
        let modelled = attempt(self.modelled[process].expand(job, file).await);
        self.same(&format!("expand {file}"), &real, &modelled)
    }

    pub(crate) async fn backfill(&mut self, process: usize, plan: &ChangePlan) -> String {
        let (release, epoch) = self.claimed(process, plan);
        let file = plan.files(FilePhase::Backfill).next().map_or("none", |file| &file.name);
        let job = Job { release: &release, plan, marker: &self.marker, epoch };
        let batch = |outcome: Result<Attempt<tidegate_schema::Batch>, Failure>| {
            attempt(outcome.map(|attempt| match attempt {
                Attempt::Done(mut batch) => {
                    batch.progress.milliseconds = 0;
                    Attempt::Done(batch)
                }
                other @ (Attempt::Blocked(_) | Attempt::Underway) => other,
            }))
        };
        let real = batch(self.real[process].backfill(job, file).await);
        let modelled = batch(self.modelled[process].backfill(job, file).await);
        self.same("backfill", &real, &modelled)
    }

    pub(crate) async fn hide(&mut self, process: usize) -> String {
        let plan = self.plan.clone();
        let (release, epoch) = self.claimed(process, &plan);
        let job = Job { release: &release, plan: &plan, marker: &self.marker, epoch };
        let real = attempt(self.real[process].hide(job).await);
        let modelled = attempt(self.modelled[process].hide(job).await);
        self.same("hide", &real, &modelled)
    }

    pub(crate) async fn unhide(&mut self, process: usize) -> String {
        let plan = self.plan.clone();
        let (release, epoch) = self.claimed(process, &plan);
        let job = Job { release: &release, plan: &plan, marker: &self.marker, epoch };
        let real = attempt(self.real[process].unhide(job).await);
        let modelled = attempt(self.modelled[process].unhide(job).await);
        self.same("unhide", &real, &modelled)
    }

    pub(crate) async fn purge(&mut self, process: usize, plan: &ChangePlan) -> String {
        let (release, epoch) = self.claimed(process, plan);
        let job = Job { release: &release, plan, marker: &self.marker, epoch };
        let namers = [Digest::of("version 1")];
        let real = attempt(self.real[process].purge(job, &namers).await);
        let modelled = attempt(self.modelled[process].purge(job, &namers).await);
        self.same("purge", &real, &modelled)
    }

    fn claimed(&self, process: usize, plan: &ChangePlan) -> (ReleaseName, Epoch) {
        let release = Self::release(plan);
        let epoch = self.epochs.get(&(process, release.clone())).copied();
        (release, epoch.unwrap_or(Epoch::of(0)))
    }

    /// Observes everything on both sides, and compares it.
    pub(crate) async fn observe(&mut self, plan: &ChangePlan) -> SchemaObservation {
        // A session counts as being in the way once it is older than a lock's budget.
        if self.blocked_by.is_some() {
            tokio::time::sleep(LOCK + Duration::from_millis(20)).await;
        }
        let release = Self::release(plan);
        let real = normal(self.real[0].observe(&release, plan, ALL).await);
        let modelled = normal(self.modelled[0].observe(&release, plan, ALL).await);
        assert!(real == modelled, "the observations differ: {}", difference(&real, &modelled));
        real
    }

    /// The application runs a statement once.
    pub(crate) async fn app(&mut self, app: App) -> String {
        self.written += 1;
        let statement = statement(app);
        let modelled = match self.model.run("shop", &statement, 1) {
            Ok(()) => "done".to_owned(),
            Err(Misfit::NoTable(_)) => "42P01".to_owned(),
            Err(Misfit::NoColumn { .. }) => "42703".to_owned(),
            Err(Misfit::Refused { .. }) => "42501".to_owned(),
        };
        let text = sqlx::AssertSqlSafe(statement.text.clone());
        let mut query = sqlx::query(text);
        for value in values(app, self.written) {
            query = query.bind(value);
        }
        if !matches!(app, App::Insert(_)) {
            query = query.bind(self.next);
        }
        let real = match query.execute(&mut self.shop).await {
            Ok(_) => "done".to_owned(),
            Err(sqlx::Error::Database(error)) => error.code().unwrap_or_default().into_owned(),
            Err(error) => panic!("{error}"),
        };
        if real == "done" {
            match app {
                App::Update(_) => self.next = if self.next >= self.last { 1 } else { self.next + 1 },
                App::Insert(_) => self.last += 1,
                App::ReadOld | App::ReadName | App::ReadAll => {}
            }
        }
        self.same(&format!("{app:?}"), &real, &modelled)
    }

    /// What the daemon's reader finds in each side's log since something is hidden: role, how, and the statement.
    pub(crate) fn denials(&mut self, server: &Server) -> Option<(String, String, String)> {
        let (release, plan) = (Self::release(&self.plan), self.plan.clone());
        let hidden = self.model.journal(&release, &plan.change).and_then(|journal| journal.hidden);
        self.logged.extend(self.model.take_log().into_iter().map(|(_, lines)| lines));
        let found = |text: &str, database: &dyn TargetDatabase| {
            let (ours, name) = database.identity();
            let rules = Rules {
                plan: &plan,
                hidden: hidden.as_ref(),
                database: &name,
                ours: &ours,
                failures_since: None,
            };
            let mut reader = LogReader::default();
            reader.read(text, &rules);
            reader.settle(&rules);
            assert!(reader.understood());
            reader.denial().map(|denial| (denial.role.clone(), denial.how.clone(), denial.text.clone()))
        };
        let real = found(&server.log(), &*self.real[0]);
        let modelled = found(&self.logged.concat(), &*self.modelled[0]);
        assert_eq!(real, modelled, "the logs differ: real, then model");
        real
    }

    /// A session stays in its transaction.
    pub(crate) async fn hold(&mut self, held: Held) {
        self.release_locks().await;
        let (sql, mut locks) = match held {
            Held::Read => (
                "BEGIN; SELECT count(*) FROM customers",
                Locks::table(&story::customers(), LockMode::AccessShare),
            ),
            Held::Wrote => (
                "BEGIN; UPDATE customers SET name = 'y' WHERE id = 7",
                Locks::table(&story::customers(), LockMode::RowExclusive),
            ),
        };
        if held == Held::Wrote {
            locks.rows.push((story::customers(), 7..=7));
        }
        run(&mut self.blocking, sql).await;
        let count = |text: &str| Statement {
            text: text.into(),
            table: story::customers(),
            names: Names::Columns(vec!["id".into()]),
            does: Does::Read,
        };
        let text = match held {
            Held::Read => "SELECT count(*) FROM customers",
            Held::Wrote => "UPDATE customers SET name = $1 WHERE id = $2",
        };
        self.model.run("shop", &count(text), 1).unwrap();
        self.blocked_by = Some(self.model.begin_session("shop", "app", locks));
    }

    /// It ends its transaction.
    pub(crate) async fn release_locks(&mut self) {
        if let Some(pid) = self.blocked_by.take() {
            run(&mut self.blocking, "ROLLBACK").await;
            self.model.end_session(pid);
        }
    }

    pub(crate) fn is_held(&self) -> bool {
        self.blocked_by.is_some()
    }

    /// A hand grants the guest all of the table, or revokes everything from a role.
    pub(crate) async fn grant(&mut self, role: &str) {
        run(&mut self.admin, &format!("GRANT ALL ON customers TO {role}")).await;
        self.model.grant(&story::customers(), role);
    }

    pub(crate) async fn revoke(&mut self, role: &str) {
        run(&mut self.admin, &format!("REVOKE ALL ON customers FROM {role}")).await;
        self.model.revoke(&story::customers(), role);
    }

    /// A hand makes a view over the old form, if there is none and the form is there; or drops it.
    pub(crate) async fn view(&mut self, there: bool) {
        let address = column("address");
        let view = Dependent { description: "view addresses".into(), vanishes: false };
        let has = self.model.by_hand(|catalog| catalog.depends(&address, &view));
        if there && !has && self.model.exists(&address) {
            run(&mut self.admin, "CREATE VIEW addresses AS SELECT id, address FROM customers").await;
            self.model.depend(&address, view);
        } else if !there && has {
            run(&mut self.admin, "DROP VIEW addresses").await;
            self.model.by_hand(|catalog| catalog.no_longer_depends(&address, &view));
        }
    }

    fn same(&self, what: &str, real: &str, modelled: &str) -> String {
        // Who is in the way is asked for in a session of its own, which may come too late on a slow machine.
        if real == "blocked []" && modelled.starts_with("blocked") {
            return real.to_owned();
        }
        assert_eq!(real, modelled, "{what}: the real server, then the model");
        real.to_owned()
    }
}
