//! Scrubs: the digest pass over a file against `sha256sum` of the same file, both from memory, one thread each.
//!
//! The two alternate in the same run, and another one begins each time. The file lies in memory, so that what is measured
//! is the pass and not the disk.
#![allow(clippy::disallowed_methods, reason = "a measurement on a real machine")]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use sp_sectors::{CHUNK_BYTES, Disk, RealDisk, ScrubStep, Scrubbed, Store, StoreMeta};
use sp_tests::figures::{self, Line, Promise, Table};
use sp_types::{FileKind, ReplicaId, SectorId, StoreId};

const SECTOR: SectorId = SectorId { miner: 1000, number: 1 };

/// As a worker reads it.
const RUN_BYTES: u64 = 16 << 20;

/// What the measurement is told.
struct Options {
    /// Length of the file.
    mib: u64,
    runs: usize,
    /// Where the file is made.
    dir: PathBuf,
}

fn main() -> Result<ExitCode> {
    let options = Options::parse(std::env::args().skip(1))?;
    println!("scrubs: {} MiB, {}; median (least .. most of runs)", options.mib, figures::machine());
    let mut table = Table::default();
    digests(&options, &mut table)?;
    Ok(table.end())
}

impl Options {
    fn parse(mut args: impl Iterator<Item = String>) -> Result<Self> {
        let mut options = Self { mib: 3072, runs: 5, dir: "/dev/shm".into() };
        while let Some(flag) = args.next() {
            if flag == "--quick" {
                options = Self { mib: 512, runs: 3, ..options };
                continue;
            }
            let value = args.next().with_context(|| format!("{flag} needs a value"))?;
            let number = || value.parse::<u64>().with_context(|| format!("{flag}: `{value}` is no number"));
            match flag.as_str() {
                "--mib" => options.mib = number()?.max(16),
                "--runs" => options.runs = number()?.max(1) as usize,
                "--dir" => options.dir = value.into(),
                _ => bail!("unknown flag {flag}; usage: bench_scrub [--quick] [--mib N] [--runs N] [--dir DIR]"),
            }
        }
        Ok(options)
    }
}

fn digests(options: &Options, table: &mut Table) -> Result<()> {
    table.heading(&format!("the digest pass ({})", options.dir.display()));
    let dir = tempfile::Builder::new().prefix("sp-bench-scrub-").tempdir_in(&options.dir)?;
    let (store, replica) = make(dir.path(), options.mib)?;
    let path = store.replica_path(SECTOR, replica.kind);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for run in 0..options.runs {
        for side in 0..2 {
            match (run + side) % 2 {
                0 => ours.push(timed(|| pass(&store, &replica))?),
                _ => theirs.push(timed(|| sha256sum(&path))?),
            }
        }
    }
    let gib = options.mib as f64 / 1024.0;
    let rate = |seconds: &[f64]| seconds.iter().map(|seconds| gib / seconds).collect();
    table.show(Line::new("digest pass", "GiB/s", rate(&ours)));
    table.show(Line::new("sha256sum", "GiB/s", rate(&theirs)));
    // Run by run, so that what disturbs the machine disturbs both.
    let faster = theirs.iter().zip(&ours).map(|(theirs, ours)| theirs / ours).collect();
    let line = Line::new("speed of the digest pass to sha256sum", "x", faster);
    table.show(line.promised(Promise::AtLeast(3.0)));
    Ok(())
}

/// A store with a sealed file of noise.
fn make(dir: &Path, mib: u64) -> Result<(Store, ReplicaId)> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let store = Store::init(disk, &dir.join("store"), &StoreMeta::new(&StoreId::new("bench")?, true, true))?;
    let work = store.work("1.1".parse()?)?;
    let file = RealDisk.create_new(&work.path(SECTOR, FileKind::Sealed))?;
    let (mut chunk, mut state) = (vec![0; CHUNK_BYTES as usize], 1u64);
    for index in 0..mib {
        for word in chunk.chunks_exact_mut(8) {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            word.copy_from_slice(&(state ^ (state >> 29)).to_le_bytes());
        }
        file.write_at(&chunk, index * CHUNK_BYTES)?;
    }
    let made = store.publish(work.attempt(), &[(SECTOR, FileKind::Sealed)])?.remove(0);
    Ok((store, made.id))
}

/// Seconds that it takes.
fn timed(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let began = Instant::now();
    work()?;
    Ok(began.elapsed().as_secs_f64())
}

fn pass(store: &Store, replica: &ReplicaId) -> Result<()> {
    let mut scrub = store.scrub(replica.clone(), RUN_BYTES);
    loop {
        match scrub.step() {
            ScrubStep::Read(_) => {}
            ScrubStep::Done(Scrubbed::Sound) => return Ok(()),
            ScrubStep::Done(other) => bail!("the file that was just made is said to be {other:?}"),
        }
    }
}

fn sha256sum(path: &Path) -> Result<()> {
    let ran = Command::new("sha256sum").arg(path).stdout(Stdio::null()).status().context("sha256sum")?;
    ensure!(ran.success(), "sha256sum of {} failed", path.display());
    Ok(())
}
