//! `workers resources [W]`: the resource table as it applies, as a table or as the variables that would set it.

use serde::Serialize;
use sp_proto::convert::resource_row_from_wire;
use sp_proto::v1::{AppliedResourceRow, ListResourcesRequest};
use sp_types::{ByteSize, ResourceRow, ResourceTable, SectorSize, TaskKind};

use crate::context::{Context, request};
use crate::error::CommandError;
use crate::layout::table;

/// Show what each kind of task is accounted with: Lotus's table, the scheduler's `[resources]` over it, and over both
/// the worker's own environment.
#[derive(Debug, clap::Args)]
pub(crate) struct Resources {
    /// Worker, by id, the start of it, or name; without one the table of the cluster.
    #[arg(conflicts_with = "default")]
    worker: Option<String>,
    /// Lotus's table as it is, as environment variables; asks no scheduler.
    #[arg(long)]
    default: bool,
    /// Print environment variables, as a worker's environment or `[resources]` takes them.
    #[arg(long)]
    env: bool,
    /// Every sector size, not only the cluster's.
    #[arg(long, conflicts_with = "default")]
    all: bool,
}

/// A row, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Row {
    task: String,
    size: &'static str,
    min_memory_bytes: u64,
    max_memory_bytes: u64,
    base_min_memory_bytes: u64,
    gpu_utilization: f64,
    max_parallelism: i32,
    max_parallelism_gpu: i32,
    max_concurrent: u32,
    from: String,
    #[serde(skip)]
    key: (TaskKind, SectorSize, ResourceRow),
}

impl Resources {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let env = self.env || self.default;
        let rows = if self.default { defaults() } else { self.applied(context).await? };
        context.show(&rows, |_| if env { assignments(&rows) } else { text(&rows) })
    }

    async fn applied(self, context: &Context) -> Result<Vec<Row>, CommandError> {
        let ask = ListResourcesRequest { worker: self.worker.unwrap_or_default() };
        let reply = context.scheduler().await?.list_resources(request(ask)).await?.into_inner();
        context.note_stale(reply.stale_ms);
        let wanted = |row: &AppliedResourceRow| {
            self.all || row.row.as_ref().is_some_and(|row| row.sector_size == reply.sector_size)
        };
        let rows = reply.rows.into_iter().filter(wanted).filter_map(|AppliedResourceRow { row, from }| {
            // A kind or size that this build does not know has no name here.
            let (kind, size, row) = resource_row_from_wire(row?).ok()?;
            Some(Row::new(kind, size, row, from))
        });
        Ok(rows.collect())
    }
}

impl Row {
    fn new(kind: TaskKind, size: SectorSize, row: ResourceRow, from: String) -> Self {
        let ResourceRow {
            min_memory_bytes,
            max_memory_bytes,
            gpu_utilization,
            max_parallelism,
            max_parallelism_gpu,
            base_min_memory_bytes,
            max_concurrent,
        } = row;
        Self {
            task: kind.to_string(),
            size: size.short(),
            min_memory_bytes,
            max_memory_bytes,
            base_min_memory_bytes,
            gpu_utilization,
            max_parallelism,
            max_parallelism_gpu,
            max_concurrent,
            from,
            key: (kind, size, row),
        }
    }
}

fn defaults() -> Vec<Row> {
    let classes = TaskKind::ALL.into_iter().flat_map(|kind| SectorSize::ALL.map(|size| (kind, size)));
    let row = |(kind, size)| Row::new(kind, size, ResourceTable::default().row(kind, size), "lotus".to_owned());
    classes.map(row).collect()
}

/// Sorted lines `NAME=value`, as `lotus-worker resources` prints them.
fn assignments(rows: &[Row]) -> String {
    let all = rows.iter().flat_map(|Row { key: (kind, size, row), .. }| row.assignments(*kind, *size));
    let mut lines: Vec<String> = all.map(|(name, value)| format!("{name}={value}\n")).collect();
    lines.sort();
    lines.concat()
}

fn text(rows: &[Row]) -> String {
    let head = ["Task", "Size", "RAM", "RAM+Swap", "Base", "GPU", "Threads", "Threads(GPU)", "At once", "From"];
    let bytes = |bytes| ByteSize(bytes).to_string();
    let line = |row: &Row| {
        vec![
            row.task.clone(),
            row.size.to_owned(),
            bytes(row.min_memory_bytes),
            bytes(row.max_memory_bytes),
            bytes(row.base_min_memory_bytes),
            row.gpu_utilization.to_string(),
            threads(row.max_parallelism),
            // As without a GPU.
            if row.max_parallelism_gpu == 0 { "-".to_owned() } else { threads(row.max_parallelism_gpu) },
            if row.max_concurrent == 0 { "any".to_owned() } else { row.max_concurrent.to_string() },
            row.from.clone(),
        ]
    };
    table(&head, &rows.iter().map(line).collect::<Vec<_>>())
}

fn threads(number: i32) -> String {
    if number < 0 { "92%".to_owned() } else { number.to_string() }
}
