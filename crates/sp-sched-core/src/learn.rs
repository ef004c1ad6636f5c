//! What the scheduler has learned: how long each kind of task takes on each host, and how fast data comes from where.
//! Estimates decide between workers that are all allowed; they never allow anything.

use std::collections::{BTreeMap, VecDeque};

use sp_types::{HostId, SectorSize, TaskKind};

/// Weight of the newest sample: after five of them the old ones count for a sixth.
const NEWEST: f64 = 0.3;
/// Bytes per millisecond of a path that was never measured: 100 MB/s.
const USUAL_BYTES_PER_MS: f64 = 100_000.0;
/// What moving data costs besides its bytes.
const FETCH_OVERHEAD_MS: f64 = 100.0;

/// Durations that count for the worst case: the newest.
const DURATIONS: usize = 100;
/// The worst case: this part of them, percent, took no longer.
const WORST: usize = 99;

/// Peaks of memory that count: the newest.
const PEAKS: usize = 16;
/// So many of them make an estimate.
const PEAKS_LEAST: usize = 5;
/// What a task may take above the largest of them, percent.
const PEAK_MARGIN: u64 = 10;
/// Estimates of memory are rounded up to a multiple of this, so that they seldom move.
const PEAK_STEP: u64 = 64 << 20;

/// A moving mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Estimate {
    pub(crate) mean: f64,
    pub(crate) samples: u32,
}

impl Estimate {
    fn first(value: f64) -> Self {
        Self { mean: value, samples: 1 }
    }

    fn add(&mut self, value: f64) {
        // The plain mean at first, so that one odd first sample does not linger.
        let weight = NEWEST.max(1.0 / f64::from(self.samples + 1));
        self.mean += weight * (value - self.mean);
        self.samples = self.samples.saturating_add(1);
    }
}

/// The worst case of a kind of task on a host: reading and computing apart, for the one goes by disks and the other by
/// processors.
#[derive(Debug, Clone, Default)]
struct Worst {
    read: Newest,
    compute: Newest,
}

/// The newest durations. The worst one is asked for far more often than it changes.
#[derive(Debug, Clone, Default)]
struct Newest {
    durations: VecDeque<u64>,
    worst: u64,
}

impl Worst {
    fn ms(&self) -> u64 {
        self.read.worst.saturating_add(self.compute.worst)
    }
}

impl Newest {
    fn add(&mut self, ms: u64) {
        if self.durations.len() == DURATIONS {
            self.durations.pop_front();
        }
        self.durations.push_back(ms);
        let mut sorted: Vec<u64> = self.durations.iter().copied().collect();
        sorted.sort_unstable();
        self.worst = sorted.get((sorted.len() * WORST).div_ceil(100).saturating_sub(1)).copied().unwrap_or(ms);
    }
}

/// Everything learned since the scheduler started.
#[derive(Debug, Clone, Default)]
pub(crate) struct Learned {
    durations: BTreeMap<(TaskKind, SectorSize), BTreeMap<HostId, Estimate>>,
    /// The newest durations, for the worst case.
    newest: BTreeMap<(TaskKind, SectorSize), BTreeMap<HostId, Worst>>,
    peaks: BTreeMap<(TaskKind, SectorSize), BTreeMap<HostId, VecDeque<u64>>>,
    speeds: BTreeMap<(HostId, HostId), Estimate>,
    /// No estimate of a speed was ever higher, bytes per millisecond.
    top_speed: f64,
}

impl Learned {
    /// A task of this kind has read and computed for so long on this host.
    pub(crate) fn took(&mut self, kind: TaskKind, size: SectorSize, host: &HostId, read_ms: u64, compute_ms: u64) {
        let value = read_ms.saturating_add(compute_ms).max(1) as f64;
        let of_kind = self.durations.entry((kind, size)).or_default();
        match of_kind.get_mut(host) {
            Some(estimate) => estimate.add(value),
            None => drop(of_kind.insert(host.clone(), Estimate::first(value))),
        }
        let worst = self.newest.entry((kind, size)).or_default().entry(host.clone()).or_default();
        worst.read.add(read_ms);
        worst.compute.add(compute_ms.max(1));
    }

    /// How long such a task takes there at the worst: reading and computing as all but one of a hundred did; on a host
    /// that was never measured as on the worst of the others, else as usual.
    pub(crate) fn worst_ms(&self, kind: TaskKind, size: SectorSize, host: &HostId) -> u64 {
        let of_kind = self.newest.get(&(kind, size));
        let there = of_kind.and_then(|of_kind| Some(of_kind.get(host)?.ms()));
        let elsewhere = || of_kind.and_then(|of_kind| of_kind.values().map(Worst::ms).max());
        there.or_else(elsewhere).unwrap_or_else(|| usual_ms(kind, size) as u64)
    }

    /// A task of this kind had so much memory resident at most. True: that changes what is expected of the next one.
    pub(crate) fn peaked(&mut self, kind: TaskKind, size: SectorSize, host: &HostId, bytes: u64) -> bool {
        if bytes == 0 {
            return false;
        }
        let before = self.peak_bytes(kind, size, host);
        let peaks = self.peaks.entry((kind, size)).or_default().entry(host.clone()).or_default();
        if peaks.len() == PEAKS {
            peaks.pop_front();
        }
        peaks.push_back(bytes);
        self.peak_bytes(kind, size, host) != before
    }

