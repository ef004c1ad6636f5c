//! The listing of workers in Lotus's layout, and the same as JSON.

use serde::Serialize;
use sp_proto::convert;
use sp_proto::v1::{HostCapacity, TaskCount, WorkerStatus};
use sp_types::{ByteSize, TaskClass};

use super::{Color, Filling, Paint, bar, seal_proof_name, task_code};

const COLUMNS: usize = 64;

/// A worker, as `--json` prints it.
#[derive(Debug, Serialize)]
pub(crate) struct WorkerRow {
    pub(crate) worker_id: String,
    session_id: String,
    host_id: String,
    pub(crate) name: String,
    build: String,
    class: String,
    pub(crate) builtin: bool,
    connected: bool,
    disabled: bool,
    disabled_reason: String,
    pub(crate) tasks: Vec<String>,
    capacity: Capacity,
    used: Used,
    counts: Vec<Count>,
    stores: Vec<String>,
    data_url: String,
    pid: u32,
    connected_ms: u64,
}

#[derive(Debug, Serialize)]
struct Capacity {
    memory_bytes: u64,
    memory_used_bytes: u64,
    swap_bytes: u64,
    swap_used_bytes: u64,
    cpus: u32,
    gpus: Vec<String>,
}

/// What the tasks on a worker take.
#[derive(Debug, Serialize)]
struct Used {
    cpus: u32,
    memory_min_bytes: u64,
    memory_max_bytes: u64,
    gpus: f64,
}

#[derive(Debug, Serialize)]
struct Count {
    task: String,
    proof_type: String,
    count: u32,
    limit: u32,
    #[serde(skip)]
    order: i32,
}

impl From<WorkerStatus> for WorkerRow {
    fn from(status: WorkerStatus) -> Self {
        let HostCapacity {
            memory_bytes,
            memory_used_bytes,
            swap_bytes,
            swap_used_bytes,
            cpus,
            devices,
            gpus_usable: _,
        } = status.capacity.unwrap_or_default();
        let gpus = devices.into_iter().map(|device| device.name).collect();
        let mut counts: Vec<Count> = status.counts.iter().map(Count::from).collect();
        counts.sort_by_key(|count| count.order);
        Self {
            worker_id: status.worker_id,
            session_id: status.session_id,
            host_id: status.host_id,
            name: status.name,
            build: status.build,
            class: status.class,
            builtin: status.builtin,
            connected: status.connected,
            disabled: !status.connected || !status.disabled_reason.is_empty(),
            disabled_reason: status.disabled_reason,
            tasks: status.tasks.into_iter().map(task_code).collect(),
            capacity: Capacity { memory_bytes, memory_used_bytes, swap_bytes, swap_used_bytes, cpus, gpus },
            used: Used {
                cpus: status.cpus_used,
                memory_min_bytes: status.memory_min_used_bytes,
                memory_max_bytes: status.memory_max_used_bytes,
                gpus: status.gpus_used,
            },
            counts,
            stores: status.stores,
            data_url: status.data_url,
            pid: status.pid,
            connected_ms: status.connected_ms,
        }
    }
}

impl From<&TaskCount> for Count {
    fn from(wire: &TaskCount) -> Self {
        Self {
            task: task_code(wire.task),
            proof_type: seal_proof_name(wire.seal_proof),
            count: wire.count,
            limit: wire.limit,
            order: convert::task_kind(wire.task).map_or(i32::MAX, |kind| kind.order()),
        }
    }
}

impl WorkerRow {
    pub(crate) fn is_sealing(&self) -> bool {
        self.class == TaskClass::Sealing.to_string()
    }
}

/// The listing for people.
pub(crate) fn text(rows: &[WorkerRow], paint: &Paint) -> String {
    rows.iter().map(|row| worker(row, paint)).collect()
}

fn worker(row: &WorkerRow, paint: &Paint) -> String {
    let builtin = if row.builtin { " (built-in)" } else { "" };
    let disabled = if row.disabled { paint.paint(Color::Red, " (disabled)") } else { String::new() };
    let name = paint.paint(Color::Magenta, &row.name);
    let mut text = format!("Worker {}, host {name}{builtin}{disabled}\n", row.worker_id);
    if row.disabled && !row.disabled_reason.is_empty() {
        text += &format!("\tDISABLED: {}\n", row.disabled_reason);
    }
    text += &tasks(&row.counts, paint);
    text += &cpu(row, paint);
    let Capacity { memory_bytes, memory_used_bytes, swap_bytes, swap_used_bytes, .. } = row.capacity;
    text += &memory("RAM:  ", row.used.memory_min_bytes, memory_used_bytes, memory_bytes, paint);
    let (virtual_used, virtual_all) =
        (memory_used_bytes.saturating_add(swap_used_bytes), memory_bytes.saturating_add(swap_bytes));
    text += &memory("VMEM: ", row.used.memory_max_bytes, virtual_used, virtual_all, paint);
    text + &gpus(row, paint)
}

