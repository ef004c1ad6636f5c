//! What the index has made durable of attempts: their ends, and what they reserve and lock (law L5).

use std::collections::{BTreeMap, BTreeSet};

use sp_invariants::Law;
use sp_state::Batch;

use super::ledger::Broken;

/// Fences, reservations and locks as they are.
#[derive(Default)]
pub(super) struct Shelf {
    fences: BTreeMap<u64, u32>,
    reservations: BTreeSet<(u64, u32)>,
    locks: BTreeSet<(u64, u32)>,
}

impl Shelf {
    /// Takes a batch and says what is wrong with it.
    pub(super) fn commit(&mut self, batch: &Batch) -> Broken {
        let mut broken = Broken::new();
        for (key, value) in batch.writes() {
            if let Some(task) =
                key.strip_prefix(b"fence/").and_then(|tail| Some(u64::from_be_bytes(tail.try_into().ok()?)))
            {
                self.fence(task, value, &mut broken);
            } else if let Some(holder) = key.strip_prefix(b"reservation/").and_then(attempt) {
                note(&mut self.reservations, holder, value);
            } else if let Some(holder) = key.strip_prefix(b"lock/").and_then(|tail| attempt(tail.get(16..)?)) {
                note(&mut self.locks, holder, value);
            }
        }
        for (task, number) in self.reservations.union(&self.locks) {
            let ended = self.fences.get(task).copied().unwrap_or(0);
            if *number <= ended {
                let text =
                    format!("the index: {task}.{number} has ended (up to {ended}) and still holds space or files");
                broken.push((Law::L5, text));
            }
        }
        broken
    }

    /// Attempts that hold space or files.
    pub(super) fn holders(&self) -> Vec<String> {
        self.reservations.union(&self.locks).map(|(task, number)| format!("{task}.{number}")).collect()
    }

    fn fence(&mut self, task: u64, value: Option<&[u8]>, broken: &mut Broken) {
        let Some(value) = value else {
            self.fences.remove(&task);
            return;
        };
        let up_to = <[u8; 4]>::try_from(value).map_or(0, u32::from_be_bytes);
        let before = self.fences.insert(task, up_to).unwrap_or(0);
        if up_to < before {
            broken.push((Law::L5, format!("the index: the fence of task {task} went back from {before} to {up_to}")));
        }
    }
}

fn note(holders: &mut BTreeSet<(u64, u32)>, holder: (u64, u32), value: Option<&[u8]>) {
    match value {
        Some(_) => holders.insert(holder),
        None => holders.remove(&holder),
    };
}

fn attempt(tail: &[u8]) -> Option<(u64, u32)> {
    let (task, number) = tail.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*task), u32::from_be_bytes(number.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ended_attempt_locks_nothing() {
        let lock = [b"lock/".as_slice(), &[0; 16], &7_u64.to_be_bytes(), &1_u32.to_be_bytes()].concat();
        let mut shelf = Shelf::default();
        let mut take = Batch::new();
        take.put(lock.clone(), "");
        assert_eq!(shelf.commit(&take), []);
        assert_eq!(shelf.holders(), ["7.1"]);
        let mut end = Batch::new();
        end.put([b"fence/".as_slice(), &7_u64.to_be_bytes()].concat(), 1_u32.to_be_bytes());
        assert_eq!(shelf.commit(&end).len(), 1, "the lock outlives its attempt");
        end.delete(lock);
        assert_eq!(shelf.commit(&end), []);
        assert_eq!(shelf.holders(), [""; 0]);
    }

    #[test]
    fn an_ended_attempt_reserves_nothing() {
        let reservation = [b"reservation/".as_slice(), &7_u64.to_be_bytes(), &1_u32.to_be_bytes()].concat();
        let fence = [b"fence/".as_slice(), &7_u64.to_be_bytes()].concat();
        let mut shelf = Shelf::default();
        let mut reserve = Batch::new();
        reserve.put(reservation.clone(), "");
        assert_eq!(shelf.commit(&reserve), []);
        let mut end = Batch::new();
        end.put(fence.clone(), 1_u32.to_be_bytes()).delete(reservation);
        assert_eq!(shelf.commit(&end), []);
        assert_eq!(shelf.commit(&reserve).len(), 1, "reserved after its end");
        let mut back = Batch::new();
        back.put(fence, 0_u32.to_be_bytes());
        assert_eq!(shelf.commit(&back).len(), 1);
    }
}
