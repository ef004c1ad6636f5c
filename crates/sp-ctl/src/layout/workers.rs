//! The listing of workers in Lotus's layout, and the same as JSON.

use serde::Serialize;
use sp_proto::convert;
use sp_proto::v1::{TaskCount, WorkerStatus};
use sp_types::{ByteSize, HostCapacity, TaskClass, WorkerLimits};

use super::hardware::{Capacity, Limits, Used};
use super::hosts::Host;
use super::{Color, Filling, Paint, bar, seal_proof_name, task_code};

const COLUMNS: usize = 64;

/// A worker, as `--json` prints it.
#[derive(Debug, Serialize)]
pub(crate) struct WorkerRow {
    pub(crate) worker_id: String,
    session_id: String,
    pub(super) host_id: String,
    pub(crate) name: String,
    build: String,
    class: String,
    pub(crate) builtin: bool,
    pub(super) connected: bool,
    disabled: bool,
    disabled_reason: String,
    pub(crate) tasks: Vec<String>,
    /// What its host has, as the worker sees it.
    capacity: Capacity,
    /// What the worker may take of that.
    limits: Limits,
    pub(super) used: Used,
    /// All workers of its host together.
    pub(super) host: Option<Host>,
    counts: Vec<Count>,
    stores: Vec<String>,
    data_url: String,
    pid: u32,
    connected_ms: u64,
    cordoned: bool,
    draining: bool,
    disabled_tasks: Vec<String>,
    windows: Vec<Vec<u64>>,
    empty: bool,
    #[serde(skip)]
    pub(super) whole: HostCapacity,
    #[serde(skip)]
    share: HostCapacity,
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
        // The scheduler has looked at both before it believed them.
        let whole = HostCapacity::try_from(status.capacity.unwrap_or_default()).unwrap_or_default();
        let limits = WorkerLimits::try_from(status.limits.unwrap_or_default()).unwrap_or_default();
        let used = Used {
            cpus: status.cpus_used,
            memory_min_bytes: status.memory_min_used_bytes,
            memory_max_bytes: status.memory_max_used_bytes,
            gpus: status.gpus_used,
            devices: status.gpus_in_use,
        };
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
            capacity: Capacity::new(&whole, &used.devices),
            share: whole.limited(&limits),
            whole,
            limits: limits.into(),
            used,
            host: None,
            counts,
            stores: status.stores,
            data_url: status.data_url,
            pid: status.pid,
            connected_ms: status.connected_ms,
            cordoned: status.cordoned,
            draining: status.draining,
            disabled_tasks: status.disabled_tasks.into_iter().map(task_code).collect(),
            windows: status.windows.into_iter().map(|w| w.tasks).collect(),
            empty: status.empty,
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
    /// Belongs into the listing of sealing workers. One without tasks, or of a class that this build does not know, is in
    /// both halves: nobody disappears.
    pub(crate) fn may_seal(&self) -> bool {
        self.class == TaskClass::Sealing.to_string() || !self.is_classed()
    }

    /// Belongs into the listing of PoSt workers.
    pub(crate) fn may_prove(&self) -> bool {
        self.class != TaskClass::Sealing.to_string() || !self.is_classed()
    }

    fn is_classed(&self) -> bool {
        let known = [TaskClass::Sealing, TaskClass::WindowPost, TaskClass::WinningPost];
        !self.tasks.is_empty() && known.iter().any(|class| class.to_string() == self.class)
    }
}

/// The listing for people: the workers, then the sum of each host that has several.
pub(crate) fn text(rows: &[WorkerRow], paint: &Paint) -> String {
    let workers: String = rows.iter().map(|row| worker(row, paint)).collect();
    workers + &super::hosts::text(rows, paint)
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
    let HostCapacity { memory_bytes, memory_used_bytes, swap_bytes, swap_used_bytes, .. } = row.share;
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
    let (used, all) = (row.used.cpus, row.share.cpus);
    let part = Filling { cell: '|', color: Color::Green, amount: f64::from(used) };
    format!("\tCPU:  {} {used}/{all} core(s) in use\n", bar(COLUMNS, f64::from(all), &[part], paint))
}

/// `used` is all that is in use on the host, `tasks` what the tasks claim; what is used beyond the claims counts as
/// reserved. Percent and amount speak of the same sum (Lotus's do not).
fn memory(label: &str, tasks: u64, used: u64, all: u64, paint: &Paint) -> String {
    let parts = [
        Filling { cell: '|', color: Color::Yellow, amount: used.saturating_sub(tasks) as f64 },
        Filling { cell: '|', color: Color::Green, amount: tasks as f64 },
    ];
    format!("\t{label}{} {}\n", bar(COLUMNS, all as f64, &parts, paint), amount(tasks, used, all))
}

/// `12% 125.8 GiB/1008 GiB`.
pub(super) fn amount(tasks: u64, used: u64, all: u64) -> String {
    let sum = tasks.max(used);
    let percent = (u128::from(sum) * 100).checked_div(u128::from(all)).unwrap_or(0);
    format!("{percent}% {}/{}", ByteSize(sum), ByteSize(all))
}

