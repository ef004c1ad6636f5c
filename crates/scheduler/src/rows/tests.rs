//! Every row survives its bytes; damaged ones are refused with their name.

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use sp_sched_core::data::{PieceData, SectorData};
use sp_sched_core::model::{
    Attempt, AttemptState, Counters, FenceRow, LogEntry, OutputSlot, PartitionRow, Pin, Receive, RowChange, Rows,
    Sector, SectorFile, Task, Trouble, TryRow, UnixMs, Update,
};
use sp_state::Memory;
use sp_types::{
    AttemptId, ChainEpoch, Commitment, DeadlineIndex, FileKind, FileKindSet, GpuId, GpuShare, HostId, HttpHeader,
    Origin, PartitionIndex, PieceInfo, RegisteredSealProof, Secret, SectorSize, SectorState, StoreId, TaskId, TaskKind,
    WorkerId,
};

use super::*;

fn one_of<T: Clone + std::fmt::Debug + 'static>(values: &[T]) -> impl Strategy<Value = T> + use<T> {
    proptest::sample::select(values.to_vec())
}

fn nothing_kept() -> History {
    History::open(&Memory::new(), 0).expect("an empty state")
}

fn text() -> impl Strategy<Value = String> {
    vec(any::<char>(), 0..12).prop_map(|chars| chars.into_iter().collect())
}

