//! What the shop is told at start: arguments and environment, the database as ECS secrets give it.
//!
//! Called by: the binary. Must not: take the password as an argument, or print it.

use std::net::IpAddr;

use sqlx::{
    ConnectOptions,
    postgres::{PgConnectOptions, PgSslMode},
};

use crate::{ConductSettings, Version};

/// Everything but the password.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "shop", about = "The story's application: customers and their addresses, in four versions")]
pub struct Settings {
    /// Which version to be: 1, 2, 3, or 4 (the bad one).
    #[arg(long = "version", env = "APP_VERSION")]
    pub version: Version,
    /// Address to listen on.
    #[arg(long, env = "HOST", default_value = "127.0.0.1")]
    pub host: IpAddr,
    /// Port to listen on.
    #[arg(long, env = "PORT", default_value_t = 8080)]
    pub port: u16,
    /// The database and how to reach it; its password comes only from DB_PASSWORD.
    #[command(flatten)]
    pub database: DatabaseSettings,
    /// How it behaves besides what its version does.
    #[command(flatten)]
    pub conduct: ConductSettings,
}

/// Where the database is.
#[derive(Clone, Debug, clap::Args)]
pub struct DatabaseSettings {
    /// Host name or address.
    #[arg(long, env = "DB_HOST")]
    pub db_host: String,
    /// Port.
    #[arg(long, env = "DB_PORT", default_value_t = 5432)]
    pub db_port: u16,
    /// Database name.
    #[arg(long, env = "DB_NAME")]
    pub db_name: String,
    /// Role.
    #[arg(long, env = "DB_USERNAME")]
    pub db_username: String,
}

/// The database password. Has no `Debug` and no `Display`, so that it can reach no log.
pub struct Password(String);

impl Password {
    /// Takes a password.
    pub fn new(text: String) -> Self {
        Self(text)
    }
}

impl Settings {
    /// How to connect. Statements are not logged; sessions carry the version's name. TLS is verified fully,
    /// except on loopback, where there is none.
    pub fn connect_options(&self, password: &Password) -> PgConnectOptions {
        let DatabaseSettings { db_host, db_port, db_name, db_username } = &self.database;
        let tls = if is_loopback(db_host) { PgSslMode::Disable } else { PgSslMode::VerifyFull };
        PgConnectOptions::new_without_pgpass()
            .host(db_host)
            .port(*db_port)
            .database(db_name)
            .username(db_username)
            .password(&password.0)
            .ssl_mode(tls)
            .application_name(&self.version.application_name())
            .disable_statement_logging()
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn settings(version: &str, host: &str) -> Settings {
        Settings::try_parse_from([
            "shop",
            "--version",
            version,
            "--db-host",
            host,
            "--db-name",
            "shop",
            "--db-username",
            "app",
        ])
        .unwrap()
    }

    #[test]
    fn sessions_carry_the_version() {
        let options = settings("3", "127.0.0.1").connect_options(&Password::new("x".into()));
        assert_eq!(options.get_application_name(), Some("shop-v3"));
        assert!(matches!(options.get_ssl_mode(), PgSslMode::Disable));
    }

    #[test]
    fn a_database_elsewhere_is_reached_over_verified_tls_only() {
        let options = settings("1", "db.example.com").connect_options(&Password::new("x".into()));
        assert!(matches!(options.get_ssl_mode(), PgSslMode::VerifyFull));
    }

    #[test]
    fn a_version_that_does_not_exist_is_refused() {
        let parsed = Settings::try_parse_from([
            "shop",
            "--version",
            "5",
            "--db-host",
            "h",
            "--db-name",
            "n",
            "--db-username",
            "u",
        ]);
        assert!(parsed.unwrap_err().to_string().contains("version must be 1, 2, 3 or 4"));
    }
}
