//! The processes of the demo: which there are, starting, killing and starting them again.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use tokio::process::Child;

use super::error::{DemoError, Result};
use super::launch::{Spec, log_path};
use super::process;
use super::record::{Record, Started};
use crate::context::{Scheduler, scheduler_at};
use crate::error::CommandError;

const START_LIMIT: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// How long the directory may be written to by what is ending.
const REMOVE_LIMIT: Duration = Duration::from_secs(2);

/// A demo's processes and their directory.
pub(super) struct Cluster {
    pub(super) dir: PathBuf,
    /// Name of the cluster; workers of another name are refused.
    pub(super) name: String,
    pub(super) record: Record,
    running: BTreeMap<String, Running>,
}

/// A process that was started and not killed by us.
struct Running {
    spec: Spec,
    child: Child,
    pid: u32,
    address: Option<SocketAddr>,
}

impl Cluster {
    /// Makes the directory; nothing runs yet.
    pub(super) fn create(dir: Option<&Path>) -> Result<Self> {
        let id = random_id();
        let (dir, own_directory) = match dir {
            Some(dir) => (empty_directory(dir)?, false),
            None => (fresh_directory(&id)?, true),
        };
        let logs = dir.join("logs");
        std::fs::create_dir(&logs).with_context(|| format!("cannot create {}", logs.display()))?;
        let name = format!("demo-{id}");
        let record = Record { cluster: name.clone(), own_directory, services: Vec::new() };
        record.save(&dir)?;
        Ok(Self { dir, name, record, running: BTreeMap::new() })
    }

    /// The log of a process.
    pub(super) fn log_path(&self, name: &str) -> PathBuf {
        log_path(&self.dir.join("logs"), name)
    }

    /// How to start a service: `program run --data-dir DIR/name ARGUMENTS`.
    pub(super) fn spec(&self, name: &str, program: &'static str, arguments: &[&str]) -> Spec {
        Spec {
            name: name.to_owned(),
            program,
            arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
            data_dir: self.dir.join(name),
            logs: self.dir.join("logs"),
        }
    }

    /// Starts a service and waits until it listens.
    pub(super) async fn start(&mut self, spec: Spec) -> Result<SocketAddr> {
        let name = spec.name.clone();
        let child = spec.spawn().map_err(|failure| failure.context(format!("cannot start {name}")))?;
        let pid = child.id().ok_or_else(|| DemoError::new(format!("{name} ended at once")).log(&name))?;
        // Recorded before anything is awaited: whatever happens now, the process is found and stopped.
        self.record.services.retain(|started| started.name != name);
        self.record.services.push(Started { name: name.clone(), pid, data_dir: spec.data_dir.clone() });
        self.running.insert(name.clone(), Running { spec: spec.clone(), child, pid, address: None });
        self.record.save(&self.dir)?;
        let address = self.wait_for(&format!("{name} to listen"), START_LIMIT, async |_| Ok(spec.announced(pid))).await;
        let address = address.map_err(|failure| failure.log(&name))?;
        if let Some(running) = self.running.get_mut(&name) {
            running.address = Some(address);
        }
        Ok(address)
    }

    /// SIGKILL to a service; gives back how to start it again.
    pub(super) async fn kill(&mut self, name: &str) -> Result<Spec> {
        let Some(mut running) = self.running.remove(name) else {
            return Err(DemoError::new(format!("{name} is not running")).log(name));
        };
        process::kill(running.pid, false);
        let ended = tokio::time::timeout(Duration::from_secs(10), running.child.wait()).await;
        ended
            .map_err(|_| DemoError::new(format!("{name} did not die of SIGKILL within 10 s")).log(name))?
            .context("cannot wait")?;
        Ok(running.spec)
    }

    /// Where a service listens.
    pub(super) fn address(&self, name: &str) -> Result<SocketAddr> {
        let address = self.running.get(name).and_then(|running| running.address);
        address.ok_or_else(|| DemoError::new(format!("{name} is not running")))
    }

    /// The scheduler's URL.
    pub(super) fn scheduler_url(&self) -> Result<String> {
        Ok(format!("http://{}", self.address("scheduler")?))
    }

    /// A client of the scheduler.
    pub(super) async fn scheduler(&self) -> Result<Scheduler> {
        Ok(scheduler_at(&self.scheduler_url()?).await?)
    }

    /// The process id of a service.
    pub(super) fn pid(&self, name: &str) -> Option<u32> {
        self.running.get(name).map(|running| running.pid)
    }

