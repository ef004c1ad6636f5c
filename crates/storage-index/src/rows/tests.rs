//! Every row comes back as it was; another cluster's are refused.

use std::collections::BTreeSet;

use proptest::prelude::*;
use prost::Message;
use sp_proto::v1;
use sp_state::Memory;
use sp_types::{
    AttemptId, FileKind, FileKindSet, FileLock, Filters, Origin, ReplicaId, ReplicaInfo, SectorId, Soundness, StoreId,
    TaskId,
};

use super::*;
use crate::core::{Lock, Place, ReserveItem, Settings};

fn all(state: &dyn State, cluster: &str) -> Result<Vec<Stored>, RowError> {
    let mut rows = Vec::new();
    open(state, cluster, |row| rows.push(row))?;
    Ok(rows)
}

fn any_store() -> impl Strategy<Value = StoreId> {
    "[a-z0-9][a-z0-9-]{0,40}".prop_map(|text| StoreId::new(text).unwrap())
}

fn any_sector() -> impl Strategy<Value = SectorId> {
    (any::<u64>(), any::<u64>()).prop_map(|(miner, number)| SectorId { miner, number })
}

fn any_kind() -> impl Strategy<Value = FileKind> {
    proptest::sample::select(FileKind::ALL.to_vec())
}

prop_compose! {
    fn any_replica()(
        sector in any_sector(), kind in any_kind(), store in any_store(), root in any::<[u8; 32]>(),
        size_bytes in any::<u64>(), primary in any::<bool>(), origin in any::<u64>(),
    ) -> ReplicaInfo {
        ReplicaInfo { id: ReplicaId { sector, kind, store, root }, size_bytes, primary, origin: Origin::new(origin), soundness: Soundness::Faulty }
    }
}

prop_compose! {
    fn any_settings()(
        id in any_store(), weight in any::<u64>(), can_seal in any::<bool>(), can_store in any::<bool>(),
        max_storage_bytes in any::<u64>(), list in proptest::collection::vec("[a-z]{0,5}", 0..4), path in ".{0,20}",
    ) -> Settings {
        let filters = Filters { allow_types: list.clone(), deny_miners: list.clone(), ..Filters::default() };
        let (groups, allow_to) = (list.clone(), list);
        let local_path = path;
        Settings { id, weight, can_seal, can_store, max_storage_bytes, groups, allow_to, filters, local_path }
    }
}

prop_compose! {
    fn any_item()(store in any_store(), sector in any_sector(), kind in any_kind(), size_bytes in any::<u64>())
        -> ReserveItem {
        ReserveItem { store, sector, kind, size_bytes }
    }
}

prop_compose! {
    fn any_lock()(
        attempt in (any::<u64>(), any::<u32>()), sector in any_sector(), write in any_kind(), since in any::<u64>(),
        read in proptest::option::of(any_kind()),
    ) -> Lock {
        let attempt = AttemptId { task: TaskId(attempt.0), number: attempt.1 };
        let modes = FileLock { read: read.into_iter().collect(), write: FileKindSet::of(&[write]) };
        Lock { attempt, sector, modes, since_unix_ms: since }
    }
}

proptest! {
    #[test]
    fn rows_round_trip(
        settings in any_settings(),
        replica in any_replica(),
        attempt in (any::<u64>(), any::<u32>()),
        items in proptest::collection::vec(any_item(), 0..5),
        fence in (any::<u64>(), any::<u32>()),
        lock in any_lock(),
    ) {
        let attempt = AttemptId { task: TaskId(attempt.0), number: attempt.1 };
        let task = TaskId(fence.0);
        let changes = [
            RowChange::PutStore(settings.clone()),
            RowChange::PutReplica(replica.clone()),
            RowChange::PutReservation(attempt, items.clone()),
            RowChange::PutFence(task, fence.1),
            RowChange::PutLock(lock),
        ];
        let state = Memory::new();
        state.commit(batch(&changes)).unwrap();
        let id = settings.id.clone();
        let expected = [
            Stored::Store(settings),
            Stored::Replica(replica.clone()),
            Stored::Reservation(attempt, items),
            Stored::Fence(task, fence.1),
            Stored::Lock(lock),
        ];
        prop_assert_eq!(all(&state, "c").unwrap(), expected);
        let gone = [
            RowChange::DeleteStore(id),
            RowChange::DeleteReplica(Place::of(&replica)),
            RowChange::DeleteReservation(attempt),
            RowChange::DeleteFence(task),
            RowChange::DeleteLock(lock.attempt, lock.sector),
        ];
        state.commit(batch(&gone)).unwrap();
        prop_assert_eq!(all(&state, "c").unwrap(), []);
    }

    #[test]
    fn junk_is_refused_and_never_panics(key in proptest::collection::vec(any::<u8>(), 0..40), value in proptest::collection::vec(any::<u8>(), 0..60)) {
        for prefix in [store::PREFIX, replica::PREFIX, replica_v1::PREFIX, reservation::PREFIX, fence::PREFIX, lock::PREFIX] {
            let state = Memory::new();
            let mut batch = Batch::new();
            batch.put([prefix, &key].concat(), value.clone());
            state.commit(batch).unwrap();
            let opened = all(&state, "c");
            let valid_fence = prefix == fence::PREFIX && key.len() == 8 && value.len() == 4;
            prop_assert!(valid_fence || matches!(opened, Err(RowError::Damaged { .. })), "{opened:?}");
        }
    }
}

#[test]
fn a_state_belongs_to_one_cluster() {
    let state = Memory::new();
    all(&state, "a").unwrap();
    all(&state, "a").unwrap();
    assert!(matches!(all(&state, "b"), Err(RowError::OtherCluster { .. })));
}

#[test]
fn replicas_of_version_1_are_kept_as_version_2_has_them() {
    let replica = |number: u64| ReplicaInfo {
        id: ReplicaId {
            sector: SectorId { miner: 1000, number },
            kind: FileKind::ALL[number as usize % FileKind::ALL.len()],
            store: StoreId::new(format!("s{}", number % 3)).unwrap(),
            root: [number as u8; 32],
        },
        size_bytes: number,
        primary: number.is_multiple_of(2),
        origin: None,
        soundness: Soundness::Unknown,
    };
    let replicas: Vec<_> = (0..PAGE as u64 + 10).map(replica).collect();
    let state = Memory::new();
    let mut old = Batch::new();
    for info in &replicas {
        old.put(replica_v1::key_of(info), v1::Replica::from(info.clone()).encode_to_vec());
    }
    state.commit(old).unwrap();
    let expected: BTreeSet<_> = replicas.into_iter().map(|info| info.id).collect();
    for _ in 0..2 {
        let read = all(&state, "c").unwrap();
        let ids =
            read.iter().filter_map(|row| if let Stored::Replica(info) = row { Some(info.id.clone()) } else { None });
        assert_eq!(ids.collect::<BTreeSet<_>>(), expected);
        assert_eq!(state.scan(replica_v1::PREFIX, None, 1).unwrap(), []);
    }
}

#[test]
fn rows_are_read_page_by_page_and_each_once() {
    let state = Memory::new();
    let rows = PAGE as u64 * 2 + 1;
    let changes: Vec<_> = (0..rows).map(|task| RowChange::PutFence(TaskId(task), 1)).collect();
    state.commit(batch(&changes)).unwrap();
    let read: Vec<_> = (0..rows).map(|task| Stored::Fence(TaskId(task), 1)).collect();
    assert_eq!(all(&state, "c").unwrap(), read);
}
