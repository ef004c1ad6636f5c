//! Resource rows: what a task needs of a host (`storiface/resources.go` semantics, `spec/lotus.md` 2).

use crate::{SectorSize, TaskKind};
use serde::{Deserialize, Serialize};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// What one task needs. Memory in bytes; `max_parallelism` -1 means 92 % of the cores.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct ResourceRow {
    /// Physical memory, without the base.
    pub min_memory_bytes: u64,
    /// Virtual memory, without the base.
    pub max_memory_bytes: u64,
    /// Share of a GPU; 1.0 is a whole one.
    pub gpu_utilization: f64,
    /// Threads; -1 for 92 % of the cores.
    pub max_parallelism: i32,
    /// Threads when a GPU is used; 0 means as without.
    pub max_parallelism_gpu: i32,
    /// Memory that is needed once per task besides.
    pub base_min_memory_bytes: u64,
    /// Tasks of this kind and size at once on one worker; 0 is no limit.
    pub max_concurrent: u32,
}

/// The rows of one worker: Lotus's table with the worker's overrides. `default()` is Lotus's table as it is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ResourceTable {
    overrides: Vec<(TaskKind, SectorSize, ResourceRow)>,
}

/// An override whose value does not parse. Lotus takes such a value as 0; we refuse it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("environment variable {name}: `{value}` is not {expected}; correct it or unset it")]
pub struct BadOverride {
    /// Name of the variable.
    pub name: String,
    /// Its value.
    pub value: String,
    /// What was expected, in words.
    pub expected: &'static str,
}

impl ResourceRow {
    /// Threads on a machine with so many cores and usable GPUs ([`crate::HostCapacity::usable_gpus`]): 92 % of the cores
    /// rounded down (all, if that is 0) for -1.
    pub fn threads(&self, cpus: u32, gpus: usize) -> u32 {
        let with_gpu = self.gpu_utilization > 0.0 && gpus > 0 && self.max_parallelism_gpu != 0;
        let wanted = if with_gpu { self.max_parallelism_gpu } else { self.max_parallelism };
        match u32::try_from(wanted) {
            Ok(threads) => threads,
            Err(_) => match u64::from(cpus) * 92 / 100 {
                0 => cpus,
                most => u32::try_from(most).expect("less than cpus"),
            },
        }
    }
}

impl ResourceRow {
    /// This row with the memory that such tasks were seen to take at most, base included, in place of the table's.
    /// Above the table only if `may_rise`.
    pub fn measured(self, peak_bytes: u64, may_rise: bool) -> Self {
        let work_bytes = peak_bytes.saturating_sub(self.base_min_memory_bytes);
        let in_place_of = |table: u64| if may_rise { work_bytes } else { table.min(work_bytes) };
        Self {
            min_memory_bytes: in_place_of(self.min_memory_bytes),
            max_memory_bytes: in_place_of(self.max_memory_bytes),
            ..self
        }
    }

    /// This row as the environment variables that would set it: `PC1_32G_MAX_MEMORY` and its value, sorted by name.
    pub fn assignments(&self, kind: TaskKind, size: SectorSize) -> Vec<(String, String)> {
        let named = |(name, field): (&str, Field)| (format!("{kind}_{}_{name}", size.short()), field.text(self));
        let mut assignments: Vec<_> = FIELDS.map(named).into();
        assignments.sort();
        assignments
    }
}

impl ResourceTable {
    /// The row of a task at a sector size.
    pub fn row(&self, kind: TaskKind, size: SectorSize) -> ResourceRow {
        let found = self.overrides.iter().find(|(k, s, _)| (*k, *s) == (kind, size));
        found.map_or_else(|| default_row(kind, size), |(_, _, row)| *row)
    }

    /// Lotus's table with these rows in place of its own; of two rows for one task and size the last one counts.
    pub fn from_rows(rows: impl IntoIterator<Item = (TaskKind, SectorSize, ResourceRow)>) -> Self {
        let mut table = Self::default();
        rows.into_iter().for_each(|(kind, size, row)| table.set(kind, size, row));
        table
    }

