//! What goes wrong in a day and when, all of it drawn from the seed.

use sp_sectors::Loss;

use super::Day;
use crate::cast::{Cast, INDEX, SCHEDULER};
use crate::faults::{Fault, Planned};
use crate::rng::Rng;

/// Until then the operator has the sectors taken over.
const FIRST_MS: u64 = 30_000;
/// The shortest trouble.
const SHORTEST_MS: u64 = 200;
/// How often there is something in the worst days.
const EVERY_MS: u64 = 2_500;
/// The longest trouble with the scheduler, and with what it asks ...
const SERVICE_MS: u64 = 15_000;
/// ... and with a worker.
const WORKER_MS: u64 = 120_000;

/// The faults of a day, by their beginning.
pub(super) fn plan(seed: u64, cast: &Cast, day: &Day) -> Vec<Planned> {
    if day.quiet {
        return Vec::new();
    }
    let mut rng = Rng::new(seed, "day faults", 0);
    let last_ms = day.ms_of(day.last_close());
    // One in so long a time: in some days hardly anybody is ever there, in others hardly anybody is away.
    let every_ms = EVERY_MS << rng.range(0, 5);
    let mut plan: Vec<Planned> = Vec::new();
    for _ in 0..(last_ms - FIRST_MS) / every_ms {
        let (fault, longest_ms) = draw(&mut rng, cast, day);
        let from_ms = rng.range(FIRST_MS, last_ms);
        let planned = Planned { from_ms, to_ms: from_ms + rng.range(SHORTEST_MS, longest_ms), fault };
        if plan.iter().all(|other| !clash(&planned, other, cast)) {
            plan.push(planned);
        }
    }
    plan.sort_by_key(|planned| planned.from_ms);
    plan
}

/// Two at one time of which the second to end would end what the first has begun.
fn clash(one: &Planned, other: &Planned, cast: &Cast) -> bool {
    let apart = one.to_ms < other.from_ms || other.to_ms < one.from_ms;
    let (ours, theirs) = (one.fault.downs(cast), other.fault.downs(cast));
    let alike = match (one.fault, other.fault) {
        (Fault::DiskSlow(machine, _), Fault::DiskSlow(same, _)) => machine == same,
        (Fault::VerifierSlow(_), Fault::VerifierSlow(_)) => true,
        (fault, same) => fault == same,
    };
    !apart && (alike || ours.iter().any(|host| theirs.contains(host)))
}

/// A fault, and how long it lasts at most.
fn draw(rng: &mut Rng, cast: &Cast, day: &Day) -> (Fault, u64) {
    let workers: Vec<&'static str> = cast.workers.iter().map(|worker| worker.name).collect();
    let worker = *rng.pick(&workers);
    // Provers rather than others.
    let likely = if rng.percent(70) { &day.window } else { &workers };
    let prover = *rng.pick(likely);
    match rng.range(0, 100) {
        0..16 => (Fault::Kill(prover), WORKER_MS),
        16..19 => (Fault::Stop(worker), WORKER_MS),
        19..27 => (Fault::PowerCut(machine_of(prover, cast), loss(rng)), WORKER_MS),
        27..37 => (Fault::Kill(SCHEDULER), SERVICE_MS),
        37..39 => (Fault::PowerCut(SCHEDULER, loss(rng)), SERVICE_MS),
        39..44 => (Fault::Kill(INDEX), WORKER_MS),
        44..46 => (Fault::IndexLost, WORKER_MS),
        46..60 => (Fault::Hangs(prover), WORKER_MS),
        60..70 => (Fault::Lies(prover), WORKER_MS),
        70..88 => (link(rng, cast, prover), WORKER_MS / 2),
        88..91 => (Fault::DiskSlow(machine_of(worker, cast), rng.range(100, 3_000)), WORKER_MS),
        91..93 => (Fault::DiskFull(worker), WORKER_MS),
        93..95 => (Fault::SyncError(worker), WORKER_MS),
        95 => (Fault::Clock(machine_of(worker, cast), rng.range(1_000, 4 * 3_600_000) as i64), WORKER_MS),
        96 => (Fault::ChainDown, SERVICE_MS),
        97 => (Fault::ChainForgetful, SERVICE_MS),
        98 => (Fault::VerifierDown, SERVICE_MS),
        _ => (Fault::VerifierSlow(rng.range(1_000, 10_000)), SERVICE_MS),
    }
}

fn loss(rng: &mut Rng) -> Loss {
    if rng.percent(30) { Loss::Unsynced } else { Loss::Some(rng.value()) }
}

fn link(rng: &mut Rng, cast: &Cast, a: &'static str) -> Fault {
    let others: Vec<_> = cast.hosts().into_iter().filter(|host| *host != a).collect();
    let b = if rng.percent(40) { SCHEDULER } else { *rng.pick(&others) };
    let (a, b) = if rng.percent(50) { (a, b) } else { (b, a) };
    match rng.range(0, 100) {
        0..40 => Fault::Partition(a, b),
        40..65 => Fault::OneWay(a, b),
        65..85 => Fault::Stall(a, b),
        _ => Fault::Slow(a, b, rng.range(100, 1_500)),
    }
}

fn machine_of(host: &str, cast: &Cast) -> &'static str {
    let found = cast.machines().into_iter().find(|(_, hosts)| hosts.contains(&host));
    found.expect("every host is on a machine").0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::day::cast;

    #[test]
    fn plans_follow_from_the_seed() {
        let mut kinds = std::collections::BTreeSet::new();
        for seed in 0..300 {
            let cast = cast::of(seed);
            let day = cast.day.clone().expect("it is a day");
            let planned = plan(seed, &cast, &day);
            assert_eq!(planned, plan(seed, &cast, &day));
            assert!(planned.iter().all(|p| p.from_ms < p.to_ms), "{planned:?}");
            kinds.extend(planned.iter().map(|planned| planned.fault.kind()));
        }
        assert_eq!(kinds.len(), 18, "{kinds:?}");
    }
}
