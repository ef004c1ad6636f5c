//! Rows `worker/<id>`: what operators decided about a worker.

use sp_proto::convert::task_kind;
use sp_proto::v1;
use sp_sched_core::model::WorkerRow;
use sp_types::WorkerId;

use super::{RowError, parse, readable};

pub(super) const PREFIX: &[u8] = b"worker/";

pub(super) fn key(id: &WorkerId) -> Vec<u8> {
    [PREFIX, id.as_str().as_bytes()].concat()
}

pub(super) fn encode(row: &WorkerRow) -> v1::StoredWorker {
    let WorkerRow { worker, cordoned, draining, finish_pipelines, disabled } = row;
    v1::StoredWorker {
        worker: worker.to_string(),
        cordoned: *cordoned,
        draining: *draining,
        finish_pipelines: *finish_pipelines,
        disabled: disabled.iter().map(|kind| v1::TaskKind::from(*kind) as i32).collect(),
    }
}

pub(super) fn decode(key: &[u8], value: &[u8]) -> Result<WorkerRow, RowError> {
    let row = readable(key);
    let v1::StoredWorker { worker, cordoned, draining, finish_pipelines, disabled } = parse(&row, value)?;
    Ok(WorkerRow {
        worker: WorkerId::new(worker).map_err(|e| RowError::new(&row, e))?,
        cordoned,
        draining,
        finish_pipelines,
        disabled: disabled.into_iter().map(task_kind).collect::<Result<_, _>>().map_err(|e| RowError::new(&row, e))?,
    })
}