    /// Puts a row in place of the one that is there.
    pub fn set(&mut self, kind: TaskKind, size: SectorSize, row: ResourceRow) {
        self.overrides.retain(|(k, s, _)| (*k, *s) != (kind, size));
        if row != default_row(kind, size) {
            self.overrides.push((kind, size, row));
        }
    }

    /// Is this the name of an override?
    pub fn is_override(name: &str) -> bool {
        parse_name(name).is_some()
    }

    /// These rows where they say something, `base`'s everywhere else.
    pub fn over(&self, base: &Self) -> Self {
        let rows = base.overrides.iter().chain(&self.overrides);
        Self::from_rows(rows.copied())
    }

    /// The rows that differ from Lotus's table.
    pub fn overrides(&self) -> &[(TaskKind, SectorSize, ResourceRow)] {
        &self.overrides
    }

    /// Lotus's table with the overrides found among these environment variables (`spec/lotus.md` 2.1):
    /// `<SHORT>_<SIZE>_<FIELD>`, or `<SHORT>_<FIELD>` for every size, which a sized name beats.
    /// Names that are no override are left alone; a value that does not parse is an error that names it.
    pub fn with_env(vars: impl IntoIterator<Item = (String, String)>) -> Result<Self, BadOverride> {
        let (mut unsized_names, mut sized_names, mut sdr) = (vec![], vec![], MulticoreSdr::default());
        for (name, value) in vars {
            sdr.note(&name, &value)?;
            match parse_name(&name) {
                Some((kind, None, field)) => unsized_names.push((kind, field, name, value)),
                Some((kind, Some(size), field)) => sized_names.push((kind, size, field, name, value)),
                None => {}
            }
        }
        let mut table = Self::default();
        for kind in [TaskKind::PreCommit1, TaskKind::Unseal] {
            if let Some(threads) = sdr.threads() {
                table.edit(kind, &SectorSize::ALL, |row| {
                    row.max_parallelism = threads;
                    Ok(())
                })?;
            }
        }
        for (kind, field, name, value) in unsized_names {
            table.edit(kind, &SectorSize::ALL, |row| field.set(row, &name, &value))?;
        }
        for (kind, size, field, name, value) in sized_names {
            table.edit(kind, &[size], |row| field.set(row, &name, &value))?;
        }
        Ok(table)
    }

    fn edit(
        &mut self,
        kind: TaskKind,
        sizes: &[SectorSize],
        change: impl Fn(&mut ResourceRow) -> Result<(), BadOverride>,
    ) -> Result<(), BadOverride> {
        for size in sizes {
            let mut row = self.row(kind, *size);
            change(&mut row)?;
            self.set(kind, *size, row);
        }
        Ok(())
    }
}

// === the table ===

const fn row(max_memory_bytes: u64, min_memory_bytes: u64, max_parallelism: i32, base: u64) -> ResourceRow {
    ResourceRow {
        min_memory_bytes,
        max_memory_bytes,
        gpu_utilization: 0.0,
        max_parallelism,
        max_parallelism_gpu: 0,
        base_min_memory_bytes: base,
        max_concurrent: 0,
    }
}

const fn gpu(row: ResourceRow, max_parallelism_gpu: i32) -> ResourceRow {
    ResourceRow { gpu_utilization: 1.0, max_parallelism_gpu, ..row }
}

/// The smallest rows are the same for nearly every task: so much of everything, and this many threads.
const fn tiny(bytes: u64, max_parallelism: i32) -> ResourceRow {
    row(bytes, bytes, max_parallelism, bytes)
}

fn default_row(kind: TaskKind, size: SectorSize) -> ResourceRow {
    use TaskKind as T;
    match kind {
        T::AddPiece => add_piece_row(size),
        T::DataCid => row(4 * GIB, 4 * GIB, 1, GIB),
        T::PreCommit1 | T::Unseal => pre_commit_1_row(size),
        T::PreCommit2 => pre_commit_2_row(size),
        T::Commit1 | T::ProveReplicaUpdate1 => commit_1_row(size),
        T::Commit2 | T::ProveReplicaUpdate2 => commit_2_row(size),
        T::ReplicaUpdate | T::RegenSectorKey => replica_update_row(size),
        T::GenerateWindowPost => window_post_row(size),
        T::GenerateWinningPost => winning_post_row(size),
        // Lotus has rows of these for GET alone; the others need as little and may be tuned here as well.
        T::Fetch | T::Finalize | T::FinalizeUnsealed | T::FinalizeReplicaUpdate | T::DownloadSector => {
            row(MIB, MIB, 0, 0)
        }
    }
}

