//! Making development parameters: aside, published whole, resumable per file, one process at a time per set.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bellperson::Circuit;
use blstrs::Scalar;
use sp_types::SectorSize;
use storage_proofs_core::parameter_cache::CacheEntryMetadata;

use super::check::{development_set, recorded_or_trapdoor};
use super::digest::{self, DigestingFile};
use super::error::ParamsError;
use super::keygen::{CircuitSize, KeygenError, PointsMade, write_parameters};
use super::kind::{WithCircuit, domain_log2, with_circuit};
use super::place::{self, Paths, RECORD};
use super::trapdoor::Trapdoor;
use super::{Kind, file_stem, layout};

/// A generation never takes more memory than this.
const MEMORY_LIMIT_BYTES: u64 = 6 << 30;

/// What a generation is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Another process generates the same set; its files will be used.
    Waiting,
    /// Looking at files that are there already.
    Checking,
    /// Making curve points while the circuit is synthesised.
    Points,
    /// Bringing the finished file to the disk.
    Publishing,
}

/// How far a generation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Which set.
    pub kind: Kind,
    /// For which sectors.
    pub size: SectorSize,
    /// What is being done.
    pub phase: Phase,
    /// Points made so far.
    pub done: u64,
    /// Points there will be, a guess until the circuit is synthesised; 0 outside [`Phase::Points`].
    pub total: u64,
}

/// What a generation did.
#[derive(Debug, Clone)]
pub struct Report {
    /// Which set.
    pub kind: Kind,
    /// For which sectors.
    pub size: SectorSize,
    /// The files: parameters, verifying key, metadata, and the record of the parameters' digest.
    pub files: Vec<FileReport>,
    /// Constraints of the circuit, input constraints included; `None` if the parameters were there already.
    pub constraints: Option<usize>,
    /// Wall time.
    pub took: Duration,
}

/// What happened to one file.
#[derive(Debug, Clone)]
pub struct FileReport {
    /// Where it is.
    pub path: PathBuf,
    /// Its length in bytes.
    pub length_bytes: u64,
    /// First 16 bytes of its BLAKE2b-512, in hex, as in upstream's `parameters.json`.
    pub digest: String,
    /// Whether this run made it; false if it was there and right.
    pub made: bool,
}

/// Whether the parameters of a kind and size can be generated; why not otherwise. Gives the memory that it takes, in
/// bytes.
pub fn feasible(kind: Kind, size: SectorSize) -> Result<u64, String> {
    if matches!(size, SectorSize::GiB32 | SectorSize::GiB64) {
        return Err("its circuits are those of the real network".to_owned());
    }
    // Lagrange polynomials 32, the QAP at the secret point 96, the h block 96 bytes per domain point; tables and
    // buffers.
    let need = 224 * (1u64 << domain_log2(kind, size)) + (640 << 20);
    if need > MEMORY_LIMIT_BYTES {
        return Err(format!("it would take {} GiB of memory", need.div_ceil(1 << 30)));
    }
    Ok(need)
}

