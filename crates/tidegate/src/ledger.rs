//! Which ledger the configuration names, and how it is reached.
//!
//! Used by `run` and `judge --from-ledger`. A password is never in an argument, a file or a URL: it comes from a secret that
//! the daemon reads with its own role, again whenever the server refuses it, or from `PGPASSWORD`.

use std::{path::PathBuf, sync::Arc};

use tidegate_aws::Aws;
use tidegate_ledger::{
    Ledger, OpenError, ReadOnly,
    store::postgres::{Connect, Refused},
};
use tidegate_postgres::{Address, Login, Secret, options};

use crate::config::Config;

/// The environment variable that holds the password where no secret is named, as for every other client of PostgreSQL.
const PASSWORD: &str = "PGPASSWORD";

/// A PostgreSQL database that keeps a ledger.
#[derive(Clone)]
struct Server {
    address: Option<Address>,
    secret: Option<String>,
    ca_bundle: Option<PathBuf>,
}

/// Opens the ledger that is configured.
///
/// # Errors
/// Why it cannot be opened.
pub(crate) async fn open(config: &Config, aws: &Aws) -> Result<Ledger, OpenError> {
    let part = &config.ledger;
    if part.url.is_none() && part.secret.is_none() {
        return Ledger::open(&part.path).await;
    }
    let server = Server {
        address: part.url.as_ref().and_then(|url| url.address().ok()),
        secret: part.secret.clone(),
        ca_bundle: part.ca_bundle.clone().or_else(|| config.schema.ca_bundle.clone()),
    };
    Ledger::shared(server.connect(Some(aws.clone()))).await
}

/// Opens the ledger at an address for reading, as the role of the URL.
///
/// # Errors
/// Why it cannot be opened.
pub(crate) async fn read(address: Address, ca_bundle: Option<PathBuf>) -> Result<ReadOnly, OpenError> {
    ReadOnly::shared(Server { address: Some(address), secret: None, ca_bundle }.connect(None)).await
}

impl Server {
    fn connect(self, aws: Option<Aws>) -> Connect {
        let shared = Arc::new((self, aws));
        Box::new(move || {
            let shared = Arc::clone(&shared);
            Box::pin(async move {
                let (server, aws) = &*shared;
                match (&server.secret, aws) {
                    (Some(arn), Some(aws)) => {
                        let value = aws.secret(arn).await.map_err(|error| Refused(error.to_string()))?;
                        server.by_secret(&Secret::new(value.expose().to_owned()))
                    }
                    (Some(_) | None, _) => server.by_environment(std::env::var(PASSWORD).ok()),
                }
            })
        })
    }

    /// The secret may be sent to the host that it names itself, or to the configured one if it names none.
    fn by_secret(&self, secret: &Secret) -> Result<sqlx::postgres::PgConnectOptions, Refused> {
        let refused = |why: &str| Refused(why.to_owned());
        let address = self.address.as_ref().map(|address| &address.endpoint);
        let (named, login) = secret.resolve(address).map_err(|error| refused(&error.to_string()))?;
        if address.is_some_and(|address| address.host != named.host) {
            return Err(refused("ledger.secret is for another host than that of ledger.url"));
        }
        Ok(options(address.unwrap_or(&named), &login, self.ca_bundle.as_deref()))
    }

    fn by_environment(&self, password: Option<String>) -> Result<sqlx::postgres::PgConnectOptions, Refused> {
        let refused = |why: &str| Refused(why.to_owned());
        let Some(Address { endpoint, user }) = &self.address else {
            return Err(refused("no ledger.url tells where it is"));
        };
        let user =
            user.clone().ok_or_else(|| refused("ledger.url names no role, and there is no ledger.secret"))?;
        Ok(options(endpoint, &Login::new(user, password), self.ca_bundle.as_deref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(url: Option<&str>) -> Server {
        let address = url.map(|url| url.parse().unwrap());
        Server { address, secret: Some("arn".into()), ca_bundle: None }
    }

    fn secret(members: &str) -> Secret {
        Secret::new(format!(r#"{{"username":"tidegate","password":"hunter2"{members}}}"#))
    }

    #[test]
    fn a_secret_goes_to_its_own_host_or_to_the_configured_one_if_it_names_none() {
        let url = Some("postgres://db.example.com:6432/ledger");
        let named = server(None).by_secret(&secret(r#","host":"db","dbname":"shop""#)).unwrap();
        assert_eq!((named.get_host(), named.get_database()), ("db", Some("shop")));
        let managed = server(url).by_secret(&secret("")).unwrap();
        assert_eq!((managed.get_host(), managed.get_port()), ("db.example.com", 6432));
        let both = server(url).by_secret(&secret(r#","host":"db.example.com","dbname":"shop""#)).unwrap();
        assert_eq!(both.get_database(), Some("ledger"), "what is configured is what is meant");
        for (url, members) in [(url, r#","host":"elsewhere.example.com""#), (None, "")] {
            let refused = server(url).by_secret(&secret(members)).unwrap_err();
            assert!(!format!("{refused} {refused:?}").contains("hunter2"));
        }
    }

    #[test]
    fn without_a_secret_the_url_names_the_role() {
        let options = server(Some("postgres://me@db/ledger")).by_environment(Some("hunter2".into())).unwrap();
        assert_eq!(options.get_username(), "me");
        assert!(server(Some("postgres://db/ledger")).by_environment(None).is_err());
        assert!(server(None).by_environment(None).is_err());
    }
}
