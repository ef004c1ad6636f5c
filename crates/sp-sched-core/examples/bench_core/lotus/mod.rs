//! Lotus's scheduling pass as `spec/lotus.md` 1.3 to 1.6 describes it, in memory, for comparison only.
//!
//! It is treated kindly: ids are small numbers, what the storage index knows of a sector is looked up once per request
//! and pass instead of once per window, and no worker is asked anything over a network.

mod account;
mod pass;
mod selector;

pub(crate) use account::Account;
pub(crate) use pass::{Pass, Window};
pub(crate) use selector::{Files, Selector};

use sp_types::{HostCapacity, ResourceTable, TaskKind};

/// A worker as Lotus keeps it.
#[derive(Debug, Clone)]
pub(crate) struct Worker {
    /// What its host has.
    pub(crate) capacity: HostCapacity,
    /// Its resource table.
    pub(crate) resources: ResourceTable,
    /// Task types that it accepts.
    pub(crate) tasks: Vec<TaskKind>,
    /// Its storage paths.
    pub(crate) stores: Vec<usize>,
    /// What runs there.
    pub(crate) active: Account,
}

/// Something that waits.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Task type.
    pub(crate) kind: TaskKind,
    /// Sector.
    pub(crate) sector: u64,
    /// Priority.
    pub(crate) priority: i64,
}
