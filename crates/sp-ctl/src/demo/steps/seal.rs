//! Step 1: two CC sectors and one with a file, from Packing to Proving.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::Value;
use sp_proto::v1::{Job, ListJobsRequest, ListSectorsRequest, SectorSummary};
use sp_types::SectorState;

use super::Sectors;
use crate::context::request;
use crate::demo::cluster::Cluster;
use crate::demo::commands::Commands;
use crate::demo::error::{DemoError, Result};
use crate::demo::progress::work;
use crate::demo::stage::Track;
use crate::error::CommandError;

/// The file that becomes a piece when none is named.
const PIECE: &[u8] = include_bytes!("../../../../../LICENSE-MIT");
/// All three sectors take about five minutes on two cores that have nothing else to do.
const SEAL_LIMIT: Duration = Duration::from_secs(60 * 60);
/// No phase of a 2 KiB sector takes this long, even on a machine that is busy otherwise.
const STALL_LIMIT: Duration = Duration::from_secs(20 * 60);
/// Stations on the way to Proving.
const STATES: [SectorState; 8] = [
    SectorState::Packing,
    SectorState::PreCommit1,
    SectorState::PreCommit2,
    SectorState::WaitSeed,
    SectorState::Committing1,
    SectorState::Committing2,
    SectorState::FinalizeSector,
    SectorState::Proving,
];

pub(super) async fn run(cluster: &mut Cluster, commands: &Commands<'_>, file: Option<&Path>) -> Result<Sectors> {
    let (path, data) = match file {
        Some(file) => {
            let data = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
            (file.to_owned(), data)
        }
        None => {
            let path = cluster.dir.join("licence.txt");
            std::fs::write(&path, PIECE).with_context(|| format!("cannot write {}", path.display()))?;
            (path, PIECE.to_vec())
        }
    };
    let (_, pledged) = commands.json(&["sectors", "pledge", "--count", "2"]).await?;
    let numbers = pledged["sectors"].as_array().into_iter().flatten().filter_map(Value::as_u64);
    let mut numbers: Vec<u64> = numbers.collect();
    let (_, added) = commands
        .json(&["sectors", "add", &path.display().to_string()])
        .await
        .map_err(|failure| failure.log("seal-a"))?;
    let with_piece = added["sector"].as_u64().ok_or_else(|| DemoError::new("`sectors add` names no sector"))?;
    numbers.push(with_piece);
    numbers.sort_unstable();
    if numbers.len() != 3 {
        return Err(DemoError::new(format!("three sectors were asked for, there are {numbers:?}")));
    }
    follow(cluster, commands, &numbers).await?;
    Ok(Sectors { numbers, with_piece, data })
}

/// Waits until all of them are proving, and shows where they are.
async fn follow(cluster: &mut Cluster, commands: &Commands<'_>, numbers: &[u64]) -> Result<()> {
    let stage = commands.stage;
    let tracks: BTreeMap<u64, Track<'_>> =
        numbers.iter().map(|n| (*n, stage.track(&format!("sector {n}"), STATES.len() as u64 - 1))).collect();
    let (mut seen, mut moved) = (String::new(), Instant::now());
    let waited = cluster.wait_for("all sectors to be proving", SEAL_LIMIT, async |cluster| {
        let mut scheduler = cluster.scheduler().await?;
        let reply = scheduler.list_sectors(request(ListSectorsRequest {})).await;
        let sectors = reply.map_err(CommandError::from)?.into_inner().sectors;
        let jobs = scheduler.list_jobs(request(ListJobsRequest {})).await;
        let jobs = jobs.map_err(CommandError::from)?.into_inner().jobs;
        let states: Vec<String> =
            sectors.iter().map(|s| format!("{} {} ({})", s.number, s.state, s.failures)).collect();
        let states = states.join(", ");
        if states != seen {
            (seen, moved) = (states, Instant::now());
        }
        for sector in &sectors {
            let job = jobs.iter().find(|job| job.sector == sector.number);
            show(sector, job, tracks.get(&sector.number))?;
        }
        if moved.elapsed() > STALL_LIMIT {
            return Err(DemoError::new(format!("no sector has moved for 20 min: {seen}")));
        }
        let proving = |n: &u64| sectors.iter().any(|s| s.number == *n && s.state == SectorState::Proving.to_string());
        Ok(numbers.iter().all(proving).then_some(()))
    });
    waited.await
}

fn show(sector: &SectorSummary, job: Option<&Job>, track: Option<&Track<'_>>) -> Result<()> {
    let SectorSummary { number, state, last_error, stopped, .. } = sector;
    if *stopped {
        return Err(DemoError::new(format!("sector {number} failed: {last_error}")).log("seal-b"));
    }
    let here = |s: &SectorState| s.to_string() == *state || s.fails_to().is_some_and(|f| f.to_string() == *state);
    let station = STATES.iter().position(here).unwrap_or(0);
    let trouble = if last_error.is_empty() { String::new() } else { format!(" (trying again: {last_error})") };
    if let Some(track) = track {
        let work = job.map(|job| format!(": {}", work(job))).unwrap_or_default();
        track.at(station as u64, &format!("{state}{work}{trouble}"));
    }
    Ok(())
}
