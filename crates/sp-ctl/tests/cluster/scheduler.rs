//! The scheduler of the fake: one small cluster that never changes, except for its uploads.

use sp_proto::v1::scheduler_server::Scheduler;
use sp_proto::v1::*;
use sp_types::TaskClass;
use tonic::{Request, Response, Status};

use super::Cluster;
use super::data_port::TICKET;

type Answer<T> = Result<Response<T>, Status>;

fn answer<T>(message: T) -> Answer<T> {
    Ok(Response::new(message))
}

fn worker(name: &str, class: TaskClass, task: TaskKind) -> WorkerStatus {
    WorkerStatus {
        worker_id: format!("{name}-id"),
        name: name.into(),
        class: class.to_string(),
        connected: true,
        tasks: vec![task as i32],
        capacity: Some(HostCapacity { memory_bytes: 8 << 30, cpus: 2, ..HostCapacity::default() }),
        ..WorkerStatus::default()
    }
}

fn sector(number: u64, state: &str) -> SectorSummary {
    SectorSummary { number, state: state.into(), seal_proof: 5, ..SectorSummary::default() }
}

fn post(deadline: u32, proof_type: &str) -> ComputePostReply {
    ComputePostReply {
        deadline,
        proof_type: proof_type.into(),
        partitions: vec![ProvenPartition {
            worker: "post-a".into(),
            sectors: vec![PostSector { number: 1, comm_r: vec![1; 32], seal_proof: 5 }],
            proof: vec![2; 192],
            ..ProvenPartition::default()
        }],
        took_ms: 1500,
        ..ComputePostReply::default()
    }
}

#[tonic::async_trait]
impl Scheduler for Cluster {
    async fn info(&self, _: Request<InfoRequest>) -> Answer<InfoReply> {
        self.called("Info")?;
        let reply =
            InfoReply { cluster: "fake".into(), network: "dev".into(), sector_size: 2048, ..InfoReply::default() };
        answer(InfoReply { sealing_workers: 1, ..reply })
    }

    async fn list_workers(&self, _: Request<ListWorkersRequest>) -> Answer<ListWorkersReply> {
        self.called("ListWorkers")?;
        let workers = vec![
            worker("seal-a", TaskClass::Sealing, TaskKind::PreCommit1),
            worker("post-a", TaskClass::WindowPost, TaskKind::WindowPost),
            worker("win-a", TaskClass::WinningPost, TaskKind::WinningPost),
        ];
        answer(ListWorkersReply { workers, stale_ms: 0 })
    }

    async fn list_jobs(&self, _: Request<ListJobsRequest>) -> Answer<ListJobsReply> {
        self.called("ListJobs")?;
        let job = Job { task_id: 9, task: TaskKind::Commit2 as i32, state: "queued".into(), ..Job::default() };
        let jobs = vec![Job { reasons: vec!["seal-a: does not take C2".into()], ..job }];
        answer(ListJobsReply { jobs, stale_ms: 0 })
    }

    async fn abort_job(&self, ask: Request<AbortJobRequest>) -> Answer<AbortJobReply> {
        self.called("AbortJob")?;
        let AbortJobRequest { id, reason } = ask.into_inner();
        assert!(["wrong file", "its client has ended"].contains(&&*reason), "{reason}");
        self.with(|state| state.aborted.push(id.clone()));
        answer(AbortJobReply { description: format!("job {id}, task C2, sector 3, running on host seal-b") })
    }

    async fn explain_task(&self, ask: Request<ExplainTaskRequest>) -> Answer<ExplainTaskReply> {
        self.called("ExplainTask")?;
        let verdict = WorkerVerdict {
            name: "seal-a".into(),
            code: "cores".into(),
            reason: "needs 29 cores, 28 of 32 free".into(),
            needed: Some(29.0),
            free: Some(28.0),
            ..WorkerVerdict::default()
        };
        let task_id = ask.into_inner().task_id;
        answer(ExplainTaskReply {
            task_id,
            place: "queue".into(),
            verdicts: vec![verdict],
            ..ExplainTaskReply::default()
        })
    }

