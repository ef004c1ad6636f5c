//! Which stream fetches which bytes next, and what is taken from one that is slow. Decides only.

use std::collections::{BTreeMap, VecDeque};

use sp_sectors::{CHUNK_BYTES, Missing};

/// Most bytes that one request asks for: few requests, and little to share out again when a stream breaks.
const RANGE_BYTES_MAX: u64 = 32 << 20;

/// A stream that has been silent for this long loses all that it has not brought.
const SILENT_MS: u64 = 3_000;

/// A stream that would need longer than this for the rest of its range loses half of it to one that has nothing to do.
const SLOW_MS: u64 = 2_000;

/// Bytes of one file, whole chunks: from, up to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) name: String,
    pub(super) from: u64,
    pub(super) to: u64,
}

/// A range that a stream brings.
#[derive(Debug)]
struct Taken {
    range: Range,
    /// Start of the next chunk that it has to bring.
    at: u64,
    began_ms: u64,
    heard_ms: u64,
}

/// What a stream does next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// Bring this.
    Bring(u64, Range),
    /// Ask again later: what others bring may come back.
    Wait,
    /// Everything is here.
    Nothing,
}

/// All that is not here yet.
#[derive(Debug)]
pub(super) struct Plan {
    waiting: VecDeque<Range>,
    taken: BTreeMap<u64, Taken>,
    next_id: u64,
    range_bytes: u64,
    /// Has come, is not checked yet.
    unchecked_bytes: u64,
    left_bytes: u64,
}

impl Plan {
    pub(super) fn new(missing: Vec<Missing>, streams: usize) -> Self {
        let left_bytes: u64 = missing.iter().map(|missing| missing.size_bytes).sum();
        let share = left_bytes.div_ceil(streams.max(1) as u64 * 2).next_multiple_of(CHUNK_BYTES);
        let range = |Missing { name, offset, size_bytes }| Range { name, from: offset, to: offset + size_bytes };
        Self {
            waiting: missing.into_iter().map(range).collect(),
            taken: BTreeMap::new(),
            next_id: 0,
            range_bytes: share.clamp(CHUNK_BYTES, RANGE_BYTES_MAX),
            unchecked_bytes: 0,
            left_bytes,
        }
    }

    /// How many requests it takes at the least: more streams have nothing to do.
    pub(super) fn ranges(&self) -> usize {
        self.waiting.iter().map(|range| (range.to - range.from).div_ceil(self.range_bytes) as usize).sum()
    }

    /// Bytes that have not come and been checked.
    pub(super) fn left_bytes(&self) -> u64 {
        self.left_bytes
    }

    pub(super) fn next(&mut self, now_ms: u64) -> Task {
        let range = match self.waiting.pop_front() {
            Some(mut range) => {
                let to = range.to.min(range.from + self.range_bytes);
                if to < range.to {
                    self.waiting.push_front(Range { from: to, ..range.clone() });
                    range.to = to;
                }
                range
            }
            None => match self.take_over(now_ms) {
                Some(range) => range,
                None if self.taken.is_empty() && self.unchecked_bytes == 0 => return Task::Nothing,
                None => return Task::Wait,
            },
        };
        self.next_id += 1;
        let taken = Taken { at: range.from, range: range.clone(), began_ms: now_ms, heard_ms: now_ms };
        self.taken.insert(self.next_id, taken);
        Task::Bring(self.next_id, range)
    }

    /// Up to where this range is still wanted.
    pub(super) fn end(&self, id: u64) -> u64 {
        self.taken.get(&id).map_or(0, |taken| taken.range.to)
    }

    /// A chunk of this range has come. False: another stream brings it now, and all that follows.
    pub(super) fn came(&mut self, id: u64, size_bytes: u64, now_ms: u64) -> bool {
        let Some(taken) = self.taken.get_mut(&id).filter(|taken| taken.at < taken.range.to) else { return false };
        taken.at += size_bytes;
        taken.heard_ms = now_ms;
        self.unchecked_bytes += size_bytes;
        true
    }

    /// A stream is done with its range, or gives up; what it has not brought waits again.
    pub(super) fn give_back(&mut self, id: u64) {
        if let Some(Taken { range, at, .. }) = self.taken.remove(&id)
            && at < range.to
        {
            self.waiting.push_front(Range { from: at, ..range });
        }
    }

    /// A chunk that came was right and is here, or was not and has to come again.
    pub(super) fn checked(&mut self, name: &str, offset: u64, size_bytes: u64, right: bool) {
        self.unchecked_bytes = self.unchecked_bytes.saturating_sub(size_bytes);
        match right {
            true => self.left_bytes = self.left_bytes.saturating_sub(size_bytes),
            false => self.waiting.push_back(Range { name: name.to_owned(), from: offset, to: offset + size_bytes }),
        }
    }

