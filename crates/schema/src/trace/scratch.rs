//! The database that is copied, and the copy's life.
//!
//! Called by [`super::trace`] and [`super::rehearse`]. The given database is read by the server alone, as a template; the
//! copy is gone at the end, after a failure and after an interruption too.

use std::{
    str::FromStr as _,
    sync::atomic::{AtomicU32, Ordering},
};

use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection,
    postgres::{PgConnectOptions, PgSslMode},
};

use crate::{catalog, connect, failure::Failure};

/// Why a change could not be tried at all.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The URL is not one of a PostgreSQL database.
    #[error("the database's address is not a URL like postgres://user@host/name")]
    Url,
    /// A URL stands in the list of processes, and a password must not.
    #[error("the database's address holds a password; use PGPASSWORD or PGPASSFILE")]
    Password,
    /// The copy could not be made.
    #[error("copy the database: {0}")]
    Copy(Failure),
    /// The copy could not be used.
    #[error("try the change on a copy of the database")]
    Server(#[from] Failure),
    /// It was stopped; the copy is gone.
    #[error("interrupted")]
    Interrupted,
    /// A file does not parse, or a statement would reach beyond the copy or out of its transaction.
    #[error("the files have statements that cannot be tried on a copy; mend the problems first")]
    Problems,
}

/// A database to copy. Has no `Debug`: it may hold a password.
pub struct Scratch(PgConnectOptions);

impl Scratch {
    /// From a URL without a password; the server's usual environment variables and password file hold that.
    ///
    /// # Errors
    /// [`TraceError::Url`] and [`TraceError::Password`].
    pub fn from_url(url: &str) -> Result<Self, TraceError> {
        let (_, rest) = url.split_once("://").ok_or(TraceError::Url)?;
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        if authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
            || rest.contains("password=")
        {
            return Err(TraceError::Password);
        }
        let options = PgConnectOptions::from_str(url).map_err(|_| TraceError::Url)?;
        let options = if connect::is_local(options.get_host()) {
            options
        } else {
            options.ssl_mode(PgSslMode::VerifyFull)
        };
        Ok(Self(options.application_name(connect::APPLICATION).disable_statement_logging()))
    }

    /// The same database with a password.
    #[must_use]
    pub fn password(self, password: &str) -> Self {
        Self(self.0.password(password))
    }

    /// Does something with a copy. It is dropped at the end, also if `stop` ends first.
    pub(super) async fn with_copy<T>(
        &self,
        stop: impl Future<Output = ()>,
        work: impl AsyncFnOnce(PgConnection) -> Result<T, Failure>,
    ) -> Result<T, TraceError> {
        static COPIES: AtomicU32 = AtomicU32::new(0);
        let (process, number) = (std::process::id(), COPIES.fetch_add(1, Ordering::Relaxed));
        let name = format!("tidegate_trace_{process}_{number}");
        let copied = async {
            copy(&self.0, &name).await.map_err(TraceError::Copy)?;
            let connection = connect(&self.0, &name).await?;
            Ok(work(connection).await?)
        };
        let outcome = tokio::select! {
            outcome = copied => outcome,
            () = stop => Err(TraceError::Interrupted),
        };
        let dropped = drop_copy(&self.0, &name).await;
        let value = outcome?;
        dropped?;
        Ok(value)
    }
}

async fn connect(options: &PgConnectOptions, database: &str) -> Result<PgConnection, Failure> {
    let mut connection = PgConnection::connect_with(&options.clone().database(database)).await?;
    sqlx::raw_sql("SET search_path = public; SET lock_timeout = '5s'").execute(&mut connection).await?;
    Ok(connection)
}

async fn copy(options: &PgConnectOptions, name: &str) -> Result<(), Failure> {
    let source = options.get_database().unwrap_or_else(|| options.get_username()).to_owned();
    let mut server = maintenance(options).await?;
    let sql = format!("CREATE DATABASE {} TEMPLATE {}", catalog::quoted(name), catalog::quoted(&source));
    let made = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut server).await;
    drop(server.close().await);
    Ok(made.map(drop)?)
}

async fn drop_copy(options: &PgConnectOptions, name: &str) -> Result<(), Failure> {
    let mut server = maintenance(options).await?;
    let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", catalog::quoted(name));
    let dropped = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut server).await;
    drop(server.close().await);
    Ok(dropped.map(drop)?)
}

/// A database that is on every server, from which others are made.
async fn maintenance(options: &PgConnectOptions) -> Result<PgConnection, Failure> {
    Ok(PgConnection::connect_with(&options.clone().database("postgres")).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_with_a_password_is_refused() {
        for url in ["postgres://u:p@localhost/d", "postgres://localhost/d?user=u&password=p"] {
            assert!(matches!(Scratch::from_url(url), Err(TraceError::Password)), "{url}");
        }
        assert!(matches!(Scratch::from_url("localhost"), Err(TraceError::Url)));
        assert!(Scratch::from_url("postgres://u@localhost:5433/d").is_ok());
    }

    #[test]
    fn tls_is_verified_in_full_except_on_this_machine() {
        let mode = |url: &str| Scratch::from_url(url).expect("an address").0.get_ssl_mode();
        assert!(matches!(mode("postgres://u@db.example.com/d"), PgSslMode::VerifyFull));
        assert!(matches!(mode("postgres://u@db.example.com/d?sslmode=disable"), PgSslMode::VerifyFull));
        assert!(!matches!(mode("postgres://u@127.0.0.1/d"), PgSslMode::VerifyFull));
    }
}
