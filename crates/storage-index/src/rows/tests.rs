//! Every row comes back as it was; another cluster's are refused.

use proptest::prelude::*;
use sp_sectors::Filters;
use sp_state::Memory;
use sp_types::{AttemptId, FileKind, ReplicaId, ReplicaInfo, SectorId, StoreId, TaskId};

use super::*;
use crate::core::{Place, ReserveItem, Settings};

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
        size_bytes in any::<u64>(), primary in any::<bool>(),
    ) -> ReplicaInfo {
        ReplicaInfo { id: ReplicaId { sector, kind, store, root }, size_bytes, primary }
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

proptest! {
    #[test]
    fn rows_round_trip(
        settings in any_settings(),
        replica in any_replica(),
        attempt in (any::<u64>(), any::<u32>()),
        items in proptest::collection::vec(any_item(), 0..5),
        fence in (any::<u64>(), any::<u32>()),
    ) {
        let attempt = AttemptId { task: TaskId(attempt.0), number: attempt.1 };
        let task = TaskId(fence.0);
        let changes = [
            RowChange::PutStore(settings.clone()),
            RowChange::PutReplica(replica.clone()),
            RowChange::PutReservation(attempt, items.clone()),
            RowChange::PutFence(task, fence.1),
        ];
        let state = Memory::new();
        state.commit(batch(&changes)).unwrap();
        let expected = Durable {
            stores: vec![settings],
            replicas: vec![replica.clone()],
            reservations: vec![(attempt, items)],
            fences: vec![(task, fence.1)],
        };
        prop_assert_eq!(open(&state, "c").unwrap(), expected);
        let gone = [RowChange::DeleteReplica(Place::of(&replica)), RowChange::DeleteReservation(attempt)];
        state.commit(batch(&gone)).unwrap();
        let left = open(&state, "c").unwrap();
        prop_assert!(left.replicas.is_empty() && left.reservations.is_empty());
    }

    #[test]
    fn junk_is_refused_and_never_panics(key in proptest::collection::vec(any::<u8>(), 0..40), value in proptest::collection::vec(any::<u8>(), 0..60)) {
        for prefix in [store::PREFIX, replica::PREFIX, reservation::PREFIX, fence::PREFIX] {
            let state = Memory::new();
            let mut batch = Batch::new();
            batch.put([prefix, &key].concat(), value.clone());
            state.commit(batch).unwrap();
            let opened = open(&state, "c");
            let valid_fence = prefix == fence::PREFIX && key.len() == 8 && value.len() == 4;
            prop_assert!(valid_fence || matches!(opened, Err(RowError::Damaged { .. })), "{opened:?}");
        }
    }
}

#[test]
fn a_state_belongs_to_one_cluster() {
    let state = Memory::new();
    open(&state, "a").unwrap();
    open(&state, "a").unwrap();
    assert!(matches!(open(&state, "b"), Err(RowError::OtherCluster { .. })));
}
