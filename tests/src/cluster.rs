//! A whole cluster of real processes on loopback, each with its own data directory.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::process::{Process, bin_dir, tail};
use crate::{spent, wait};

/// What a process is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// `sp-scheduler`.
    Scheduler,
    /// `sp-storage-index`.
    Index,
    /// `sp-sealing-worker`.
    Sealing,
    /// `sp-post-worker --windowpost`.
    Window,
    /// `sp-post-worker --winningpost`.
    Winning,
}

/// How to start one process.
#[derive(Debug, Clone)]
struct Spec {
    role: Role,
    /// In place of the binary of its role.
    program: Option<String>,
    extra: Vec<String>,
    env: Vec<(String, String)>,
    /// Taken on the first start, kept over restarts so that the others find it again.
    listen: Option<String>,
}

/// What a test wants to have.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// Name and extra flags of each sealing worker.
    pub sealing: Vec<(String, Vec<String>)>,
    /// Names of window PoSt workers.
    pub window: Vec<String>,
    /// Names of winning PoSt workers.
    pub winning: Vec<String>,
    /// Extra flags of the scheduler.
    pub scheduler: Vec<String>,
    /// Environment of every process.
    pub env: Vec<(String, String)>,
    /// Every crash point is armed by the presence of its token file (`Cluster::token`).
    pub crash_points: bool,
}

impl Setup {
    /// One worker for AP and PC1, one for the rest, so that data must move.
    pub fn two_sealing() -> Self {
        let first = ["--no-default", "--addpiece=true", "--precommit1=true"].map(String::from).to_vec();
        let second = ["--addpiece=false", "--precommit1=false"].map(String::from).to_vec();
        Self { sealing: vec![("seal-a".into(), first), ("seal-b".into(), second)], ..Self::default() }
    }
}

/// A running cluster; everything it started is killed when it is dropped.
pub struct Cluster {
    dir: tempfile::TempDir,
    name: String,
    specs: BTreeMap<String, Spec>,
    processes: BTreeMap<String, Process>,
}

