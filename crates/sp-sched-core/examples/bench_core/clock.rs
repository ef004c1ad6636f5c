//! What a piece of work costs: time on the wall, and time of this thread on a processor.
//!
//! The machine is shared. Time on the wall of something that takes microseconds says how often somebody else had the
//! core; time on the processor is what the work itself took, and what promises about one event are held to.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// What something took.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cost {
    /// On the wall.
    pub(crate) wall: Duration,
    /// On the processor.
    pub(crate) cpu: Duration,
}

impl Cost {
    /// Microseconds on the processor.
    pub(crate) fn cpu_us(self) -> f64 {
        self.cpu.as_secs_f64() * 1e6
    }

    /// Microseconds on the wall.
    pub(crate) fn wall_us(self) -> f64 {
        self.wall.as_secs_f64() * 1e6
    }
}

impl std::iter::Sum for Cost {
    fn sum<I: Iterator<Item = Self>>(costs: I) -> Self {
        costs.fold(Self::default(), |all, one| Self { wall: all.wall + one.wall, cpu: all.cpu + one.cpu })
    }
}

/// Does it and says what it took.
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (T, Cost) {
    let (wall, cpu) = (Instant::now(), thread_time());
    let done = work();
    let cpu = thread_time().saturating_sub(cpu);
    (done, Cost { wall: wall.elapsed(), cpu })
}

fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