fn id() -> impl Strategy<Value = String> {
    vec(one_of(b"abcXYZ019-_"), 1..40).prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

fn seal_proof() -> impl Strategy<Value = RegisteredSealProof> {
    one_of(&RegisteredSealProof::all().collect::<Vec<_>>())
}

fn attempt_id() -> impl Strategy<Value = AttemptId> {
    (any::<u64>(), any::<u32>()).prop_map(|(task, number)| AttemptId { task: TaskId(task), number })
}

fn beacon() -> impl Strategy<Value = ([u8; 32], ChainEpoch)> {
    (any::<[u8; 32]>(), any::<i64>()).prop_map(|(value, epoch)| (value, ChainEpoch(epoch)))
}

fn commitment() -> impl Strategy<Value = Commitment> {
    any::<[u8; 32]>().prop_map(Commitment)
}

fn piece() -> impl Strategy<Value = PieceInfo> {
    (7_u32..40, commitment()).prop_map(|(log, commitment)| PieceInfo { padded_bytes: 1 << log, commitment })
}

fn piece_data() -> impl Strategy<Value = PieceData> {
    (any::<u64>(), any::<[u8; 32]>(), text()).prop_map(|(data_bytes, digest, name)| PieceData {
        data_bytes,
        digest,
        name,
    })
}

fn data() -> impl Strategy<Value = SectorData> {
    let several = (any::<[u8; 32]>(), prop::collection::vec(piece_data(), 2..4));
    prop_oneof![
        piece_data().prop_map(SectorData::one),
        several.prop_map(|(digest, pieces)| SectorData { digest, pieces }),
    ]
}

fn file() -> impl Strategy<Value = SectorFile> {
    (one_of(&FileKind::ALL), any::<[u8; 32]>(), any::<u64>(), of(vec(range(), 1..3)))
        .prop_map(|(kind, root, size_bytes, held)| SectorFile { kind, root, size_bytes, held })
}

fn range() -> impl Strategy<Value = std::ops::Range<u64>> {
    (any::<u64>(), any::<u64>()).prop_map(|(start, end)| start..end)
}

fn log_entry() -> impl Strategy<Value = LogEntry> {
    let who = (of(attempt_id()), of(one_of(&TaskKind::ALL)), text());
    (any::<u64>(), text(), who, any::<u64>(), text()).prop_map(
        |(at, event, (attempt, task, worker_name), took_ms, message)| LogEntry {
            at: UnixMs(at),
            event,
            attempt,
            task,
            worker_name,
            took_ms,
            message,
        },
    )
}

fn sector_state() -> impl Strategy<Value = SectorState> {
    one_of(&SectorState::ALL)
}

fn update() -> impl Strategy<Value = Update> {
    let made = (vec(piece(), 0..3), of(commitment()), of(commitment()), vec(any::<u8>(), 0..9));
    (of(data()), data(), made, of(any::<u64>()), any::<bool>()).prop_map(
        |(known, data, (pieces, comm_d, comm_r, proof), accepted, key_awaited)| Update {
            // Only one that counts may be of data that nobody knows.
            data: known.or(accepted.is_none().then_some(data)),
            pieces,
            comm_d,
            comm_r,
            proof,
            accepted: accepted.map(UnixMs),
            key_awaited,
        },
    )
}

fn trouble() -> impl Strategy<Value = Trouble> {
    let counts = proptest::collection::btree_map(sector_state(), any::<u32>(), 0..3);
    (counts, any::<u32>(), any::<u32>(), of(sector_state()), of(any::<u64>())).prop_map(
        |(counts, invalid_proofs, steps_back, resume, retry_at)| Trouble {
            counts,
            invalid_proofs,
            steps_back,
            resume,
            retry_at: retry_at.map(UnixMs),
        },
    )
}

fn receive() -> impl Strategy<Value = Receive> {
    let header = (text(), text()).prop_map(|(name, value)| HttpHeader { name, value: Secret::new(value) });
    let kinds = proptest::sample::subsequence(FileKind::ALL.to_vec(), 0..5);
    (text(), vec(header, 0..3), kinds, any::<(u32, u32)>()).prop_map(|(url, headers, kinds, (deadline, partition))| {
        let (kinds, place) = (FileKindSet::of(&kinds), (DeadlineIndex(deadline), PartitionIndex(partition)));
        Receive { url, headers, kinds, place }
    })
}

fn sector() -> impl Strategy<Value = Sector> {
    let what = (any::<u64>(), seal_proof(), sector_state(), of(data()), vec(piece(), 0..3));
    let chain = (of(commitment()), of(commitment()), of(beacon()), of(beacon()), of(any::<i64>()));
    let made = (vec(any::<u8>(), 0..9), vec(any::<u8>(), 0..9), of((any::<u32>(), any::<u32>())), vec(file(), 0..3));
    let life = (any::<u32>(), text(), any::<u64>(), of(any::<u64>()), vec(log_entry(), 0..3));
    let whose = (any::<u64>(), proptest::collection::btree_set(any::<u64>(), 0..3));
    let more = (any::<i64>(), of(update()), trouble(), of(id()), whose, of(receive()));
    let keep = vec(range(), 0..3);
    (what, chain, made, life, more, keep).prop_map(|(what, chain, made, life, more, keep)| {
        let (priority, update, trouble, home, whose, receive) = more;
        let (number, seal_proof, state, data, pieces) = what;
        let (comm_d, comm_r, ticket, seed, seed_epoch) = chain;
        let (phase1, proof, location, files) = made;
        let (failures, last_error, created, proving_since, log) = life;
        Sector {
            number,
            seal_proof,
            state,
            priority,
            data,
            pieces,
            comm_d,
            comm_r,
            ticket,
            seed,
            seed_epoch: seed_epoch.map(ChainEpoch),
            phase1,
            proof,
            location: location.map(|(d, p)| (DeadlineIndex(d), PartitionIndex(p))),
            files,
            home: home.map(|id| StoreId::new(id).expect("made of allowed characters")),
            update,
            failures,
            last_error,
            trouble,
            created: UnixMs(created),
            proving_since: proving_since.map(UnixMs),
            log,
            origin: Origin::new(whose.0),
            let_go: whose.1.into_iter().map(Origin::new).collect(),
            receive,
            keep,
        }
    })
}

fn output() -> impl Strategy<Value = OutputSlot> {
    (one_of(&FileKind::ALL), id(), any::<u64>()).prop_map(|(kind, store, reserved_bytes)| OutputSlot {
        kind,
        store: StoreId::new(store).expect("made of allowed characters"),
        reserved_bytes,
    })
}

fn gpu() -> impl Strategy<Value = GpuShare> {
    (id(), any::<u32>(), 0.01f64..=1.0).prop_map(|(id, index, share)| GpuShare {
        id: GpuId::new(id).expect("made of allowed characters"),
        index,
        share,
    })
}

fn attempt() -> impl Strategy<Value = Attempt> {
    let state = one_of(&[AttemptState::Reserving, AttemptState::Granted]);
    let when = (any::<u64>(), any::<bool>());
    let with = (vec(gpu(), 0..3), vec(attempt_id(), 0..3));
    (attempt_id(), id(), id(), state, vec(output(), 0..3), when, text(), with).prop_map(
        |(id, worker, host, state, outputs, (created, held), upload_ticket, (gpus, group))| Attempt {
            id,
            worker: WorkerId::new(worker).expect("made of allowed characters"),
            host: HostId::new(host).expect("made of allowed characters"),
            state,
            outputs,
            created: UnixMs(created),
            upload_ticket,
            held,
            gpus,
            group,
        },
    )
}

fn task() -> impl Strategy<Value = Task> {
    let what = (any::<u64>(), one_of(&TaskKind::ALL), any::<u64>(), any::<i64>());
    let when = (any::<u64>(), any::<u64>(), vec(attempt(), 0..3), any::<u32>(), any::<u32>(), text());
    (what, when).prop_map(|(what, when)| {
        let (id, kind, sector, priority) = what;
        let (queued, not_before, attempts, last_number, failures, last_error) = when;
        Task {
            id: TaskId(id),
            kind,
            sector: (kind != TaskKind::DataCid).then_some(sector),
            priority,
            queued: UnixMs(queued),
            not_before: UnixMs(not_before),
            attempts,
            last_number,
            failures,
            last_error,
        }
    })
}

fn post_sector() -> impl Strategy<Value = (u64, Commitment, sp_types::RegisteredSealProof)> {
    (any::<u64>(), commitment(), seal_proof())
}

fn skipped() -> impl Strategy<Value = Vec<(u64, String)>> {
    vec((any::<u64>(), text()), 0..3)
}

fn partition() -> impl Strategy<Value = PartitionRow> {
    let tries = (attempt_id(), id(), id(), vec(gpu(), 0..2), any::<(u64, bool)>()).prop_map(
        |(attempt, worker, host, gpus, (since, ahead))| TryRow {
            attempt,
            worker: WorkerId::new(worker).expect("made of allowed characters"),
            host: HostId::new(host).expect("made of allowed characters"),
            gpus,
            since: UnixMs(since),
            ahead,
        },
    );
    let proof = (text(), any::<bool>(), vec(post_sector(), 0..3), skipped(), vec(any::<u8>(), 0..9));
    let proven = of((proof, any::<u64>(), vec(text(), 0..3)));
    let what = (0..i64::MAX, any::<u32>(), any::<[u8; 32]>(), any::<u64>(), any::<u32>());
    let when = (any::<u64>(), any::<u64>());
    (what, when, vec(post_sector(), 0..3), skipped(), vec(tries, 0..3), proven).prop_map(
        |((open, index, randomness, task, last_number), (started, until), sectors, lost, tries, proven)| PartitionRow {
            open: ChainEpoch(open),
            partition: index,
            randomness: sp_types::Randomness::new(randomness),
            started: UnixMs(started),
            until: UnixMs(until),
            task: TaskId(task),
            last_number,
            sectors,
            lost,
            tries,
            proven: proven.map(|((worker, builtin, sectors, skipped, proof), took_ms, retries)| {
                sp_sched_core::effect::ProvenPartition {
                    index,
                    worker,
                    builtin,
                    sectors,
                    skipped,
                    proof,
                    took_ms,
                    retries,
                }
            }),
        },
    )
}

fn owner() -> Schema {
    Schema {
        version: SCHEMA_VERSION,
        cluster: "dev".into(),
        miner: 1000,
        sector_size: SectorSize::KiB2,
        ticket_secret: [3; 32],
    }
}

fn read_back(change: &RowChange) -> Rows {
    let state = Memory::new();
    open(&state, owner()).expect("new");
    let mut batch = Batch::new();
    apply(&mut batch, &mut nothing_kept(), change);
    state.commit(batch).expect("memory");
    open(&state, Schema { ticket_secret: [4; 32], ..owner() }).expect("own bytes are readable").1
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn sectors_round_trip(sector in sector()) {
        let rows = read_back(&RowChange::PutSector(Box::new(sector.clone())));
        prop_assert_eq!(rows, Rows { sectors: vec![sector], ..Rows::default() });
    }

    #[test]
    fn tasks_round_trip(task in task()) {
        let rows = read_back(&RowChange::PutTask(Box::new(task.clone())));
        prop_assert_eq!(rows, Rows { tasks: vec![task], ..Rows::default() });
    }

    #[test]
    fn partitions_round_trip(row in partition()) {
        prop_assert_eq!(read_back(&RowChange::PutPartition(Box::new(row.clone()))).partitions, vec![row.clone()]);
        let mut batch = Batch::new();
        apply(&mut batch, &mut nothing_kept(), &RowChange::DeletePartition(row.key()));
        prop_assert_eq!(batch.writes().collect::<Vec<_>>(), [(&partition::key(row.key())[..], None)]);
    }

    #[test]
    fn pins_round_trip(sector in any::<u64>(), reason in text(), at in any::<u64>()) {
        let pin = Pin { sector, reason, at: UnixMs(at) };
        prop_assert_eq!(read_back(&RowChange::PutPin(pin.clone())).pins, vec![pin]);
    }

    #[test]
    fn fences_and_counters_round_trip(task in any::<u64>(), up_to_number in any::<u32>(), next_sector in any::<u64>()) {
        let fence = FenceRow { task: TaskId(task), up_to_number };
        prop_assert_eq!(read_back(&RowChange::PutFence(fence)).fences, vec![fence]);
        let counters = Counters { next_task: task, next_sector };
        prop_assert_eq!(read_back(&RowChange::PutCounters(counters)).counters, counters);
    }

    #[test]
    fn the_ledger_round_trips(unix_ms in any::<u64>(), epoch_ms in 1..u64::MAX, seed in any::<[u8; 32]>(), pair in (commitment(), commitment())) {
        let genesis = Genesis { unix_ms, epoch_ms, seed };
        prop_assert_eq!(Genesis::decode(&genesis.encode()).expect("readable"), genesis);
        let row = PreCommitRow { comm_r: pair.0, comm_d: pair.1, epoch: ChainEpoch(-3), seed_epoch: ChainEpoch(7) };
        prop_assert_eq!(PreCommitRow::decode(&row.encode()).expect("readable"), row);
    }

    #[test]
    fn damaged_rows_are_errors_not_panics(bytes in vec(any::<u8>(), 0..64)) {
        for key in [sector::key(1), task::key(TaskId(1)), fence::key(TaskId(1)), partition::key((ChainEpoch(1), 1))] {
            let _ = decode_into(&mut Rows::default(), &key, &bytes);
        }
    }
}

#[test]
fn deletes_have_no_value_and_keys_sort_by_number() {
    let mut batch = Batch::new();
    apply(&mut batch, &mut nothing_kept(), &RowChange::DeleteTask(TaskId(5)));
    apply(&mut batch, &mut nothing_kept(), &RowChange::DeleteFence(TaskId(5)));
    let writes: Vec<_> = batch.writes().collect();
    assert_eq!(writes, [(&fence::key(TaskId(5))[..], None), (&task::key(TaskId(5))[..], None)]);
    assert!(sector::key(255) < sector::key(256));
    assert_eq!(readable(&task::key(TaskId(5))), "task/0000000000000005");
}

#[test]
fn foreign_keys_and_unknown_enum_values_are_refused() {
    let error = decode_into(&mut Rows::default(), b"other/1", b"").expect_err("not ours").to_string();
    assert!(error.contains("other/1"), "{error}");
    let stored = sp_proto::v1::StoredSector { number: 3, seal_proof: 5, state: 99, ..Default::default() };
    let error = decode_into(&mut Rows::default(), &sector::key(3), &prost::Message::encode_to_vec(&stored))
        .expect_err("unknown state")
        .to_string();
    assert!(error.contains("sector/3") && error.contains("99"), "{error}");
}

#[test]
fn an_attempt_of_an_older_build_has_no_gpus_and_nonsense_is_refused() {
    use sp_proto::v1::{AttemptId as Id, GpuShare as Share, StoredAttempt, StoredTask};
    let (worker, host, kind) = ("w".to_owned(), "h".to_owned(), sp_proto::v1::TaskKind::Commit2 as i32);
    let id = Some(Id { task: 5, number: 1 });
    // What a build before this one wrote: no field of devices at all.
    let attempt = StoredAttempt { id, worker, host, state: 2, ..Default::default() };
    let read = |attempt: StoredAttempt| {
        let task = StoredTask { id: 5, kind, attempts: vec![attempt], ..Default::default() };
        let mut rows = Rows::default();
        decode_into(&mut rows, &task::key(TaskId(5)), &prost::Message::encode_to_vec(&task)).map(|()| rows)
    };
    assert_eq!(read(attempt.clone()).expect("readable").tasks[0].attempts[0].gpus, []);
    for (id, share) in [("GPU-a", 0.0), ("GPU-a", 1.5), ("GPU-a", f64::NAN), ("", 1.0)] {
        let gpus = vec![Share { id: id.to_owned(), index: 0, share }];
        let error = read(StoredAttempt { gpus, ..attempt.clone() }).expect_err("nonsense").to_string();
        assert!(error.contains("gpus."), "{error}");
    }
}

#[test]
fn rows_of_a_newer_build_or_another_cluster_are_refused() {
    let ours = owner();
    assert_eq!(Schema::decode(&ours.encode()).expect("readable"), ours);
    assert!(ours.check(&ours).is_ok());
    let newer = Schema { version: SCHEMA_VERSION + 1, ..ours.clone() };
    assert!(newer.check(&ours).expect_err("newer").to_string().contains("newer build"));
    let other = Schema { cluster: "b".into(), ..ours.clone() };
    assert!(other.check(&ours).expect_err("other").to_string().contains("cluster `b`"));
    let state = Memory::new();
    open(&state, newer).expect("new");
    assert!(open(&state, ours).is_err());
}

/// A sector as version 1 wrote it: state `Failed`, and none of the fields that came later.
#[test]
fn rows_of_version_1_are_read_and_raised() {
    let state = Memory::new();
    open(&state, Schema { version: 1, ..owner() }).expect("new");
    let data = sp_proto::v1::StoredPieceData { data_bytes: 9, digest: vec![1; 32], name: "f".into(), pieces: vec![] };
    let stored = |number, state, data| sp_proto::v1::StoredSector {
        number,
        seal_proof: 5,
        state,
        data,
        failures: 8,
        last_error: "w2: out of memory".into(),
        ..Default::default()
    };
    let mut batch = Batch::new();
    batch.put(sector::key(0), stored(0, 9, Some(data)).encode_to_vec());
    batch.put(sector::key(1), stored(1, 8, None).encode_to_vec());
    state.commit(batch).expect("memory");

    let (schema, rows) = open(&state, owner()).expect("an older layout is read");
    assert_eq!(schema.version, SCHEMA_VERSION);
    let [failed, proving] = &rows.sectors[..] else { panic!("{rows:?}") };
    assert_eq!((failed.state, failed.priority, failed.failures), (SectorState::Failed, 1024, 8));
    assert!(failed.is_stopped() && failed.trouble == Trouble::default() && failed.update.is_none());
    assert_eq!((proving.state, proving.priority), (SectorState::Proving, 0));
    let error = open(&state, Schema { version: 1, ..owner() }).expect_err("the older build");
    assert!(error.to_string().contains("newer build"), "{error}");
}

/// Numbers in rows never change their meaning.
#[test]
fn places_that_an_older_build_has_given_are_kept_on_the_chain() {
    let state = Memory::new();
    let mut batch = Batch::new();
    batch.put(schema_key(), Schema { version: 5, ..owner() }.encode());
    let put = |batch: &mut Batch, number, place: Option<(u32, u32)>, coming| {
        let location = place.map(|(deadline, partition)| sp_proto::v1::StoredLocation { deadline, partition });
        let receive = sp_proto::v1::StoredReceive { url: "http://h".into(), deadline: 3, ..Default::default() };
        let receive = Some(receive).filter(|_| coming);
        let row =
            sp_proto::v1::StoredSector { number, seal_proof: 5, state: 8, location, receive, ..Default::default() };
        batch.put(sector::key(number), row.encode_to_vec());
    };
    for (number, place, coming) in
        [(1, Some((3, 0)), false), (2, Some((3, 0)), false), (4, None, true), (5, None, false), (6, None, true)]
    {
        put(&mut batch, number, place, coming);
    }
    state.commit(batch).expect("written");
    let (schema, rows) = open(&state, owner()).expect("raised");
    assert_eq!(schema.version, SCHEMA_VERSION);
    let place = |row| match row {
        sp_chain::Change::Sector(number, Some(sector)) => (number, sector.place.0.0, sector.place.1.0),
        other => panic!("{other:?}"),
    };
    let kept: Vec<_> = books(&state).expect("rows").into_iter().map(place).collect();
    assert_eq!(kept, [(1, 3, 0), (2, 3, 0), (4, 3, 1), (6, 3, 1)]);
    let coming = rows.sectors.iter().filter_map(|s| Some((s.number, s.receive.as_ref()?.place.1.0)));
    assert_eq!(coming.collect::<Vec<_>>(), [(4, 1), (6, 1)]);
}

#[test]
fn every_state_keeps_its_number() {
    let numbers: Vec<i32> = SectorState::ALL.into_iter().map(|s| super::sector_state::encode(s) as i32).collect();
    let expected = [
        1, 2, 3, 4, 5, 6, 12, 13, 7, 8, 14, 15, 16, 17, 18, 19, 20, 21, 35, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32,
        36, 33, 34, 9, 10, 11,
    ];
    assert_eq!(numbers, expected);
}