fn add_piece_row(size: SectorSize) -> ResourceRow {
    match size {
        SectorSize::GiB64 => row(8 * GIB, 8 * GIB, 1, GIB),
        SectorSize::GiB32 => row(4 * GIB, 4 * GIB, 1, GIB),
        SectorSize::MiB512 => row(GIB, GIB, 1, GIB),
        SectorSize::MiB8 => tiny(8 * MIB, 1),
        SectorSize::KiB2 => tiny(2 * KIB, 1),
    }
}

fn pre_commit_1_row(size: SectorSize) -> ResourceRow {
    match size {
        SectorSize::GiB64 => row(128 * GIB, 112 * GIB, 1, 10 * MIB),
        SectorSize::GiB32 => row(64 * GIB, 56 * GIB, 1, 10 * MIB),
        SectorSize::MiB512 => row(GIB, 768 * MIB, 1, MIB),
        SectorSize::MiB8 => tiny(8 * MIB, 1),
        SectorSize::KiB2 => tiny(2 * KIB, 1),
    }
}

fn pre_commit_2_row(size: SectorSize) -> ResourceRow {
    match size {
        SectorSize::GiB64 => gpu(row(30 * GIB, 30 * GIB, -1, GIB), 6),
        SectorSize::GiB32 => gpu(row(15 * GIB, 15 * GIB, -1, GIB), 6),
        SectorSize::MiB512 => row(GIB + 512 * MIB, GIB, -1, GIB),
        SectorSize::MiB8 => tiny(8 * MIB, -1),
        SectorSize::KiB2 => tiny(2 * KIB, -1),
    }
}

fn commit_1_row(size: SectorSize) -> ResourceRow {
    match size {
        SectorSize::GiB64 | SectorSize::GiB32 | SectorSize::MiB512 => tiny(GIB, 0),
        SectorSize::MiB8 => tiny(8 * MIB, 0),
        SectorSize::KiB2 => tiny(2 * KIB, 0),
    }
}

fn commit_2_row(size: SectorSize) -> ResourceRow {
    match size {
        SectorSize::GiB64 => gpu(row(190 * GIB, 60 * GIB, -1, 64 * GIB), 6),
        SectorSize::GiB32 => gpu(row(150 * GIB, 30 * GIB, -1, 32 * GIB), 6),
        SectorSize::MiB512 => gpu(row(GIB + 512 * MIB, GIB, 1, 10 * GIB), 0),
        SectorSize::MiB8 => gpu(tiny(8 * MIB, 1), 0),
        SectorSize::KiB2 => gpu(tiny(2 * KIB, 1), 0),
    }
}

fn replica_update_row(size: SectorSize) -> ResourceRow {
    match size {
        SectorSize::GiB64 => gpu(row(8 * GIB, 8 * GIB, 1, GIB), 6),
        SectorSize::GiB32 => gpu(row(4 * GIB, 4 * GIB, 1, GIB), 6),
        SectorSize::MiB512 => gpu(tiny(GIB, 1), 0),
        SectorSize::MiB8 => gpu(tiny(8 * MIB, 1), 0),
        SectorSize::KiB2 => gpu(tiny(2 * KIB, 1), 0),
    }
}

fn window_post_row(size: SectorSize) -> ResourceRow {
    match size {
        SectorSize::GiB64 => gpu(row(120 * GIB, 60 * GIB, -1, 64 * GIB), 6),
        SectorSize::GiB32 => gpu(row(96 * GIB, 30 * GIB, -1, 32 * GIB), 6),
        SectorSize::MiB512 => gpu(row(GIB + 512 * MIB, GIB, 1, 10 * GIB), 0),
        SectorSize::MiB8 => gpu(tiny(8 * MIB, 1), 0),
        SectorSize::KiB2 => gpu(tiny(2 * KIB, 1), 0),
    }
}

