//! Replicas: declared by workers, made durable, told to the scheduler.

use sp_types::{AttemptId, ErrorCode, ReplicaInfo};

use super::{ConnId, Core, DeclareEnd, Fact, Place, Refusal, RowChange, ToWorker};

impl Core {
    /// A worker has replicas. Outputs of an attempt that has ended are refused: nothing it writes counts.
    pub(super) fn declare(
        &mut self,
        conn: ConnId,
        request: u64,
        replicas: Vec<ReplicaInfo>,
        attempt: Option<AttemptId>,
    ) {
        let refused = self.declare_refusal(conn, &replicas, attempt);
        if refused.is_none() {
            for replica in replicas {
                self.put_replica(replica);
            }
        }
        self.tell_worker(conn, ToWorker::DeclareAck { request, refused });
    }

    fn declare_refusal(&self, conn: ConnId, replicas: &[ReplicaInfo], attempt: Option<AttemptId>) -> Option<Refusal> {
        if let Some(attempt) = attempt.filter(|a| self.is_ended(*a)) {
            let message = format!("attempt {attempt} has ended; discard what it made");
            return Some(Refusal::new(ErrorCode::AttemptEnded, message));
        }
        let foreign = replicas.iter().find(|replica| !self.is_holder(conn, &replica.id.store))?;
        let message = format!("store {} is not attached; attach it first", foreign.id.store);
        Some(Refusal::new(ErrorCode::BadRequest, message))
    }

    fn put_replica(&mut self, replica: ReplicaInfo) {
        let place = Place::of(&replica);
        // Whoever is declaring this store just now may have looked before the replica came.
        for worker in self.workers.values_mut() {
            if let Some(named) = worker.declaring.get_mut(&place.store) {
                named.insert((place.sector, place.kind));
            }
        }
        let before = self.replicas.get(&place);
        if before == Some(&replica) {
            return;
        }
        if let Some(before) = before.filter(|before| before.id != replica.id).cloned() {
            self.tell_scheduler(Fact::ReplicaGone(before));
        }
        self.rows.push(RowChange::PutReplica(replica.clone()));
        self.tell_scheduler(Fact::Replica(replica.clone()));
        self.replicas.insert(place, replica);
    }

    /// The worker has named everything in the store: what it has not named is gone, unless it is to stay known.
    pub(super) fn declare_end(&mut self, conn: ConnId, end: &DeclareEnd) {
        let DeclareEnd { store, keep_missing, request } = end;
        let named = self.workers.get_mut(&conn).and_then(|worker| worker.declaring.remove(store));
        // Nothing was begun: of two declarations at once, the first end has settled it.
        let missing = named.map_or(vec![], |named| {
            let gone = |place: &&Place| place.store == *store && !named.contains(&(place.sector, place.kind));
            self.replicas.keys().filter(gone).cloned().collect::<Vec<_>>()
        });
        if !keep_missing {
            missing.iter().for_each(|place| self.drop_replica(place));
        }
        self.acknowledge_store(conn, *request, missing.len());
    }

    /// The worker no longer has these. A replica with another root is another one.
    pub(super) fn undeclare(&mut self, conn: ConnId, replicas: &[ReplicaInfo]) {
        for replica in replicas {
            let place = Place::of(replica);
            let same = self.replicas.get(&place).is_some_and(|known| known.id == replica.id);
            if same && self.is_holder(conn, &place.store) {
                self.drop_replica(&place);
            }
        }
    }

    pub(super) fn drop_replica(&mut self, place: &Place) {
        if let Some(replica) = self.replicas.remove(place) {
            self.rows.push(RowChange::DeleteReplica(place.clone()));
            self.tell_scheduler(Fact::ReplicaGone(replica));
        }
    }
}
