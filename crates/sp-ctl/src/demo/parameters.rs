//! The development parameters: made once per user, kept outside of everything that the demo removes.

use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

use super::cluster::Cluster;
use super::error::{DemoError, Result};
use super::stage::Stage;
use crate::sibling;

/// Making all of them takes about a minute of all cores; other processes may be making them too.
const LIMIT: Duration = Duration::from_secs(45 * 60);
const LOG: &str = "parameters";

/// Sees to it that the parameters of 2 KiB sectors are there. Quick when they are.
pub(super) async fn prepare(cluster: &Cluster, stage: &Stage) -> Result<()> {
    stage.line("development parameters (INSECURE, only for tests) for 2 KiB sectors");
    stage.command("sp-ctl params generate --sector-size 2KiB");
    let track = stage.track("parameters", 0);
    let mut command = Command::new(sibling::path("sp-verify")?);
    command.args(["params", "generate", "--sector-size", "2KiB"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).kill_on_drop(true);
    let mut child = command.spawn().context("cannot run sp-verify")?;
    let mut log = tokio::fs::File::create(cluster.log_path(LOG)).await.context("cannot create a log")?;
    let (said, told) = (child.stdout.take(), child.stderr.take());
    let (said, told) = said.zip(told).ok_or_else(|| DemoError::new("sp-verify has no output"))?;
    let follow = async {
        let (mut said, mut told) = (BufReader::new(said).lines(), BufReader::new(told).lines());
        let (mut said_more, mut told_more) = (true, true);
        while said_more || told_more {
            let line = tokio::select! {
                line = said.next_line(), if said_more => { let line = line?; said_more = line.is_some(); line }
                line = told.next_line(), if told_more => { let line = line?; told_more = line.is_some(); line }
            };
            if let Some(line) = line {
                log.write_all(format!("{line}\n").as_bytes()).await?;
                track.at(0, &line);
            }
        }
        log.flush().await?;
        child.wait().await
    };
    let ended = tokio::time::timeout(LIMIT, follow).await;
    let ended = ended.map_err(|_| DemoError::new("making parameters took longer than 45 min").log(LOG))?;
    let status = ended.context("cannot follow sp-verify").map_err(|cause| DemoError::from(cause).log(LOG))?;
    if status.success() {
        return Ok(());
    }
    Err(DemoError::new(format!("sp-verify params generate: {status}")).log(LOG))
}