fn winning_post_row(size: SectorSize) -> ResourceRow {
    match size {
        SectorSize::GiB64 => gpu(row(GIB, GIB, -1, 64 * GIB), 6),
        SectorSize::GiB32 => gpu(row(GIB, GIB, -1, 32 * GIB), 6),
        SectorSize::MiB512 => gpu(row(2 * KIB, 2 * KIB, 1, 10 * GIB), 0),
        SectorSize::MiB8 => gpu(tiny(8 * MIB, 1), 0),
        SectorSize::KiB2 => gpu(tiny(2 * KIB, 1), 0),
    }
}

// === overrides ===

#[derive(Debug, Clone, Copy)]
enum Field {
    MinMemory,
    MaxMemory,
    GpuUtilization,
    MaxParallelismGpu,
    MaxParallelism,
    BaseMinMemory,
    MaxConcurrent,
}

/// Longer names first where one is the end of another.
const FIELDS: [(&str, Field); 7] = [
    ("BASE_MIN_MEMORY", Field::BaseMinMemory),
    ("MIN_MEMORY", Field::MinMemory),
    ("MAX_MEMORY", Field::MaxMemory),
    ("GPU_UTILIZATION", Field::GpuUtilization),
    ("MAX_PARALLELISM_GPU", Field::MaxParallelismGpu),
    ("MAX_PARALLELISM", Field::MaxParallelism),
    ("MAX_CONCURRENT", Field::MaxConcurrent),
];

impl Field {
    fn text(self, row: &ResourceRow) -> String {
        match self {
            Self::MinMemory => row.min_memory_bytes.to_string(),
            Self::MaxMemory => row.max_memory_bytes.to_string(),
            Self::BaseMinMemory => row.base_min_memory_bytes.to_string(),
            Self::GpuUtilization => row.gpu_utilization.to_string(),
            Self::MaxParallelism => row.max_parallelism.to_string(),
            Self::MaxParallelismGpu => row.max_parallelism_gpu.to_string(),
            Self::MaxConcurrent => row.max_concurrent.to_string(),
        }
    }

    fn set(self, row: &mut ResourceRow, name: &str, value: &str) -> Result<(), BadOverride> {
        let threads = "a number of threads (-1 for 92 % of the cores)";
        match self {
            Self::MinMemory => row.min_memory_bytes = number(name, value, "a whole number of bytes")?,
            Self::MaxMemory => row.max_memory_bytes = number(name, value, "a whole number of bytes")?,
            Self::BaseMinMemory => row.base_min_memory_bytes = number(name, value, "a whole number of bytes")?,
            Self::GpuUtilization => row.gpu_utilization = share(name, value)?,
            Self::MaxParallelism => row.max_parallelism = at_least_minus_one(name, value, threads)?,
            Self::MaxParallelismGpu => row.max_parallelism_gpu = at_least_minus_one(name, value, threads)?,
            Self::MaxConcurrent => row.max_concurrent = number(name, value, "a number of tasks (0 for no limit)")?,
        }
        Ok(())
    }
}

fn number<T: std::str::FromStr>(name: &str, value: &str, expected: &'static str) -> Result<T, BadOverride> {
    value.parse().map_err(|_| BadOverride { name: name.to_owned(), value: value.to_owned(), expected })
}

fn share(name: &str, value: &str) -> Result<f64, BadOverride> {
    let expected = "a share of GPUs such as 0.5";
    let share: f64 = number(name, value, expected)?;
    if share.is_finite() && share >= 0.0 {
        return Ok(share);
    }
    Err(BadOverride { name: name.to_owned(), value: value.to_owned(), expected })
}

fn at_least_minus_one(name: &str, value: &str, expected: &'static str) -> Result<i32, BadOverride> {
    let threads: i32 = number(name, value, expected)?;
    if threads >= -1 {
        return Ok(threads);
    }
    Err(BadOverride { name: name.to_owned(), value: value.to_owned(), expected })
}

