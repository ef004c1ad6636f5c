//! What the measurement is told.

use anyhow::{Context, Result, bail};

/// Sizes.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Runs of each figure.
    pub(crate) runs: usize,
    /// Partitions, and light workers, of the failover among many.
    pub(crate) partitions: usize,
    pub(crate) provers: usize,
    /// Requests of winning PoSts.
    pub(crate) winning: usize,
    /// Leave out what takes its time: an opening of a deadline, and a run of real proofs that warms the others.
    pub(crate) quick: bool,
    /// Only this part.
    only: Option<String>,
}

impl Options {
    /// From the command line.
    pub(crate) fn parse(mut args: impl Iterator<Item = String>) -> Result<Self> {
        let mut options = Self { runs: 3, partitions: 1_000, provers: 200, winning: 20, quick: false, only: None };
        while let Some(flag) = args.next() {
            if flag == "--quick" {
                options = Self { runs: 1, partitions: 200, provers: 40, winning: 4, quick: true, ..options };
                continue;
            }
            let value = args.next().with_context(|| format!("{flag} needs a value"))?;
            let number = || value.parse::<usize>().with_context(|| format!("{flag}: `{value}` is no number"));
            match flag.as_str() {
                "--only" => options.only = Some(value),
                "--partitions" => options.partitions = number()?.max(1),
                "--provers" => options.provers = number()?.max(8),
                "--runs" => options.runs = number()?.max(1),
                _ => bail!(
                    "unknown flag {flag}; usage: bench_post [--quick] [--runs N] [--partitions N] [--provers N] [--only \
                     makespan|failover|winning|control|reads]"
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
