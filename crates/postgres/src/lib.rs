//! What every connection of Tidegate to PostgreSQL has in common: where a secret may be sent, how TLS is verified, and what
//! an error may say.
//!
//! Used by `tidegate-schema` for target databases and by `tidegate-ledger` for a ledger on PostgreSQL. It opens nothing, reads
//! no secret and knows no statement; [`Secret`] and [`Login`] have no `Debug`, `Display` or `Serialize`.

mod address;
mod connect;
mod fault;

pub use address::{Address, AddressError};
pub use connect::{APPLICATION, BadSecret, Endpoint, Login, Secret, is_local, options};
pub use fault::{Fault, SqlState};
