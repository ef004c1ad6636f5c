//! The runs themselves: the same seed gives the same trace, byte for byte, with everything that anybody logs (law L13).
// Starts real processes.
#![allow(clippy::disallowed_methods)]

use std::process::Command;

/// Seeds that are run twice: storms and calm ones, with and without messages that come twice.
const SEEDS: [u64; 3] = [3, 4, 8];

/// A bad day on which messages come twice and sectors are sealed besides.
const DAYS: [u64; 1] = [3];

/// The log of a run, every message on the network among it, and its trace.
fn record(seed: u64, is_day: bool) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sp-sim"));
    // Not what these say: hyper writes the real date into its headers, and frames differ in length by that.
    let filter = "trace,h2=off,hyper=off,hyper_util=off";
    if is_day {
        command.env("SIM_DAY", "1");
    }
    let command = command.env("SIM_CHILD_SEED", seed.to_string()).env("SIM_LOG", filter);
    let output = command.output().expect("it runs");
    let (log, told) =
        (String::from_utf8(output.stderr).expect("text"), String::from_utf8(output.stdout).expect("text"));
    // Not the bytes of messages, for the same reason, and not the processor's time.
    let log = log.lines().map(|line| line.split(" [0x").next().unwrap_or_default().to_owned() + "\n");
    log.chain(told.lines().filter(|line| !line.starts_with("cpu ")).map(|line| line.to_owned() + "\n")).collect()
}

#[test]
fn the_same_seed_is_the_same_run() {
    for (seed, is_day) in SEEDS.map(|seed| (seed, false)).into_iter().chain(DAYS.map(|seed| (seed, true))) {
        let [first, second] = [record(seed, is_day), record(seed, is_day)];
        assert!(first.len() > 100_000, "seed {seed}: nothing was recorded");
        if let Some((number, (one, other))) = first.lines().zip(second.lines()).enumerate().find(|(_, (a, b))| a != b) {
            panic!("seed {seed} ran in two ways; line {number}:\n{one}\n{other}");
        }
        assert_eq!(first.len(), second.len(), "seed {seed}: one run went on for longer");
    }
}
