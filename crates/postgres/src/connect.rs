//! From a secret to the options of a connection that can be trusted.
//!
//! The secret stays in here: its types have no `Debug`, `Display` or `Serialize`. TLS is verified in full unless the server is
//! on this machine.

use std::{net::IpAddr, path::Path};

use serde::Deserialize;
use sqlx::{
    ConnectOptions as _,
    postgres::{PgConnectOptions, PgSslMode},
};

/// The name that our sessions show in `pg_stat_activity`.
pub const APPLICATION: &str = "tidegate";

/// Text of a secret. It can be parsed and nothing else.
pub struct Secret(String);

/// The secret is not what Secrets Manager stores for a database. Its text is not quoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the secret is not a JSON object with username and password, and host and dbname where needed")]
pub struct BadSecret;

/// Who we are to a server.
pub struct Login {
    username: String,
    /// None where the server trusts the role without one.
    password: Option<String>,
}

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Host name, address, or the folder of a socket.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Database name.
    pub database: String,
}

/// The members that Amazon RDS writes into a database secret; others are ignored.
#[derive(Deserialize)]
struct Parsed {
    username: String,
    password: String,
    host: Option<String>,
    port: Option<Port>,
    dbname: Option<String>,
}

/// RDS writes a number; people write text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Port {
    Number(u16),
    Text(String),
}

impl Port {
    fn number(&self) -> Result<u16, BadSecret> {
        match self {
            Self::Number(port) => Ok(*port),
            Self::Text(text) => text.parse().map_err(|_| BadSecret),
        }
    }
}

impl Secret {
    /// Takes the text as Secrets Manager returned it.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The host that the secret itself names: a secret without one must be bound to its instance in another way.
    pub fn host(&self) -> Option<String> {
        self.parse().ok().and_then(|parsed| parsed.host)
    }

    /// Where it may be sent, and what it is there. What it does not say itself is `endpoint`'s.
    ///
    /// # Errors
    /// If both together do not name all that is needed.
    pub fn resolve(&self, endpoint: Option<&Endpoint>) -> Result<(Endpoint, Login), BadSecret> {
        let Parsed { username, password, host, port, dbname } = self.parse()?;
        let host = host.or_else(|| endpoint.map(|at| at.host.clone())).ok_or(BadSecret)?;
        let port = match (port, endpoint) {
            (Some(port), _) => port.number()?,
            (None, Some(endpoint)) => endpoint.port,
            (None, None) => 5432,
        };
        let database = dbname
            .or_else(|| endpoint.map(|at| at.database.clone()))
            // The server would take an empty name as the role's own.
            .filter(|name| !name.is_empty())
            .ok_or(BadSecret)?;
        Ok((Endpoint { host, port, database }, Login { username, password: Some(password) }))
    }

    fn parse(&self) -> Result<Parsed, BadSecret> {
        serde_json::from_str(&self.0).map_err(|_| BadSecret)
    }
}

impl Login {
    /// A role, and its password if it needs one.
    pub fn new(username: String, password: Option<String>) -> Self {
        Self { username, password }
    }

    /// The role.
    pub fn role(&self) -> &str {
        &self.username
    }

    /// True if this is the password: a model of a server has nobody else to ask.
    pub fn has_password(&self, password: &str) -> bool {
        self.password.as_deref() == Some(password)
    }
}

/// How to connect. `bundle` is a PEM file of certificate authorities for servers that are not on this machine.
pub fn options(endpoint: &Endpoint, login: &Login, bundle: Option<&Path>) -> PgConnectOptions {
    let host = endpoint.host.as_str();
    // Without the password file: only what was given may be sent to the server.
    let mut options = PgConnectOptions::new_without_pgpass()
        .host(host)
        .port(endpoint.port)
        .database(&endpoint.database)
        .username(&login.username)
        .application_name(APPLICATION)
        // Statements prepared before a change of their table fail after it.
        .statement_cache_capacity(0);
    if let Some(password) = &login.password {
        options = options.password(password);
    }
    if host.starts_with('/') {
        options = options.socket(host);
    }
    options = if is_local(host) {
        options.ssl_mode(PgSslMode::Prefer)
    } else {
        let verified = options.ssl_mode(PgSslMode::VerifyFull);
        match bundle {
            Some(bundle) => verified.ssl_root_cert(bundle),
            None => verified,
        }
    };
    options.disable_statement_logging()
}

/// True for sockets and loopback, where there is no wire to protect.
pub fn is_local(host: &str) -> bool {
    host.starts_with('/')
        || host == "localhost"
        || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(secret: &str, endpoint: Option<&Endpoint>) -> Result<PgConnectOptions, BadSecret> {
        let (endpoint, login) = Secret::new(secret.into()).resolve(endpoint)?;
        Ok(options(&endpoint, &login, None))
    }

    #[test]
    fn a_secret_of_rds_is_enough() {
        let secret =
            r#"{"username":"u","password":"p","engine":"postgres","host":"h","port":6432,"dbname":"d"}"#;
        let options = opened(secret, None).unwrap();
        assert_eq!((options.get_host(), options.get_port(), options.get_database()), ("h", 6432, Some("d")));
        assert_eq!(options.get_application_name(), Some("tidegate"));
    }

    #[test]
    fn a_managed_secret_takes_the_instance_s_endpoint() {
        let endpoint = Endpoint { host: "127.0.0.1".into(), port: 5433, database: "shop".into() };
        let options = opened(r#"{"username":"u","password":"p"}"#, Some(&endpoint)).unwrap();
        assert_eq!((options.get_host(), options.get_port()), ("127.0.0.1", 5433));
        assert_eq!(opened(r#"{"username":"u","password":"p"}"#, None).unwrap_err(), BadSecret);
        let unnamed = Endpoint { database: String::new(), ..endpoint };
        assert_eq!(opened(r#"{"username":"u","password":"p"}"#, Some(&unnamed)).unwrap_err(), BadSecret);
    }

    #[test]
    fn tls_is_verified_in_full_except_on_this_machine() {
        let mode = |host: &str| {
            let secret = format!(r#"{{"username":"u","password":"p","host":"{host}","dbname":"d"}}"#);
            opened(&secret, None).unwrap().get_ssl_mode()
        };
        for host in ["db.example.com", "10.0.0.1", "localhost.example.com", "127.0.0.1.example.com"] {
            assert!(matches!(mode(host), PgSslMode::VerifyFull), "{host}");
        }
        for host in ["127.0.0.1", "localhost", "::1", "/run/postgresql"] {
            assert!(matches!(mode(host), PgSslMode::Prefer), "{host}");
        }
    }

    #[test]
    fn a_malformed_secret_is_named_and_not_quoted() {
        for secret in ["hunter2", "{}", r#"{"username":"hunter2"}"#, r#"{"username":1,"password":"hunter2"}"#]
        {
            let error = opened(secret, None).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
    }
}
