//! The check of a replica against its commitment, on all cores and on one, beside upstream's call that makes the same tree.
//!
//! `bench_replica [MIB] [RUNS]`: a file of noise of one of the published sizes (8 by default: the rate is that of any size). One line for each figure.
#![allow(clippy::disallowed_methods, reason = "a measurement on a real machine")]

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use filecoin_hashers::{HashFunction, Hasher};
use filecoin_proofs::{SectorShapeBase, TreeRHasher, generate_tree_r_last};
use proofs_core::stages::check_replica;
use sp_types::ErrorCode;

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let mut number = |or: u64| args.next().map_or(Ok(or), |text| text.parse().context("MIB and RUNS are numbers"));
    let (mib, runs) = (number(8)?, number(7)?);
    let dir = tempfile::tempdir().context("cannot make a directory to work in")?;
    let (sealed, cache) = (dir.path().join("sealed"), dir.path().join("cache"));
    fs::create_dir(&cache)?;
    noise(&sealed, mib << 20)?;
    // Of another replica: the tree is built all the same, and then differs.
    fs::write(cache.join("p_aux"), [1; 64])?;
    let cores = rayon::current_num_threads();
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    let (mut ours, mut single, mut theirs) = (vec![], vec![], vec![]);
    for _ in 0..runs {
        ours.push(mib as f64 / timed(|| check(&sealed, &cache))?);
        single.push(mib as f64 / timed(|| one.install(|| check(&sealed, &cache)))?);
        theirs.push(mib as f64 / timed(|| upstream(&sealed, mib << 20))?);
    }
    show(&format!("comm_r pass, {cores} cores"), ours);
    show("comm_r pass, one core", single);
    show("its limit: nothing but its hashes (Poseidon of 8), one core", limit(runs));
    show(&format!("upstream's tree-r-last, {cores} cores"), theirs);
    Ok(())
}

/// Field elements.
fn noise(path: &Path, bytes: u64) -> Result<()> {
    let mut file = Vec::with_capacity(bytes as usize);
    let mut state = 1u64;
    for at in 0..bytes / 8 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let word = if at % 4 == 3 { state >> 2 } else { state ^ (state >> 29) };
        file.extend(word.to_le_bytes());
    }
    Ok(fs::write(path, file)?)
}

fn timed(work: impl FnOnce() -> Result<()> + Send) -> Result<f64> {
    let began = Instant::now();
    work()?;
    Ok(began.elapsed().as_secs_f64())
}

fn check(sealed: &Path, cache: &Path) -> Result<()> {
    let refused = check_replica(sealed, cache, &[]).err().context("noise has a commitment")?;
    ensure!(refused.code() == ErrorCode::DigestMismatch, "{refused}");
    Ok(())
}

fn upstream(sealed: &Path, bytes: u64) -> Result<()> {
    let out = tempfile::tempdir()?;
    generate_tree_r_last::<_, _, SectorShapeBase>(bytes, sealed, out.path())?;
    Ok(())
}

/// A tree of arity 8 has a hash for every seven leaves of 32 bytes.
const BYTES_PER_HASH: f64 = 7.0 * 32.0;

/// What the pass could do at most on one core, MiB/s: hashes without reading, and without a tree to keep.
fn limit(runs: u64) -> Vec<f64> {
    const HASHES: u32 = 20_000;
    let rate = |_| {
        let mut nodes = [0; 8 * 32];
        let began = Instant::now();
        for at in 0..HASHES as usize {
            // Each depends on the one before: none can be left out.
            let parent = <[u8; 32]>::from(<TreeRHasher as Hasher>::Function::hash(&nodes));
            nodes[at % 8 * 32..][..32].copy_from_slice(&parent);
        }
        let hashes_per_s = f64::from(HASHES) / began.elapsed().as_secs_f64();
        hashes_per_s * BYTES_PER_HASH / f64::from(1 << 20)
    };
    (0..runs).map(rate).collect()
}

fn show(what: &str, mut rates: Vec<f64>) {
    rates.sort_by(f64::total_cmp);
    let (median, first, last) = (rates[rates.len() / 2], rates[0], rates[rates.len() - 1]);
    println!("{what:<62} {median:>10.1} MiB/s  ({first:.1} .. {last:.1} of {})", rates.len());
}
