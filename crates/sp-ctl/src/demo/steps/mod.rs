//! The steps of the demo, one file each.

mod failover;
pub(super) mod keep;
mod prove;
mod seal;
mod start;
mod summary;
mod verify;

use std::path::Path;

use super::cluster::Cluster;
use super::commands::Commands;
use super::error::Result;
use super::parameters;
use super::stage::Stage;

/// What later steps need of earlier ones.
struct Sectors {
    /// All of them, rising.
    numbers: Vec<u64>,
    /// The one with data, and the data.
    with_piece: u64,
    data: Vec<u8>,
}

/// Everything from the parameters to the summary.
pub(super) async fn all(cluster: &mut Cluster, stage: &Stage, file: Option<&Path>) -> Result<()> {
    stage.line(&format!("data and logs are in {}", cluster.dir.display()));
    parameters::prepare(cluster, stage).await?;
    start::all(cluster, stage).await?;
    let commands = Commands { stage, scheduler_url: cluster.scheduler_url()? };
    stage.step(1, "pledge two sectors, add a file, seal all three");
    let sectors = seal::run(cluster, &commands, file).await?;
    stage.step(2, "verify the seal proofs, unseal the file");
    verify::run(cluster, &commands, &sectors).await?;
    stage.step(3, "prove the deadline and win a block");
    let deadline = prove::run(&commands, &sectors).await?;
    stage.step(4, "lose window PoSt workers and get them back");
    failover::run(cluster, &commands, deadline).await?;
    stage.step(5, "what there is now");
    summary::run(&commands, &sectors).await
}
