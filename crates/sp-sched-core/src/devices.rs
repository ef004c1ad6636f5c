//! Which GPUs a task gets: shares are counted device by device, over all workers of a host.
//!
//! An attempt keeps its devices until it ends, whether or not they answer meanwhile: a device that is lost and comes
//! back is as full as it was, and nothing is freed because a heartbeat does not name it.

use std::collections::BTreeMap;

use sp_types::{AttemptId, GpuDevice, GpuId, GpuShare, HostCapacity, HostId, ResourceRow, WorkerId};

use crate::account::Use;
use crate::core::Core;
use crate::queue::Class;
use crate::resources::{Resource, Shortage};
use crate::workers::Worker;

/// A share of a billionth is nothing: sums of tenths are not exact.
const LEAST: f64 = 1e-9;

/// Shares by device.
pub(crate) type Shares = BTreeMap<GpuId, f64>;

/// Shares of a host's devices that are given away.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct GpuUse {
    pub(crate) sealing: Shares,
    pub(crate) proving: Shares,
}

impl GpuUse {
    /// Held attempts have no devices yet.
    pub(crate) fn add(&mut self, part: Use, given: &[GpuShare]) {
        let shares = if part == Use::Proving { &mut self.proving } else { &mut self.sealing };
        given.iter().for_each(|gpu| *shares.entry(gpu.id.clone()).or_default() += gpu.share);
    }

    pub(crate) fn of(&self, id: &GpuId) -> f64 {
        let of = |shares: &Shares| shares.get(id).copied().unwrap_or(0.0);
        of(&self.sealing) + of(&self.proving)
    }

    /// The same sums, but for what the order of adding changes.
    pub(crate) fn equals(&self, other: &Self) -> bool {
        let near = |a: &Shares, b: &Shares| {
            let all = a.keys().chain(b.keys());
            let of = |shares: &Shares, id: &GpuId| shares.get(id).copied().unwrap_or(0.0);
            all.into_iter().all(|id| (of(a, id) - of(b, id)).abs() < 1e-6)
        };
        near(&self.sealing, &other.sealing) && near(&self.proving, &other.proving)
    }
}

/// Devices for so many shares, none if there is not enough: the part of a device that is fullest already and still has
/// room for it, so that whole devices stay whole, and beside it whole devices in the driver's order.
fn choose(needed: f64, mut devices: Vec<(&GpuDevice, f64)>) -> Option<Vec<GpuShare>> {
    let whole = (needed + LEAST).floor();
    let part = needed - whole;
    let mut given = Vec::new();
    devices.sort_by_key(|(gpu, _)| (gpu.index, &gpu.id));
    if part > LEAST {
        let roomy = devices.iter().enumerate().filter(|(_, (_, free))| *free + LEAST >= part);
        let (at, _) = roomy.min_by(|(_, (_, a)), (_, (_, b))| a.total_cmp(b))?;
        given.push(share(devices.remove(at).0, part));
    }
    let mut idle = devices.into_iter().filter(|(_, free)| *free + LEAST >= 1.0);
    for _ in 0..whole as usize {
        given.push(share(idle.next()?.0, 1.0));
    }
    Some(given)
}

/// The same for what waits for nothing: whatever is used least.
fn choose_anyway(needed: f64, mut devices: Vec<(&GpuDevice, f64)>) -> Vec<GpuShare> {
    devices.sort_by(|(a, free_a), (b, free_b)| {
        free_b.total_cmp(free_a).then_with(|| (a.index, &a.id).cmp(&(b.index, &b.id)))
    });
    let parts = (0..).map(|n| (needed - f64::from(n)).min(1.0)).take_while(|part| *part > LEAST);
    devices.into_iter().zip(parts).map(|((gpu, _), part)| share(gpu, part)).collect()
}

fn share(gpu: &GpuDevice, share: f64) -> GpuShare {
    GpuShare { id: gpu.id.clone(), index: gpu.index, share }
}

