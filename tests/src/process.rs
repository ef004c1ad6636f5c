//! One process of the cluster: start it, read its announcement, kill it, know whether it lives.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

/// The directory with the binaries of this build.
pub fn bin_dir() -> Result<PathBuf> {
    let exe = std::env::current_exe()?;
    let dir = exe.ancestors().find(|d| d.join("sp-scheduler").is_file());
    Ok(dir.context("the cluster's binaries are not built: run `cargo build --workspace` (make test does)")?.to_owned())
}

/// A started service.
pub struct Process {
    child: Child,
    /// Address it listens on.
    pub listen: String,
    /// Its log, appended to over restarts.
    pub log: PathBuf,
}

impl Process {
    /// Starts a binary of this build, or another program by its path, and waits for the JSON line that names its address.
    pub fn start(binary: &str, args: &[String], env: &[(String, String)], log: &Path) -> Result<Self> {
        let stderr = OpenOptions::new().create(true).append(true).open(log)?;
        let mut command = Command::new(bin_dir()?.join(binary));
        // Tests read the logs: what the caller's shell says about them must not hide a line.
        for variable in ["SP_LOG", "RUST_LOG", "SP_LOG_FORMAT"] {
            command.env_remove(variable);
        }
        let mut child = command
            .args(args)
            .envs(env.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .with_context(|| format!("cannot start {binary}"))?;
        let stdout = child.stdout.take().context("no stdout")?;
        match announcement(stdout, Duration::from_secs(60)) {
            Ok(listen) => Ok(Self { child, listen, log: log.to_owned() }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(anyhow!("{binary} did not announce itself: {error:#}\n{}", tail(log)))
            }
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, and wait for the end.
    pub fn kill9(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// SIGTERM, then SIGKILL when it has not ended after 10 s.
    pub fn stop(&mut self) -> Result<()> {
        if let Some(pid) = rustix::process::Pid::from_raw(self.child.id() as i32) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let ended = crate::wait::until("the process to end", Duration::from_secs(10), || Ok(self.child.try_wait()?));
        if ended.is_err() { self.kill9() } else { Ok(()) }
    }

    /// Is it running?
    pub fn alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.kill9();
    }
}

/// The last lines of a log, for error messages.
pub fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    format!("--- {}\n{}", log.display(), lines[lines.len().saturating_sub(25)..].join("\n"))
}

/// Reads stdout until the announcement; goes on draining it so that the service never blocks on a full pipe.
fn announcement(stdout: std::process::ChildStdout, limit: Duration) -> Result<String> {
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let _ = send.send(line);
        }
    });
    loop {
        let line = match receive.recv_timeout(limit) {
            Ok(line) => line,
            Err(_) => bail!("no announcement on stdout"),
        };
        if let Ok(json) = serde_json::from_str::<serde_json::Value>(&line)
            && let Some(listen) = json["listen"].as_str()
        {
            return Ok(listen.to_owned());
        }
    }
}

/// Creates an empty file: the token of a crash point.
pub fn arm(token: &Path) -> Result<()> {
    File::create(token)?;
    Ok(())
}
