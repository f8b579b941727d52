//! What the integration tests share: a stage on which the real controller plays against the sandbox in
//! virtual time, and live worlds with one daemon or several as processes, and under chaos.

pub mod chaos;
pub mod database;
pub mod live;
pub mod several;
pub mod stage;

use tidegate_sandbox::audit::AuditEntry;

/// Of an audit log, what the daemon does: everything but status writes and what people and AWS itself did.
fn by_daemon(audit: Vec<AuditEntry>) -> Vec<AuditEntry> {
    const CALLS: [&str; 7] = [
        "RegisterTaskDefinition",
        "CreateDeploymentConfig",
        "CreateDeployment",
        "ContinueDeployment",
        "StopDeployment",
        "RunTask",
        "CreateDBSnapshot",
    ];
    audit.into_iter().filter(|entry| CALLS.contains(&entry.operation.as_str())).collect()
}