    async fn set_priority(&self, ask: Request<SetPriorityRequest>) -> Answer<SetPriorityReply> {
        self.called("SetPriority")?;
        assert_eq!(ask.into_inner(), SetPriorityRequest { task_id: 9, priority: -5 });
        answer(SetPriorityReply {})
    }

    async fn edit_worker(&self, ask: Request<EditWorkerRequest>) -> Answer<EditWorkerReply> {
        self.called("EditWorker")?;
        let EditWorkerRequest { worker, edit } = ask.into_inner();
        assert!(edit.is_some());
        answer(EditWorkerReply { worker_id: format!("{worker}-id") })
    }

    async fn list_history(&self, ask: Request<ListHistoryRequest>) -> Answer<ListHistoryReply> {
        self.called("ListHistory")?;
        let ListHistoryRequest { sector, task, worker, limit } = ask.into_inner();
        assert_eq!((sector, worker.as_str(), limit), (Some(3), "seal-a", 5));
        let attempt = FinishedAttempt {
            attempt: Some(AttemptId { task: 9, number: 2 }),
            task,
            sector: 3,
            worker_name: worker,
            queued_unix_ms: 1_700_000_000_000,
            started_unix_ms: 1_700_000_060_000,
            took_ms: 83_400,
            result: "failed".into(),
            reason: "SP-NO-SPACE: the disk is full".into(),
            ..FinishedAttempt::default()
        };
        answer(ListHistoryReply { attempts: vec![attempt] })
    }

    async fn list_resources(&self, ask: Request<ListResourcesRequest>) -> Answer<ListResourcesReply> {
        self.called("ListResources")?;
        let row = |task: TaskKind, sector_size, max_concurrent| ResourceRow {
            task: task as i32,
            sector_size,
            min_memory_bytes: 56 << 30,
            max_memory_bytes: 64 << 30,
            gpu_utilization: 0.5,
            max_parallelism: -1,
            max_concurrent,
            ..ResourceRow::default()
        };
        let from = if ask.into_inner().worker.is_empty() { "cluster" } else { "worker" };
        let applied = |row, from: &str| AppliedResourceRow { row: Some(row), from: from.into() };
        let rows = vec![
            applied(row(TaskKind::PreCommit1, 32 << 30, 4), from),
            applied(row(TaskKind::PreCommit1, 2 << 10, 0), "lotus"),
        ];
        answer(ListResourcesReply { rows, sector_size: 32 << 30, stale_ms: 0 })
    }

    async fn pledge_sectors(&self, ask: Request<PledgeSectorsRequest>) -> Answer<PledgeSectorsReply> {
        self.called("PledgeSectors")?;
        let PledgeSectorsRequest { count, priority } = ask.into_inner();
        self.with(|state| state.priority = priority);
        answer(PledgeSectorsReply { sectors: (0..u64::from(count)).collect() })
    }

    async fn add_piece(&self, ask: Request<AddPieceRequest>) -> Answer<AddPieceReply> {
        self.called("AddPiece")?;
        let AddPieceRequest { data_bytes, data_digest, priority, .. } = ask.into_inner();
        self.with(|state| {
            state.announced = Some((data_bytes, data_digest));
            state.priority = priority;
        });
        answer(AddPieceReply { sector: 3 })
    }

    async fn data_cid(&self, ask: Request<DataCidRequest>) -> Answer<DataCidReply> {
        self.called("DataCid")?;
        let DataCidRequest { data, padded_bytes } = ask.into_inner();
        let DataPiece { data_bytes, data_digest, .. } = data.unwrap();
        self.with(|state| state.announced = Some((data_bytes, data_digest)));
        answer(DataCidReply { task_id: 9, padded_bytes: padded_bytes.max(1 << 22) })
    }

    async fn get_data_cid(&self, ask: Request<GetDataCidRequest>) -> Answer<GetDataCidReply> {
        self.called("GetDataCid")?;
        assert_eq!(ask.into_inner().task_id, 9);
        if self.with(|state| std::mem::take(&mut state.forgets)) {
            return Err(Status::not_found("there is no DC 9"));
        }
        let piece = Piece { padded_bytes: 1 << 22, commitment: vec![7; 32] };
        answer(self.with(|state| {
            let whole = state.announced.as_ref().is_some_and(|(size, _)| *size == state.received.len() as u64);
            GetDataCidReply {
                data_url: state.url.clone(),
                ticket: TICKET.into(),
                piece: whole.then_some(piece),
                ..GetDataCidReply::default()
            }
        }))
    }

