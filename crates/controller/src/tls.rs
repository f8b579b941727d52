//! The TLS provider of this crate's HTTP clients.

/// Installs ring as the process's TLS provider unless one is installed already. The first one stays; a second call, or a
/// provider that the binary chose, is no error.
pub(crate) fn install() {
    drop(rustls::crypto::ring::default_provider().install_default());
}
