//! What the measurement is told: sizes, runs, and which parts of it to do.

/// Parts, in the order in which they are done.
const PARTS: [&str; 6] = ["events", "placement", "memory", "growth", "lotus", "packing"];

/// How the measurement runs.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Workers of the large cluster.
    pub(crate) workers: usize,
    /// Tasks that wait in it.
    pub(crate) queue: usize,
    /// Runs of each figure.
    pub(crate) runs: usize,
    /// Heartbeats of one run; results and new tasks come with them.
    pub(crate) heartbeats: usize,
    /// Workers and tasks of the comparison with Lotus's pass.
    pub(crate) lotus: (usize, usize),
    /// Random cases of the packing.
    pub(crate) cases: usize,
    /// Parts to do; all, if empty.
    pub(crate) only: Vec<String>,
}

impl Options {
    fn promised() -> Self {
        Self {
            workers: 1_000,
            queue: 100_000,
            runs: 5,
            heartbeats: 2_000,
            lotus: (100, 1_000),
            cases: 1_000,
            only: Vec::new(),
        }
    }

    /// Small enough for a glance.
    fn quick(self) -> Self {
        Self { workers: 100, queue: 1_000, runs: 3, heartbeats: 200, lotus: (20, 200), cases: 200, ..self }
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
                "--workers" => options.workers = number,
                "--queue" => options.queue = number,
                "--runs" => options.runs = number,
                "--heartbeats" => options.heartbeats = number,
                "--lotus-workers" => options.lotus.0 = number,
                "--lotus-tasks" => options.lotus.1 = number,
                "--cases" => options.cases = number,
                _ => return Err(format!("unknown flag {flag}\n{}", usage())),
            }
        }
        options.checked()
    }

    fn checked(self) -> Result<Self, String> {
        if let Some(part) = self.only.iter().find(|part| !PARTS.contains(&part.as_str())) {
            return Err(format!("unknown part `{part}`\n{}", usage()));
        }
        let sizes = [self.workers, self.queue, self.runs, self.heartbeats, self.lotus.0, self.lotus.1, self.cases];
        if sizes.contains(&0) {
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
        "usage: bench_core [--quick] [--workers N] [--queue N] [--runs N] [--heartbeats N] [--lotus-workers N] \
         [--lotus-tasks N] [--cases N] [--only {}]",
        PARTS.join(",")
    )
}