    async fn snap_sector(&self, ask: Request<SnapSectorRequest>) -> Answer<SectorStateReply> {
        self.called("SnapSector")?;
        let SnapSectorRequest { data_bytes, data_digest, priority, .. } = ask.into_inner();
        self.with(|state| {
            state.announced = Some((data_bytes, data_digest));
            state.priority = priority;
        });
        answer(SectorStateReply { state: "SnapDealsAddPiece".into() })
    }

    async fn mark_for_update(&self, _: Request<MarkForUpdateRequest>) -> Answer<SectorStateReply> {
        self.called("MarkForUpdate")?;
        answer(SectorStateReply { state: "Available".into() })
    }

    async fn abort_upgrade(&self, _: Request<AbortUpgradeRequest>) -> Answer<SectorStateReply> {
        self.called("AbortUpgrade")?;
        answer(SectorStateReply { state: "Proving".into() })
    }

    async fn update_proof(&self, ask: Request<UpdateProofRequest>) -> Answer<UpdateProofReply> {
        self.called("UpdateProof")?;
        let (sector, update_proof_type) = (ask.into_inner().number, "StackedDrg2KiBV1".into());
        answer(UpdateProofReply { miner: 1000, sector, update_proof_type, ..UpdateProofReply::default() })
    }

    async fn regen_sector_key(&self, _: Request<RegenSectorKeyRequest>) -> Answer<RegenSectorKeyReply> {
        self.called("RegenSectorKey")?;
        answer(RegenSectorKeyReply { ready: false })
    }

    async fn remove_sector(&self, _: Request<RemoveSectorRequest>) -> Answer<SectorStateReply> {
        self.called("RemoveSector")?;
        answer(SectorStateReply { state: "Removing".into() })
    }

    async fn update_sector_state(&self, ask: Request<UpdateSectorStateRequest>) -> Answer<SectorStateReply> {
        self.called("UpdateSectorState")?;
        answer(SectorStateReply { state: ask.into_inner().state })
    }

    async fn retry_sector(&self, _: Request<RetrySectorRequest>) -> Answer<SectorStateReply> {
        self.called("RetrySector")?;
        answer(SectorStateReply { state: "PreCommit1".into() })
    }

    async fn get_upload(&self, _: Request<GetUploadRequest>) -> Answer<GetUploadReply> {
        self.called("GetUpload")?;
        let asked = self.with(|state| state.calls.iter().filter(|call| *call == "GetUpload").count());
        // The first time no worker waits yet.
        if asked == 1 {
            return answer(GetUploadReply { detail: "no worker takes AP yet".into(), ..GetUploadReply::default() });
        }
        let reply = self.with(|state| GetUploadReply {
            data_url: state.url.clone(),
            ticket: TICKET.into(),
            accepted: state.announced.as_ref().is_some_and(|(size, _)| *size == state.received.len() as u64),
            ..GetUploadReply::default()
        });
        answer(reply)
    }

    async fn list_sectors(&self, _: Request<ListSectorsRequest>) -> Answer<ListSectorsReply> {
        self.called("ListSectors")?;
        let sectors = vec![sector(1, "Proving"), sector(0, "PreCommit1"), sector(2, "Removed")];
        // As a scheduler answers whose loop hangs.
        answer(ListSectorsReply { sectors, stale_ms: 12_300 })
    }

    async fn sector_status(&self, ask: Request<SectorStatusRequest>) -> Answer<SectorStatusReply> {
        self.called("SectorStatus")?;
        let summary = SectorSummary { updated: true, ..sector(ask.into_inner().number, "Proving") };
        answer(SectorStatusReply { summary: Some(summary), ticket: vec![7; 32], ..SectorStatusReply::default() })
    }