    /// Memory that such a task will take at most on this host, once enough of them were measured there.
    pub(crate) fn peak_bytes(&self, kind: TaskKind, size: SectorSize, host: &HostId) -> Option<u64> {
        let peaks = self.peaks.get(&(kind, size))?.get(host).filter(|peaks| peaks.len() >= PEAKS_LEAST)?;
        let most = peaks.iter().copied().max()?;
        let wanted = most.saturating_add(most / 100 * PEAK_MARGIN);
        Some(wanted.div_ceil(PEAK_STEP).saturating_mul(PEAK_STEP))
    }

    /// Every class of which tasks were measured.
    pub(crate) fn peaks_of(&self, host: &HostId) -> impl Iterator<Item = (TaskKind, SectorSize, u64)> {
        let peak = |(kind, size): &(TaskKind, SectorSize)| Some((*kind, *size, self.peak_bytes(*kind, *size, host)?));
        self.peaks.keys().filter_map(peak).collect::<Vec<_>>().into_iter()
    }

    /// So many bytes came from one host to the other in so long.
    pub(crate) fn fetched(&mut self, from: &HostId, to: &HostId, bytes: u64, ms: u64) {
        if bytes == 0 {
            return;
        }
        let value = bytes as f64 / ms.max(1) as f64;
        let estimate = self.speeds.entry((from.clone(), to.clone()));
        let estimate = estimate.and_modify(|e| e.add(value)).or_insert_with(|| Estimate::first(value));
        self.top_speed = self.top_speed.max(estimate.mean);
    }

    pub(crate) fn duration(&self, kind: TaskKind, size: SectorSize, host: &HostId) -> Option<Estimate> {
        self.durations.get(&(kind, size))?.get(host).copied()
    }

    pub(crate) fn speed(&self, from: &HostId, to: &HostId) -> Option<Estimate> {
        self.speeds.get(&(from.clone(), to.clone())).copied()
    }

    /// How long such a task will take there: as measured, else as on other hosts, else as usual.
    pub(crate) fn expected_ms(&self, kind: TaskKind, size: SectorSize, host: &HostId) -> f64 {
        let Some(of_kind) = self.durations.get(&(kind, size)) else { return usual_ms(kind, size) };
        match of_kind.get(host) {
            Some(estimate) => estimate.mean,
            None => of_kind.values().map(|e| e.mean).sum::<f64>() / of_kind.len().max(1) as f64,
        }
    }

    /// How long the bytes will take from the best of these hosts.
    pub(crate) fn fetch_ms<'a>(&self, from: impl Iterator<Item = &'a HostId>, to: &HostId, bytes: u64) -> f64 {
        if bytes == 0 {
            return 0.0;
        }
        let speed = |host: &HostId| self.speed(host, to).map_or(USUAL_BYTES_PER_MS, |e| e.mean);
        let best = from.map(speed).fold(0.0, f64::max);
        let best = if best > 0.0 { best } else { USUAL_BYTES_PER_MS };
        FETCH_OVERHEAD_MS + bytes as f64 / best
    }

    /// What the bytes take at the least, wherever they come from and go to.
    pub(crate) fn least_fetch_ms(&self, bytes: u64) -> f64 {
        if bytes == 0 { 0.0 } else { FETCH_OVERHEAD_MS + bytes as f64 / self.top_speed.max(USUAL_BYTES_PER_MS) }
    }

    /// A host that is gone teaches nothing any more.
    pub(crate) fn forget(&mut self, host: &HostId) {
        for of_kind in self.durations.values_mut() {
            of_kind.remove(host);
        }
        self.durations.retain(|_, of_kind| !of_kind.is_empty());
        for of_kind in self.newest.values_mut() {
            of_kind.remove(host);
        }
        for of_kind in self.peaks.values_mut() {
            of_kind.remove(host);
        }
        self.newest.retain(|_, of_kind| !of_kind.is_empty());
        self.peaks.retain(|_, of_kind| !of_kind.is_empty());
        self.speeds.retain(|(from, to), _| from != host && to != host);
    }
}