/// Task, size (none: every size) and field that a variable of this name overrides. None: it is no override.
fn parse_name(name: &str) -> Option<(TaskKind, Option<SectorSize>, Field)> {
    let (short, rest) = name.split_once('_')?;
    let kind: TaskKind = short.parse().ok().filter(|_| short == short.to_ascii_uppercase())?;
    let field = |text: &str| FIELDS.iter().find(|(n, _)| *n == text).map(|(_, f)| *f);
    if let Some(field) = field(rest) {
        return Some((kind, None, field));
    }
    let (size, rest) = rest.split_once('_')?;
    let field = field(rest)?;
    // `DC_32GiB_..` is Lotus's second spelling; DC does not depend on the size.
    if kind == TaskKind::DataCid && SectorSize::ALL.iter().any(|s| s.name() == size) {
        return Some((kind, None, field));
    }
    Some((kind, Some(SectorSize::ALL.into_iter().find(|s| s.short() == size)?), field))
}

/// Upstream's multi-core SDR settings decide how many threads PC1 takes, unless a row says so itself.
#[derive(Default)]
struct MulticoreSdr {
    used: bool,
    producers: Option<i32>,
}

impl MulticoreSdr {
    fn note(&mut self, name: &str, value: &str) -> Result<(), BadOverride> {
        match name {
            "FIL_PROOFS_USE_MULTICORE_SDR" => self.used = matches!(value, "1" | "true" | "TRUE" | "True"),
            "FIL_PROOFS_MULTICORE_SDR_PRODUCERS" => {
                let producers: u16 = number(name, value, "a number of threads below 65536")?;
                self.producers = Some(i32::from(producers));
            }
            _ => {}
        }
        Ok(())
    }

    fn threads(&self) -> Option<i32> {
        self.used.then(|| self.producers.unwrap_or(3) + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(vars: &[(&str, &str)]) -> Result<ResourceTable, BadOverride> {
        ResourceTable::with_env(vars.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())))
    }

    #[test]
    fn measured_memory_is_without_the_base_and_above_the_table_only_if_it_may() {
        let row = row(10 * GIB, 8 * GIB, 1, GIB);
        let memory = |peak, may_rise| {
            let row = row.measured(peak, may_rise);
            (row.min_memory_bytes / GIB, row.max_memory_bytes / GIB)
        };
        assert_eq!((memory(5 * GIB, false), memory(5 * GIB, true)), ((4, 4), (4, 4)));
        assert_eq!((memory(10 * GIB, false), memory(20 * GIB, false)), ((8, 9), (8, 10)));
        assert_eq!((memory(20 * GIB, true), memory(0, false)), ((19, 19), (0, 0)));
    }

    #[test]
    fn ninety_two_percent_is_lotus_s() {
        let row = ResourceRow { max_parallelism: -1, ..ResourceRow::default() };
        for (cpus, threads) in [(12, 11), (16, 14), (24, 22), (32, 29), (48, 44), (64, 58), (96, 88), (128, 117)] {
            assert_eq!(row.threads(cpus, 0), threads);
        }
        assert_eq!((row.threads(1, 0), row.threads(2, 0), row.threads(0, 0)), (1, 1, 0));
    }

    #[test]
    fn the_table_holds_lotus_s_effective_needs() {
        let table = ResourceTable::default();
        let need = |kind, size| {
            let row = table.row(kind, size);
            let base = row.base_min_memory_bytes;
            ((row.min_memory_bytes + base) / GIB, (row.max_memory_bytes + base) / GIB)
        };
        let size = SectorSize::GiB32;
        assert_eq!(need(TaskKind::PreCommit1, size), (56, 64));
        assert_eq!(need(TaskKind::PreCommit2, size), (16, 16));
        assert_eq!(need(TaskKind::Commit2, size), (62, 182));
        assert_eq!(need(TaskKind::GenerateWindowPost, size), (62, 128));
        assert_eq!(need(TaskKind::GenerateWinningPost, size), (33, 33));
        assert_eq!(need(TaskKind::AddPiece, size), (5, 5));
        assert_eq!(table.row(TaskKind::Commit2, size).threads(64, 1), 6);
        assert_eq!(table.row(TaskKind::Commit2, size).threads(64, 0), 58);
        assert_eq!(table.row(TaskKind::PreCommit2, SectorSize::KiB2).threads(2, 0), 1);
    }

