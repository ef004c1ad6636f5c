//! One seed in a process of its own: what it tells the process that started it, and how that reads it.
// Standard output, panics and the processor's clock are the real ones.
#![allow(clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::{day, scenario};

/// Names the seed to the process that is to run it.
pub const SEED: &str = "SIM_CHILD_SEED";

/// Set for a process that is to run it as a day.
pub const DAY: &str = "SIM_DAY";

/// The line before the text.
const TEXT: &str = "text";

/// What a seed's process has told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// Everything came right.
    pub ok: bool,
    /// Simulated time.
    pub took_ms: u64,
    /// Processor time.
    pub cpu_ms: u64,
    /// Times that more ran on a machine than fits, attempts that had ended among it.
    pub crowded: u64,
    /// Faults by kind.
    pub faults: BTreeMap<String, u64>,
    /// What became of sectors, or of proofs.
    pub sectors: BTreeMap<String, u64>,
    /// The trace, or the complaint.
    pub text: String,
}

impl Told {
    /// Nothing is known but that it failed.
    pub fn failed(text: String) -> Self {
        Self { text, ..Self::default() }
    }
}

/// What panics have said: a simulated process that panics ends the run, and turmoil does not say why.
static PANICS: Mutex<String> = Mutex::new(String::new());

/// Runs the seed, perhaps as a day, and prints what came of it.
pub fn run(seed: u64, is_day: bool) {
    std::panic::set_hook(Box::new(|panic| {
        let mut panics = PANICS.lock().unwrap_or_else(PoisonError::into_inner);
        let is_second = !panics.is_empty();
        *panics += &format!("{panic}\n{}\n", std::backtrace::Backtrace::capture());
        if is_second {
            // One while another unwinds aborts the process, and then nobody says anything.
            eprintln!("{panics}");
        }
    }));
    let outcome = std::panic::catch_unwind(|| if is_day { day::run(seed) } else { scenario::run(seed) });
    let panics = PANICS.lock().unwrap_or_else(PoisonError::into_inner).clone();
    println!("cpu {}", cpu_ms());
    match outcome {
        Ok(Ok(report)) => {
            println!("took {}\ncrowded {}", report.took_ms, report.crowded);
            report.faults.iter().for_each(|(kind, count)| println!("fault {count} {kind}"));
            report.sectors.iter().for_each(|(kind, count)| println!("sector {count} {kind}"));
            println!("ok\n{TEXT}\n{}", report.trace);
        }
        Ok(Err(complaint)) => println!("{TEXT}\n{complaint}\n{panics}"),
        Err(_) => println!("{TEXT}\nseed {seed}: a panic\n{panics}"),
    }
}

/// Reads what a process has printed; `ended` says how it ended.
pub fn read(output: &str, ended: &str) -> Told {
    let Some((head, text)) = output.split_once(&format!("{TEXT}\n")) else {
        return Told::failed(format!("its process told nothing and {ended}"));
    };
    let mut told = Told { text: text.to_owned(), ..Told::default() };
    for line in head.lines() {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let number = || rest.parse().unwrap_or(0);
        let counted = || rest.split_once(' ').and_then(|(n, kind)| Some((kind.to_owned(), n.parse().ok()?)));
        match word {
            "ok" => told.ok = true,
            "took" => told.took_ms = number(),
            "cpu" => told.cpu_ms = number(),
            "crowded" => told.crowded = number(),
            "fault" => told.faults.extend(counted()),
            "sector" => told.sectors.extend(counted()),
            _ => {}
        }
    }
    told
}

fn cpu_ms() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec.unsigned_abs() * 1000 + time.tv_nsec.unsigned_abs() / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_read() {
        let told = read("cpu 12\ntook 340\ncrowded 1\nfault 3 power cut\nsector 4 snapped\nok\ntext\none\ntext\n", "");
        let counts = |kind: &str, n| BTreeMap::from([(kind.to_owned(), n)]);
        let expected = Told {
            ok: true,
            took_ms: 340,
            cpu_ms: 12,
            crowded: 1,
            faults: counts("power cut", 3),
            sectors: counts("snapped", 4),
            text: "one\ntext\n".into(),
        };
        assert_eq!(told, expected);
        assert!(!read("cpu 3\ntext\nwrong", "").ok);
        assert!(read("", "was killed").text.ends_with("was killed"));
    }
}
