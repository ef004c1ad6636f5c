//! Who may move bytes next: what a proof waits for before bulk, within a number at once and a rate. Decides only.

use std::collections::VecDeque;

/// What bytes are moved for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// A proof waits for them: C1 or a PoSt.
    Urgent,
    /// Everything else.
    Bulk,
    /// What nobody waits for. It is not counted, and takes nothing of the rate: it begins while nothing urgent moves or
    /// waits.
    Background,
}

/// What a gate keeps to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Bytes per second; 0 for no bound.
    pub(crate) bytes_per_s: u64,
    /// Bulk moves at once while nothing urgent moves. Meanwhile it is one: bulk goes on, and is not in the way.
    pub(crate) bulk_at_once: usize,
}

/// Moves that wait and moves under way. Within a class it is first come, first served, so streams that ask for one
/// chunk after the other share evenly.
#[derive(Debug)]
pub(crate) struct Gate {
    bounds: Bounds,
    urgent: Line,
    bulk: Line,
    background: Line,
    /// The rate allows the next move from here on.
    free_at_ns: u64,
    next_ticket: u64,
}

#[derive(Debug, Default)]
struct Line {
    /// Tickets and bytes.
    waiting: VecDeque<(u64, u64)>,
    under_way: usize,
}

/// What happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// This ticket moves now.
    Go(u64),
    /// Somebody waits, and may move no earlier than this.
    NotBefore(u64),
    /// Nobody waits, or has to wait for a move to end.
    Nobody,
}

