//! The gRPC service of operators, one file per noun. It asks the core and says it in messages; it decides nothing.

mod about;
mod cleanup;
mod data_cid;
mod deadlines;
mod history;
mod imports;
mod jobs;
mod limits;
mod pieces;
mod proving;
mod receive;
mod recovery;
mod scrub;
mod sectors;
mod storage;
mod upgrades;
mod workers;

use std::sync::Arc;
use std::time::Duration;

use sp_net::Env;
use sp_net::status::to_status;
use sp_proto::v1;
use sp_proto::v1::scheduler_server::Scheduler;
use sp_sched_core::Core;
use sp_sched_core::effect::Reply;
use sp_sched_core::model::{Sector, UnixMs};
use sp_state::State;
use sp_types::ErrorCode;
use tonic::{Request, Response, Status};

use crate::chain::Chain;
use crate::driver::{Handle, Seen};
use crate::index::IndexView;
use crate::rows::RowError;
use crate::workers::gone;

pub(crate) use about::About;
pub(crate) use limits::ComputeLimits;

/// A request that only changes rows is answered within this, which is before clients give up.
const REQUEST_LIMIT: Duration = Duration::from_secs(25);

/// A worker attaches, detaches or reads a directory within this: it may have to read every manifest in it.
const STORE_LIMIT: Duration = Duration::from_secs(60);

/// The service.
#[derive(Clone)]
pub(crate) struct Api {
    env: Env,
    driver: Handle,
    chain: Arc<dyn Chain>,
    state: Arc<dyn State>,
    index: IndexView,
    about: Arc<About>,
    limits: ComputeLimits,
}

impl Api {
    pub(crate) fn new(
        env: Env,
        driver: Handle,
        chain: Arc<dyn Chain>,
        state: Arc<dyn State>,
        index: IndexView,
        about: About,
        limits: ComputeLimits,
    ) -> Self {
        Self { env, driver, chain, state, index, about: Arc::new(about), limits }
    }

    /// Looks at the core.
    async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Core, UnixMs) -> T + Send + 'static,
    ) -> Result<T, Status> {
        self.driver.query(look).await.map_err(gone)
    }

    /// Looks at the core, or at what was published of it while it does not answer.
    async fn status<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Core, UnixMs) -> T + Send + 'static,
    ) -> Result<Seen<T>, Status> {
        self.driver.status(look).await.map_err(gone)
    }

    /// The driver does not answer, and neither does anybody else, for this reason.
    fn stuck(&self, besides: &str) -> Status {
        to_status(ErrorCode::TimedOut, format!("{}; {besides}", self.driver.stuck()))
    }

    /// Reads durable rows, past the driver.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn State) -> Result<T, RowError> + Send + 'static,
    ) -> Result<T, Status> {
        let state = self.state.clone();
        let read = self.env.blocking(move || read(state.as_ref())).await;
        read.map_err(|e| to_status(ErrorCode::Internal, e.to_string()))
    }

    /// Looks at one sector.
    async fn look_at<T: Send + 'static>(
        &self,
        number: u64,
        look: impl FnOnce(&Core, &Sector, UnixMs) -> T + Send + 'static,
    ) -> Result<T, Status> {
        let found = self.look(move |core, now| core.sector(number).map(|sector| look(core, sector, now))).await?;
        found.ok_or_else(|| unknown_sector(number))
    }

    /// Asks the core for something; a refusal is an error with its code.
    async fn ask(&self, request: sp_sched_core::event::Request, limit: Duration) -> Result<Reply, Status> {
        match self.driver.request(request, limit).await.map_err(gone)? {
            Reply::Failed { code, message } => Err(to_status(code, message)),
            reply => Ok(reply),
        }
    }
}

/// Where a request has brought its sector.
fn moved(reply: &Reply) -> Result<v1::SectorStateReply, Status> {
    match reply {
        Reply::Moved(state) => Ok(v1::SectorStateReply { state: state.to_string() }),
        other => Err(unexpected(other)),
    }
}

fn unknown_sector(number: u64) -> Status {
    to_status(ErrorCode::UnknownSector, format!("there is no sector {number}; see `sp-ctl sectors list`"))
}

/// What a sector waits for is known to the driver alone.
const NO_ANSWER: &str = "the scheduling loop does not answer";

/// The core answered something else than was asked for.
fn unexpected(reply: &Reply) -> Status {
    to_status(ErrorCode::Internal, format!("the scheduler answered beside the question: {reply:?}"))
}

/// One line per call: what the message holds is taken apart, and the noun's file does the rest.
macro_rules! calls {
    ($($call:ident($request:ident) -> $reply:ident = $handler:ident;)+) => {
        #[tonic::async_trait]
        impl Scheduler for Api {
            $(async fn $call(&self, request: Request<v1::$request>) -> Result<Response<v1::$reply>, Status> {
                self.$handler(request.into_inner()).await.map(Response::new)
            })+
        }
    };
}

