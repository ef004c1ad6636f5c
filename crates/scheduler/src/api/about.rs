//! The cluster at a glance, and its workers.

use sp_env::Monotonic;
use sp_proto::v1;
use sp_types::{SectorSize, TaskClass};
use tonic::Status;

use super::Api;
use crate::board::sector_states;
use crate::driver::Seen;
use crate::service::ServiceOptions;
use crate::troubles::Troubles;
use crate::wire;

/// What this scheduler is.
#[derive(Debug, Clone)]
pub(crate) struct About {
    pub(super) cluster: String,
    pub(super) network: String,
    pub(super) miner: u64,
    pub(super) sector_size: SectorSize,
    pub(super) insecure_parameters: bool,
    pub(super) started: Monotonic,
    pub(super) troubles: Troubles,
}

impl About {
    pub(crate) fn new(options: &ServiceOptions, started: Monotonic) -> Self {
        let ServiceOptions { cluster, network, miner, sector_size, insecure_parameters, troubles, .. } =
            options.clone();
        Self { cluster, network, miner, sector_size, insecure_parameters, started, troubles }
    }
}

impl Api {
    pub(super) async fn on_info(&self, request: v1::InfoRequest) -> Result<v1::InfoReply, Status> {
        let v1::InfoRequest {} = request;
        let (states, workers, stale_ms) =
            match self.status(|core, now| (sector_states(core), core.workers(now))).await? {
                Seen::Now((states, workers)) => (states, workers, 0),
                Seen::Before(board, stale_ms) => (board.sectors.clone(), board.workers.clone(), stale_ms),
            };
        let connected: Vec<_> = workers.iter().filter(|w| w.connected).collect();
        let of = |class: TaskClass| connected.iter().filter(|w| w.class == class && !w.builtin).count() as u32;
        Ok(v1::InfoReply {
            cluster: self.about.cluster.clone(),
            network: self.about.network.clone(),
            build: env!("CARGO_PKG_VERSION").to_owned(),
            miner: self.about.miner,
            sector_size: self.about.sector_size.bytes(),
            epoch: self.chain.head().0,
            epoch_ms: self.chain.epoch_ms(),
            sectors: states.into_iter().map(|(state, count)| wire::state_count(state, count)).collect(),
            sealing_workers: of(TaskClass::Sealing),
            window_post_workers: of(TaskClass::WindowPost),
            winning_post_workers: of(TaskClass::WinningPost),
            builtin_workers: connected.iter().filter(|w| w.builtin).count() as u32,
            index_connected: self.index.stores.connected(),
            insecure_parameters: self.about.insecure_parameters,
            uptime_ms: self.env.clock.monotonic().since_ms(self.about.started),
            builtin_troubles: self.about.troubles.list(),
            stale_ms,
        })
    }

    pub(super) async fn on_list_workers(
        &self,
        request: v1::ListWorkersRequest,
    ) -> Result<v1::ListWorkersReply, Status> {
        let v1::ListWorkersRequest {} = request;
        let (workers, stale_ms) = match self.status(|core, now| core.workers(now)).await? {
            Seen::Now(workers) => (workers, 0),
            Seen::Before(board, stale_ms) => (board.workers.clone(), stale_ms),
        };
        Ok(v1::ListWorkersReply { workers: workers.into_iter().map(wire::worker_status).collect(), stale_ms })
    }
}
