//! A node as a process of its own.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::plan::PlannedNode;

/// A running node. It stops when this process does, however that ends: its standard input closes.
/// Dropped, it is killed.
#[derive(Debug)]
pub struct NodeProcess {
    child: Child,
    pid: u32,
}

/// Of a log that is shown, so many bytes.
const TAIL_BYTES: u64 = 2048;

impl NodeProcess {
    /// Starts a node; its output is added to its log file.
    ///
    /// # Errors
    ///
    /// When the program or the log file cannot be opened.
    pub fn start(
        program: &Path,
        node: &PlannedNode,
        environment: &[(&str, &Path)],
    ) -> anyhow::Result<Self> {
        let log = File::options().create(true).append(true).open(&node.log);
        let log = log.with_context(|| node.log.display().to_string())?;
        let child = Command::new(program)
            .arg("--config")
            .arg(&node.config)
            .arg("--exit-with-stdin")
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C is for the parent, which stops its nodes in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let pid = child.id().context("it ended at once")?;
        Ok(Self { child, pid })
    }

    /// Its process id, also after its end.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    ///
    /// When the kernel does not tell.
    pub fn ended(&mut self) -> std::io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Waits for its end; may be given up and called again.
    ///
    /// # Errors
    ///
    /// When the kernel does not tell.
    pub async fn wait(&mut self) -> std::io::Result<ExitStatus> {
        // Not `Child::wait`, which closes the standard input: that would stop the node.
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Kills it with -9 and waits until the kernel has taken it away.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub async fn kill(&mut self) -> std::io::Result<()> {
        self.child.kill().await
    }

    /// Asks it to stop (SIGTERM).
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn terminate(&mut self) -> std::io::Result<()> {
        self.signal(Signal::TERM)
    }

    /// Takes the processor away from it (SIGSTOP).
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn pause(&mut self) -> std::io::Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on (SIGCONT).
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn resume(&mut self) -> std::io::Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&mut self, signal: Signal) -> std::io::Result<()> {
        if self.ended()?.is_none() {
            let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
            if let Some(pid) = pid {
                kill_process(pid, signal)?;
            }
        }
        Ok(())
    }

    /// Asks it to stop (SIGTERM); after `patience` kills it. Answers whether it stopped by itself.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub async fn stop(&mut self, patience: Duration) -> std::io::Result<bool> {
        self.terminate()?;
        match timeout(patience, self.wait()).await {
            Ok(ended) => ended.map(|_| true),
            Err(_) => self.kill().await.map(|()| false),
        }
    }
}

/// The end of a node's log, for an error.
#[must_use]
pub fn tail(log: &PathBuf) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    match read() {
        Ok(text) => format!("the end of {}:\n{text}", log.display()),
        Err(error) => format!("{}: {error}", log.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::{Options, Plan};
    use super::super::ports::Ports;
    use super::*;

    /// A stand-in for a node: it says what it was given and waits for the end of its input.
    fn stand_in(dir: &Path, last: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = dir.join("stand-in");
        let script = format!("#!/bin/sh\necho \"$1 $3 $COLOUR\"\n{last}\n");
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[tokio::test]
    async fn a_node_is_started_stopped_and_killed() {
        let dir = tempfile::tempdir().unwrap();
        let options = Options {
            ports: Ports::Any,
            ..Options::default()
        };
        let plan = Plan::create(&dir.path().join("cluster"), 1, &options).unwrap();
        let node = &plan.nodes[0];
        let program = stand_in(dir.path(), "read line; exec true");
        let colour = [("COLOUR", Path::new("red"))];
        let mut process = NodeProcess::start(&program, node, &colour).unwrap();
        assert_eq!(process.ended().unwrap(), None);
        // It may be stopped before it has said a word.
        while !tail(&node.log).contains("red") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(process.stop(Duration::from_secs(60)).await.unwrap());
        assert!(process.ended().unwrap().is_some());

        let mut process = NodeProcess::start(&program, node, &[]).unwrap();
        process.kill().await.unwrap();
        assert!(!process.wait().await.unwrap().success());
        let log = tail(&node.log);
        assert!(log.contains("--config --exit-with-stdin red"), "{log}");
    }
}