impl Core {
    /// Devices that tasks of this worker can be given, each with what is free of it.
    fn gpus_of<'a>(&'a self, worker: &'a Worker) -> Vec<(&'a GpuDevice, f64)> {
        let host = self.hosts.get(&worker.reg.host);
        // Another worker of the host may know that a device is gone.
        let answers = |gpu: &&GpuDevice| host.is_none_or(|h| !h.lost_gpus.contains(&gpu.id));
        let free = |gpu: &GpuDevice| (1.0 - host.map_or(0.0, |h| h.gpus.of(&gpu.id))).max(0.0);
        worker.share.usable_gpus().filter(answers).map(|gpu| (gpu, free(gpu))).collect()
    }

    /// Devices for one more sealing task of this class. Empty where it computes on cores.
    pub(crate) fn give_gpus(&self, worker: &WorkerId, class: Option<Class>) -> Vec<GpuShare> {
        let Some((worker, class)) = self.workers.get(worker).zip(class) else { return Vec::new() };
        let (devices, needed) = (self.gpus_of(worker), self.row(worker, class).gpu_utilization);
        // Whoever ignores resources takes what is used least.
        choose(needed, devices.clone()).unwrap_or_else(|| choose_anyway(needed, devices))
    }

    /// Devices for a PoSt: other proofs count before sealing does, and it never waits.
    pub(crate) fn give_gpus_to_post(&self, worker: &WorkerId, row: &ResourceRow) -> Vec<GpuShare> {
        let Some(worker) = self.workers.get(worker) else { return Vec::new() };
        let proving = self.hosts.get(&worker.reg.host).map(|h| &h.gpus.proving);
        let proves = |gpu: &GpuDevice| proving.and_then(|p| p.get(&gpu.id)).copied().unwrap_or(0.0);
        let devices = self.gpus_of(worker).into_iter();
        // A proof weighs more than all that sealing can have on a device.
        let devices = devices.map(|(gpu, free)| (gpu, free - 2.0 * proves(gpu)));
        choose_anyway(row.gpu_utilization, devices.collect())
    }

    /// What is short of GPUs for one more such task; none when it gets its devices, or computes on cores.
    pub(crate) fn short_of_gpus(&self, worker: &Worker, row: &ResourceRow) -> Option<Shortage> {
        let needed = row.gpu_utilization;
        if needed <= LEAST || worker.share.gpus.is_empty() || !worker.share.gpus_usable {
            return None;
        }
        let devices = self.gpus_of(worker);
        let (free, all) = (devices.iter().map(|(_, free)| free).sum(), devices.len() as f64);
        let short = Shortage { resource: Resource::Gpus, needed, free, all };
        choose(needed, devices).is_none().then_some(short)
    }

    /// May a small task start before a bigger one that waits for room? What that one lacks is not taken, and what it
    /// would get is left to it.
    pub(crate) fn gpus_let_pass(&self, worker: &Worker, small: &ResourceRow, waiting: &ResourceRow) -> bool {
        if small.gpu_utilization <= LEAST || waiting.gpu_utilization <= LEAST {
            return true;
        }
        let mut devices = self.gpus_of(worker);
        if devices.is_empty() {
            return true;
        }
        let given = choose(small.gpu_utilization, devices.clone()).unwrap_or_default();
        for (gpu, free) in &mut devices {
            *free -= given.iter().find(|g| g.id == gpu.id).map_or(0.0, |g| g.share);
        }
        choose(waiting.gpu_utilization, devices).is_some()
    }

    /// The worker's devices in words: who is on which, what is free of it, which does not answer.
    pub(crate) fn gpus_in_words(&self, worker: &Worker) -> String {
        let devices = self.gpus_of(worker);
        let words = |gpu: &GpuDevice| {
            let name = share(gpu, 0.0);
            let users = self.users_of_gpu(&worker.reg.host, &gpu.id);
            let users = if users.is_empty() { users } else { format!(" ({users})") };
            match devices.iter().find(|(known, _)| known.id == gpu.id) {
                None => format!("{name} does not answer"),
                Some((_, free)) if *free <= LEAST => format!("{name} is full{users}"),
                Some((_, free)) => format!("{name} has {free:.2} free{users}"),
            }
        };
        worker.share.gpus.iter().map(words).collect::<Vec<_>>().join("; ")
    }

    /// `C2 of sector 4, task 9: 0.50`, and so on.
    fn users_of_gpu(&self, host: &HostId, id: &GpuId) -> String {
        let part = |gpus: &[GpuShare]| gpus.iter().find(|gpu| gpu.id == *id).map(|gpu| gpu.share);
        let sealing = self.lookup.on_host(host).filter(|id| self.computes(id)).filter_map(|attempt| {
            let (attempt, task) = (self.attempt(attempt)?, self.tasks.get(&attempt.task)?);
            Some(format!("{} of {}, task {}: {:.2}", task.kind, self.subject_of(task), task.id, part(&attempt.gpus)?))
        });
        let tries = self.posts.values().flat_map(|job| job.running()).filter(|(_, run)| run.host == *host);
        let proving = tries.filter_map(|(kind, run)| Some(format!("{kind}: {:.2}", part(&run.gpus)?)));
        sealing.chain(proving).collect::<Vec<_>>().join(", ")
    }

    /// Its work is not done: what waits for the verifier only has given its devices back.
    fn computes(&self, id: &AttemptId) -> bool {
        self.live.get(id).is_some_and(|live| live.verifying.is_none())
    }

    /// Devices of what computes on the worker.
    pub(crate) fn gpus_given(&self, worker: &WorkerId) -> Vec<GpuShare> {
        let sealing = self.lookup.on_worker(worker).filter(|id| self.computes(id)).filter_map(|id| self.attempt(id));
        let tries = self.posts.values().flat_map(|job| job.running());
        let proving = tries.filter(|(_, run)| run.worker == *worker);
        sealing.flat_map(|a| a.gpus.iter()).chain(proving.flat_map(|(_, run)| run.gpus.iter())).cloned().collect()
    }

    /// What is to be said of the devices of an attempt: those that do not answer. Empty: all is well.
    pub(crate) fn lost_in_words(&self, worker: &WorkerId, gpus: &[GpuShare]) -> String {
        let Some(worker) = self.workers.get(worker) else { return String::new() };
        let lost = gpus.iter().filter(|gpu| !answers(&worker.reg.capacity, &gpu.id));
        lost.map(|gpu| format!("{gpu} does not answer")).collect::<Vec<_>>().join("; ")
    }

    /// The devices of an attempt that its worker does not even list: its process is new, and they were gone before.
    pub(crate) fn gone_gpu(&self, attempt: AttemptId) -> Option<GpuShare> {
        let attempt = self.attempt(attempt)?;
        let known = &self.workers.get(&attempt.worker)?.reg.capacity.gpus;
        attempt.gpus.iter().find(|gpu| !known.iter().any(|k| k.id == gpu.id)).cloned()
    }

    /// A worker sees other devices than before: whatever computes on those that are lost or back gets an entry in the
    /// log of its sector.
    pub(crate) fn report_gpus(&mut self, worker: &WorkerId, before: &HostCapacity) {
        let Some(now) = self.workers.get(worker).map(|w| &w.reg.capacity) else { return };
        let attempts = self.lookup.on_worker(worker).filter_map(|id| self.attempt(id));
        let on_them = attempts.flat_map(|a| a.gpus.iter().map(move |gpu| (a.id, gpu, answers(now, &gpu.id))));
        let changed = on_them.filter(|(_, gpu, here)| answers(before, &gpu.id) != *here);
        let changed: Vec<_> = changed.map(|(id, gpu, here)| (id, gpu.to_string(), here)).collect();
        for (attempt, gpu, here) in changed {
            match here {
                true => self.log_attempt(attempt, "GPU back", &format!("{gpu} answers again")),
                false => self.log_attempt(attempt, "GPU lost", &format!("{gpu} does not answer any more")),
            }
        }
    }
}

