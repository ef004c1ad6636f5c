//! Twenty seeds, or as many as `SIM_SEEDS` says, from `SIM_FIRST` on; and one of them twice.
// The threads that runs are spread over are real ones.
#![allow(clippy::disallowed_methods)]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, Once};

use sp_sim::scenario;
use tracing_subscriber::EnvFilter;

const SEEDS: u64 = 20;

fn logs() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // `SIM_LOG=info` shows what the services say; best with one seed.
        let filter = EnvFilter::try_from_env("SIM_LOG").unwrap_or_else(|_| EnvFilter::new("off"));
        tracing_subscriber::fmt().with_env_filter(filter).without_time().with_test_writer().init();
    });
}

fn number(name: &str, otherwise: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().expect("a number"),
        Err(_) => otherwise,
    }
}

#[test]
fn every_seed_comes_right() {
    logs();
    let (first, count) = (number("SIM_FIRST", 0), number("SIM_SEEDS", SEEDS));
    let (next, failed) = (AtomicU64::new(first), Mutex::new(Vec::new()));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::SeqCst);
            if seed >= first + count {
                return;
            }
            match std::panic::catch_unwind(|| scenario::run(seed)) {
                Ok(Ok(report)) => {
                    let traced = std::env::var_os("SIM_TRACE").is_some();
                    let trace = if traced { format!("\n{}", report.trace) } else { String::new() };
                    println!("seed {seed}: {} faults, {} ms{trace}", report.faults, report.took_ms);
                }
                Ok(Err(complaint)) => failed.lock().unwrap().push(complaint),
                Err(_) => failed.lock().unwrap().push(format!("seed {seed}: a panic; it is printed above")),
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} of {count} seeds failed\n{}", failed.len(), failed.join("\n"));
}

#[test]
fn the_same_seed_is_the_same_run() {
    logs();
    for seed in [3, 4] {
        let [first, second] = [scenario::run(seed), scenario::run(seed)];
        assert_eq!(first, second, "seed {seed} ran in two ways");
    }
}
