//! What goes wrong in a run and when, all of it drawn from the seed before the run begins.

use sp_sectors::Loss;

use crate::rng::Rng;

/// No fault begins later than this ...
const LAST_MS: u64 = 45_000;

/// ... and every one is over by now.
pub const CALM_MS: u64 = 65_000;

/// Hosts with something to lose.
const HOSTS: [&str; 4] = ["index", "scheduler", "worker-a", "worker-b"];

/// Links that services use.
const LINKS: [(&str, &str); 6] = [
    ("index", "scheduler"),
    ("index", "worker-a"),
    ("index", "worker-b"),
    ("scheduler", "worker-a"),
    ("scheduler", "worker-b"),
    ("worker-a", "worker-b"),
];

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The process is killed; the kernel closes its sockets.
    Kill(&'static str),
    /// The machine loses power: silence on the network, unsynced writes gone.
    PowerCut(&'static str, Loss),
    /// The process is asked to stop.
    Stop(&'static str),
    /// No message passes between two hosts.
    Partition(&'static str, &'static str),
    /// None passes in this direction.
    OneWay(&'static str, &'static str),
    /// Every message takes so many milliseconds.
    Slow(&'static str, &'static str, u64),
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

/// The faults of a run, by their beginning. No host and no link has two at once.
pub fn plan(seed: u64) -> Vec<Planned> {
    let mut rng = Rng::new(seed, "faults", 0);
    let wanted = rng.range(6, 14);
    let mut plan: Vec<Planned> = Vec::new();
    for _ in 0..wanted {
        let from_ms = rng.range(500, LAST_MS);
        let fault = draw(&mut rng);
        let longest = if matches!(fault, Fault::Slow(..)) { CALM_MS - LAST_MS } else { 20_000 };
        let planned = Planned { from_ms, to_ms: from_ms + rng.range(200, longest), fault };
        if plan.iter().all(|other| !planned.disturbs(other)) {
            plan.push(planned);
        }
    }
    plan.sort_by_key(|planned| planned.from_ms);
    plan
}

fn draw(rng: &mut Rng) -> Fault {
    let host = *rng.pick(&HOSTS);
    let (a, b) = *rng.pick(&LINKS);
    match rng.range(0, 100) {
        0..30 => Fault::Kill(host),
        30..50 => {
            let loss = if rng.percent(50) { Loss::Unsynced } else { Loss::Some(rng.value()) };
            Fault::PowerCut(host, loss)
        }
        50..60 => Fault::Stop(host),
        60..78 => Fault::Partition(a, b),
        78..84 => Fault::OneWay(a, b),
        84..90 => Fault::OneWay(b, a),
        _ => Fault::Slow(a, b, rng.range(100, 1_500)),
    }
}

impl Fault {
    /// What it is counted as.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Kill(_) => "kill",
            Self::PowerCut(..) => "power cut",
            Self::Stop(_) => "stop",
            Self::Partition(..) => "partition",
            Self::OneWay(..) => "one-way partition",
            Self::Slow(..) => "slow link",
        }
    }

    /// The host, if it is about one.
    pub fn host(&self) -> Option<&'static str> {
        match self {
            Self::Kill(host) | Self::PowerCut(host, _) | Self::Stop(host) => Some(host),
            _ => None,
        }
    }

    fn touches(&self) -> Vec<&'static str> {
        match *self {
            Self::Kill(host) | Self::PowerCut(host, _) | Self::Stop(host) => vec![host],
            Self::Partition(a, b) | Self::OneWay(a, b) | Self::Slow(a, b, _) => vec![a, b],
        }
    }
}

impl Planned {
    /// At the same time, and on the same host or link. A power cut uses all links of its host.
    fn disturbs(&self, other: &Self) -> bool {
        let apart = self.to_ms < other.from_ms || other.to_ms < self.from_ms;
        let (ours, theirs) = (self.fault.touches(), other.fault.touches());
        let shared = ours.iter().filter(|name| theirs.contains(name)).count();
        let both_links = ours.len() == 2 && theirs.len() == 2;
        !apart && if both_links { shared == 2 } else { shared > 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_follow_from_the_seed_and_end_in_time() {
        for seed in 0..500 {
            let plan = plan(seed);
            assert_eq!(plan, super::plan(seed));
            assert!(!plan.is_empty());
            assert!(plan.iter().all(|p| p.from_ms < p.to_ms && p.to_ms <= CALM_MS), "{plan:?}");
        }
        assert_ne!(plan(1), plan(2));
    }
}
