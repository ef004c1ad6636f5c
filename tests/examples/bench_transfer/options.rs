//! What the measurement is told.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

/// Sizes.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Length of the file.
    pub(crate) mib: u64,
    /// Runs of each figure.
    pub(crate) runs: usize,
    /// Where the disk is that is measured.
    pub(crate) dir: PathBuf,
    /// Only this part.
    only: Option<String>,
}

impl Options {
    /// From the command line.
    pub(crate) fn parse(mut args: impl Iterator<Item = String>) -> Result<Self> {
        let mut options = Self { mib: 4096, runs: 7, dir: std::env::temp_dir(), only: None };
        while let Some(flag) = args.next() {
            if flag == "--quick" {
                options = Self { mib: 512, runs: 3, ..options };
                continue;
            }
            let value = args.next().with_context(|| format!("{flag} needs a value"))?;
            let number = || value.parse::<u64>().with_context(|| format!("{flag}: `{value}` is no number"));
            match flag.as_str() {
                "--mib" => options.mib = number()?.max(64),
                "--runs" => options.runs = number()?.max(1) as usize,
                "--dir" => options.dir = value.into(),
                "--only" => options.only = Some(value),
                _ => bail!(
                    "unknown flag {flag}; usage: bench_transfer [--quick] [--mib N] [--runs N] [--dir DIR] \
                     [--only disk|memory|cut]"
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