    /// Fails if a process that ought to run has ended.
    fn check_alive(&mut self) -> Result<()> {
        for (name, running) in &mut self.running {
            if let Ok(Some(status)) = running.child.try_wait() {
                return Err(DemoError::new(format!("{name} ended by itself: {status}")).log(name));
            }
        }
        Ok(())
    }

    /// Collects the exit states of processes that have ended, so that they do not stay as zombies.
    pub(super) fn reap(&mut self) {
        self.running.retain(|_, running| !matches!(running.child.try_wait(), Ok(Some(_))));
    }

    /// Asks `probe` until it gives something. Fails when a process ends meanwhile, or after `limit`, naming `what` was
    /// awaited and what was seen last.
    pub(super) async fn wait_for<T>(
        &mut self,
        what: &str,
        limit: Duration,
        mut probe: impl AsyncFnMut(&mut Self) -> Result<Option<T>>,
    ) -> Result<T> {
        let start = Instant::now();
        loop {
            if let Some(found) = probe(self).await? {
                return Ok(found);
            }
            self.check_alive()?;
            if start.elapsed() > limit {
                let limit = humantime::format_duration(limit);
                return Err(DemoError::new(format!("waited {limit} for {what}, in vain")));
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Removes the directory, if the demo made it.
    pub(super) async fn remove_directory(&self) -> std::result::Result<(), CommandError> {
        remove_directory(&self.dir, self.record.own_directory).await
    }
}

/// Removes the directory of a demo that made it itself. A process that is about to die may still write there: then it
/// is tried again.
pub(super) async fn remove_directory(dir: &Path, own: bool) -> std::result::Result<(), CommandError> {
    if !own {
        return Ok(());
    }
    let start = Instant::now();
    loop {
        match std::fs::remove_dir_all(dir) {
            Ok(()) => return Ok(()),
            Err(_) if start.elapsed() < REMOVE_LIMIT => tokio::time::sleep(POLL_INTERVAL / 5).await,
            Err(cause) => return Err(cause).with_context(|| format!("cannot remove {}", dir.display()))?,
        }
    }
}

/// A directory that holds nothing yet.
fn empty_directory(dir: &Path) -> Result<PathBuf> {
    std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let dir = dir.canonicalize().with_context(|| format!("cannot find {}", dir.display()))?;
    let mut entries = std::fs::read_dir(&dir).with_context(|| format!("cannot list {}", dir.display()))?;
    if entries.next().is_some() {
        return Err(DemoError::new(format!("{} is not empty; name another one with --dir", dir.display())));
    }
    Ok(dir)
}

fn fresh_directory(id: &str) -> Result<PathBuf> {
    let dir = std::env::temp_dir().join(format!("sp-demo-{id}"));
    std::fs::create_dir(&dir).with_context(|| format!("cannot create {}; name a place with --dir", dir.display()))?;
    Ok(dir.canonicalize().with_context(|| format!("cannot find {}", dir.display()))?)
}

/// Eight hex digits that another demo on this machine does not have.
fn random_id() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let mut state = blake2s_simd::State::new();
    state.update(&now.to_le_bytes()).update(&std::process::id().to_le_bytes());
    state.finalize().to_hex()[..8].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_directory_that_is_still_written_to_is_removed_in_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let wanted = dir.path().join("demo");
        std::fs::create_dir(&wanted).unwrap();
        let (target, start) = (wanted.clone(), Instant::now());
        let writer = std::thread::spawn(move || {
            for number in 0.. {
                if start.elapsed() > Duration::from_millis(300) {
                    return;
                }
                // Fails once the directory is gone, and then there is nothing more to disturb.
                let _ = std::fs::File::create(target.join(number.to_string()));
            }
        });
        remove_directory(&wanted, true).await.unwrap();
        writer.join().unwrap();
        assert!(!wanted.exists());
    }

    #[tokio::test]
    async fn a_directory_with_something_in_it_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let wanted = dir.path().join("demo");
        let cluster = Cluster::create(Some(&wanted)).unwrap();
        assert!(!cluster.record.own_directory && cluster.dir.join("logs").is_dir());
        assert!(Cluster::create(Some(&wanted)).is_err());
        cluster.remove_directory().await.unwrap();
        assert!(wanted.is_dir(), "a directory that the user named stays");
    }

    #[tokio::test]
    async fn waits_are_bounded_and_name_what_was_awaited() {
        let dir = tempfile::tempdir().unwrap();
        let mut cluster = Cluster::create(Some(&dir.path().join("demo"))).unwrap();
        let waited = cluster.wait_for("the moon", Duration::ZERO, async |_| Ok(None::<()>)).await;
        assert!(format!("{:?}", waited.unwrap_err()).contains("the moon"));
    }
}