fn answers(capacity: &HostCapacity, id: &GpuId) -> bool {
    capacity.gpus.iter().any(|gpu| gpu.id == *id && gpu.healthy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gpus(count: u32) -> Vec<GpuDevice> {
        let gpu = |index| GpuDevice {
            id: GpuId::new(format!("GPU-{index}")).unwrap(),
            name: "gpu".into(),
            index,
            memory_bytes: 1,
            memory_used_bytes: 0,
            healthy: true,
        };
        (0..count).map(gpu).collect()
    }

    /// `index:share` of what is given, or `-`.
    fn given(chosen: Option<Vec<GpuShare>>) -> String {
        let text = |gpus: Vec<GpuShare>| {
            let parts = gpus.iter().map(|gpu| format!("{}:{:.1}", gpu.index, gpu.share));
            parts.collect::<Vec<_>>().join(" ")
        };
        chosen.map_or_else(|| "-".to_owned(), text)
    }

    #[test]
    fn shares_are_packed_so_that_whole_devices_stay_whole() {
        let devices = gpus(3);
        let table: [(f64, [f64; 3], &str); 12] = [
            (1.0, [1.0, 1.0, 1.0], "0:1.0"),
            (1.0, [0.5, 0.9, 1.0], "2:1.0"),
            (1.0, [0.5, 0.5, 0.0], "-"),
            (0.5, [1.0, 0.5, 0.6], "1:0.5"),
            (0.5, [1.0, 0.4, 0.6], "2:0.5"),
            (0.5, [0.4, 0.4, 0.4], "-"),
            (2.0, [1.0, 0.9, 1.0], "0:1.0 2:1.0"),
            (2.0, [1.0, 0.9, 0.9], "-"),
            (1.5, [1.0, 0.5, 1.0], "1:0.5 0:1.0"),
            (1.5, [1.0, 0.4, 1.0], "0:0.5 2:1.0"),
            (4.0, [1.0, 1.0, 1.0], "-"),
            (0.3, [0.1 + 0.2, 0.0, 0.0], "0:0.3"),
        ];
        for (needed, free, expected) in table {
            let devices = devices.iter().zip(free).collect();
            assert_eq!(given(choose(needed, devices)), expected, "{needed} of {free:?}");
        }
    }

    #[test]
    fn what_waits_for_nothing_takes_what_is_used_least() {
        let devices = gpus(3);
        let table = [
            (1.0, [0.0, 0.5, 0.2], "1:1.0"),
            (1.0, [-1.0, -2.0, -1.0], "0:1.0"),
            (1.5, [0.0, 0.5, 0.2], "1:1.0 2:0.5"),
            (9.0, [0.0, 0.0, 0.0], "0:1.0 1:1.0 2:1.0"),
            (0.0, [1.0, 1.0, 1.0], ""),
        ];
        for (needed, free, expected) in table {
            let devices = devices.iter().zip(free).collect();
            assert_eq!(given(Some(choose_anyway(needed, devices))), expected, "{needed} of {free:?}");
        }
    }
}
