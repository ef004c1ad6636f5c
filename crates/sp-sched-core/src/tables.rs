//! The resource table as it applies: to the cluster, and to one worker, with what was measured on its host.

use std::collections::BTreeMap;

use sp_types::{ErrorCode, HostId, ResourceTable, SectorSize, TaskKind, WorkerId};

use crate::control::named;
use crate::core::Core;
use crate::view::ResourceView;
use crate::workers::Worker;

/// Every table that applies, apart from the core: what differs from Lotus's is little and soon copied.
#[derive(Debug, Clone, Default)]
pub struct ResourceTables {
    cluster: ResourceTable,
    workers: BTreeMap<WorkerId, Tables>,
}

/// The tables of a worker.
#[derive(Debug, Clone)]
struct Tables {
    name: String,
    /// As it registered them.
    own: ResourceTable,
    /// With what was measured on its host.
    rows: ResourceTable,
}

impl ResourceTables {
    /// The rows that apply to every worker, or to this one (by id, the start of one, or name).
    pub fn of(&self, worker: Option<&str>) -> Result<Vec<ResourceView>, (ErrorCode, String)> {
        let cluster = &self.cluster;
        let (own, rows) = match worker {
            None => (cluster, cluster),
            Some(text) => {
                let id = named(self.workers.iter().map(|(id, tables)| (id, tables.name.as_str())), text)?;
                let Tables { own, rows, .. } = &self.workers[id];
                (own, rows)
            }
        };
        let classes = TaskKind::ALL.into_iter().flat_map(|kind| SectorSize::ALL.map(|size| (kind, size)));
        let view = |(kind, size)| {
            let row = rows.row(kind, size);
            let from = if own.row(kind, size) == row { source(own, cluster, kind, size) } else { "measured" };
            ResourceView { kind, size, row, from }
        };
        Ok(classes.map(view).collect())
    }
}

impl Core {
    /// The rows that apply to every worker, or to this one (by id, the start of one, or name).
    pub fn resource_table(&self, worker: Option<&str>) -> Result<Vec<ResourceView>, (ErrorCode, String)> {
        self.resource_tables().of(worker)
    }

    /// A copy of every table that applies.
    pub fn resource_tables(&self) -> ResourceTables {
        let tables =
            |w: &Worker| Tables { name: w.reg.name.clone(), own: w.reg.resources.clone(), rows: w.rows.clone() };
        ResourceTables {
            cluster: self.config.resources.clone(),
            workers: self.workers.iter().map(|(id, worker)| (id.clone(), tables(worker))).collect(),
        }
    }

    /// A worker's rows with the memory that was measured on its host.
    pub(crate) fn measured_rows(&self, own: &ResourceTable, host: &HostId) -> ResourceTable {
        let mut rows = own.clone();
        for (kind, size, peak_bytes) in self.learned.peaks_of(host) {
            rows.set(kind, size, own.row(kind, size).measured(peak_bytes, self.config.measured_above_table));
        }
        rows
    }

    /// Something else is expected of tasks on this host: what is bound there is bound anew, by what it takes now.
    pub(crate) fn measure_anew(&mut self, host: &HostId) {
        let workers: Vec<WorkerId> = self.hosts.get(host).into_iter().flat_map(|h| h.workers.iter().cloned()).collect();
        for id in workers {
            let Some(rows) = self.workers.get(&id).map(|w| self.measured_rows(&w.reg.resources, host)) else {
                continue;
            };
            let changed =
                self.workers.get_mut(&id).is_some_and(|w| std::mem::replace(&mut w.rows, rows.clone()) != rows);
            if changed {
                self.unbind_all(&id);
            }
        }
        self.touch_host(host);
    }
}

/// Who has said so.
fn source(table: &ResourceTable, cluster: &ResourceTable, kind: TaskKind, size: SectorSize) -> &'static str {
    match table.row(kind, size) {
        row if row == ResourceTable::default().row(kind, size) => "lotus",
        row if row == cluster.row(kind, size) => "cluster",
        _ => "worker",
    }
}
