//! `storage locks`: which task reads and writes which files of which sector, and since when.

use serde::Serialize;
use sp_proto::v1::{ListSectorLocksRequest, LockInfo, SectorLock};

use super::kind_label;
use crate::context::{Context, request};
use crate::error::CommandError;
use crate::layout::{self, task_code};

/// List the files of sectors that tasks have locked: nobody else writes what one reads, or reads what one writes.
#[derive(Debug, clap::Args)]
pub(crate) struct Locks {
    /// Only of this sector.
    #[arg(long, value_name = "N")]
    sector: Option<u64>,
}

/// A lock, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Row {
    id: String,
    sector: u64,
    task: String,
    worker_id: String,
    worker: String,
    read: Vec<String>,
    write: Vec<String>,
    since_unix_ms: u64,
    age_ms: u64,
}

impl Locks {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let ask = ListSectorLocksRequest {};
        let reply = context.scheduler().await?.list_sector_locks(request(ask)).await?.into_inner();
        let rows = reply.locks.into_iter().map(Row::from);
        let rows: Vec<Row> = rows.filter(|row| self.sector.is_none_or(|number| number == row.sector)).collect();
        context.show(&rows, |_| text(&rows))
    }
}

impl From<SectorLock> for Row {
    fn from(lock: SectorLock) -> Self {
        let SectorLock { lock, task, worker_id, worker_name, age_ms } = lock;
        let LockInfo { attempt, miner: _, sector, read, write, since_unix_ms } = lock.unwrap_or_default();
        let attempt = attempt.unwrap_or_default();
        let labels = |kinds: Vec<i32>| kinds.into_iter().map(kind_label).collect();
        Self {
            id: format!("{}.{}", attempt.task, attempt.number),
            sector,
            task: if task == 0 { String::new() } else { task_code(task) },
            worker_id,
            worker: worker_name,
            read: labels(read),
            write: labels(write),
            since_unix_ms,
            age_ms,
        }
    }
}

fn text(rows: &[Row]) -> String {
    let head = ["Sector", "ID", "Task", "Worker", "Reads", "Writes", "Age"];
    let line = |row: &Row| {
        vec![
            row.sector.to_string(),
            row.id.clone(),
            row.task.clone(),
            row.worker.clone(),
            row.read.join(","),
            row.write.join(","),
            layout::go_duration(row.age_ms),
        ]
    };
    layout::table(&head, &rows.iter().map(line).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sp_proto::v1::{AttemptId, FileKind, TaskKind};

    #[test]
    fn a_line_for_each_lock() {
        let lock = |task, read: &[FileKind], write: &[FileKind]| LockInfo {
            attempt: Some(AttemptId { task, number: 1 }),
            sector: 3,
            read: read.iter().map(|kind| *kind as i32).collect(),
            write: write.iter().map(|kind| *kind as i32).collect(),
            since_unix_ms: 1_000,
            ..LockInfo::default()
        };
        let rows = [
            SectorLock {
                lock: Some(lock(12, &[FileKind::Sealed], &[FileKind::Unsealed])),
                task: TaskKind::Unseal as i32,
                worker_id: "w".into(),
                worker_name: "seal-a".into(),
                age_ms: 1_500,
            },
            SectorLock { lock: Some(lock(9, &[], &[FileKind::Cache])), age_ms: 1_500, ..SectorLock::default() },
        ];
        let expected = "Sector  ID    Task  Worker  Reads   Writes    Age\n\
                        3       12.1  UNS   seal-a  Sealed  Unsealed  1.5s\n\
                        3       9.1                         Cache     1.5s\n";
        assert_eq!(text(&rows.map(Row::from)), expected);
    }
}
