//! Sectors that were never sealed and can be proven, taken over by a cluster: sealing one takes most of a minute.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::process::bin_dir;
use crate::{Cluster, wait};

/// Longest until all are in the state Proving.
const LIMIT: Duration = Duration::from_secs(120);

/// Name and flags of a sealing worker that has what is put on the shelf, and does nothing else.
pub fn keeper() -> (String, Vec<String>) {
    ("keeper".into(), ["--no-default", "--no-local-storage"].map(String::from).to_vec())
}

/// Makes sectors of zeros on a path of the keeper, and has the cluster take them over. Where they lie.
pub fn take_over(cluster: &Cluster, sectors: Range<u64>) -> Result<PathBuf> {
    // A path of its own each time: what is put into one that is attached already is not seen by itself.
    let dir = cluster.dir().join(format!("shelf-{}", sectors.start));
    fill(&dir, sectors.clone())?;
    let path = dir.display().to_string();
    cluster.ctl_json(&["storage", "attach", "--worker", "keeper", "--init", "--store", &path])?;
    import(cluster, sectors)?;
    Ok(dir)
}

/// Makes sectors of zeros in this directory.
pub fn fill(dir: &Path, sectors: Range<u64>) -> Result<()> {
    let count = (sectors.end - sectors.start).to_string();
    let mut faux = Command::new(bin_dir()?.join("examples/faux_sectors"));
    ensure!(faux.arg(dir).args(["1000", &sectors.start.to_string(), &count]).status()?.success(), "no faux sectors");
    Ok(())
}

/// Has the cluster take over these sectors, of a path that is attached already.
pub fn import(cluster: &Cluster, sectors: Range<u64>) -> Result<()> {
    // A path is attached before what lies in it is declared.
    wait::until("the sectors to be taken over", LIMIT, || {
        cluster.ctl_json(&["sectors", "import", "--all"])?;
        let states = cluster.states()?;
        Ok(sectors.clone().all(|number| states.get(&number).is_some_and(|state| state == "Proving")).then_some(()))
    })
}

/// Turns the lowest bit of every byte of the sector's replica below `dir`: no challenge can be answered from it.
pub fn damage(dir: &Path, sector: u64) -> Result<()> {
    let file = dir.join(format!("sealed/s-t01000-{sector}"));
    let mut bytes = std::fs::read(&file)?;
    bytes.iter_mut().for_each(|byte| *byte ^= 0x01);
    Ok(std::fs::write(file, bytes)?)
}

/// Turns a single bit in the middle of a file.
pub fn flip(file: &Path) -> Result<()> {
    let mut bytes = std::fs::read(file)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x01;
    Ok(std::fs::write(file, bytes)?)
}