/// What a task takes on an ordinary machine (`spec/proofs.md` H.1), until it has been measured here.
fn usual_ms(kind: TaskKind, size: SectorSize) -> f64 {
    const MINUTE: f64 = 60_000.0;
    let of_32_gib = match kind {
        TaskKind::PreCommit1 | TaskKind::Unseal => 210.0 * MINUTE,
        TaskKind::PreCommit2 => 25.0 * MINUTE,
        TaskKind::Commit2 | TaskKind::ProveReplicaUpdate2 => 20.0 * MINUTE,
        TaskKind::ReplicaUpdate | TaskKind::RegenSectorKey => 20.0 * MINUTE,
        TaskKind::AddPiece | TaskKind::DataCid => 5.0 * MINUTE,
        TaskKind::GenerateWindowPost => 7.5 * MINUTE,
        TaskKind::GenerateWinningPost => 0.1 * MINUTE,
        _ => MINUTE,
    };
    let part = size.bytes() as f64 / SectorSize::GiB32.bytes() as f64;
    (of_32_gib * part).max(1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str) -> HostId {
        HostId::new(name).unwrap()
    }

    #[test]
    fn five_samples_make_an_estimate_and_ten_replace_it() {
        let (mut learned, a) = (Learned::default(), host("a"));
        let (kind, size) = (TaskKind::PreCommit1, SectorSize::KiB2);
        (0..5).for_each(|_| learned.took(kind, size, &a, 0, 1_000));
        assert_eq!(learned.expected_ms(kind, size, &a), 1_000.0);
        (0..10).for_each(|_| learned.took(kind, size, &a, 0, 3_000));
        assert!(learned.expected_ms(kind, size, &a) > 2_900.0);
        // A host never seen is taken to be like the others.
        assert_eq!(learned.expected_ms(kind, size, &host("b")), learned.expected_ms(kind, size, &a));
    }

    #[test]
    fn the_worst_is_what_all_but_one_of_a_hundred_stay_below() {
        let (mut learned, a, b) = (Learned::default(), host("a"), host("b"));
        let (kind, size) = (TaskKind::GenerateWindowPost, SectorSize::KiB2);
        assert_eq!(learned.worst_ms(kind, size, &a), 1_000, "as usual");
        [3_000, 9_000, 4_000].into_iter().for_each(|ms| learned.took(kind, size, &a, 0, ms));
        assert_eq!(learned.worst_ms(kind, size, &a), 9_000);
        (0..97).for_each(|_| learned.took(kind, size, &a, 0, 2_000));
        assert_eq!(learned.worst_ms(kind, size, &a), 4_000, "one of a hundred may take longer");
        assert_eq!(learned.worst_ms(kind, size, &b), 4_000, "as the others");
        (0..3).for_each(|_| learned.took(kind, size, &a, 0, 1_500));
        assert_eq!(learned.worst_ms(kind, size, &a), 2_000, "what is long ago does not count");
        // A slow disk and a slow proof may meet, though they never did.
        (0..2).for_each(|_| learned.took(kind, size, &a, 5_000, 1_000));
        assert_eq!(learned.worst_ms(kind, size, &a), 7_000);
        learned.forget(&a);
        assert_eq!(learned.worst_ms(kind, size, &a), 1_000);
    }

    #[test]
    fn memory_is_what_the_largest_of_the_newest_took_and_a_little() {
        let (mut learned, a) = (Learned::default(), host("a"));
        let (kind, size, gib) = (TaskKind::PreCommit2, SectorSize::GiB32, 1 << 30);
        let peak = |learned: &Learned| learned.peak_bytes(kind, size, &a);
        (0..4).for_each(|_| assert!(!learned.peaked(kind, size, &a, 9 * gib)));
        assert!(!learned.peaked(kind, size, &a, 0), "nobody has measured");
        assert_eq!(peak(&learned), None);
        assert!(learned.peaked(kind, size, &a, 10 * gib));
        assert_eq!(peak(&learned), Some(11 * gib));
        assert!(!learned.peaked(kind, size, &a, 2 * gib), "the largest counts");
        (0..14).for_each(|_| assert!(!learned.peaked(kind, size, &a, 2 * gib)));
        assert_eq!(peak(&learned), Some(11 * gib));
        assert!(learned.peaked(kind, size, &a, 2 * gib), "as long as it is one of the newest");
        assert_eq!(peak(&learned), Some(2 * gib + gib / 4));
        assert_eq!(learned.peaks_of(&a).collect::<Vec<_>>(), [(kind, size, 2 * gib + gib / 4)]);
        learned.forget(&a);
        assert_eq!((peak(&learned), learned.peaks_of(&a).count()), (None, 0));
    }

    #[test]
    fn the_faster_source_counts() {
        let mut learned = Learned::default();
        let (slow, fast, here) = (host("slow"), host("fast"), host("here"));
        learned.fetched(&slow, &here, 1_000_000, 1_000);
        learned.fetched(&fast, &here, 10_000_000, 1_000);
        let ms = |from: &[&HostId]| learned.fetch_ms(from.iter().copied(), &here, 1_000_000);
        assert_eq!((ms(&[&slow]), ms(&[&fast])), (1_100.0, 200.0));
        assert_eq!(ms(&[&slow, &fast]), 200.0);
        assert_eq!(learned.fetch_ms([&fast].into_iter(), &here, 0), 0.0);
        // Slow ways bound nothing: another may be as fast as any that was never measured.
        assert_eq!((learned.least_fetch_ms(1_000_000), learned.least_fetch_ms(0)), (110.0, 0.0));
        learned.fetched(&slow, &fast, 200_000_000, 1_000);
        assert_eq!(learned.least_fetch_ms(1_000_000), 105.0);
        learned.forget(&fast);
        assert_eq!(learned.fetch_ms([&fast].into_iter(), &here, 1_000_000), 110.0);
    }
}