/// Counts of what runs, each with a blank after it as Lotus prints them; no line when nothing runs.
fn tasks(counts: &[Count], paint: &Paint) -> String {
    let shown: String = counts
        .iter()
        .filter(|count| count.count > 0)
        .map(|Count { task, count, limit, .. }| {
            let (color, of) = match limit {
                0 => (Color::Cyan, String::new()),
                limit if count < limit => (Color::Green, format!("/{limit}")),
                limit => (Color::Yellow, format!("/{limit}")),
            };
            format!("{}({}{of}) ", paint.paint(Color::Blue, task), paint.paint(color, &count.to_string()))
        })
        .collect();
    if shown.is_empty() { shown } else { format!("\tTASK: {shown}\n") }
}

fn cpu(row: &WorkerRow, paint: &Paint) -> String {
    let (used, all) = (row.used.cpus, row.capacity.cpus);
    let part = Filling { cell: '|', color: Color::Green, amount: f64::from(used) };
    format!("\tCPU:  {} {used}/{all} core(s) in use\n", bar(COLUMNS, f64::from(all), &[part], paint))
}

/// `used` is all that is in use on the host, `tasks` what the tasks claim; what is used beyond the claims counts as
/// reserved. Percent and amount speak of the same sum (Lotus's do not).
fn memory(label: &str, tasks: u64, used: u64, all: u64, paint: &Paint) -> String {
    let reserved = used.saturating_sub(tasks);
    let sum = tasks.saturating_add(reserved);
    let parts = [
        Filling { cell: '|', color: Color::Yellow, amount: reserved as f64 },
        Filling { cell: '|', color: Color::Green, amount: tasks as f64 },
    ];
    let percent = (u128::from(sum) * 100).checked_div(u128::from(all)).unwrap_or(0);
    let bar = bar(COLUMNS, all as f64, &parts, paint);
    format!("\t{label}{bar} {percent}% {}/{}\n", ByteSize(sum), ByteSize(all))
}

fn gpus(row: &WorkerRow, paint: &Paint) -> String {
    let names = &row.capacity.gpus;
    if names.is_empty() {
        return String::new();
    }
    let (used, all) = (row.used.gpus, names.len());
    let part = Filling { cell: '|', color: Color::Green, amount: used };
    let percent = used * 100.0 / all as f64;
    let bar = bar(COLUMNS, all as f64, &[part], paint);
    let mut text = format!("\tGPU:  {bar} {percent:.0}% {used:.2}/{all} gpu(s) in use\n");
    let state = if used > 0.0 { paint.paint(Color::Green, "used") } else { paint.paint(Color::Blue, "not used") };
    names.iter().for_each(|name| text += &format!("\tGPU: {name}, {state}\n"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use sp_proto::v1::TaskKind;

    fn status() -> WorkerStatus {
        let count = |task: TaskKind, count, limit| TaskCount { task: task as i32, seal_proof: 8, count, limit };
        WorkerStatus {
            worker_id: "c4d65451-07f8-4230-98ad-4f33dea2a8cc".into(),
            name: "myhostname".into(),
            class: "Seal".into(),
            connected: true,
            tasks: vec![TaskKind::PreCommit1 as i32],
            capacity: Some(HostCapacity {
                memory_bytes: 1008 << 30,
                memory_used_bytes: 135_076_755_374,
                cpus: 128,
                devices: vec![sp_proto::v1::GpuDevice { name: "NVIDIA GeForce RTX 3090".into(), ..Default::default() }],
                ..HostCapacity::default()
            }),
            cpus_used: 16,
            counts: vec![
                count(TaskKind::AddPiece, 15, 15),
                count(TaskKind::Fetch, 3, 0),
                count(TaskKind::PreCommit1, 1, 4),
                count(TaskKind::PreCommit2, 0, 4),
            ],
            ..WorkerStatus::default()
        }
    }

    #[test]
    fn the_layout_is_lotuses() {
        let (eight, free) = ("|".repeat(8), " ".repeat(56));
        let expected = format!(
            "Worker c4d65451-07f8-4230-98ad-4f33dea2a8cc, host myhostname\n\
             \tTASK: GET(3) PC1(1/4) AP(15/15) \n\
             \tCPU:  [{eight}{free}] 16/128 core(s) in use\n\
             \tRAM:  [{eight}{free}] 12% 125.8 GiB/1008 GiB\n\
             \tVMEM: [{eight}{free}] 12% 125.8 GiB/1008 GiB\n\
             \tGPU:  [{}] 0% 0.00/1 gpu(s) in use\n\
             \tGPU: NVIDIA GeForce RTX 3090, not used\n",
            " ".repeat(64)
        );
        assert_eq!(text(&[WorkerRow::from(status())], &Paint::off()), expected);
    }

    #[test]
    fn marks_of_builtin_and_disabled_workers() {
        let away = WorkerStatus { builtin: true, connected: false, disabled_reason: "lease ended".into(), ..status() };
        let shown = text(&[WorkerRow::from(away)], &Paint::off());
        assert!(shown.contains("host myhostname (built-in) (disabled)\n\tDISABLED: lease ended\n"), "{shown}");
    }

    #[test]
    fn claims_and_use_are_one_sum() {
        let plain = Paint::off();
        let line = memory("RAM:  ", 3 << 30, 1 << 30, 4 << 30, &plain);
        assert!(line.ends_with("75% 3 GiB/4 GiB\n"), "{line}");
        assert!(memory("RAM:  ", 0, 0, 0, &plain).ends_with("0% 0 B/0 B\n"));
    }
}