    #[test]
    fn overrides_are_lotus_s() {
        let table = with(&[
            ("PATH", "/bin"),
            ("UNS_2K_MAX_PARALLELISM", "2"),
            ("PC2_2K_GPU_UTILIZATION", "0.4"),
            ("AP_MAX_MEMORY", "7"),
            ("AP_2K_MAX_MEMORY", "99999"),
            ("PRU2_512M_MAX_CONCURRENT", "3"),
            ("DC_32GiB_MIN_MEMORY", "5"),
            ("DC_64G_MIN_MEMORY", "6"),
            ("FIN_MAX_CONCURRENT", "1"),
        ])
        .unwrap();
        assert_eq!(table.row(TaskKind::Unseal, SectorSize::KiB2).max_parallelism, 2);
        assert_eq!(table.row(TaskKind::Unseal, SectorSize::MiB8).max_parallelism, 1);
        assert_eq!(table.row(TaskKind::PreCommit2, SectorSize::KiB2).gpu_utilization, 0.4);
        assert_eq!(table.row(TaskKind::AddPiece, SectorSize::KiB2).max_memory_bytes, 99999);
        assert_eq!(table.row(TaskKind::AddPiece, SectorSize::GiB32).max_memory_bytes, 7);
        assert_eq!(table.row(TaskKind::ProveReplicaUpdate2, SectorSize::MiB512).max_concurrent, 3);
        assert_eq!(table.row(TaskKind::DataCid, SectorSize::KiB2).min_memory_bytes, 5);
        assert_eq!(table.row(TaskKind::DataCid, SectorSize::GiB64).min_memory_bytes, 6);
        assert_eq!(table.row(TaskKind::Finalize, SectorSize::GiB32).max_concurrent, 1);
        assert_eq!(ResourceTable::from_rows(table.overrides().iter().copied()), table);
    }

    #[test]
    fn multicore_sdr_takes_its_producers_and_one_more() {
        let on = ("FIL_PROOFS_USE_MULTICORE_SDR", "1");
        let threads = |vars: &[(&str, &str)], size| with(vars).unwrap().row(TaskKind::PreCommit1, size).max_parallelism;
        assert_eq!(threads(&[on], SectorSize::GiB32), 4);
        assert_eq!(threads(&[on, ("FIL_PROOFS_MULTICORE_SDR_PRODUCERS", "9000")], SectorSize::GiB32), 9001);
        assert_eq!(threads(&[on, ("PC1_MAX_PARALLELISM", "2")], SectorSize::GiB32), 2);
        assert_eq!(threads(&[("FIL_PROOFS_MULTICORE_SDR_PRODUCERS", "9")], SectorSize::GiB32), 1);
    }

    #[test]
    fn a_row_s_assignments_set_it_again() {
        let set =
            with(&[("PC2_2K_GPU_UTILIZATION", "0.4"), ("C2_MAX_CONCURRENT", "3"), ("DC_MIN_MEMORY", "5")]).unwrap();
        for table in [set, ResourceTable::default()] {
            let classes = || TaskKind::ALL.iter().flat_map(|kind| SectorSize::ALL.map(|size| (*kind, size)));
            let assigned = classes().flat_map(|(kind, size)| table.row(kind, size).assignments(kind, size));
            let assigned: Vec<_> = assigned.collect();
            assert_eq!(assigned.len(), classes().count() * FIELDS.len());
            assert!(assigned.iter().all(|(name, _)| ResourceTable::is_override(name)));
            let again = ResourceTable::with_env(assigned).unwrap();
            classes().for_each(|(kind, size)| assert_eq!(again.row(kind, size), table.row(kind, size)));
        }
    }

    #[test]
    fn a_value_that_does_not_parse_is_named() {
        for (name, value) in [
            ("PC1_32G_MIN_MEMORY", "56GiB"),
            ("PC1_MAX_CONCURRENT", "-1"),
            ("C2_GPU_UTILIZATION", "NaN"),
            ("C2_2K_MAX_PARALLELISM", "-2"),
            ("FIL_PROOFS_MULTICORE_SDR_PRODUCERS", "many"),
        ] {
            let error = with(&[(name, value)]).unwrap_err();
            assert_eq!((error.name.as_str(), error.value.as_str()), (name, value));
            assert!(error.to_string().contains(name) && error.to_string().contains("correct it"));
        }
    }
}
