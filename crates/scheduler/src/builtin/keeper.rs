//! Keeps the built-in workers running: adopt or start, watch, start again, and end them when the scheduler is told to.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use sp_env::Monotonic;
use sp_net::Env;
use sp_net::retry::Backoff;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::process::{Plan, Running};
use crate::troubles::Troubles;

/// How often a worker is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// A worker may take this long to end by itself.
const END_LIMIT: Duration = Duration::from_secs(10);

/// A worker that has run this long has started well: the next wait is the first again.
const SETTLED: Duration = Duration::from_secs(60);

/// What one built-in worker is.
#[derive(Debug, Clone)]
pub struct BuiltinWorker {
    /// `window`, `winning` or `sealing`: names its files.
    pub name: &'static str,
    /// The binary.
    pub program: PathBuf,
    /// Everything behind the program's name.
    pub args: Vec<String>,
    /// Environment besides this process's own.
    pub envs: Vec<(String, String)>,
}

/// The built-in workers of this host.
pub struct BuiltinWorkers {
    stop: CancellationToken,
    ended: mpsc::Receiver<()>,
}

impl BuiltinWorkers {
    /// Adopts or starts each of them and keeps them running. Records and logs lie in `<data_dir>/builtin`; what keeps
    /// one from running is told to `troubles`.
    pub fn start(env: &Env, data_dir: &Path, workers: Vec<BuiltinWorker>, troubles: &Troubles) -> Self {
        let stop = CancellationToken::new();
        let (running, ended) = mpsc::channel(1);
        let dir = data_dir.join("builtin");
        for BuiltinWorker { name, program, args, envs } in workers {
            let (record, log) = (dir.join(format!("{name}.json")), dir.join(format!("{name}.log")));
            let plan = Plan { program, args, envs, record, log };
            let keeper = Keeper { env: env.clone(), name, plan, stop: stop.clone(), troubles: troubles.clone() };
            let alive = running.clone();
            let keep = async move {
                keeper.run().await;
                drop(alive);
            };
            drop(env.tasks.spawn("built-in worker", Box::pin(keep)));
        }
        Self { stop, ended }
    }

    /// Ends them all, by force those that do not end by themselves.
    pub async fn stop(mut self) {
        self.stop.cancel();
        // Closed once every keeper has dropped its half.
        while self.ended.recv().await.is_some() {}
    }
}

/// Keeps one worker.
struct Keeper {
    env: Env,
    name: &'static str,
    plan: Plan,
    stop: CancellationToken,
    troubles: Troubles,
}

