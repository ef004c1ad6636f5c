//! The best that can be started at once, found by trying everything.

use sp_types::{HostCapacity, ResourceRow, TaskKind};

use crate::lotus::Account;

/// A task, and the hosts on which it may run.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    /// Its kind.
    pub(crate) kind: TaskKind,
    /// What it needs.
    pub(crate) row: ResourceRow,
    /// Hosts that may run it.
    pub(crate) hosts: Vec<usize>,
    /// What starting it is worth.
    pub(crate) worth: f64,
}

/// The largest sum of worth that fits.
pub(crate) fn best(items: &[Item], hosts: &[HostCapacity]) -> f64 {
    let mut items = items.to_vec();
    // The base of a running task is not counted, so the order of starts matters: whatever fits in some order fits with
    // the largest base first (an exchange of neighbours shows it).
    items.sort_by_key(|item| std::cmp::Reverse(item.row.base_min_memory_bytes));
    search(&items, hosts, &vec![Account::default(); hosts.len()])
}

fn search(items: &[Item], hosts: &[HostCapacity], accounts: &[Account]) -> f64 {
    let Some((item, rest)) = items.split_first() else { return 0.0 };
    let mut best = search(rest, hosts, accounts);
    for host in &item.hosts {
        // Nothing can be better than everything.
        if best >= item.worth + rest.iter().map(|i| i.worth).sum::<f64>() {
            return best;
        }
        if accounts[*host].can_handle(item.kind, &item.row, &hosts[*host]) {
            let mut with = accounts.to_vec();
            with[*host].add(item.kind, &item.row, &hosts[*host]);
            best = best.max(item.worth + search(rest, hosts, &with));
        }
    }
    best
}
