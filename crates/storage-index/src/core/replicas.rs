//! Replicas: declared by workers, made durable, told to the scheduler.

use sp_types::{AttemptId, ErrorCode, ReplicaId, ReplicaInfo, StoreId};

use super::catalogue::Put;
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
        if let Some(refusal) = attempt.and_then(|attempt| self.claim_refusal(attempt, replicas)) {
            return Some(refusal);
        }
        let foreign = replicas.iter().find(|replica| !self.is_holder(conn, &replica.id.store))?;
        let message = format!("store {} is not attached; attach it first", foreign.id.store);
        Some(Refusal::new(ErrorCode::BadRequest, message))
    }

    /// Why the attempt cannot have made these: it is over, never began, or was given room for others.
    fn claim_refusal(&self, attempt: AttemptId, replicas: &[ReplicaInfo]) -> Option<Refusal> {
        if self.is_ended(attempt) {
            let message = format!("attempt {attempt} has ended; discard what it made");
            return Some(Refusal::new(ErrorCode::AttemptEnded, message));
        }
        // Its state may be lost, or an older copy: what was granted since is known when the scheduler has said it again.
        if !self.is_told {
            return None;
        }
        let Some(items) = self.reservations.of(attempt) else {
            let message =
                format!("attempt {attempt} has no room here: it has ended or never began; discard what it made");
            return Some(Refusal::new(ErrorCode::AttemptEnded, message));
        };
        let has_room = |id: &ReplicaId| {
            items.iter().any(|item| (&item.store, item.sector, item.kind) == (&id.store, id.sector, id.kind))
        };
        let ReplicaId { sector, kind, store, .. } = &replicas.iter().find(|replica| !has_room(&replica.id))?.id;
        let message = format!("attempt {attempt} was not given room for {kind} of {sector} on store {store}");
        Some(Refusal::new(ErrorCode::BadRequest, message))
    }

    fn put_replica(&mut self, replica: ReplicaInfo) {
        // Named in this turn: a declaration that began before it does not drop it.
        let Put::Changed(before) = self.replicas.put(&replica, self.turn) else { return };
        // What a scrub has found is kept when the worker that says this has not scrubbed it.
        let replica = self.replicas.get(&Place::of(&replica)).unwrap_or(replica);
        if let Some(before) = before.filter(|before| before.id != replica.id) {
            self.tell_scheduler(Fact::ReplicaGone(before));
        }
        self.tell_scheduler(Fact::Replica(replica.clone()));
        self.rows.push(RowChange::PutReplica(replica));
    }

    /// The worker is going to name everything in the store. Attached a second time meanwhile, what was named stays so.
    pub(super) fn begin_declaration(&mut self, conn: ConnId, store: &StoreId) {
        let Some(worker) = self.workers.get_mut(&conn) else { return };
        if !worker.declaring.contains_key(store) {
            self.turn += 1;
            worker.declaring.insert(store.clone(), self.turn);
        }
    }

    /// The worker has named everything in the store: what nobody has named since it began is gone, unless it is to stay
    /// known.
    pub(super) fn declare_end(&mut self, conn: ConnId, end: &DeclareEnd) {
        let DeclareEnd { store, keep_missing, request, unread } = end;
        let begun = self.workers.get_mut(&conn).and_then(|worker| worker.declaring.remove(store));
        // Nothing was begun: of two declarations at once, the first end has settled it.
        let mut missing = begun.map_or(vec![], |begun| self.replicas.not_named_since(store, begun));
        missing.retain(|place| !unread.contains(place));
        if !keep_missing {
            missing.iter().for_each(|place| self.drop_replica(place));
        }
        self.acknowledge_store(conn, *request, missing.len());
    }

    /// The worker no longer has these. A replica with another root is another one.
    pub(super) fn undeclare(&mut self, conn: ConnId, replicas: &[ReplicaInfo]) {
        for replica in replicas {
            let place = Place::of(replica);
            let is_same = self.replicas.get(&place).is_some_and(|known| known.id == replica.id);
            if is_same && self.is_holder(conn, &place.store) {
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
