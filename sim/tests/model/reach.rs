//! Which states can still come to a good end: all of them must, whatever has gone wrong before.

use std::collections::{HashMap, VecDeque};

use stateright::Model;

/// Explores everything; gives the number of states, and one from which no good one can be reached any more.
pub(crate) fn hopeless<M: Model>(model: &M, good: impl Fn(&M::State) -> bool) -> (usize, Option<M::State>)
where
    M::State: Clone + Eq + std::hash::Hash,
{
    let mut numbers: HashMap<M::State, usize> = HashMap::new();
    let mut before: Vec<Vec<u32>> = Vec::new();
    let mut open: VecDeque<M::State> = VecDeque::new();
    for state in model.init_states() {
        numbers.insert(state.clone(), before.len());
        before.push(vec![]);
        open.push_back(state);
    }
    let mut actions = Vec::new();
    while let Some(state) = open.pop_front() {
        let from = numbers[&state] as u32;
        model.actions(&state, &mut actions);
        for action in actions.drain(..) {
            let Some(next) = model.next_state(&state, action) else { continue };
            let number = *numbers.entry(next.clone()).or_insert_with(|| {
                before.push(vec![]);
                open.push_back(next);
                before.len() - 1
            });
            before[number].push(from);
        }
    }
    let mut hopeful = vec![false; before.len()];
    let mut todo: Vec<usize> = numbers.iter().filter(|(state, _)| good(state)).map(|(_, number)| *number).collect();
    while let Some(number) = todo.pop() {
        if !std::mem::replace(&mut hopeful[number], true) {
            todo.extend(before[number].iter().map(|from| *from as usize));
        }
    }
    let lost = numbers.iter().find(|(_, number)| !hopeful[**number]).map(|(state, _)| state.clone());
    (numbers.len(), lost)
}
