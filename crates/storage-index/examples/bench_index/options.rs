//! What the measurement is told: sizes, runs, and which parts of it to do.

/// Parts, in the order in which they are done.
const PARTS: [&str; 4] = ["core", "growth", "service", "path"];

/// How the measurement runs.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Paths.
    pub(crate) stores: usize,
    /// Sectors, each with a sealed file and a cache.
    pub(crate) sectors: usize,
    /// Runs of each figure.
    pub(crate) runs: usize,
    /// Questions of one run.
    pub(crate) questions: usize,
    /// Sectors of the real path.
    pub(crate) on_disk: usize,
    /// Parts to do; all, if empty.
    pub(crate) only: Vec<String>,
}

impl Options {
    fn promised() -> Self {
        Self { stores: 1_000, sectors: 1_000_000, runs: 5, questions: 2_000, on_disk: 50_000, only: Vec::new() }
    }

    /// Small enough for a glance.
    fn quick(self) -> Self {
        Self { stores: 100, sectors: 50_000, runs: 3, questions: 500, on_disk: 2_000, ..self }
    }

    /// From the command line.
    pub(crate) fn parse(args: impl Iterator<Item = String>) -> Result<Self, String> {
        let (mut options, mut args) = (Self::promised(), args);
        while let Some(flag) = args.next() {
            if flag == "--quick" {
                options = options.quick();
                continue;
            }
            let value = args.next().ok_or_else(|| format!("{flag} needs a value\n{}", usage()))?;
            if flag == "--only" {
                options.only = value.split(',').map(str::to_owned).collect();
                continue;
            }
            let number = value.parse().map_err(|_| format!("{flag}: `{value}` is no number"))?;
            match flag.as_str() {
                "--stores" => options.stores = number,
                "--sectors" => options.sectors = number,
                "--runs" => options.runs = number,
                "--questions" => options.questions = number,
                "--on-disk" => options.on_disk = number,
                _ => return Err(format!("unknown flag {flag}\n{}", usage())),
            }
        }
        options.checked()
    }

    fn checked(self) -> Result<Self, String> {
        if let Some(part) = self.only.iter().find(|part| !PARTS.contains(&part.as_str())) {
            return Err(format!("unknown part `{part}`\n{}", usage()));
        }
        if [self.stores, self.sectors, self.runs, self.questions, self.on_disk].contains(&0) {
            return Err("every size must be above zero".to_owned());
        }
        Ok(self)
    }

    /// Is this part to be done?
    pub(crate) fn does(&self, part: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == part)
    }
}

fn usage() -> String {
    format!(
        "usage: bench_index [--quick] [--stores N] [--sectors N] [--runs N] [--questions N] [--on-disk N] [--only {}]",
        PARTS.join(",")
    )
}
