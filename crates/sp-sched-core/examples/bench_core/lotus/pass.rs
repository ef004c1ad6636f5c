//! One scheduling pass: every request against every open window, then the `utilization` assigner.

use super::{Account, Files, Request, Selector, Worker};
use crate::dice::Dice;
use crate::fleet::SIZE;

/// An open window of a worker.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    /// Whose.
    pub(crate) worker: usize,
    /// What this pass has put into it.
    pub(crate) allocated: Account,
    /// Requests put into it.
    pub(crate) todo: Vec<usize>,
}

/// The state that a pass works on.
pub(crate) struct Pass<'a> {
    /// Everybody who has registered.
    pub(crate) workers: &'a [Worker],
    /// What the index knows.
    pub(crate) files: &'a Files,
    /// The queue, in order.
    pub(crate) requests: &'a [Request],
    /// Shuffles equals.
    pub(crate) dice: Dice,
}

impl Pass<'_> {
    /// Gives away what can be given away; the number of requests put into windows.
    pub(crate) fn run(mut self, windows: &mut [Window]) -> usize {
        // Cached for the pass: one look at each worker.
        let mut used: Vec<f64> = self.workers.iter().map(|w| w.active.utilisation(&w.capacity)).collect();
        let acceptable: Vec<Vec<usize>> =
            (0..self.requests.len()).map(|at| self.candidates(at, windows, &used)).collect();
        let mut assigned = 0;
        for (at, acceptable) in acceptable.iter().enumerate() {
            let Some(best) = self.choose(at, acceptable, windows, &used) else { continue };
            let (request, window) = (&self.requests[at], &mut windows[best]);
            let worker = &self.workers[window.worker];
            let before = window.allocated.utilisation(&worker.capacity);
            window.allocated.add(request.kind, &worker.resources.row(request.kind, SIZE), &worker.capacity);
            used[window.worker] += window.allocated.utilisation(&worker.capacity) - before;
            window.todo.push(at);
            assigned += 1;
        }
        assigned
    }

    /// Step 1: windows whose worker could run the request when idle and whose selector agrees, the best first.
    fn candidates(&mut self, at: usize, windows: &[Window], used: &[f64]) -> Vec<usize> {
        let request = &self.requests[at];
        let selector = Selector::of(request, self.files);
        let could = |window: &Window| {
            let worker = &self.workers[window.worker];
            let row = worker.resources.row(request.kind, SIZE);
            Account::default().can_handle(request.kind, &row, &worker.capacity) && selector.accepts(request, worker)
        };
        let mut found: Vec<usize> = (0..windows.len()).filter(|at| could(&windows[*at])).collect();
        self.dice.shuffle(&mut found);
        // The shuffle decides between workers that are equally good; of one worker the older window goes first.
        let mut drawn = vec![usize::MAX; self.workers.len()];
        for (place, at) in found.iter().enumerate() {
            let place_of_worker = &mut drawn[windows[*at].worker];
            *place_of_worker = (*place_of_worker).min(place);
        }
        let of = |worker: usize| (&self.workers[worker], used[worker]);
        found.sort_by(|one, other| {
            let (left, right) = (windows[*one].worker, windows[*other].worker);
            selector.compare(of(left), of(right)).then(drawn[left].cmp(&drawn[right])).then(one.cmp(other))
        });
        found
    }

    /// Step 2, for one request: the first window that fits, unless a later one in a row is less used.
    fn choose(&self, at: usize, acceptable: &[usize], windows: &[Window], used: &[f64]) -> Option<usize> {
        let request = &self.requests[at];
        let mut best = None;
        for window in acceptable {
            let worker = &self.workers[windows[*window].worker];
            let row = worker.resources.row(request.kind, SIZE);
            if !windows[*window].allocated.can_handle(request.kind, &row, &worker.capacity) {
                continue;
            }
            let in_use = used[windows[*window].worker];
            if best.is_some_and(|(_, least)| in_use >= least) {
                break;
            }
            best = Some((*window, in_use));
        }
        best.map(|(window, _)| window)
    }
}