/// A bar for all devices together, and a line for each. Lotus calls every device used as soon as one of them is.
fn gpus(row: &WorkerRow, paint: &Paint) -> String {
    let gpus = &row.share.gpus;
    if gpus.is_empty() {
        return String::new();
    }
    let (used, all) = (row.used.gpus, gpus.len());
    let part = Filling { cell: '|', color: Color::Green, amount: used };
    let percent = used * 100.0 / all as f64;
    let bar = bar(COLUMNS, all as f64, &[part], paint);
    let mut text = format!("\tGPU:  {bar} {percent:.0}% {used:.2}/{all} gpu(s) in use\n");
    for gpu in gpus {
        let state = match (gpu.healthy, row.used.has_device(&gpu.id)) {
            (false, _) => paint.paint(Color::Red, "not healthy"),
            (true, true) => paint.paint(Color::Green, "used"),
            (true, false) => paint.paint(Color::Blue, "not used"),
        };
        text += &format!("\tGPU: {}, {state}\n", gpu.name);
    }
    text
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use sp_proto::v1::{self, TaskKind};

    pub(in super::super) fn gpu(id: &str, name: &str) -> v1::GpuDevice {
        let (name, memory_bytes) = (name.into(), 24 << 30);
        v1::GpuDevice { id: id.into(), name, memory_bytes, healthy: true, ..Default::default() }
    }

    pub(in super::super) fn status() -> WorkerStatus {
        let count = |task: TaskKind, count, limit| TaskCount { task: task as i32, seal_proof: 8, count, limit };
        WorkerStatus {
            worker_id: "c4d65451-07f8-4230-98ad-4f33dea2a8cc".into(),
            name: "myhostname".into(),
            class: "Seal".into(),
            connected: true,
            tasks: vec![TaskKind::PreCommit1 as i32],
            capacity: Some(v1::HostCapacity {
                memory_bytes: 1008 << 30,
                memory_used_bytes: 135_076_755_374,
                cpus: 128,
                devices: vec![gpu("GPU-1", "NVIDIA GeForce RTX 3090")],
                ..Default::default()
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
    fn every_worker_is_in_a_half() {
        let halves = |class: &str, tasks: Vec<i32>| {
            let row = WorkerRow::from(WorkerStatus { class: class.into(), tasks, ..status() });
            (row.may_seal(), row.may_prove())
        };
        assert_eq!(halves(&TaskClass::Sealing.to_string(), vec![3]), (true, false));
        assert_eq!(halves(&TaskClass::WindowPost.to_string(), vec![17]), (false, true));
        assert_eq!(halves(&TaskClass::WinningPost.to_string(), vec![18]), (false, true));
        assert_eq!(halves("Seal", vec![]), (true, true), "one without tasks is in both, as in Lotus");
        assert_eq!(halves("Brewing", vec![3]), (true, true), "a class of a newer scheduler");
    }

    #[test]
    fn each_device_has_its_own_line_and_state() {
        let mut two = status();
        two.capacity.as_mut().unwrap().devices =
            vec![gpu("GPU-1", "NVIDIA H100 80GB HBM3"), gpu("GPU-2", "NVIDIA A40")];
        (two.gpus_used, two.gpus_in_use) = (0.5, vec!["GPU-2".into()]);
        let shown = text(&[WorkerRow::from(two.clone())], &Paint::off());
        let expected = format!(
            "\tGPU:  [{}{}] 25% 0.50/2 gpu(s) in use\n\
             \tGPU: NVIDIA H100 80GB HBM3, not used\n\
             \tGPU: NVIDIA A40, used\n",
            "|".repeat(16),
            " ".repeat(48)
        );
        assert!(shown.ends_with(&expected), "{shown}");
        two.capacity.as_mut().unwrap().devices[0].healthy = false;
        let shown = text(&[WorkerRow::from(two.clone())], &Paint::off());
        assert!(shown.contains("\tGPU: NVIDIA H100 80GB HBM3, not healthy\n"), "{shown}");
        let capacity = &serde_json::to_value(WorkerRow::from(two)).unwrap()["capacity"];
        assert_eq!(capacity["gpus"], serde_json::json!(["NVIDIA H100 80GB HBM3", "NVIDIA A40"]));
        assert_eq!(capacity["gpus_usable"], false);
        assert_eq!(
            capacity["devices"][1],
            serde_json::json!({
                "id": "GPU-2", "name": "NVIDIA A40", "index": 0, "memory_bytes": 24_u64 << 30,
                "memory_used_bytes": 0, "healthy": true, "in_use": true,
            })
        );
    }

    #[test]
    fn the_bars_of_a_limited_worker_are_of_its_share() {
        let limits = v1::WorkerLimits { cpus: 32, memory_bytes: 64 << 30, no_gpus: true, ..Default::default() };
        let limited = WorkerStatus { limits: Some(limits), memory_min_used_bytes: 16 << 30, ..status() };
        let shown = text(&[WorkerRow::from(limited.clone())], &Paint::off());
        assert!(shown.contains("16/32 core(s) in use\n") && shown.contains(" 25% 16 GiB/64 GiB\n"), "{shown}");
        assert!(!shown.contains("GPU"), "{shown}");
        let json = serde_json::to_value(WorkerRow::from(limited)).unwrap();
        assert_eq!(json["limits"], serde_json::json!({"cpus": 32, "memory_bytes": 64_u64 << 30, "gpus": []}));
        assert_eq!(json["capacity"]["cpus"], 128);
        let free = serde_json::to_value(WorkerRow::from(status())).unwrap();
        assert_eq!(free["limits"], serde_json::json!({"cpus": null, "memory_bytes": null, "gpus": null}));
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