    async fn sector_proof(&self, ask: Request<SectorProofRequest>) -> Answer<SectorProofReply> {
        self.called("SectorProof")?;
        let sector = ask.into_inner().number;
        answer(SectorProofReply { miner: 1000, sector, proof_type: "StackedDrg2KiBV1_1".into(), ..Default::default() })
    }

    async fn unseal_sector(&self, _: Request<UnsealSectorRequest>) -> Answer<UnsealSectorReply> {
        self.called("UnsealSector")?;
        answer(UnsealSectorReply { ready: false })
    }

    async fn get_piece(&self, _: Request<GetPieceRequest>) -> Answer<GetPieceReply> {
        self.called("GetPiece")?;
        let asked = self.with(|state| state.calls.iter().filter(|call| *call == "GetPiece").count());
        if asked == 1 {
            return answer(GetPieceReply { detail: "unsealing".into(), ..GetPieceReply::default() });
        }
        let reply = self.with(|state| GetPieceReply {
            data_url: state.url.clone(),
            miner: 1000,
            data_bytes: state.piece.len() as u64,
            data_digest: blake2s_simd::blake2s(&state.piece).as_bytes().to_vec(),
            ..GetPieceReply::default()
        });
        answer(reply)
    }

    async fn trim_unsealed(&self, ask: Request<TrimUnsealedRequest>) -> Answer<TrimUnsealedReply> {
        self.called("TrimUnsealed")?;
        answer(TrimUnsealedReply { kept: ask.into_inner().keep.len() as u32, pieces: 2, under_way: true })
    }

    async fn release_unsealed(&self, _: Request<ReleaseUnsealedRequest>) -> Answer<ReleaseUnsealedReply> {
        self.called("ReleaseUnsealed")?;
        answer(ReleaseUnsealedReply { replicas: 1 })
    }

    async fn list_deadlines(&self, _: Request<ListDeadlinesRequest>) -> Answer<ListDeadlinesReply> {
        self.called("ListDeadlines")?;
        let summary = DeadlineSummary { index: 4, partitions: 2, sectors: 3, current: true, ..Default::default() };
        answer(ListDeadlinesReply { deadlines: vec![summary], stale_ms: 0 })
    }

    async fn get_deadline(&self, ask: Request<GetDeadlineRequest>) -> Answer<GetDeadlineReply> {
        self.called("GetDeadline")?;
        let summary = DeadlineSummary { index: ask.into_inner().index, ..DeadlineSummary::default() };
        answer(GetDeadlineReply { summary: Some(summary), partitions: vec![], stale_ms: 0 })
    }

    async fn list_faults(&self, _: Request<ListFaultsRequest>) -> Answer<ListFaultsReply> {
        self.called("ListFaults")?;
        answer(ListFaultsReply { sectors: vec![FaultySector { deadline: 4, number: 7, ..FaultySector::default() }] })
    }

    async fn recover_faults(&self, ask: Request<RecoverFaultsRequest>) -> Answer<RecoverFaultsReply> {
        self.called("RecoverFaults")?;
        let sector = |number| RecoveredSector { number, ..RecoveredSector::default() };
        answer(RecoverFaultsReply { sectors: ask.into_inner().sectors.into_iter().map(sector).collect() })
    }

    async fn proving_history(&self, ask: Request<ProvingHistoryRequest>) -> Answer<ProvingHistoryReply> {
        self.called("ProvingHistory")?;
        let opening = |deadline| ProvenOpening { deadline, late: 1, ..ProvenOpening::default() };
        answer(ProvingHistoryReply { openings: (0..ask.into_inner().limit).map(opening).collect(), wins: vec![] })
    }

    async fn proving_info(&self, _: Request<ProvingInfoRequest>) -> Answer<ProvingInfoReply> {
        self.called("ProvingInfo")?;
        answer(ProvingInfoReply { miner: 1000, ..ProvingInfoReply::default() })
    }

    async fn compute_window_post(&self, ask: Request<ComputeWindowPostRequest>) -> Answer<ComputePostReply> {
        self.called("ComputeWindowPost")?;
        answer(post(ask.into_inner().deadline, "StackedDrgWindow2KiBV1_2"))
    }

