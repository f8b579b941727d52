//! Read-only HTTP: API, status page, metrics.
