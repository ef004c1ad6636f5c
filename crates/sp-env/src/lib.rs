//! The seams between a service and the machine: clock, entropy, tasks, crash points. Traits only, no tokio.
//!
//! A service takes these instead of reading the machine itself, so the same service runs on a simulated
//! clock, network and disk. The network seam lies in `sp-net` (it needs tokio's I/O traits), the disk seam
//! in `sp-sectors`; the real implementations of what is here lie in `sp-net` too.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod crash;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

pub use crash::{CrashPoint, crash_point, crash_requested};

/// A boxed future that may move between threads.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send + 'static>>;

/// A point on the monotonic clock of this process, in milliseconds since some start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Monotonic(pub u64);

impl Monotonic {
    /// Milliseconds from `earlier` to here; 0 when `earlier` is later.
    pub fn since_ms(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Reads time and waits for it.
pub trait Clock: Send + Sync + 'static {
    /// Now, for deadlines and durations.
    fn monotonic(&self) -> Monotonic;
    /// The same in nanoseconds, for measuring how long work takes; no finer than the clock is.
    fn monotonic_ns(&self) -> u64 {
        self.monotonic().0.saturating_mul(1_000_000)
    }
    /// Now, for records: milliseconds since the Unix epoch, UTC.
    fn unix_ms(&self) -> u64;
    /// Completes after `duration`.
    fn sleep(&self, duration: Duration) -> BoxFuture<()>;
}

/// Makes random bytes (ids, tickets, jitter).
pub trait Entropy: Send + Sync + 'static {
    /// Fills the buffer.
    fn fill(&self, bytes: &mut [u8]);
}

/// Starts concurrent work.
pub trait Tasks: Send + Sync + 'static {
    /// Runs a future beside the others until it ends or the handle stops it.
    fn spawn(&self, name: &'static str, future: BoxFuture<()>) -> Box<dyn TaskHandle>;
    /// Runs a future on a thread and a runtime of its own, so that nothing else can starve it.
    fn spawn_isolated(
        &self,
        name: &'static str,
        make: Box<dyn FnOnce() -> BoxFuture<()> + Send>,
    ) -> Box<dyn TaskHandle>;
    /// Runs a closure where it may block; the future completes when it has ended.
    fn run_blocking(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<()>;
}

/// A running task.
pub trait TaskHandle: Send + Sync {
    /// Stops it at its next await.
    fn stop(&self);
}

/// Stops its task when dropped.
pub struct StopOnDrop(pub Box<dyn TaskHandle>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}