impl Gate {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            urgent: Line::default(),
            bulk: Line::default(),
            background: Line::default(),
            free_at_ns: 0,
            next_ticket: 0,
        }
    }

    /// Takes a place in the line.
    pub(crate) fn ask(&mut self, class: Class, bytes: u64) -> u64 {
        self.next_ticket += 1;
        let ticket = self.next_ticket;
        self.line(class).waiting.push_back((ticket, bytes));
        ticket
    }

    /// Leaves the line. False: it is not in it any more, and whoever asked has to say `done`.
    pub(crate) fn leave(&mut self, class: Class, ticket: u64) -> bool {
        let waiting = &mut self.line(class).waiting;
        let at = waiting.iter().position(|(waits, _)| *waits == ticket);
        at.and_then(|at| waiting.remove(at)).is_some()
    }

    /// An urgent move that nobody paces: bulk makes way for it until it is `done`.
    pub(crate) fn begin_urgent(&mut self) {
        self.urgent.under_way += 1;
    }

    /// A move has ended.
    pub(crate) fn done(&mut self, class: Class) {
        let line = self.line(class);
        line.under_way = line.under_way.saturating_sub(1);
    }

    /// Lets one in if that is possible.
    pub(crate) fn next(&mut self, now_ns: u64) -> Next {
        let urgent = !self.urgent.waiting.is_empty() || self.urgent.under_way > 0;
        if !urgent && let Some((ticket, _)) = self.background.waiting.pop_front() {
            self.background.under_way += 1;
            return Next::Go(ticket);
        }
        let bulk_at_once = if self.urgent.under_way > 0 { 1 } else { self.bounds.bulk_at_once };
        let class = if self.urgent.waiting.is_empty() { Class::Bulk } else { Class::Urgent };
        if class == Class::Bulk && self.bulk.under_way >= bulk_at_once {
            return Next::Nobody;
        }
        let Some(&(ticket, bytes)) = self.line(class).waiting.front() else { return Next::Nobody };
        if self.free_at_ns > now_ns {
            return Next::NotBefore(self.free_at_ns);
        }
        self.line(class).waiting.pop_front();
        self.line(class).under_way += 1;
        let took_ns = u128::from(bytes) * 1_000_000_000 / u128::from(self.bounds.bytes_per_s.max(1));
        if self.bounds.bytes_per_s > 0 {
            self.free_at_ns = now_ns.saturating_add(u64::try_from(took_ns).unwrap_or(u64::MAX));
        }
        Next::Go(ticket)
    }

    fn line(&mut self, class: Class) -> &mut Line {
        match class {
            Class::Urgent => &mut self.urgent,
            Class::Bulk => &mut self.bulk,
            Class::Background => &mut self.background,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn gate(bytes_per_s: u64, bulk_at_once: usize) -> Gate {
        Gate::new(Bounds { bytes_per_s, bulk_at_once })
    }

    /// Every ticket that goes in now, in order.
    fn all(gate: &mut Gate, now_ns: u64) -> Vec<u64> {
        std::iter::from_fn(|| match gate.next(now_ns) {
            Next::Go(ticket) => Some(ticket),
            _ => None,
        })
        .collect()
    }

    #[test]
    fn who_goes_in_what_order() {
        use Class::{Bulk, Urgent};
        // Classes in the order in which they ask, how many bulk moves at once, who is let in at once.
        let table: [(&[Class], usize, &[u64]); 6] = [
            (&[], 4, &[]),
            (&[Bulk, Bulk, Bulk], 2, &[1, 2]),
            (&[Bulk, Bulk, Urgent], 4, &[3, 1]),
            (&[Urgent, Urgent, Urgent], 1, &[1, 2, 3]),
            (&[Bulk, Urgent, Bulk, Urgent], 4, &[2, 4, 1]),
            (&[Bulk, Bulk], usize::MAX, &[1, 2]),
        ];
        for (asked, bulk_at_once, expected) in table {
            let mut gate = gate(0, bulk_at_once);
            for class in asked {
                gate.ask(*class, 1);
            }
            assert_eq!(all(&mut gate, 0), expected, "{asked:?}, {bulk_at_once}");
        }
    }

    #[test]
    fn bulk_goes_on_when_urgent_moves_end() {
        let mut gate = gate(0, 2);
        gate.begin_urgent();
        let bulk = [1, 2, 3].map(|_| gate.ask(Class::Bulk, 1));
        assert_eq!(all(&mut gate, 0), bulk[..1]);
        gate.done(Class::Urgent);
        assert_eq!(all(&mut gate, 0), bulk[1..2]);
        gate.done(Class::Bulk);
        assert_eq!(all(&mut gate, 0), bulk[2..]);
    }

    #[test]
    fn the_rate_holds_and_unused_time_is_not_saved_up() {
        let mut gate = gate(1000, 9);
        for _ in 0..4 {
            gate.ask(Class::Bulk, 100);
        }
        let start = 5_000 * MS;
        assert_eq!((gate.next(start), gate.next(start)), (Next::Go(1), Next::NotBefore(start + 100 * MS)));
        assert_eq!(gate.next(start + 99 * MS), Next::NotBefore(start + 100 * MS));
        // An urgent one that comes meanwhile goes first.
        let urgent = gate.ask(Class::Urgent, 50);
        assert_eq!(gate.next(start + 100 * MS), Next::Go(urgent));
        gate.done(Class::Urgent);
        assert_eq!(gate.next(start + 100 * MS), Next::NotBefore(start + 150 * MS));
        assert_eq!(all(&mut gate, start + 9_000 * MS), [2], "one at a time, however long nobody moved");
    }

    #[test]
    fn the_background_makes_way_for_what_is_urgent_and_takes_nothing_from_bulk() {
        let mut gate = gate(1000, 1);
        gate.begin_urgent();
        let background = [(); 2].map(|()| gate.ask(Class::Background, 500));
        assert!(all(&mut gate, 0).is_empty());
        let bulk = [(); 2].map(|()| gate.ask(Class::Bulk, 100));
        gate.done(Class::Urgent);
        assert_eq!(all(&mut gate, 0), [background[0], background[1], bulk[0]]);
        gate.done(Class::Background);
        gate.done(Class::Bulk);
        assert_eq!(gate.next(100 * MS), Next::Go(bulk[1]), "the rate knows only of bulk");
    }

    #[test]
    fn who_leaves_is_passed_over() {
        let mut gate = gate(0, 1);
        let tickets = [(); 3].map(|()| gate.ask(Class::Bulk, 1));
        assert_eq!(gate.next(0), Next::Go(tickets[0]));
        assert!(gate.leave(Class::Bulk, tickets[1]));
        assert!(!gate.leave(Class::Bulk, tickets[0]), "it moves already");
        gate.done(Class::Bulk);
        assert_eq!(gate.next(0), Next::Go(tickets[2]));
    }
}