    /// Takes from the stream that would need longest what it has not brought.
    fn take_over(&mut self, now_ms: u64) -> Option<Range> {
        let slowest = self.taken.values_mut().filter(|taken| taken.at < taken.range.to);
        let slowest = slowest.max_by_key(|taken| taken.needs_ms(now_ms))?;
        let from = if now_ms.saturating_sub(slowest.heard_ms) >= SILENT_MS {
            slowest.at
        } else if slowest.needs_ms(now_ms) > SLOW_MS {
            let half = (slowest.range.to - slowest.at) / 2;
            slowest.at + half.next_multiple_of(CHUNK_BYTES).max(CHUNK_BYTES)
        } else {
            return None;
        };
        let rest = Range { from, ..slowest.range.clone() };
        slowest.range.to = slowest.range.to.min(from);
        (rest.from < rest.to).then_some(rest)
    }
}

impl Taken {
    /// How long it would need for the rest, as fast as it has been so far. Before its first chunk nobody knows.
    fn needs_ms(&self, now_ms: u64) -> u64 {
        if self.at == self.range.from {
            return if now_ms.saturating_sub(self.heard_ms) < SILENT_MS { 0 } else { u64::MAX };
        }
        let (done, rest) = (self.at - self.range.from, self.range.to.saturating_sub(self.at));
        let took_ms = u128::from(now_ms.saturating_sub(self.began_ms));
        u64::try_from(took_ms * u128::from(rest) / u128::from(done)).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = CHUNK_BYTES;

    fn plan(mib: u64, streams: usize) -> Plan {
        Plan::new(vec![Missing { name: "a".into(), offset: 0, size_bytes: mib * MIB }], streams)
    }

    fn bring(plan: &mut Plan, now_ms: u64) -> (u64, u64, u64) {
        match plan.next(now_ms) {
            Task::Bring(id, range) => (id, range.from / MIB, range.to / MIB),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn ranges_are_shared_out_and_end() {
        for (mib, streams, ranges, first) in
            [(1, 4, 1, 1), (3, 4, 3, 1), (8, 4, 8, 1), (64, 4, 8, 8), (4096, 4, 128, 32)]
        {
            let mut plan = plan(mib, streams);
            assert_eq!((plan.ranges(), bring(&mut plan, 0)), (ranges, (1, 0, first)), "{mib} MiB, {streams} streams");
        }
        let mut plan = plan(2, 1);
        let (first, ..) = bring(&mut plan, 0);
        assert!(plan.came(first, MIB, 0));
        plan.give_back(first);
        let (second, ..) = bring(&mut plan, 0);
        assert_eq!(plan.next(0), Task::Wait);
        assert!(plan.came(second, MIB, 0));
        assert!(!plan.came(second, MIB, 0), "more than was asked for");
        plan.give_back(second);
        assert_eq!(plan.next(0), Task::Wait, "nothing is checked yet");
        plan.checked("a", 0, MIB, true);
        plan.checked("a", MIB, MIB, false);
        assert_eq!(plan.left_bytes(), MIB);
        let (again, from, to) = bring(&mut plan, 0);
        assert_eq!((from, to), (1, 2));
        plan.came(again, MIB, 0);
        plan.give_back(again);
        plan.checked("a", MIB, MIB, true);
        assert_eq!((plan.next(0), plan.left_bytes()), (Task::Nothing, 0));
    }

    #[test]
    fn what_a_broken_stream_has_not_brought_waits_again() {
        let mut plan = plan(64, 2);
        let (id, from, to) = bring(&mut plan, 0);
        assert_eq!((from, to), (0, 16));
        plan.came(id, MIB, 1);
        plan.came(id, MIB, 2);
        plan.give_back(id);
        assert_eq!(bring(&mut plan, 3), (2, 2, 16));
        assert_eq!(bring(&mut plan, 3), (3, 16, 32));
    }

    #[test]
    fn a_slow_stream_loses_half_and_a_silent_one_all() {
        let mut plan = plan(16, 1);
        let (slow, ..) = bring(&mut plan, 0);
        let (fast, ..) = bring(&mut plan, 0);
        (0..8).for_each(|i| assert!(plan.came(fast, MIB, i)));
        plan.give_back(fast);
        assert_eq!(plan.next(100), Task::Wait, "nobody knows yet how fast the other one is");
        plan.came(slow, MIB, 500);
        assert_eq!(bring(&mut plan, 501), (3, 5, 8), "7 MiB at 2 per second");
        assert_eq!(plan.end(slow), 5 * MIB);
        plan.came(slow, MIB, 550);
        assert_eq!(plan.next(600), Task::Wait);
        // Both fall silent: whoever asks takes everything of the one that would need longest.
        assert_eq!(bring(&mut plan, 5_000), (4, 5, 8), "of the one that has brought nothing");
        assert_eq!(bring(&mut plan, 5_000), (5, 2, 5));
        assert!(!plan.came(slow, MIB, 5_001), "it is another's now");
        plan.give_back(slow);
        assert_eq!(plan.next(5_002), Task::Wait);
    }
}
