//! Random sequences of everything that can happen: each is planned on a small model of the cluster, runs in the simulated
//! world, and is compared with the plan and judged by the reference model after every step; then all trouble ends, and
//! every sector must come to rest.
#![allow(clippy::disallowed_methods, reason = "a test that spreads its sequences over threads")]

mod apply;
mod plan;

use std::sync::atomic::{AtomicU64, Ordering};

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest};

use apply::Machine;
use plan::Planner;

/// Steps of a sequence.
const STEPS: usize = 200;

/// Plans and runs one sequence; a failure names its number and the fewest steps that lead to it.
fn run_sequence(number: u64) -> Result<(), String> {
    let config = Config { cases: 1, failure_persistence: None, max_shrink_iters: 2_000, ..Config::default() };
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&number.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let mut runner = TestRunner::new_with_rng(config.clone(), rng);
    let strategy = Planner::sequential_strategy(STEPS);
    let run = runner.run(&strategy, |(plan, steps, seen)| {
        Machine::test_sequential(config.clone(), plan, steps, seen);
        Ok::<(), TestCaseError>(())
    });
    run.map_err(|error| format!("sequence {number}: {error}"))
}

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// Runs so many sequences on every core there is; says of the first failure how to repeat it.
fn run_sequences(count: u64) {
    let first = number("SEQUENCES_FIRST", 0);
    let next = AtomicU64::new(first);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let work = || {
        let take = || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|n| *n < first + count);
        std::iter::from_fn(take).find_map(|n| run_sequence(n).err())
    };
    let failures: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().filter_map(|t| t.join().unwrap()).collect()
    });
    assert!(failures.is_empty(), "repeat with SEQUENCES_FIRST=N SEQUENCES=1\n{}", failures.join("\n"));
}

#[test]
fn whatever_happens_the_laws_hold_and_every_sector_comes_to_rest() {
    run_sequences(number("SEQUENCES", 40));
}

#[test]
#[ignore = "minutes; make test-long runs it"]
fn ten_thousand_sequences_keep_the_laws() {
    run_sequences(number("SEQUENCES", 10_000));
}