    async fn compute_winning_post(&self, _: Request<ComputeWinningPostRequest>) -> Answer<ComputePostReply> {
        self.called("ComputeWinningPost")?;
        answer(post(0, "StackedDrgWinning2KiBV1"))
    }

    async fn check_deadline(&self, _: Request<CheckDeadlineRequest>) -> Answer<CheckDeadlineReply> {
        self.called("CheckDeadline")?;
        let checked = |number, problem: &str| CheckedSector { partition: 0, number, problem: problem.into() };
        answer(CheckDeadlineReply { sectors: vec![checked(0, ""), checked(1, "sealed file is cut")] })
    }

    async fn list_storage(&self, _: Request<ListStorageRequest>) -> Answer<ListStoresReply> {
        self.called("ListStorage")?;
        let local_path = self.with(|state| state.path.clone());
        let store = AttachedStore { store: "store-1".into(), can_seal: true, local_path, ..AttachedStore::default() };
        answer(ListStoresReply {
            stores: vec![StoreFact { store: Some(store), healthy: true, ..StoreFact::default() }],
            counts: vec![ReplicaCount { store: "store-1".into(), kind: FileKind::Sealed as i32, count: 2 }],
        })
    }

    async fn find_storage(&self, ask: Request<FindStorageRequest>) -> Answer<FindStorageReply> {
        self.called("FindStorage")?;
        let FindStorageRequest { sector } = ask.into_inner();
        if sector == 404 {
            return answer(FindStorageReply { replicas: vec![] });
        }
        let replica = Replica { sector, kind: FileKind::Sealed as i32, store: "store-1".into(), ..Replica::default() };
        let found = FoundReplica { replica: Some(Replica { primary: true, ..replica }), store: None };
        answer(FindStorageReply { replicas: vec![found] })
    }

    async fn list_sector_locks(&self, _: Request<ListSectorLocksRequest>) -> Answer<ListSectorLocksReply> {
        self.called("ListSectorLocks")?;
        answer(ListSectorLocksReply::default())
    }

    /// One sector a page.
    async fn list_replicas(&self, ask: Request<ListReplicasRequest>) -> Answer<ListReplicasReply> {
        self.called("ListReplicas")?;
        let ListReplicasRequest { store: _, after_miner: _, after_sector } = ask.into_inner();
        let mut left = self.with(|state| state.replicas.clone());
        left.retain(|replica| after_sector.is_none_or(|after| replica.sector > after));
        let first = left.first().map_or(0, |replica| replica.sector);
        let (replicas, more): (Vec<_>, Vec<_>) = left.into_iter().partition(|replica| replica.sector == first);
        answer(ListReplicasReply { replicas, more: !more.is_empty() })
    }

    /// Sector 5 may go, sector 6 is pinned.
    async fn list_unclaimed(&self, _: Request<ListUnclaimedRequest>) -> Answer<ListUnclaimedReply> {
        self.called("ListUnclaimed")?;
        let of = |sector, pin| UnclaimedSector {
            sector,
            kinds: vec![FileKind::Sealed as i32, FileKind::Cache as i32],
            stores: vec![UnclaimedBytes { store: "near".into(), size_bytes: 4096 }],
            pin,
            is_of_another: false,
        };
        let pin = Pin { sector: 6, reason: "evidence".into(), since_unix_ms: 1_000 };
        answer(ListUnclaimedReply { sectors: vec![of(5, None), of(6, Some(pin))] })
    }

    async fn clean_up_sector(&self, ask: Request<CleanUpSectorRequest>) -> Answer<SectorStateReply> {
        self.called("CleanUpSector")?;
        answer(SectorStateReply { state: if ask.into_inner().sector == 5 { "Removed" } else { "Removing" }.into() })
    }

    async fn pin_sector(&self, _: Request<PinSectorRequest>) -> Answer<PinSectorReply> {
        self.called("PinSector")?;
        answer(PinSectorReply {})
    }

    async fn unpin_sector(&self, _: Request<UnpinSectorRequest>) -> Answer<UnpinSectorReply> {
        self.called("UnpinSector")?;
        answer(UnpinSectorReply {})
    }

