//! The links between hosts and what is wrong with each: faults may overlap, so a link is set to what all of them say.

use std::time::Duration;

use turmoil::Sim;

/// What every message takes when nothing is wrong: at least this ...
pub const LATENCY_MIN: Duration = Duration::from_millis(1);
/// ... and at most this.
pub const LATENCY_MAX: Duration = Duration::from_millis(30);

/// One thing wrong with a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// Nothing passes.
    Cut,
    /// Nothing passes from the first to the second.
    OneWay,
    /// Everything waits.
    Stalled,
    /// Everything takes this long.
    Slow(Duration),
}

/// Everything wrong at the moment.
#[derive(Debug, Default)]
pub struct Links {
    damages: Vec<(&'static str, &'static str, Damage)>,
}

impl Links {
    /// Damages a link.
    pub fn damage(&mut self, sim: &mut Sim<'_>, a: &'static str, b: &'static str, damage: Damage) {
        self.damages.push((a, b, damage));
        self.set(sim, a, b);
    }

    /// Takes one damage back.
    pub fn mend(&mut self, sim: &mut Sim<'_>, a: &'static str, b: &'static str, damage: Damage) {
        if let Some(at) = self.damages.iter().position(|known| *known == (a, b, damage)) {
            self.damages.remove(at);
        }
        self.set(sim, a, b);
    }

    /// Brings a link to what its damages say; the worst one counts.
    fn set(&self, sim: &mut Sim<'_>, a: &'static str, b: &'static str) {
        let here = |(x, y, _): &&(&'static str, &'static str, Damage)| (*x, *y) == (a, b) || (*x, *y) == (b, a);
        let damages: Vec<_> = self.damages.iter().filter(here).copied().collect();
        let slowest =
            damages.iter().filter_map(|(.., d)| if let Damage::Slow(by) = d { Some(*by) } else { None }).max();
        sim.set_link_latency(a, b, slowest.unwrap_or(LATENCY_MIN));
        sim.set_link_max_message_latency(a, b, slowest.unwrap_or(LATENCY_MAX));
        if damages.iter().any(|(.., d)| *d == Damage::Cut) {
            sim.partition(a, b);
            return;
        }
        if damages.iter().any(|(.., d)| *d == Damage::Stalled) {
            sim.repair(a, b);
            sim.hold(a, b);
            return;
        }
        sim.release(a, b);
        sim.repair(a, b);
        for (from, to, _) in damages.iter().filter(|(.., d)| *d == Damage::OneWay) {
            sim.partition_oneway(*from, *to);
        }
    }
}