calls! {
    info(InfoRequest) -> InfoReply = on_info;
    list_workers(ListWorkersRequest) -> ListWorkersReply = on_list_workers;
    list_jobs(ListJobsRequest) -> ListJobsReply = on_list_jobs;
    abort_job(AbortJobRequest) -> AbortJobReply = on_abort_job;
    explain_task(ExplainTaskRequest) -> ExplainTaskReply = on_explain_task;
    set_priority(SetPriorityRequest) -> SetPriorityReply = on_set_priority;
    edit_worker(EditWorkerRequest) -> EditWorkerReply = on_edit_worker;
    list_history(ListHistoryRequest) -> ListHistoryReply = on_list_history;
    list_resources(ListResourcesRequest) -> ListResourcesReply = on_list_resources;
    pledge_sectors(PledgeSectorsRequest) -> PledgeSectorsReply = on_pledge_sectors;
    add_piece(AddPieceRequest) -> AddPieceReply = on_add_piece;
    get_upload(GetUploadRequest) -> GetUploadReply = on_get_upload;
    data_cid(DataCidRequest) -> DataCidReply = on_data_cid;
    get_data_cid(GetDataCidRequest) -> GetDataCidReply = on_get_data_cid;
    list_sectors(ListSectorsRequest) -> ListSectorsReply = on_list_sectors;
    sector_status(SectorStatusRequest) -> SectorStatusReply = on_sector_status;
    sector_proof(SectorProofRequest) -> SectorProofReply = on_sector_proof;
    unseal_sector(UnsealSectorRequest) -> UnsealSectorReply = on_unseal_sector;
    get_piece(GetPieceRequest) -> GetPieceReply = on_get_piece;
    snap_sector(SnapSectorRequest) -> SectorStateReply = on_snap_sector;
    mark_for_update(MarkForUpdateRequest) -> SectorStateReply = on_mark_for_update;
    abort_upgrade(AbortUpgradeRequest) -> SectorStateReply = on_abort_upgrade;
    update_proof(UpdateProofRequest) -> UpdateProofReply = on_update_proof;
    regen_sector_key(RegenSectorKeyRequest) -> RegenSectorKeyReply = on_regen_sector_key;
    remove_sector(RemoveSectorRequest) -> SectorStateReply = on_remove_sector;
    list_foreign_sectors(ListForeignSectorsRequest) -> ListForeignSectorsReply = on_list_foreign_sectors;
    import_sector(ImportSectorRequest) -> SectorStateReply = on_import_sector;
    export_sector(ExportSectorRequest) -> SectorRecord = on_export_sector;
    update_sector_state(UpdateSectorStateRequest) -> SectorStateReply = on_update_sector_state;
    retry_sector(RetrySectorRequest) -> SectorStateReply = on_retry_sector;
    release_unsealed(ReleaseUnsealedRequest) -> ReleaseUnsealedReply = on_release_unsealed;
    trim_unsealed(TrimUnsealedRequest) -> TrimUnsealedReply = on_trim_unsealed;
    list_deadlines(ListDeadlinesRequest) -> ListDeadlinesReply = on_list_deadlines;
    list_faults(ListFaultsRequest) -> ListFaultsReply = on_list_faults;
    recover_faults(RecoverFaultsRequest) -> RecoverFaultsReply = on_recover_faults;
    proving_history(ProvingHistoryRequest) -> ProvingHistoryReply = on_proving_history;
    get_deadline(GetDeadlineRequest) -> GetDeadlineReply = on_get_deadline;
    proving_info(ProvingInfoRequest) -> ProvingInfoReply = on_proving_info;
    compute_window_post(ComputeWindowPostRequest) -> ComputePostReply = on_compute_window_post;
    compute_winning_post(ComputeWinningPostRequest) -> ComputePostReply = on_compute_winning_post;
    check_deadline(CheckDeadlineRequest) -> CheckDeadlineReply = on_check_deadline;
    list_storage(ListStorageRequest) -> ListStoresReply = on_list_storage;
    find_storage(FindStorageRequest) -> FindStorageReply = on_find_storage;
    list_sector_locks(ListSectorLocksRequest) -> ListSectorLocksReply = on_list_sector_locks;
    list_replicas(ListReplicasRequest) -> ListReplicasReply = on_list_replicas;
    list_unclaimed(ListUnclaimedRequest) -> ListUnclaimedReply = on_list_unclaimed;
    clean_up_sector(CleanUpSectorRequest) -> SectorStateReply = on_clean_up_sector;
    pin_sector(PinSectorRequest) -> PinSectorReply = on_pin_sector;
    unpin_sector(UnpinSectorRequest) -> UnpinSectorReply = on_unpin_sector;
    list_pins(ListPinsRequest) -> ListPinsReply = on_list_pins;
    move_storage(MoveStorageRequest) -> MoveStorageReply = on_move_storage;
    attach_storage(AttachStorageRequest) -> AttachStorageReply = on_attach_storage;
    detach_storage(DetachStorageRequest) -> DetachStorageReply = on_detach_storage;
    redeclare_storage(RedeclareStorageRequest) -> RedeclareStorageReply = on_redeclare_storage;
    scrub_storage(ScrubStorageRequest) -> ScrubStorageReply = on_scrub_storage;
}
