//! CPU time: of servers that run on, with what they have started, and of clients that have ended.

use anyhow::{Context, Result};

/// Ticks of the kernel's clock per second, as every Linux of these days shows them.
const TICKS_PER_S: f64 = 100.0;

/// Places of the parent and of the first time in what follows the name.
const PARENT: usize = 1;
const TIMES: usize = 11;

/// CPU seconds up to now.
#[derive(Debug, Clone, Copy)]
pub struct Spent(f64);

impl Spent {
    /// Of these processes with their children, and of every child of this process that has ended.
    pub fn now(servers: &[u32]) -> Result<Self> {
        let mut ticks = fields("self")?[2..].iter().sum::<u64>();
        for server in servers {
            ticks += fields(&server.to_string())?.iter().sum::<u64>();
        }
        Ok(Self(ticks as f64 / TICKS_PER_S))
    }

    /// Seconds between the two.
    pub fn since(self, earlier: &Self) -> f64 {
        self.0 - earlier.0
    }
}

/// CPU seconds of a process up to now, with what its children took that have ended.
pub fn of(process: u32) -> Result<f64> {
    Ok(fields(&process.to_string())?.iter().sum::<u64>() as f64 / TICKS_PER_S)
}

/// The same, with its children that are running.
pub fn with_children(process: u32) -> Result<f64> {
    let mut seconds = of(process)?;
    for entry in std::fs::read_dir("/proc")? {
        let Some(other) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // One that has ended meanwhile is nobody's child any more.
        if stat(&format!("{other}")).is_ok_and(|stat| stat.get(PARENT) == Some(&process.to_string())) {
            seconds += of(other)?;
        }
    }
    Ok(seconds)
}

/// CPU seconds that the machine has given to anybody up to now, and what was taken from it.
pub fn by_all() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/stat")?;
    let line = stat.lines().next().and_then(|line| line.strip_prefix("cpu ")).context("an odd /proc/stat")?;
    let ticks: Vec<f64> = line.split_whitespace().map_while(|field| field.parse().ok()).collect();
    // user, nice, system, idle, iowait, irq, softirq, steal; what follows is part of the first two.
    let busy = [0, 1, 2, 5, 6, 7].iter().map(|at| ticks.get(*at).context("an odd /proc/stat"));
    Ok(busy.sum::<Result<f64>>()? / TICKS_PER_S)
}

/// utime, stime, and those of the children that were waited for.
fn fields(process: &str) -> Result<[u64; 4]> {
    let stat = stat(process)?;
    let fields: Vec<u64> = stat.iter().skip(TIMES).take(4).map_while(|field| field.parse().ok()).collect();
    fields.try_into().ok().context("an odd /proc/stat")
}

/// What /proc says of a process, from its state on.
fn stat(process: &str) -> Result<Vec<String>> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name of the process is in brackets and may hold anything.
    let (_, rest) = stat.rsplit_once(')').context("an odd /proc/stat")?;
    Ok(rest.split_whitespace().map(str::to_owned).collect())
}

/// Most memory that a process has had.
pub fn peak_mib(process: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    Ok(peak.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
}
