//! Step 2: upstream's word on every seal proof, and the file back out of the sealed sector.

use std::time::Duration;

use anyhow::Context as _;
use sp_proto::v1::{FileKind, FindStorageRequest};
use sp_types::TaskKind;

use super::Sectors;
use crate::context::request;
use crate::demo::cluster::Cluster;
use crate::demo::commands::Commands;
use crate::demo::error::{DemoError, Result};
use crate::demo::progress::Follow;
use crate::error::CommandError;

const RELEASE_LIMIT: Duration = Duration::from_secs(60);

pub(super) async fn run(cluster: &mut Cluster, commands: &Commands<'_>, sectors: &Sectors) -> Result<()> {
    for number in &sectors.numbers {
        let (proof, _) = commands.json(&["sectors", "proof", &number.to_string()]).await?;
        commands.verify(&proof).await?;
    }
    let number = sectors.with_piece.to_string();
    // Without its unsealed copy the data can only come out of the sealed file.
    commands.text(&["sectors", "release-unsealed", &number]).await?;
    unsealed_copies(cluster, sectors.with_piece, 0).await?;
    commands.stage.line(&format!("sector {number} has no unsealed copy any more"));
    let output = cluster.dir.join("unsealed");
    let unseal = ["sectors", "unseal", &number, "--output", &output.display().to_string(), "--timeout", "10m"];
    let unsealed = commands.text_of(&unseal, Follow::Jobs(TaskKind::Unseal)).await;
    unsealed.map_err(|failure| failure.log("seal-b"))?;
    let back = std::fs::read(&output).with_context(|| format!("cannot read {}", output.display()))?;
    if back != sectors.data {
        return Err(DemoError::new(format!("{} is not the file that was added", output.display())).log("seal-b"));
    }
    unsealed_copies(cluster, sectors.with_piece, 1).await?;
    commands.stage.line(&format!("{} bytes came back, the same as went in", back.len()));
    Ok(())
}

/// Waits until the sector has no (0) or at least one (1) unsealed copy.
async fn unsealed_copies(cluster: &mut Cluster, sector: u64, wanted: usize) -> Result<()> {
    let what = format!("sector {sector} to have {wanted} unsealed copies");
    let waited = cluster.wait_for(&what, RELEASE_LIMIT, async |cluster| {
        let reply = cluster.scheduler().await?.find_storage(request(FindStorageRequest { sector })).await;
        let found = reply.map_err(CommandError::from)?.into_inner().replicas;
        let kinds = found.iter().filter_map(|f| f.replica.as_ref()).map(|replica| replica.kind);
        let copies = kinds.filter(|kind| *kind == FileKind::Unsealed as i32).count();
        Ok((copies.min(1) == wanted).then_some(()))
    });
    waited.await.map_err(|failure| failure.log("index"))
}
