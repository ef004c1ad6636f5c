//! `info`: the cluster on one page.

use serde::Serialize;
use sp_proto::v1::{InfoReply, InfoRequest};
use sp_types::ByteSize;

use crate::context::{Context, request};
use crate::error::CommandError;
use crate::layout::{Color, Paint, go_duration};

/// Show the cluster: epoch, sectors per state, workers per class.
#[derive(Debug, clap::Args)]
pub(crate) struct Info {}

/// The cluster, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Page {
    cluster: String,
    network: String,
    build: String,
    miner: u64,
    sector_size: u64,
    epoch: i64,
    epoch_ms: u64,
    sectors: Vec<StateCount>,
    workers: Workers,
    index_connected: bool,
    insecure_parameters: bool,
    uptime_ms: u64,
    builtin_troubles: Vec<String>,
}

#[derive(Debug, Serialize)]
struct StateCount {
    state: String,
    count: u32,
}

#[derive(Debug, Serialize)]
struct Workers {
    seal: u32,
    window_post: u32,
    winning_post: u32,
    builtin: u32,
}

impl Info {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let reply = context.scheduler().await?.info(request(InfoRequest {})).await?.into_inner();
        context.note_stale(reply.stale_ms);
        let page = Page::from(reply);
        context.show(&page, |paint| text(&page, paint))
    }
}

impl From<InfoReply> for Page {
    fn from(reply: InfoReply) -> Self {
        let sectors = reply.sectors.into_iter().map(|c| StateCount { state: c.state, count: c.count }).collect();
        Self {
            cluster: reply.cluster,
            network: reply.network,
            build: reply.build,
            miner: reply.miner,
            sector_size: reply.sector_size,
            epoch: reply.epoch,
            epoch_ms: reply.epoch_ms,
            sectors,
            workers: Workers {
                seal: reply.sealing_workers,
                window_post: reply.window_post_workers,
                winning_post: reply.winning_post_workers,
                builtin: reply.builtin_workers,
            },
            index_connected: reply.index_connected,
            insecure_parameters: reply.insecure_parameters,
            uptime_ms: reply.uptime_ms,
            builtin_troubles: reply.builtin_troubles,
        }
    }
}

fn text(page: &Page, paint: &Paint) -> String {
    let mut text = format!(
        "Cluster: {} (network {}, version {})\nMiner: t0{} ({} sectors)\n",
        page.cluster,
        page.network,
        page.build,
        page.miner,
        ByteSize(page.sector_size)
    );
    if page.insecure_parameters {
        let warning = "INSECURE parameters: made for development, the proofs are worth nothing on a real network";
        text += &format!("{}\n", paint.paint(Color::Red, warning));
    }
    text += &format!("Epoch: {} (one each {})\n", page.epoch, go_duration(page.epoch_ms));
    text += &format!("Uptime: {}\n", go_duration(page.uptime_ms));
    let index = if page.index_connected { "connected".to_owned() } else { paint.paint(Color::Red, "not connected") };
    text += &format!("Storage index: {index}\n");
    let total: u32 = page.sectors.iter().map(|c| c.count).sum();
    text += &format!("\nSectors:\n\tTotal: {total}\n");
    for StateCount { state, count } in page.sectors.iter().filter(|c| c.count > 0) {
        text += &format!("\t{state}: {count}\n");
    }
    let Workers { seal, window_post, winning_post, builtin } = page.workers;
    text += &format!("\nWorkers: Seal({seal}) WdPoSt({window_post}) WinPoSt({winning_post})\n");
    if builtin > 0 {
        text += &format!("Built-in workers: {builtin}\n");
    }
    for trouble in &page.builtin_troubles {
        text += &format!("{} {trouble}\n", paint.paint(Color::Red, "Built-in worker"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use sp_proto::v1;

    #[test]
    fn the_page() {
        let reply = InfoReply {
            cluster: "demo".into(),
            network: "dev".into(),
            build: "0.1.0".into(),
            miner: 1000,
            sector_size: 2048,
            epoch: 12,
            epoch_ms: 500,
            sectors: vec![
                v1::StateCount { state: "WaitSeed".into(), count: 1 },
                v1::StateCount { state: "Proving".into(), count: 2 },
            ],
            sealing_workers: 2,
            window_post_workers: 2,
            winning_post_workers: 1,
            builtin_workers: 2,
            index_connected: true,
            insecure_parameters: true,
            uptime_ms: 61_000,
            builtin_troubles: vec!["window: did not stay up, tried 3 times in a row, last: exit status: 1".into()],
            stale_ms: 0,
        };
        let expected = "Cluster: demo (network dev, version 0.1.0)\n\
            Miner: t01000 (2 KiB sectors)\n\
            INSECURE parameters: made for development, the proofs are worth nothing on a real network\n\
            Epoch: 12 (one each 500ms)\n\
            Uptime: 1m1s\n\
            Storage index: connected\n\
            \n\
            Sectors:\n\tTotal: 3\n\tWaitSeed: 1\n\tProving: 2\n\
            \n\
            Workers: Seal(2) WdPoSt(2) WinPoSt(1)\n\
            Built-in workers: 2\n\
            Built-in worker window: did not stay up, tried 3 times in a row, last: exit status: 1\n";
        assert_eq!(text(&Page::from(reply), &Paint::off()), expected);
    }
}
