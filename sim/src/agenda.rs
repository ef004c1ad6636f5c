//! The faults of a run as time passes: which begin, which are under way, which are over.

use crate::faults::Planned;
use crate::world::World;

/// See the module.
pub struct Agenda {
    plan: Vec<Planned>,
    /// So many of them have begun.
    begun: usize,
    under_way: Vec<Planned>,
}

impl Agenda {
    /// The faults by their beginning.
    pub fn new(plan: &[Planned]) -> Self {
        Self { plan: plan.to_vec(), begun: 0, under_way: Vec::new() }
    }

    /// Begins and ends what is due by now.
    pub fn turn(&mut self, world: &mut World) {
        let now = world.now_ms;
        while let Some(planned) = self.plan.get(self.begun).filter(|planned| planned.from_ms <= now) {
            world.begin(planned.fault);
            self.under_way.push(*planned);
            self.begun += 1;
        }
        let (over, still): (Vec<_>, _) = self.under_way.drain(..).partition(|planned| planned.to_ms <= now);
        self.under_way = still;
        over.into_iter().for_each(|planned| world.end(planned.fault));
    }

    /// What has begun and is not over.
    pub fn under_way(&self) -> &[Planned] {
        &self.under_way
    }

    /// Ends everything that is under way.
    pub fn end(self, world: &mut World) {
        self.under_way.into_iter().for_each(|planned| world.end(planned.fault));
    }
}
