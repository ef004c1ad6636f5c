//! What all workers of one host have and take together.

use std::collections::BTreeMap;

use serde::Serialize;
use sp_types::HostCapacity;

use super::hardware::{Capacity, Used};
use super::workers::{WorkerRow, amount};
use super::{Color, Paint};

/// A host, as `workers --json` prints it with each of its workers.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Host {
    /// Workers of this host that the scheduler knows, connected or not.
    workers: usize,
    /// What the host has: the most that any of its workers sees, each device once.
    capacity: Capacity,
    /// What the tasks of all of them take.
    used: Used,
    #[serde(skip)]
    whole: HostCapacity,
}

/// Tells every row about its host.
pub(crate) fn sum_up(rows: &mut [WorkerRow]) {
    let mut hosts: BTreeMap<&str, Vec<&WorkerRow>> = BTreeMap::new();
    for row in rows.iter() {
        hosts.entry(&row.host_id).or_default().push(row);
    }
    let hosts: BTreeMap<String, Host> = hosts.into_iter().map(|(id, rows)| (id.to_owned(), sum(&rows))).collect();
    for row in rows {
        row.host = hosts.get(&row.host_id).cloned();
    }
}

/// A worker that is away does not know what its host has now; what it was given may still run.
fn sum(rows: &[&WorkerRow]) -> Host {
    let (mut whole, mut used) = (HostCapacity::default(), Used::default());
    let somebody = rows.iter().any(|row| row.connected);
    for row in rows {
        if row.connected || !somebody {
            whole.join(&row.whole);
        }
        used.add(&row.used);
    }
    Host { workers: rows.len(), capacity: Capacity::new(&whole, &used.devices), used, whole }
}

/// A line for each host of these rows that has more than one worker.
pub(super) fn text(rows: &[WorkerRow], paint: &Paint) -> String {
    let hosts: BTreeMap<&str, &Host> =
        rows.iter().filter_map(|row| Some((row.host_id.as_str(), row.host.as_ref()?))).collect();
    hosts.into_iter().filter(|(_, host)| host.workers > 1).map(|(id, host)| line(id, host, paint)).collect()
}

fn line(id: &str, host: &Host, paint: &Paint) -> String {
    let Host { workers, capacity: _, used, whole } = host;
    let HostCapacity { memory_bytes, memory_used_bytes, swap_bytes, swap_used_bytes, cpus, gpus, gpus_usable: _ } =
        whole;
    let ram = amount(used.memory_min_bytes, *memory_used_bytes, *memory_bytes);
    let (virtual_used, virtual_all) =
        (memory_used_bytes.saturating_add(*swap_used_bytes), memory_bytes.saturating_add(*swap_bytes));
    let vmem = amount(used.memory_max_bytes, virtual_used, virtual_all);
    let id = paint.paint(Color::Magenta, id);
    let mut text = format!("Host {id}: {workers} workers; CPU {}/{cpus} core(s); RAM {ram}; VMEM {vmem}", used.cpus);
    if !gpus.is_empty() {
        text += &format!("; GPU {:.2}/{} gpu(s)", used.gpus, gpus.len());
    }
    text + "\n"
}

#[cfg(test)]
mod tests {
    use sp_proto::v1::WorkerStatus;

    use super::super::workers::tests::{gpu, status};
    use super::*;

    fn rows() -> Vec<WorkerRow> {
        let on = |host: &str, id: &str| WorkerStatus { host_id: host.into(), worker_id: id.into(), ..status() };
        let mut confined = on("m-1", "b");
        let capacity = confined.capacity.as_mut().unwrap();
        (capacity.cpus, capacity.memory_bytes, capacity.memory_used_bytes) = (8, 64 << 30, 1 << 30);
        capacity.devices.push(gpu("GPU-2", "NVIDIA A40"));
        (confined.cpus_used, confined.memory_min_used_bytes) = (4, 252 << 30);
        let away = WorkerStatus { connected: false, ..on("m-1", "c") };
        let mut rows: Vec<WorkerRow> =
            [on("m-1", "a"), confined, away, on("m-2", "d")].map(WorkerRow::from).into_iter().collect();
        sum_up(&mut rows);
        rows
    }

    #[test]
    fn a_host_with_several_workers_has_a_line_after_them() {
        let shown = super::super::workers::text(&rows(), &Paint::off());
        let line = "Host m-1: 3 workers; CPU 36/128 core(s); RAM 25% 252 GiB/1008 GiB; VMEM 12% 125.8 GiB/1008 GiB; GPU \
                    0.00/2 gpu(s)\n";
        assert!(shown.ends_with(line), "{shown}");
        assert_eq!(shown.matches("Host ").count(), 1);
    }

    #[test]
    fn json_tells_each_worker_of_its_host() {
        let json = serde_json::to_value(rows()).unwrap();
        assert_eq!((&json[1]["host"]["workers"], &json[3]["host"]["workers"]), (&3.into(), &1.into()));
        let host = &json[0]["host"];
        assert_eq!((&host["capacity"]["cpus"], &host["used"]["cpus"]), (&128.into(), &36.into()));
        assert_eq!(host["capacity"]["devices"].as_array().unwrap().len(), 2);
    }
}
