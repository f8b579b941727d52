//! A database's address as people write it: a URL without a password.

use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;

use crate::Endpoint;

/// Where a database is, and as whom to go there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Server and database.
    pub endpoint: Endpoint,
    /// The role, if the URL names one.
    pub user: Option<String>,
}

/// Why a URL cannot be used. The URL is not quoted: what looks like one may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It is no URL of a database.
    #[error("is not a URL like postgres://user@host/database")]
    Url,
    /// It has more than that behind it.
    #[error("takes no parameters behind a question mark")]
    Parameters,
    /// It stands in files and in the list of processes, where a password must not.
    #[error("holds a password, which it must not")]
    Password,
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(url: &str) -> Result<Self, AddressError> {
        let rest = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://"));
        let rest = rest.ok_or(AddressError::Url)?;
        // Before anything else looks at it: the driver logs parameters that it does not know.
        if rest.contains(['?', '#']) {
            return Err(AddressError::Parameters);
        }
        let (authority, database) = rest.split_once('/').ok_or(AddressError::Url)?;
        let user = authority.rsplit_once('@').map(|(user, _)| user);
        if user.is_some_and(|user| user.contains(':')) {
            return Err(AddressError::Password);
        }
        if database.is_empty() || database.contains('/') || authority.is_empty() {
            return Err(AddressError::Url);
        }
        let options = PgConnectOptions::from_str(url).map_err(|_| AddressError::Url)?;
        let host = match options.get_socket() {
            Some(folder) => folder.to_str().ok_or(AddressError::Url)?.to_owned(),
            None => options.get_host().to_owned(),
        };
        let database = options.get_database().ok_or(AddressError::Url)?.to_owned();
        let user = user.map(|_| options.get_username().to_owned());
        Ok(Self { endpoint: Endpoint { host, port: options.get_port(), database }, user })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> Result<(Option<String>, String, u16, String), AddressError> {
        let Address { endpoint: Endpoint { host, port, database }, user } = url.parse()?;
        Ok((user, host, port, database))
    }

    #[test]
    fn an_address_is_role_server_and_database() {
        assert_eq!(
            parsed("postgres://tidegate@db.example.com:6432/ledger"),
            Ok((Some("tidegate".into()), "db.example.com".into(), 6432, "ledger".into()))
        );
        let (user, host, port, database) = parsed("postgresql://10.0.0.1/ledger").unwrap();
        assert_eq!((user, host.as_str(), port, database.as_str()), (None, "10.0.0.1", 5432, "ledger"));
        assert_eq!(parsed("postgres://u@%2Frun%2Fpostgresql/ledger").unwrap().1, "/run/postgresql");
    }

    #[test]
    fn a_password_is_refused_and_nothing_is_quoted() {
        for (url, why) in [
            ("postgres://u:hunter2@db/ledger", AddressError::Password),
            ("postgres://db/ledger?password=hunter2", AddressError::Parameters),
            ("postgres://db/ledger?hunter2=1", AddressError::Parameters),
            ("mysql://hunter2@db/ledger", AddressError::Url),
            ("postgres://hunter2", AddressError::Url),
            ("postgres://hunter2/", AddressError::Url),
            ("postgres:///hunter2", AddressError::Url),
            ("postgres://db/hunter2/ledger", AddressError::Url),
            ("hunter2", AddressError::Url),
        ] {
            let error = url.parse::<Address>().unwrap_err();
            assert_eq!(error, why, "{url}");
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
    }
}