impl Keeper {
    /// Tries for ever, as there is no other host to turn to: with growing waits up to a bound, and a reason that
    /// operators see.
    async fn run(self) {
        let mut backoff = Backoff::endless(Duration::from_secs(1), Duration::from_secs(60));
        let mut found = self.find().await;
        loop {
            let tried = match found.take() {
                Some(running) => Ok(running),
                None => self.start().await,
            };
            let reason = match tried {
                Ok(running) => {
                    let began = self.env.clock.monotonic();
                    let Some(reason) = self.watch(running, began).await else { return };
                    if self.has_settled(began) {
                        backoff.reset();
                    }
                    reason
                }
                Err(reason) => reason,
            };
            let times = backoff.tries() + 1;
            tracing::warn!(worker = self.name, reason, times, "a built-in worker does not run");
            self.troubles.note(self.name, format!("did not stay up, tried {times} times in a row, last: {reason}"));
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                _ = backoff.wait(&self.env) => {}
            }
        }
    }

    /// The worker that an earlier scheduler left; one with another command line is ended first.
    async fn find(&self) -> Option<Running> {
        let plan = self.plan.clone();
        let (running, wanted) = self.env.blocking(move || Running::left_behind(&plan)).await?;
        if wanted {
            tracing::info!(worker = self.name, pid = running.pid(), "built-in worker adopted");
            return Some(running);
        }
        tracing::info!(worker = self.name, pid = running.pid(), "ending a built-in worker with other settings");
        self.end(running).await;
        None
    }

    async fn start(&self) -> Result<Running, String> {
        let plan = self.plan.clone();
        let program = self.plan.program.display().to_string();
        let started = self.env.blocking(move || Running::start(&plan)).await;
        let running = started.map_err(|e| format!("{program}: {e}"))?;
        tracing::info!(worker = self.name, pid = running.pid(), log = %self.plan.log.display(), "built-in worker started");
        Ok(running)
    }

    fn has_settled(&self, began: Monotonic) -> bool {
        self.env.clock.monotonic().since_ms(began) >= SETTLED.as_millis() as u64
    }

    /// Looks at it until it ends, and says why; none when it was ended because the scheduler stops.
    async fn watch(&self, mut running: Running, began: Monotonic) -> Option<String> {
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => {
                    self.end(running).await;
                    return None;
                }
                () = self.env.clock.sleep(LOOK) => {}
            }
            if let Some(reason) = running.death() {
                return Some(format!("{reason}; its log is {}", self.plan.log.display()));
            }
            if self.has_settled(began) {
                self.troubles.clear(self.name);
            }
        }
    }

    async fn end(&self, mut running: Running) {
        running.signal(Signal::TERM);
        let gone = async {
            while running.death().is_none() {
                self.env.clock.sleep(Duration::from_millis(50)).await;
            }
        };
        if self.env.timeout(END_LIMIT, gone).await.is_err() {
            tracing::warn!(worker = self.name, pid = running.pid(), "a built-in worker does not end; killing it");
            running.signal(Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin::record::Record;

    fn sleeper(seconds: &str) -> BuiltinWorker {
        BuiltinWorker { name: "window", program: "/bin/sleep".into(), args: vec![seconds.into()], envs: vec![] }
    }

    fn plan(dir: &Path, seconds: &str) -> Plan {
        let BuiltinWorker { program, args, envs, .. } = sleeper(seconds);
        Plan { program, args, envs, record: dir.join("builtin/window.json"), log: dir.join("builtin/window.log") }
    }

    async fn recorded(env: &Env, path: &Path, args: &[&str]) -> Record {
        for _ in 0..400 {
            if let Some(record) = Record::read(path).filter(|r| r.is_alive() && r.args == args) {
                return record;
            }
            env.clock.sleep(Duration::from_millis(25)).await;
        }
        panic!("no living worker with {args:?} is recorded in {}", path.display());
    }

    #[tokio::test]
    async fn a_worker_left_behind_is_adopted_and_ended_with_the_scheduler() {
        let (env, dir) = (Env::real(), tempfile::tempdir().unwrap());
        // A scheduler that crashed: its worker lives on.
        let left = Running::start(&plan(dir.path(), "600")).unwrap().pid();
        let workers = BuiltinWorkers::start(&env, dir.path(), vec![sleeper("600")], &Troubles::default());
        env.clock.sleep(LOOK * 2).await;
        let record = recorded(&env, &plan(dir.path(), "600").record, &["600"]).await;
        assert_eq!(record.pid, left, "adopted, not started anew");
        env.timeout(END_LIMIT, workers.stop()).await.expect("bounded");
        assert!(!record.is_alive());
    }

    #[tokio::test]
    async fn other_settings_and_deaths_bring_another_process() {
        let (env, dir) = (Env::real(), tempfile::tempdir().unwrap());
        let path = plan(dir.path(), "600").record;
        let left = Running::start(&plan(dir.path(), "600")).unwrap().pid();
        let troubles = Troubles::default();
        let workers = BuiltinWorkers::start(&env, dir.path(), vec![sleeper("601")], &troubles);
        let first = recorded(&env, &path, &["601"]).await;
        assert!(first.pid != left && crate::builtin::record::start_ticks(left).is_none());
        let pid = rustix::process::Pid::from_raw(first.pid as i32).unwrap();
        rustix::process::kill_process(pid, Signal::KILL).unwrap();
        while first.is_alive() {
            env.clock.sleep(Duration::from_millis(25)).await;
        }
        let second = recorded(&env, &path, &["601"]).await;
        assert_ne!(second.pid, first.pid, "a dead one is started again");
        let told = troubles.list().join("");
        assert!(told.starts_with("window: did not stay up, tried 1 times") && told.contains("window.log"), "{told}");
        env.timeout(END_LIMIT, workers.stop()).await.expect("bounded");
        assert!(!second.is_alive());
    }
}
