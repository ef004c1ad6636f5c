//! Stopping everything that the demo started: asked first, killed when it does not listen.

use std::path::Path;
use std::time::{Duration, Instant};

use super::cluster::{Cluster, remove_directory};
use super::record::{Record, builtin_directories, builtin_pids, executor_pids};
use super::{Interrupts, process};
use crate::error::{CommandError, Exit};
use crate::output;

/// How long processes may take to end when asked.
const GRACE: Duration = Duration::from_secs(15);
/// How long the kernel may take to end what was killed.
const KILL_LIMIT: Duration = Duration::from_secs(5);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Stops the processes of this demo. A further signal kills them at once. Fails when one of them does not end.
pub(super) async fn stop(cluster: &mut Cluster, interrupts: &mut Interrupts) -> Result<(), CommandError> {
    let (record, dir) = (cluster.record.clone(), cluster.dir.clone());
    stop_all(&record, &dir, interrupts, || cluster.reap()).await;
    all_gone(&record, &dir)
}

fn all_gone(record: &Record, dir: &Path) -> Result<(), CommandError> {
    match alive(record, dir).first() {
        Some((name, pid)) => Err(CommandError::failed(format!("{name} (process {pid}) does not end"))),
        None => Ok(()),
    }
}

/// `demo --stop DIR`: stops a demo that was left up.
pub(super) async fn stop_recorded(dir: &Path, interrupts: &mut Interrupts) -> Result<(), CommandError> {
    let absent = |cause: anyhow::Error| {
        CommandError::new(Exit::NotFound, cause).hint("name the directory that `sp-ctl demo --keep` printed")
    };
    let dir = dir.canonicalize().map_err(|e| absent(anyhow::Error::new(e).context(dir.display().to_string())))?;
    let record = Record::load(&dir).map_err(absent)?;
    stop_all(&record, &dir, interrupts, || ()).await;
    all_gone(&record, &dir)?;
    remove_directory(&dir, record.own_directory).await?;
    output::note(&format!("cluster {} is stopped", record.cluster));
    Ok(())
}

async fn stop_all(record: &Record, dir: &Path, interrupts: &mut Interrupts, mut reap: impl FnMut()) {
    // Executor children end with their workers.
    for (_, pid) in leaders(record, dir) {
        process::terminate(pid);
    }
    let asked = Instant::now();
    let mut patience = GRACE;
    loop {
        reap();
        let left = alive(record, dir);
        if left.is_empty() {
            return;
        }
        if asked.elapsed() > patience {
            kill(&left, record);
            break;
        }
        tokio::select! {
            () = tokio::time::sleep(POLL_INTERVAL) => {}
            _ = interrupts.next() => patience = Duration::ZERO,
        }
    }
    let killed = Instant::now();
    while !alive(record, dir).is_empty() && killed.elapsed() < KILL_LIMIT {
        reap();
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    for (name, pid) in alive(record, dir) {
        output::note(&format!("{name} (process {pid}) does not end; it hangs in the kernel"));
    }
}

/// What still runs of the record, the executor children of its workers included.
fn alive(record: &Record, dir: &Path) -> Vec<(String, u32)> {
    let own = record.services.iter().map(|started| started.data_dir.clone());
    let builtin = record.services.iter().flat_map(|started| builtin_directories(&started.data_dir));
    let executors = own.chain(builtin).flat_map(|data_dir| executor_pids(&data_dir));
    let executors = executors.map(|pid| ("executor child".to_owned(), pid));
    leaders(record, dir).into_iter().chain(executors).collect()
}

/// Services, and built-in workers that a scheduler has left behind.
fn leaders(record: &Record, dir: &Path) -> Vec<(String, u32)> {
    let services = record.services.iter().map(|started| (started.name.clone(), started.pid));
    let builtin = record.services.iter().flat_map(|started| builtin_pids(&started.data_dir));
    let all = services.chain(builtin.map(|pid| ("built-in worker".to_owned(), pid)));
    all.filter(|(_, pid)| process::is_ours(*pid, dir)).collect()
}

fn kill(left: &[(String, u32)], record: &Record) {
    for (name, pid) in left {
        output::note(&format!("{name} (process {pid}) did not end when asked: killing it"));
        // Our services lead groups of their own; of the others we only know the process.
        process::kill(*pid, record.services.iter().any(|started| started.pid == *pid));
    }
}
