//! Ends task processes when the sandbox ends, however it ends: a shell that waits on a pipe and knows their groups.

use std::{io, os::unix::process::CommandExt as _, process::Stdio, sync::Arc};

use tokio::{
    io::AsyncWriteExt as _,
    process::{Child, ChildStdin, Command},
    sync::Mutex,
};

/// Lines are `+ <group>` and `- <group>`; at the end of input every group that is left is killed. Without `--` before the
/// group: dash takes none there.
const SCRIPT: &str = r#"
groups=" "
while read -r sign group; do
    case $sign in
        +) groups="$groups$group " ;;
        -) groups="${groups%%" $group "*} ${groups#*" $group "}" ;;
    esac
done
for group in $groups; do kill -KILL "-$group" 2>/dev/null; done
"#;

/// The watchdog; cheap to clone.
#[derive(Clone)]
pub(super) struct Watchdog(Arc<Mutex<Pipe>>);

struct Pipe {
    input: ChildStdin,
    _shell: Child,
}

impl Watchdog {
    pub(super) fn start() -> io::Result<Self> {
        let mut command = std::process::Command::new("/bin/sh");
        command.args(["-c", SCRIPT, "tidegate-watchdog"]).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut shell = Command::from(command).spawn()?;
        let input = shell.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(Self(Arc::new(Mutex::new(Pipe { input, _shell: shell }))))
    }

    /// From now on the group dies with the sandbox.
    pub(super) async fn watch(&self, group: u32) -> io::Result<()> {
        self.tell(&format!("+ {group}\n")).await
    }

    /// The group is gone; its number may be given to somebody else.
    pub(super) async fn forget(&self, group: u32) -> io::Result<()> {
        self.tell(&format!("- {group}\n")).await
    }

    async fn tell(&self, line: &str) -> io::Result<()> {
        self.0.lock().await.input.write_all(line.as_bytes()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper() -> Child {
        Command::new("sleep").arg("600").process_group(0).kill_on_drop(true).spawn().unwrap()
    }

    #[tokio::test]
    async fn what_it_watches_dies_with_it_and_what_it_forgot_does_not() {
        let (mut watched, mut forgotten) = (sleeper(), sleeper());
        let watchdog = Watchdog::start().unwrap();
        for child in [&watched, &forgotten] {
            watchdog.watch(child.id().unwrap()).await.unwrap();
        }
        watchdog.forget(forgotten.id().unwrap()).await.unwrap();
        drop(watchdog);
        let ended = tokio::time::timeout(std::time::Duration::from_secs(20), watched.wait()).await;
        assert!(!ended.expect("it is killed").unwrap().success());
        assert!(forgotten.try_wait().unwrap().is_none());
    }
}
