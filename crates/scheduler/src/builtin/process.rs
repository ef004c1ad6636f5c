//! One built-in worker's process: start it, find it again, see whether it lives, end it.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::record::{Record, boot_id, start_ticks};

/// How to start it, and where it is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) program: PathBuf,
    pub(super) args: Vec<String>,
    pub(super) envs: Vec<(String, String)>,
    pub(super) record: PathBuf,
    pub(super) log: PathBuf,
}

/// A process that runs, started by this scheduler or by the one before it.
pub(super) struct Running {
    record: Record,
    // Present when it is our own child, which must be reaped.
    child: Option<Child>,
}

impl Running {
    /// The process that an earlier scheduler left, if it lives. With another command line it is not the wanted one, but
    /// it has to be ended before the wanted one starts.
    pub(super) fn left_behind(plan: &Plan) -> Option<(Self, bool)> {
        let record = Record::read(&plan.record).filter(Record::is_alive)?;
        let wanted = (&record.program, &record.args) == (&plan.program, &plan.args);
        Some((Self { record, child: None }, wanted))
    }

    /// Starts it in a process group of its own, tied to nothing of this process: no pipe, no parent-death signal.
    pub(super) fn start(plan: &Plan) -> io::Result<Self> {
        if let Some(parent) = plan.record.parent() {
            fs::create_dir_all(parent)?;
        }
        let log = OpenOptions::new().create(true).append(true).open(&plan.log)?;
        let mut child = Command::new(&plan.program)
            .args(&plan.args)
            .envs(plan.envs.iter().map(|(k, v)| (k, v)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .process_group(0)
            .spawn()?;
        match remember(plan, child.id()) {
            Ok(record) => Ok(Self { record, child: Some(child) }),
            Err(error) => {
                // A process that nobody would find again must not stay.
                let ended = child.kill().and_then(|()| child.wait());
                Err(ended.err().unwrap_or(error))
            }
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.record.pid
    }

    /// Why it is dead; none while it lives.
    pub(super) fn death(&mut self) -> Option<String> {
        if let Some(child) = &mut self.child {
            return match child.try_wait() {
                Ok(None) => None,
                Ok(Some(status)) => Some(status.to_string()),
                Err(error) => Some(error.to_string()),
            };
        }
        if self.record.is_alive() { None } else { Some("it is gone".into()) }
    }

    /// Sends a signal, unless it is dead already.
    pub(super) fn signal(&mut self, signal: Signal) {
        if self.death().is_some() {
            return;
        }
        let pid = i32::try_from(self.record.pid).ok().and_then(Pid::from_raw);
        if let Some(Err(error)) = pid.map(|pid| kill_process(pid, signal)) {
            tracing::warn!(pid = self.record.pid, %error, "cannot signal a built-in worker");
        }
    }
}

fn remember(plan: &Plan, pid: u32) -> io::Result<Record> {
    let gone = || io::Error::other("it ended at once; its log says why");
    let record = Record {
        pid,
        start_ticks: start_ticks(pid).ok_or_else(gone)?,
        boot_id: boot_id(),
        program: plan.program.clone(),
        args: plan.args.clone(),
    };
    record.write(&plan.record)?;
    Ok(record)
}
