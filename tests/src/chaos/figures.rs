//! What processes hold in memory: told, and judged by whoever reads it. A limit here would fail on another machine's allocator.

use std::{fmt, fs, time::Duration};

/// Ages that are compared, in milliseconds: old enough to have read the ledger and made some passes.
const COMPARED: std::ops::Range<u128> = 1_000..3_000;

/// Every reading, in order.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    notes: Vec<Note>,
    /// Of daemons that were killed at about the same age.
    daemons: Vec<u64>,
}

#[derive(Clone, Debug)]
struct Note {
    when: String,
    sandbox: Option<u64>,
    daemon: Option<(u64, Duration)>,
}

impl Figures {
    pub(super) fn note(&mut self, when: &str, sandbox: Option<u32>, daemon: Option<(u32, Duration)>) {
        let daemon = daemon.and_then(|(id, age)| Some((resident(id)?, age)));
        self.notes.push(Note { when: when.to_owned(), sandbox: sandbox.and_then(resident), daemon });
    }

    pub(super) fn dies(&mut self, daemon: Option<u32>, age: Duration, answered: bool) {
        if answered && COMPARED.contains(&age.as_millis()) {
            self.daemons.extend(daemon.and_then(resident));
        }
    }
}

/// Kilobytes that a process holds, where the system tells.
fn resident(id: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn megabytes(kilobytes: u64) -> u64 {
    kilobytes / 1024
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Note { when, sandbox, daemon } in &self.notes {
            let sandbox = sandbox.map_or("?".to_owned(), |size| format!("{} MB", megabytes(size)));
            write!(f, "  {when}: sandbox {sandbox}")?;
            match daemon {
                Some((size, age)) => {
                    writeln!(f, ", daemon {} MB, {:.1} s old", megabytes(*size), age.as_secs_f64())?;
                }
                None => writeln!(f)?,
            }
        }
        let third = self.daemons.len() / 3;
        let mean = |sizes: &[u64]| megabytes(sizes.iter().sum::<u64>() / sizes.len().max(1) as u64);
        if third > 0 {
            let (first, last) = (&self.daemons[..third], &self.daemons[self.daemons.len() - third..]);
            let (first, last) = (mean(first), mean(last));
            writeln!(
                f,
                "  daemons killed 1 to 3 s old: {first} MB in the first third, {last} MB in the last"
            )?;
        }
        Ok(())
    }
}
