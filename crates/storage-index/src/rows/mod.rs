//! The durable rows of the index: one file per kind of key, each with its bytes.

mod fence;
mod lock;
mod replica;
mod replica_v1;
mod reservation;
mod schema;
mod store;
#[cfg(test)]
mod tests;

use sp_state::{Batch, CommitError, State, StateError};

use crate::core::{RowChange, Stored};
pub(crate) use schema::SCHEMA_VERSION;

/// Rows read at once.
const PAGE: usize = 4096;

/// A state that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RowError {
    /// A row does not parse.
    #[error("row {row} of the index's state is damaged: {reason}; remove the state and let the workers declare anew")]
    Damaged {
        /// Which row.
        row: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The state belongs to another cluster.
    #[error(
        "this data directory belongs to cluster `{found}`, this index to `{wanted}`; correct --cluster or --data-dir"
    )]
    OtherCluster {
        /// Whose state it is.
        found: String,
        /// Who we are.
        wanted: String,
    },
    /// The engine failed.
    #[error(transparent)]
    State(#[from] StateError),
    /// The first row could not be written.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

impl RowError {
    fn damaged(row: &[u8], reason: impl ToString) -> Self {
        Self::Damaged { row: row.escape_ascii().to_string(), reason: reason.to_string() }
    }
}

/// The changes as one batch.
pub(crate) fn batch(changes: &[RowChange]) -> Batch {
    let mut batch = Batch::new();
    for change in changes {
        match change {
            RowChange::PutStore(settings) => batch.put(store::key(&settings.id), store::encode(settings)),
            RowChange::DeleteStore(id) => batch.delete(store::key(id)),
            RowChange::PutReplica(info) => batch.put(replica::key_of(info), replica::encode(info)),
            RowChange::DeleteReplica(place) => batch.delete(replica::key(place)),
            RowChange::PutReservation(attempt, items) => {
                batch.put(reservation::key(*attempt), reservation::encode(*attempt, items))
            }
            RowChange::DeleteReservation(attempt) => batch.delete(reservation::key(*attempt)),
            RowChange::PutFence(task, up_to) => batch.put(fence::key(*task), fence::encode(*up_to)),
            RowChange::DeleteFence(task) => batch.delete(fence::key(*task)),
            RowChange::PutLock(lock) => batch.put(lock::key(lock.attempt, lock.sector), lock::encode(lock)),
            RowChange::DeleteLock(attempt, sector) => batch.delete(lock::key(*attempt, *sector)),
        };
    }
    batch
}

/// Reads everything back, row by row: there may be millions. The first start writes whose rows these are; another
/// cluster's state is refused. Says whether there was none before.
pub(crate) fn open(state: &dyn State, cluster: &str, mut take: impl FnMut(Stored)) -> Result<bool, RowError> {
    let is_new = schema::check(state, cluster)?;
    raise_replicas(state)?;
    each(state, store::PREFIX, |key, value| store::decode(key, value).map(|s| take(Stored::Store(s))))?;
    each(state, replica::PREFIX, |key, value| replica::decode(key, value).map(|r| take(Stored::Replica(r))))?;
    each(state, reservation::PREFIX, |key, value| {
        reservation::decode(key, value).map(|(attempt, items)| take(Stored::Reservation(attempt, items)))
    })?;
    each(state, fence::PREFIX, |key, value| {
        fence::decode(key, value).map(|(task, up_to)| take(Stored::Fence(task, up_to)))
    })?;
    each(state, lock::PREFIX, |key, value| lock::decode(key, value).map(|lock| take(Stored::Lock(lock))))?;
    Ok(is_new)
}

/// Gives replicas of version 1 the keys of version 2, a page at a time: a crash in between leaves each in one place.
fn raise_replicas(state: &dyn State) -> Result<(), RowError> {
    loop {
        let page = state.scan(replica_v1::PREFIX, None, PAGE)?;
        if page.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::new();
        for (key, value) in page {
            let info = replica_v1::decode(&key, &value)?;
            batch.put(replica::key_of(&info), replica::encode(&info)).delete(key);
        }
        state.commit(batch)?;
    }
}

/// Every row under a prefix, by rising key, without holding all of them at once.
fn each(
    state: &dyn State,
    prefix: &[u8],
    mut see: impl FnMut(&[u8], &[u8]) -> Result<(), RowError>,
) -> Result<(), RowError> {
    let mut after: Option<Vec<u8>> = None;
    loop {
        let page = state.scan(prefix, after.as_deref(), PAGE)?;
        for (key, value) in &page {
            see(key, value)?;
        }
        let is_last = page.len() < PAGE;
        after = page.into_iter().next_back().map(|(key, _)| key);
        if is_last {
            return Ok(());
        }
    }
}
