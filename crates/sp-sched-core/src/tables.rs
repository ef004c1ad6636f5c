//! The resource table as it applies: to the cluster, and to one worker.

use sp_types::{ErrorCode, ResourceTable, SectorSize, TaskKind};

use crate::core::Core;
use crate::view::ResourceView;

impl Core {
    /// The rows that apply to every worker, or to this one (by id, the start of one, or name).
    pub fn resource_table(&self, worker: Option<&str>) -> Result<Vec<ResourceView>, (ErrorCode, String)> {
        let cluster = &self.config.resources;
        let table = match worker {
            None => cluster,
            Some(text) => &self.workers[&self.named(text)?].reg.resources,
        };
        let classes = TaskKind::ALL.into_iter().flat_map(|kind| SectorSize::ALL.map(|size| (kind, size)));
        Ok(classes.map(|(kind, size)| view(table, cluster, kind, size)).collect())
    }
}

fn view(table: &ResourceTable, cluster: &ResourceTable, kind: TaskKind, size: SectorSize) -> ResourceView {
    let row = table.row(kind, size);
    let from = match row {
        row if row == ResourceTable::default().row(kind, size) => "lotus",
        row if row == cluster.row(kind, size) => "cluster",
        _ => "worker",
    };
    ResourceView { kind, size, row, from }
}
