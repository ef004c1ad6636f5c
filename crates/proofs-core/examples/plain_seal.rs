//! Seals one empty 2 KiB sector with upstream's own calls in one plain process and prints the seconds of each phase as
//! JSON: what the overhead of the cluster is measured against.
//!
//! Parameters come from the directory in `FIL_PROOFS_PARAMETER_CACHE`.
// A measurement on a real machine.
#![allow(clippy::disallowed_methods)]

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use filecoin_proofs::{
    PoRepConfig, SectorShape2KiB, UnpaddedBytesAmount, add_piece, clear_cache, seal_commit_phase1, seal_commit_phase2,
    seal_pre_commit_phase1, seal_pre_commit_phase2, verify_seal,
};
use serde_json::{Map, Value, json};
use storage_proofs_core::api_version::ApiVersion;

const SECTOR_BYTES: u64 = 2048;
const UNPADDED_BYTES: u64 = SECTOR_BYTES / 128 * 127;
/// Payload of the id address t01000.
const PROVER: [u8; 2] = [0xe8, 0x07];
const SECTOR: u64 = 1;
const TICKET: [u8; 32] = [0x11; 32];
const SEED: [u8; 32] = [0x22; 32];

fn main() -> Result<()> {
    let dir = tempfile::tempdir().context("cannot make a directory to work in")?;
    let mut phases = Phases(Map::new());
    let started = Instant::now();
    seal(dir.path(), &mut phases)?;
    let total = started.elapsed().as_secs_f64();
    println!("{}", json!({ "sector_size": "2KiB", "phase_s": phases.0, "total_s": total }));
    Ok(())
}

/// Seconds of each phase.
struct Phases(Map<String, Value>);

impl Phases {
    fn time<T>(&mut self, name: &str, phase: impl FnOnce() -> Result<T>) -> Result<T> {
        let started = Instant::now();
        let result = phase().with_context(|| format!("{name} failed"))?;
        self.0.insert(name.to_owned(), started.elapsed().as_secs_f64().into());
        Ok(result)
    }
}

fn seal(dir: &Path, phases: &mut Phases) -> Result<()> {
    let mut porep_id = [0; 32];
    porep_id[0] = 5;
    let config = PoRepConfig::new_groth16(SECTOR_BYTES, porep_id, ApiVersion::V1_1_0);
    let mut prover_id = [0; 32];
    prover_id[..2].copy_from_slice(&PROVER);
    let (unsealed, sealed, cache) = (dir.join("unsealed"), dir.join("sealed"), dir.join("cache"));

    let pieces = phases.time("AP", || {
        let mut target = File::create(&unsealed)?;
        let zeros = io::repeat(0).take(UNPADDED_BYTES);
        let (piece, _) = add_piece(zeros, &mut target, UnpaddedBytesAmount(UNPADDED_BYTES), &[])?;
        Ok([piece])
    })?;
    let phase1 = phases.time("PC1", || {
        fs::create_dir(&cache)?;
        File::create(&sealed)?;
        let sector = SECTOR.into();
        seal_pre_commit_phase1::<_, _, _, SectorShape2KiB>(
            &config, &cache, &unsealed, &sealed, prover_id, sector, TICKET, &pieces,
        )
    })?;
    let comms = phases.time("PC2", || seal_pre_commit_phase2(&config, phase1, &cache, &sealed))?;
    let (comm_r, comm_d) = (comms.comm_r, comms.comm_d);
    let vanilla = phases.time("C1", || {
        let sector = SECTOR.into();
        seal_commit_phase1::<_, SectorShape2KiB>(
            &config, &cache, &sealed, prover_id, sector, TICKET, SEED, comms, &pieces,
        )
    })?;
    let proof = phases.time("C2", || seal_commit_phase2(&config, vanilla, prover_id, SECTOR.into()))?.proof;
    phases.time("FIN", || clear_cache(&cache))?;
    let valid =
        verify_seal::<SectorShape2KiB>(&config, comm_r, comm_d, prover_id, SECTOR.into(), TICKET, SEED, &proof)?;
    ensure!(valid, "the proof does not verify");
    Ok(())
}
