//! What the measurement is told.

use anyhow::{Context, Result, bail};

/// Sizes.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Light workers.
    pub(crate) workers: usize,
    /// Sectors of one run of the throughput.
    pub(crate) sectors: u64,
    /// Sectors of one run of the latency.
    pub(crate) samples: usize,
    /// Runs of each figure.
    pub(crate) runs: usize,
    /// The core checks its laws, as builds with debug assertions do and releases do not.
    pub(crate) check_laws: bool,
    /// Only this part.
    pub(crate) only: Option<String>,
}

impl Options {
    /// From the command line.
    pub(crate) fn parse(args: impl Iterator<Item = String>) -> Result<Self> {
        let mut options = Self { workers: 200, sectors: 1_000, samples: 100, runs: 3, check_laws: false, only: None };
        let mut args = args;
        while let Some(flag) = args.next() {
            if flag == "--quick" {
                options = Self { workers: 10, sectors: 20, samples: 10, ..options };
                continue;
            }
            if flag == "--check-laws" {
                options.check_laws = true;
                continue;
            }
            let value = args.next().with_context(|| format!("{flag} needs a value"))?;
            let number = || value.parse::<usize>().with_context(|| format!("{flag}: `{value}` is no number"));
            match flag.as_str() {
                "--only" => options.only = Some(value),
                "--workers" => options.workers = number()?.max(1),
                "--sectors" => options.sectors = number()?.max(1) as u64,
                "--samples" => options.samples = number()?.max(1),
                "--runs" => options.runs = number()?.max(1),
                _ => bail!(
                    "unknown flag {flag}; usage: bench_sched [--quick] [--workers N] [--sectors N] [--samples N] \
                     [--runs N] [--check-laws] [--only load|latency]"
                ),
            }
        }
        Ok(options)
    }

    /// Is this part to be done?
    pub(crate) fn does(&self, part: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only == part)
    }
}
