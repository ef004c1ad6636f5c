//! Makes sectors that nobody has sealed and anybody can prove: replicas of zeros with the tree over them and an invented
//! comm_c (upstream's `fauxrep`), in Lotus's layout. Tests of proving need many sectors, and sealing each takes a minute.
//!
//! `faux_sectors DIR MINER FIRST COUNT`: 2 KiB sectors FIRST to FIRST + COUNT - 1 below DIR.
// A tool of tests, on a real disk.
#![allow(clippy::disallowed_methods)]

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use filecoin_proofs::{PoRepConfig, SectorShape2KiB, fauxrep};
use storage_proofs_core::api_version::ApiVersion;

const SECTOR_BYTES: u64 = 2048;

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let mut next = |what: &str| args.next().with_context(|| format!("{what} is missing: DIR MINER FIRST COUNT"));
    let dir = PathBuf::from(next("DIR")?);
    let miner: u64 = next("MINER")?.parse().context("MINER is the number of an id address")?;
    let first: u64 = next("FIRST")?.parse().context("FIRST is a sector number")?;
    let count: u64 = next("COUNT")?.parse().context("COUNT is a number of sectors")?;
    let mut porep_id = [0; 32];
    porep_id[0] = 5;
    let config = PoRepConfig::new_groth16(SECTOR_BYTES, porep_id, ApiVersion::V1_1_0);
    fs::create_dir_all(dir.join("sealed"))?;
    for number in first..first + count {
        let name = format!("s-t0{miner}-{number}");
        let cache = dir.join("cache").join(&name);
        fs::create_dir_all(&cache)?;
        fauxrep::<_, _, SectorShape2KiB>(&config, &cache, dir.join("sealed").join(&name))?;
    }
    Ok(())
}
