//! CPU time: of servers that run on, and of clients that have ended.

use anyhow::{Context, Result};

/// Ticks of the kernel's clock per second, as every Linux of these days shows them.
const TICKS_PER_S: f64 = 100.0;

/// CPU seconds up to now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spent(f64);

impl Spent {
    /// Of these processes with their children, and of every child of this process that has ended.
    pub(crate) fn now(servers: &[u32]) -> Result<Self> {
        let mut ticks = fields("self")?[2..].iter().sum::<u64>();
        for server in servers {
            ticks += fields(&server.to_string())?.iter().sum::<u64>();
        }
        Ok(Self(ticks as f64 / TICKS_PER_S))
    }

    /// Seconds between the two.
    pub(crate) fn since(self, earlier: &Self) -> f64 {
        self.0 - earlier.0
    }
}

/// utime, stime, and those of the children that were waited for.
fn fields(process: &str) -> Result<[u64; 4]> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name of the process is in brackets and may hold anything.
    let (_, rest) = stat.rsplit_once(')').context("an odd /proc/stat")?;
    let fields: Vec<u64> = rest.split_whitespace().skip(11).take(4).map_while(|field| field.parse().ok()).collect();
    fields.try_into().ok().context("an odd /proc/stat")
}

/// Most memory that a process has had.
pub(crate) fn peak_mib(process: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    Ok(peak.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
}