    async fn list_pins(&self, _: Request<ListPinsRequest>) -> Answer<ListPinsReply> {
        self.called("ListPins")?;
        answer(ListPinsReply { pins: vec![Pin { sector: 6, reason: "evidence".into(), since_unix_ms: 1_000 }] })
    }

    async fn move_storage(&self, ask: Request<MoveStorageRequest>) -> Answer<MoveStorageReply> {
        self.called("MoveStorage")?;
        answer(MoveStorageReply { files: if ask.into_inner().store == "far" { 2 } else { 0 } })
    }

    async fn list_foreign_sectors(&self, _: Request<ListForeignSectorsRequest>) -> Answer<ListForeignSectorsReply> {
        self.called("ListForeignSectors")?;
        answer(ListForeignSectorsReply { sectors: vec![5] })
    }

    async fn import_sector(&self, _: Request<ImportSectorRequest>) -> Answer<SectorStateReply> {
        self.called("ImportSector")?;
        answer(SectorStateReply { state: "Proving".into() })
    }

    async fn export_sector(&self, ask: Request<ExportSectorRequest>) -> Answer<SectorRecord> {
        self.called("ExportSector")?;
        answer(SectorRecord { number: ask.into_inner().number, comm_r: vec![9; 32], ..SectorRecord::default() })
    }

    async fn attach_storage(&self, ask: Request<AttachStorageRequest>) -> Answer<AttachStorageReply> {
        self.called("AttachStorage")?;
        self.with(|state| state.attached = ask.into_inner().attach.unwrap_or_default());
        answer(AttachStorageReply { store: "store-2".into() })
    }

    async fn detach_storage(&self, ask: Request<DetachStorageRequest>) -> Answer<DetachStorageReply> {
        self.called("DetachStorage")?;
        let DetachStorageRequest { worker: _, store, really } = ask.into_inner();
        if !really {
            return Err(Status::failed_precondition("1 sectors have files on this path only (0)"));
        }
        let change = StoreChange { store, local_path: "/data".into(), replicas: 3, ..Default::default() };
        answer(DetachStorageReply { change: Some(change) })
    }

    async fn redeclare_storage(&self, ask: Request<RedeclareStorageRequest>) -> Answer<RedeclareStorageReply> {
        self.called("RedeclareStorage")?;
        let RedeclareStorageRequest { worker: _, stores, drop_missing: _ } = ask.into_inner();
        let error = if stores == ["hung"] { "it has not answered" } else { "" };
        let change = StoreChange {
            store: stores.join("+"),
            local_path: "/data".into(),
            replicas: 3,
            missing: 1,
            error: error.into(),
        };
        answer(RedeclareStorageReply { stores: vec![RedeclaredStore { worker: "w".into(), change: Some(change) }] })
    }

    /// The path `bad` has a fault; a scrub that has begun is done when it is asked about.
    async fn scrub_storage(&self, ask: Request<ScrubStorageRequest>) -> Answer<ScrubStorageReply> {
        self.called("ScrubStorage")?;
        let ScrubStorageRequest { worker: _, stores, scrub } = ask.into_inner();
        let asked = scrub.unwrap_or_default();
        let state = match asked.action() {
            ScrubAction::Start => ScrubState::Running,
            ScrubAction::Stop => ScrubState::Stopped,
            _ => ScrubState::Done,
        };
        let faulty = u64::from(stores == ["bad"]);
        let replica = Replica { sector: 3, kind: FileKind::Sealed as i32, store: "bad".into(), ..Default::default() };
        let result = ScrubResult {
            replica: Some(replica),
            check: ScrubCheck::Digests as i32,
            outcome: ScrubOutcome::Faulty as i32,
            chunk: Some(5),
            ..Default::default()
        };
        let results = if asked.results && faulty > 0 { vec![result] } else { vec![] };
        let scrub = StoreScrub {
            store: stores.join("+"),
            state: state as i32,
            bytes_per_s: asked.bytes_per_s,
            faulty,
            results,
            ..Default::default()
        };
        answer(ScrubStorageReply {
            scrubs: vec![WorkerScrub { worker: "w".into(), scrub: Some(scrub) }],
            silent: vec![],
        })
    }
}
