//! What goes wrong in a run and when, all of it drawn from the seed before the run begins.

use sp_sectors::Loss;

use crate::cast::{Cast, INDEX, Weather};
use crate::rng::Rng;

/// No fault begins later than this ...
const LAST_MS: u64 = 45_000;

/// ... and every one is over by now.
const CALM_MS: u64 = 65_000;

/// Late ones begin, and end, so much later: when sectors are being updated.
const LATE_MS: u64 = 45_000;

/// A storm lasts this long, and there is no calm after it.
pub const STORM_MS: u64 = 150_000;

/// The longest fault.
const LONGEST_MS: u64 = 20_000;

/// When every fault of a run is over, unless it is a storm.
pub fn calm_ms(cast: &Cast) -> u64 {
    CALM_MS + late_ms(cast)
}

fn late_ms(cast: &Cast) -> u64 {
    if cast.late && !cast.stormy { LATE_MS } else { 0 }
}

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The process is killed; the kernel closes its sockets.
    Kill(&'static str),
    /// The process is asked to stop.
    Stop(&'static str),
    /// The machine loses power: silence on the network, unsynced writes gone.
    PowerCut(&'static str, Loss),
    /// The same in the middle of what the host's process does to its disk: after so many more changes.
    CutInCalls(&'static str, u64, Loss),
    /// The index stops and starts with nothing: its state is lost, and the workers declare anew.
    IndexLost,
    /// No message passes between two hosts.
    Partition(&'static str, &'static str),
    /// None passes in this direction.
    OneWay(&'static str, &'static str),
    /// Messages wait, and all come at the end.
    Stall(&'static str, &'static str),
    /// Every message takes so many milliseconds.
    Slow(&'static str, &'static str, u64),
    /// The machine's wall clock is set by so many milliseconds, once.
    Clock(&'static str, i64),
    /// The host's disk has no room.
    DiskFull(&'static str),
    /// Everything that blocks on this machine takes up to so many milliseconds.
    DiskSlow(&'static str, u64),
    /// The next sync of the host's disk fails.
    SyncError(&'static str),
    /// The chain refuses.
    ChainDown,
    /// The chain does what it is asked and says that it did not.
    ChainForgetful,
    /// The verifier cannot decide.
    VerifierDown,
    /// The verifier thinks so many milliseconds longer.
    VerifierSlow(u64),
    /// What the host reads and proves gets no answer. Only in days.
    Hangs(&'static str),
    /// What the host reads and proves is wrong. Only in days.
    Lies(&'static str),
}

/// When a fault begins and ends, ms since the run began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    /// Begin.
    pub from_ms: u64,
    /// End: restart, repair.
    pub to_ms: u64,
    /// What.
    pub fault: Fault,
}

/// The faults of a run, by their beginning.
pub fn plan(seed: u64, cast: &Cast) -> Vec<Planned> {
    let mut rng = Rng::new(seed, "faults", 0);
    // As dense over a storm as otherwise.
    let (wanted, last_ms) = match cast.stormy {
        true => (rng.range(20, 50), STORM_MS),
        false => (rng.range(6, 18), LAST_MS),
    };
    let mut plan: Vec<Planned> = Vec::new();
    for _ in 0..wanted {
        let Some(fault) = draw(&mut rng, cast) else { break };
        let from_ms = rng.range(500, last_ms) + late_ms(cast);
        let planned = Planned { from_ms, to_ms: from_ms + rng.range(200, LONGEST_MS), fault };
        if plan.iter().all(|other| !planned.disturbs(other, cast)) {
            plan.push(planned);
        }
    }
    plan.sort_by_key(|planned| planned.from_ms);
    plan
}

type Draw = fn(&mut Rng, &Cast) -> Fault;

/// None when the weather is fine.
fn draw(rng: &mut Rng, cast: &Cast) -> Option<Fault> {
    let Weather { kills, power, links, disks, clocks, helpers, .. } = cast.weather;
    let groups: [(bool, u64, Draw); 6] = [
        (kills, 30, draw_kill),
        (power, 20, draw_power),
        (links, 30, draw_link),
        (disks, 20, draw_disk),
        (clocks, 8, draw_clock),
        (helpers, 12, draw_helper),
    ];
    let all: u64 = groups.iter().filter(|(on, ..)| *on).map(|(_, weight, _)| weight).sum();
    let mut left = if all == 0 { return None } else { rng.range(0, all) };
    for (_, weight, draw) in groups.iter().filter(|(on, ..)| *on) {
        if left < *weight {
            return Some(draw(rng, cast));
        }
        left -= weight;
    }
    None
}

fn draw_kill(rng: &mut Rng, cast: &Cast) -> Fault {
    let host = *rng.pick(&cast.hosts());
    if rng.percent(75) { Fault::Kill(host) } else { Fault::Stop(host) }
}

fn draw_power(rng: &mut Rng, cast: &Cast) -> Fault {
    let loss = if rng.percent(30) { Loss::Unsynced } else { Loss::Some(rng.value()) };
    let (host, machine) = (*rng.pick(&cast.hosts()), rng.pick(&cast.machines()).0);
    match rng.percent(50) {
        true => Fault::CutInCalls(host, rng.range(0, 200), loss),
        false if rng.percent(10) => Fault::IndexLost,
        false => Fault::PowerCut(machine, loss),
    }
}

fn draw_link(rng: &mut Rng, cast: &Cast) -> Fault {
    let hosts = cast.hosts();
    let a = *rng.pick(&hosts);
    let others: Vec<_> = hosts.iter().filter(|host| **host != a).copied().collect();
    let b = *rng.pick(&others);
    match rng.range(0, 100) {
        0..35 => Fault::Partition(a, b),
        35..60 => Fault::OneWay(a, b),
        60..80 => Fault::Stall(a, b),
        _ => Fault::Slow(a, b, rng.range(100, 1_500)),
    }
}

fn draw_disk(rng: &mut Rng, cast: &Cast) -> Fault {
    let host = *rng.pick(&cast.hosts());
    match rng.range(0, 100) {
        0..40 => Fault::DiskFull(host),
        40..70 => Fault::SyncError(host),
        _ => Fault::DiskSlow(rng.pick(&cast.machines()).0, rng.range(100, 3_000)),
    }
}

fn draw_clock(rng: &mut Rng, cast: &Cast) -> Fault {
    let (by_ms, back) = (rng.range(1_000, 4 * 3_600_000) as i64, rng.percent(50));
    let machine = rng.pick(&cast.machines()).0;
    Fault::Clock(machine, if back { -by_ms } else { by_ms })
}

fn draw_helper(rng: &mut Rng, _: &Cast) -> Fault {
    match rng.range(0, 4) {
        0 => Fault::ChainDown,
        1 => Fault::ChainForgetful,
        2 => Fault::VerifierDown,
        _ => Fault::VerifierSlow(rng.range(1_000, 15_000)),
    }
}

impl Fault {
    /// What it is counted as.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Kill(_) => "kill",
            Self::Stop(_) => "stop",
            Self::PowerCut(..) => "power cut",
            Self::CutInCalls(..) => "power cut between disk calls",
            Self::IndexLost => "index state lost",
            Self::Partition(..) => "partition",
            Self::OneWay(..) => "one-way partition",
            Self::Stall(..) => "stalled link",
            Self::Slow(..) => "slow link",
            Self::Clock(..) => "clock set",
            Self::DiskFull(_) => "disk full",
            Self::DiskSlow(..) => "slow disk",
            Self::SyncError(_) => "failed sync",
            Self::ChainDown => "chain down",
            Self::ChainForgetful => "chain forgetful",
            Self::VerifierDown => "verifier down",
            Self::VerifierSlow(_) => "slow verifier",
            Self::Hangs(_) => "reads and proofs hang",
            Self::Lies(_) => "worker lies",
        }
    }

    /// Hosts whose processes it takes down.
    pub fn downs(&self, cast: &Cast) -> Vec<&'static str> {
        let machines = cast.machines();
        let of_machine = |name: &str| machines.iter().find(|(m, _)| *m == name).map(|(_, hosts)| hosts.clone());
        let machine_of =
            |host| machines.iter().find(|(_, hosts)| hosts.contains(&host)).map(|(_, hosts)| hosts.clone());
        match *self {
            Self::Kill(host) | Self::Stop(host) => vec![host],
            Self::IndexLost => vec![INDEX],
            Self::PowerCut(machine, _) => of_machine(machine).unwrap_or_default(),
            Self::CutInCalls(host, ..) => machine_of(host).unwrap_or_default(),
            _ => vec![],
        }
    }
}

impl Planned {
    /// At the same time as another that it cannot be told apart from: two that take down one process, or two of one
    /// kind. Everything else may come together.
    fn disturbs(&self, other: &Self, cast: &Cast) -> bool {
        let apart = self.to_ms < other.from_ms || other.to_ms < self.from_ms;
        let (ours, theirs) = (self.fault.downs(cast), other.fault.downs(cast));
        let alike = ours.is_empty() && std::mem::discriminant(&self.fault) == std::mem::discriminant(&other.fault);
        !apart && (alike || ours.iter().any(|host| theirs.contains(host)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_follow_from_the_seed_and_end_in_time() {
        let mut kinds = std::collections::BTreeSet::new();
        for seed in 0..500 {
            let cast = Cast::of(seed);
            let plan = plan(seed, &cast);
            assert_eq!(plan, super::plan(seed, &cast));
            let end = if cast.stormy { STORM_MS + LONGEST_MS } else { calm_ms(&cast) };
            assert!(plan.iter().all(|p| p.from_ms < p.to_ms && p.to_ms <= end), "{plan:?}");
            kinds.extend(plan.iter().map(|planned| planned.fault.kind()));
        }
        assert_eq!(kinds.len(), 17, "{kinds:?}");
    }
}