impl Cluster {
    /// Starts everything and waits until the workers are connected.
    pub fn start(setup: Setup) -> Result<Self> {
        let base = std::env::var_os("SP_TEST_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
        let dir = tempfile::Builder::new().prefix("sp-test-").tempdir_in(base)?;
        std::fs::create_dir(dir.path().join("logs"))?;
        std::fs::create_dir(dir.path().join("tokens"))?;
        let name = format!("test-{}", std::process::id());
        let mut cluster = Self { dir, name, specs: BTreeMap::new(), processes: BTreeMap::new() };
        let mut env = setup.env;
        if setup.crash_points {
            let point = |p: &sp_env::CrashPoint| format!("{}={}", p.name(), cluster.token(*p).display());
            let points: Vec<String> = sp_env::CrashPoint::ALL.iter().map(point).collect();
            env.push(("SP_CRASH_AT".into(), points.join(",")));
        }
        let scheduler = setup.scheduler;
        cluster.add("index", Role::Index, vec![], env.clone())?;
        cluster.add("scheduler", Role::Scheduler, scheduler, env.clone())?;
        let workers = setup.sealing.len() + setup.window.len() + setup.winning.len();
        for (name, flags) in setup.sealing {
            cluster.add(&name, Role::Sealing, flags, env.clone())?;
        }
        for name in setup.window {
            cluster.add(&name, Role::Window, vec![], env.clone())?;
        }
        for name in setup.winning {
            cluster.add(&name, Role::Winning, vec![], env.clone())?;
        }
        cluster.wait_for_workers(workers)?;
        Ok(cluster)
    }

    /// Adds and starts a process.
    pub fn add(&mut self, name: &str, role: Role, extra: Vec<String>, env: Vec<(String, String)>) -> Result<()> {
        self.specs.insert(name.to_owned(), Spec { role, program: None, extra, env, listen: None });
        self.restart(name)
    }

    /// Adds and starts another program that takes the arguments of this role.
    pub fn add_program(
        &mut self,
        name: &str,
        role: Role,
        program: &Path,
        extra: Vec<String>,
        env: Vec<(String, String)>,
    ) -> Result<()> {
        let program = Some(program.display().to_string());
        self.specs.insert(name.to_owned(), Spec { role, program, extra, env, listen: None });
        self.restart(name)
    }

    /// Kills a process and starts it again with other extra flags.
    pub fn change_flags(&mut self, name: &str, extra: Vec<String>) -> Result<()> {
        self.specs.get_mut(name).with_context(|| format!("no process {name}"))?.extra = extra;
        self.kill9(name)?;
        self.restart(name)
    }

    /// Starts a process that is not running, at its old address.
    pub fn restart(&mut self, name: &str) -> Result<()> {
        let spec = self.specs.get(name).with_context(|| format!("no process {name}"))?.clone();
        let (binary, args) = self.command_line(name, &spec)?;
        let log = self.log(name);
        let process = Process::start(spec.program.as_deref().unwrap_or(binary), &args, &spec.env, &log)?;
        if let Some(spec) = self.specs.get_mut(name) {
            spec.listen = Some(process.listen.clone());
        }
        self.processes.insert(name.to_owned(), process);
        Ok(())
    }

    fn command_line(&self, name: &str, spec: &Spec) -> Result<(&'static str, Vec<String>)> {
        let data = self.data_dir(name);
        let mut args: Vec<String> = vec!["run".into(), "--data-dir".into(), data.display().to_string()];
        args.extend(["--cluster".into(), self.name.clone(), "--network".into(), "dev".into()]);
        let listen = match (&spec.listen, spec.role) {
            // Only the scheduler and the index are dialled at a fixed address.
            (Some(listen), Role::Scheduler | Role::Index) => listen.clone(),
            _ => "127.0.0.1:0".into(),
        };
        if !spec.extra.iter().any(|flag| flag == "--listen") {
            args.extend(["--listen".into(), listen]);
        }
        let binary = match spec.role {
            Role::Index => "sp-storage-index",
            Role::Scheduler => {
                args.extend(["--index".into(), self.url("index")?, "--sector-size".into(), "2KiB".into()]);
                for (flag, usual) in [
                    ("--epoch", "200ms"),
                    ("--seed-delay-epochs", "3"),
                    ("--assignment", "pack:0"),
                    ("--rehearse", "0"),
                ] {
                    if !spec.extra.iter().any(|extra| extra == flag) {
                        args.extend([flag.into(), usual.into()]);
                    }
                }
                args.push("--no-builtin-sealing".into());
                "sp-scheduler"
            }
            Role::Sealing | Role::Window | Role::Winning => {
                args.extend(["--index".into(), self.url("index")?]);
                if !spec.extra.iter().any(|flag| flag == "--scheduler") {
                    args.extend(["--scheduler".into(), self.url("scheduler")?]);
                }
                args.extend(["--name".into(), name.into()]);
                match spec.role {
                    Role::Window => args.push("--windowpost".into()),
                    Role::Winning => args.push("--winningpost".into()),
                    _ => {}
                }
                if spec.role == Role::Sealing { "sp-sealing-worker" } else { "sp-post-worker" }
            }
        };
        args.extend(spec.extra.iter().cloned());
        Ok((binary, args))
    }

    /// Base URL of a process.
    pub fn url(&self, name: &str) -> Result<String> {
        let listen = self.specs.get(name).and_then(|s| s.listen.clone());
        Ok(format!("http://{}", listen.with_context(|| format!("{name} was never started"))?))
    }

    /// Data directory of a process.
    pub fn data_dir(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Root of everything.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Log of a process.
    pub fn log(&self, name: &str) -> PathBuf {
        self.dir.path().join("logs").join(format!("{name}.log"))
    }

    /// Logs of the sealing workers.
    pub fn sealing_logs(&self) -> Vec<PathBuf> {
        let sealing = self.specs.iter().filter(|(_, s)| s.role == Role::Sealing);
        sealing.map(|(name, _)| self.log(name)).collect()
    }

    /// Names of the processes with this role.
    pub fn names(&self, role: Role) -> Vec<String> {
        self.specs.iter().filter(|(_, s)| s.role == role).map(|(n, _)| n.clone()).collect()
    }

    /// SIGKILL.
    pub fn kill9(&mut self, name: &str) -> Result<()> {
        self.processes.remove(name).with_context(|| format!("{name} is not running"))?.kill9()
    }

    /// SIGKILL to everything: what lies on the disks then is what the next start would find.
    pub fn kill9_all(&mut self) -> Result<()> {
        std::mem::take(&mut self.processes).values_mut().try_for_each(Process::kill9)
    }

    /// SIGKILL to the executor children of a worker, by the process ids that it keeps; returns how many there were.
    pub fn kill9_executors(&self, name: &str) -> Result<usize> {
        let mut killed = 0;
        for entry in std::fs::read_dir(self.data_dir(name).join("children"))? {
            let pid = entry?.file_name().to_string_lossy().parse().ok().and_then(rustix::process::Pid::from_raw);
            if let Some(pid) = pid {
                // It may have ended since.
                killed += usize::from(rustix::process::kill_process(pid, rustix::process::Signal::KILL).is_ok());
            }
        }
        Ok(killed)
    }

    /// Does it run?
    pub fn alive(&mut self, name: &str) -> bool {
        self.processes.get_mut(name).is_some_and(Process::alive)
    }

    /// Its process id.
    pub fn pid(&self, name: &str) -> Option<u32> {
        self.processes.get(name).map(Process::pid)
    }

    /// CPU seconds that all of its running processes have had up to now, with their children.
    pub fn spent(&self) -> Result<f64> {
        self.processes.values().map(|process| spent::with_children(process.pid())).sum()
    }

    /// Restarts every process that has died; returns their names.
    pub fn restart_dead(&mut self) -> Result<Vec<String>> {
        let names: Vec<String> = self.specs.keys().cloned().collect();
        let mut dead = names;
        dead.retain(|n| !self.alive(n));
        // The index first, then the scheduler: workers dial both.
        for role in [Role::Index, Role::Scheduler, Role::Sealing, Role::Window, Role::Winning] {
            for name in &dead {
                if self.specs[name].role == role {
                    self.processes.remove(name);
                    self.restart(name)?;
                }
            }
        }
        Ok(dead)
    }

    /// Runs `sp-ctl` against this cluster.
    pub fn ctl(&self, args: &[&str]) -> Result<Output> {
        Ok(self.ctl_command(args)?.output()?)
    }

    /// `sp-ctl` against this cluster, not started.
    pub fn ctl_command(&self, args: &[&str]) -> Result<Command> {
        let mut command = Command::new(bin_dir()?.join("sp-ctl"));
        command.arg("--scheduler").arg(self.url("scheduler")?).args(args);
        Ok(command)
    }

    /// Runs `sp-ctl --json` and parses what it prints; failure carries its stderr.
    pub fn ctl_json(&self, args: &[&str]) -> Result<Value> {
        let mut all = args.to_vec();
        all.push("--json");
        let output = self.ctl(&all)?;
        if !output.status.success() {
            bail!("sp-ctl {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr));
        }
        serde_json::from_slice(&output.stdout).with_context(|| format!("sp-ctl {} printed no JSON", args.join(" ")))
    }

    /// Workers as `sp-ctl workers` lists them.
    pub fn workers(&self) -> Result<Vec<Value>> {
        let workers = self.ctl_json(&["workers"])?;
        Ok(workers.as_array().with_context(|| format!("no list: {workers}"))?.clone())
    }

    /// Waits until the scheduler says of this worker that it is connected, or that it is not.
    pub fn wait_for_connection(&self, name: &str, connected: bool) -> Result<()> {
        wait::until(&format!("{name} to be connected: {connected}"), Duration::from_secs(60), || {
            let is = |w: &Value| w["name"] == name && w["connected"] == true;
            Ok((self.workers()?.iter().any(is) == connected).then_some(()))
        })
        .with_context(|| self.tails())
    }

    /// Waits until this many workers (built-in ones apart) are connected.
    pub fn wait_for_workers(&self, count: usize) -> Result<()> {
        wait::until("the workers to connect", Duration::from_secs(60), || {
            let connected = self.workers()?.iter().filter(|w| w["builtin"] != true && w["connected"] == true).count();
            if connected >= count { Ok(Some(())) } else { bail!("{connected} of {count} connected") }
        })
        .with_context(|| self.tails())
    }

    /// States by sector number.
    pub fn states(&self) -> Result<BTreeMap<u64, String>> {
        let sectors = self.ctl_json(&["sectors", "list"])?;
        let list = sectors.as_array().or_else(|| sectors["sectors"].as_array()).context("no list")?.clone();
        let pair = |s: &Value| Some((s["number"].as_u64()?, s["state"].as_str()?.to_owned()));
        Ok(list.iter().filter_map(pair).collect())
    }

    /// Pledges sectors; gives their numbers once the scheduler has acknowledged them.
    pub fn pledge(&self, count: u32) -> Result<Vec<u64>> {
        let pledged = self.ctl_json(&["sectors", "pledge", "--count", &count.to_string()])?;
        let numbers = pledged["sectors"].as_array().with_context(|| format!("no sectors in {pledged}"))?;
        Ok(numbers.iter().filter_map(Value::as_u64).collect())
    }

    /// Waits until every one of these sectors is in one of these states.
    pub fn wait_for_state(&mut self, sectors: &[u64], states: &[&str], limit: Duration) -> Result<()> {
        let result = wait::until(&format!("sectors {sectors:?} to be {states:?}"), limit, || {
            let now = self.states()?;
            let there = |n: &u64| now.get(n).is_some_and(|s| states.contains(&s.as_str()));
            if sectors.iter().all(there) { Ok(Some(())) } else { bail!("{now:?}") }
        });
        result.with_context(|| self.tails())
    }

    /// The ends of all logs, for error messages.
    pub fn tails(&self) -> String {
        self.specs.keys().map(|name| tail(&self.log(name))).collect::<Vec<_>>().join("\n")
    }

    /// Token file of a crash point: create it to crash the next process that comes by.
    pub fn token(&self, point: sp_env::CrashPoint) -> PathBuf {
        self.dir.path().join("tokens").join(point.name())
    }
}

impl Drop for Cluster {
    /// The built-in workers outlive a scheduler that is killed, so that the next one can adopt them: none will come.
    fn drop(&mut self) {
        // Best effort: a test that ends must not fail for what it leaves behind.
        let _ = self.kill9_all();
        let records = std::fs::read_dir(self.data_dir("scheduler").join("builtin")).into_iter().flatten().flatten();
        for record in records.filter(|entry| entry.path().extension().is_some_and(|e| e == "json")) {
            let text = std::fs::read(record.path()).unwrap_or_default();
            let pid = serde_json::from_slice::<Value>(&text).ok().and_then(|v| v["pid"].as_i64());
            let Some(pid) = pid.and_then(|pid| i32::try_from(pid).ok()) else { continue };
            // Another process may have the number by now; ours names the directory of this cluster.
            let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let ours = String::from_utf8_lossy(&command).contains(&*self.dir.path().to_string_lossy());
            if let Some(pid) = rustix::process::Pid::from_raw(pid).filter(|_| ours) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
    }
}

/// Sends an `AddPiece` with this file name past `sp-ctl`; returns the refusal, or an error if it was taken.
pub fn raw_add_piece(cluster: &Cluster, name: &str) -> Result<String> {
    use sp_proto::v1::scheduler_client::SchedulerClient;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut client = SchedulerClient::connect(cluster.url("scheduler")?).await?;
        let request = sp_proto::v1::AddPieceRequest {
            data_bytes: 100,
            data_digest: vec![0; 32],
            name: name.to_owned(),
            priority: None,
            pieces: vec![],
        };
        match client.add_piece(request).await {
            Ok(_) => bail!("it was accepted"),
            Err(status) => Ok(status.message().to_owned()),
        }
    })
}
