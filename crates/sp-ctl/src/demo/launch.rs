//! Starting one service: its command line, its log, and the line in which it says where it listens.

use std::fs::{File, OpenOptions};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Context as _;
use serde::Deserialize;
use tokio::process::{Child, Command};

use super::error::Result;
use crate::sibling;

/// Environment of the caller that would change what a service does.
const FOREIGN_PREFIXES: [&str; 7] =
    ["SP_SCHEDULER_", "SP_STORAGE_INDEX_", "SP_INDEX_", "SP_SEALING_WORKER_", "SP_POST_WORKER_", "SP_CTL_", "LOTUS_"];
const FOREIGN_NAMES: [&str; 2] = ["MINER_API_INFO", "MARKETS_API_INFO"];

/// How to start a service, again and again.
#[derive(Debug, Clone)]
pub(super) struct Spec {
    pub(super) name: String,
    pub(super) program: &'static str,
    pub(super) arguments: Vec<String>,
    pub(super) data_dir: PathBuf,
    /// Directory of the logs.
    pub(super) logs: PathBuf,
}

/// The line that a service prints when it listens.
#[derive(Debug, Deserialize)]
struct Announcement {
    listen: SocketAddr,
    pid: u32,
}

impl Spec {
    /// What the service says to people.
    pub(super) fn log(&self) -> PathBuf {
        log_path(&self.logs, &self.name)
    }

    fn stdout(&self) -> PathBuf {
        self.logs.join(format!("{}.out", self.name))
    }

    /// Starts the process in a group of its own. Its output goes to files, so that it may outlive us.
    pub(super) fn spawn(&self) -> Result<Child> {
        std::fs::create_dir_all(&self.data_dir)
            .with_context(|| format!("cannot create {}", self.data_dir.display()))?;
        let program = sibling::path(self.program)?;
        let log = OpenOptions::new().create(true).append(true).open(self.log());
        let stdout = File::create(self.stdout()).context("cannot create the file of its output")?;
        let mut command = Command::new(program);
        command.arg("run").arg("--data-dir").arg(&self.data_dir).args(&self.arguments);
        command.stdin(Stdio::null()).stdout(stdout).stderr(log.context("cannot open its log")?).process_group(0);
        for (name, _) in std::env::vars_os() {
            let foreign = name.to_str().is_some_and(|name| {
                FOREIGN_NAMES.contains(&name) || FOREIGN_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
            });
            if foreign {
                command.env_remove(name);
            }
        }
        Ok(command.spawn().with_context(|| format!("cannot start {}", self.program))?)
    }

    /// Where the process with this id listens, once it has said so.
    pub(super) fn announced(&self, pid: u32) -> Option<SocketAddr> {
        let text = std::fs::read_to_string(self.stdout()).ok()?;
        // A line that is still being written has no end yet.
        let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let announcements = lines.filter_map(|line| serde_json::from_str::<Announcement>(line).ok());
        announcements.filter(|announcement| announcement.pid == pid).map(|announcement| announcement.listen).next()
    }
}

/// The log of a process by its name.
pub(super) fn log_path(logs: &Path, name: &str) -> PathBuf {
    logs.join(format!("{name}.log"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_line_of_this_process_counts() {
        let dir = tempfile::tempdir().unwrap();
        let logs = dir.path().to_owned();
        let spec =
            Spec { name: "x".into(), program: "sp-x", arguments: vec![], data_dir: logs.join("d"), logs: logs.clone() };
        assert_eq!(spec.announced(5), None);
        let line = r#"{"service":"sp-x","listen":"127.0.0.1:4000","pid":5}"#;
        std::fs::write(logs.join("x.out"), line).unwrap();
        assert_eq!(spec.announced(5), None, "the line has no end yet");
        std::fs::write(logs.join("x.out"), format!("noise\n{line}\n")).unwrap();
        assert_eq!(spec.announced(5), Some(([127, 0, 0, 1], 4000).into()));
        assert_eq!(spec.announced(6), None, "another process");
    }
}