/// Makes the development parameters of a kind and size in `dir`, in one or all of four files; right ones are kept.
///
/// Blocking, and busy on all cores of rayon's pool. May be interrupted at any time: no half file is ever visible, and
/// the next run cleans up. Any number of processes may do this at once; one of them works, the others wait and find
/// its files.
pub fn generate(
    kind: Kind,
    size: SectorSize,
    dir: &Path,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Report, ParamsError> {
    let start = Instant::now();
    let cannot = |why| ParamsError::CannotGenerate { kind, size, why, stem: file_stem(kind, size) };
    let need = feasible(kind, size).map_err(cannot)?;
    if let Some(available) = available_memory_bytes().filter(|available| *available < need) {
        return Err(cannot(format!("it takes {} MiB of memory, {} MiB are free", need >> 20, available >> 20)));
    }
    place::claim_dir(dir)?;
    let paths = Paths::new(kind, size, dir);
    let report = |phase| progress(Progress { kind, size, phase, done: 0, total: 0 });
    let _lock = paths.lock(&|| report(Phase::Waiting))?;
    paths.clean()?;

    report(Phase::Checking);
    let mut constraints = None;
    let (params, record) = match existing(kind, size, &paths)? {
        Some(file) => {
            let record = small_file(&paths, RECORD, &digest::record(&file.digest))?;
            (file, record)
        }
        None => {
            let (file, record, circuit) = make_params(kind, size, &paths, progress)?;
            constraints = Some(circuit.constraints);
            (file, record)
        }
    };
    let key = layout::read_key(&params.path).map_err(ParamsError::io("read", &params.path))?;
    let meta = serde_json::to_vec(&CacheEntryMetadata { sector_size: size.bytes() }).expect("a number serialises");
    let files = vec![params, small_file(&paths, "vk", &key)?, small_file(&paths, "meta", &meta)?, record];
    Ok(Report { kind, size, files, constraints, took: start.elapsed() })
}

/// The parameter file that is there, if it is a right one. Where its digest is known to nobody it is made again.
fn existing(kind: Kind, size: SectorSize, paths: &Paths) -> Result<Option<FileReport>, ParamsError> {
    let path = paths.file("params");
    match development_set(kind, size, paths) {
        Ok((layout, digest)) => Ok(Some(FileReport { path, length_bytes: layout.length_bytes, digest, made: false })),
        Err(ParamsError::Missing { .. } | ParamsError::Damaged { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn make_params(
    kind: Kind,
    size: SectorSize,
    paths: &Paths,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<(FileReport, FileReport, CircuitSize), ParamsError> {
    let (aside, path) = (paths.aside("params"), paths.file("params"));
    let made = write_aside(kind, size, &aside, progress);
    let (out, circuit) = match made {
        Ok(made) => made,
        Err(error) => {
            // Best effort: the error at hand matters more, and the next run cleans up too.
            let _ = fs::remove_file(&aside);
            return Err(error);
        }
    };
    progress(Progress { kind, size, phase: Phase::Publishing, done: 0, total: 0 });
    let digest = digest::finish(&out.state);
    recorded_or_trapdoor(kind, size, &aside, &digest)?;
    // The record first: a parameter file without one would have to be made again.
    let record = small_file(paths, RECORD, &digest::record(&digest))?;
    place::publish(&out.file, &aside, &path)?;
    let length_bytes = out.file.metadata().map_err(ParamsError::io("examine", &path))?.len();
    Ok((FileReport { path, length_bytes, digest, made: true }, record, circuit))
}

fn write_aside(
    kind: Kind,
    size: SectorSize,
    aside: &Path,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<(DigestingFile, CircuitSize), ParamsError> {
    let mut out = DigestingFile::new(File::create(aside).map_err(ParamsError::io("create", aside))?);
    let points_made = |done, total| progress(Progress { kind, size, phase: Phase::Points, done, total });
    let trapdoor = Trapdoor::development(kind, size);
    let job = Job { trapdoor, domain_log2: domain_log2(kind, size), out: &mut out, points_made: &points_made };
    let circuit_error = |source: anyhow::Error| ParamsError::Circuit { kind, size, source };
    match with_circuit(kind, size, job).map_err(circuit_error)? {
        Ok(circuit) => Ok((out, circuit)),
        Err(KeygenError::Write(error)) => Err(ParamsError::io("write", aside)(error)),
        Err(KeygenError::Circuit(error)) => Err(circuit_error(error.into())),
    }
}

struct Job<'a> {
    trapdoor: Trapdoor,
    domain_log2: u32,
    out: &'a mut DigestingFile,
    points_made: PointsMade<'a>,
}

impl WithCircuit for Job<'_> {
    type Output = Result<CircuitSize, KeygenError>;

    fn run<C: Circuit<Scalar>>(self, circuit: impl Fn() -> C + Sync) -> Self::Output {
        write_parameters(circuit, Some(self.domain_log2), &self.trapdoor, self.out, self.points_made)
    }
}

/// A file whose whole content is known: kept if it is there, published otherwise.
fn small_file(paths: &Paths, extension: &str, bytes: &[u8]) -> Result<FileReport, ParamsError> {
    let path = paths.file(extension);
    let made = match fs::read(&path) {
        Ok(found) => found != bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        Err(error) => return Err(ParamsError::io("read", &path)(error)),
    };
    if made {
        paths.publish(extension, bytes)?;
    }
    Ok(FileReport { path, length_bytes: bytes.len() as u64, digest: digest::of_bytes(bytes), made })
}

/// What this process may still take, as far as the kernel says: the machine's, and the memory limit of its control
/// group.
fn available_memory_bytes() -> Option<u64> {
    let kib = |line: &str| line.split_whitespace().nth(1)?.parse::<u64>().ok();
    let meminfo = fs::read_to_string("/proc/meminfo").ok()?;
    let machine = meminfo.lines().find(|line| line.starts_with("MemAvailable:")).and_then(kib)? << 10;
    let number = |path: &str| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let limit = number("/sys/fs/cgroup/memory.max");
    let used = number("/sys/fs/cgroup/memory.current").unwrap_or(0);
    Some(limit.map_or(machine, |limit| machine.min(limit.saturating_sub(used))))
}
