//! The durable rows of the index: one file per kind of key, each with its bytes.

mod fence;
mod replica;
mod reservation;
mod schema;
mod store;
#[cfg(test)]
mod tests;

use sp_state::{Batch, CommitError, State, StateError};

use crate::core::{Durable, RowChange};
pub(crate) use schema::SCHEMA_VERSION;

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
        };
    }
    batch
}

/// Reads everything back. The first start writes whose rows these are; another cluster's state is refused.
pub(crate) fn open(state: &dyn State, cluster: &str) -> Result<Durable, RowError> {
    schema::check(state, cluster)?;
    let mut durable = Durable::default();
    for (key, value) in state.scan_all(store::PREFIX)? {
        durable.stores.push(store::decode(&key, &value)?);
    }
    for (key, value) in state.scan_all(replica::PREFIX)? {
        durable.replicas.push(replica::decode(&key, &value)?);
    }
    for (key, value) in state.scan_all(reservation::PREFIX)? {
        durable.reservations.push(reservation::decode(&key, &value)?);
    }
    for (key, value) in state.scan_all(fence::PREFIX)? {
        durable.fences.push(fence::decode(&key, &value)?);
    }
    Ok(durable)
}
