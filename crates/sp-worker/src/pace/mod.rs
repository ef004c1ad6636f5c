//! Paces what a worker sends and fetches: waits at a gate until it is one's turn.

mod gate;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sp_net::Env;
use tokio::sync::oneshot;

pub(crate) use gate::{Bounds, Class};
use gate::{Gate, Next};

/// A gate that is waited at.
#[derive(Clone)]
pub(crate) struct Pace(Arc<Inner>);

struct Inner {
    env: Env,
    state: Mutex<State>,
}

struct State {
    gate: Gate,
    calls: BTreeMap<u64, oneshot::Sender<()>>,
    /// Somebody looks again when the rate allows the next one.
    timer: bool,
}

/// A move under way; it ends with this.
pub(crate) struct Move {
    pace: Pace,
    class: Class,
}

/// A place in the line, given up when dropped.
struct Place {
    pace: Pace,
    class: Class,
    ticket: u64,
    called: bool,
}

impl Pace {
    pub(crate) fn new(env: &Env, bounds: Bounds) -> Self {
        let state = State { gate: Gate::new(bounds), calls: BTreeMap::new(), timer: false };
        Self(Arc::new(Inner { env: env.clone(), state: Mutex::new(state) }))
    }

    /// Waits until so many bytes may be moved.
    pub(crate) async fn begin(&self, class: Class, bytes: u64) -> Move {
        let (called, call) = oneshot::channel();
        let ticket = {
            let mut state = self.state();
            let ticket = state.gate.ask(class, bytes);
            state.calls.insert(ticket, called);
            ticket
        };
        let mut place = Place { pace: self.clone(), class, ticket, called: false };
        self.call_next();
        // Never an error: the sender is kept until it is called, or until this place is given up.
        let _ = call.await;
        place.called = true;
        Move { pace: self.clone(), class }
    }

    /// Bulk makes way until this is dropped, for something urgent that is not paced itself.
    pub(crate) fn urgent(&self) -> Move {
        self.state().gate.begin_urgent();
        Move { pace: self.clone(), class: Class::Urgent }
    }

    /// Lets in whoever may go in now, and looks again when the rate allows more.
    fn call_next(&self) {
        let mut state = self.state();
        loop {
            let now = self.0.env.clock.monotonic_ns();
            match state.gate.next(now) {
                Next::Go(ticket) => {
                    // Nobody hears it only if that place is being given up; then `Place` says that it is done.
                    if let Some(call) = state.calls.remove(&ticket) {
                        let _ = call.send(());
                    }
                }
                Next::NotBefore(at) => {
                    if !std::mem::replace(&mut state.timer, true) {
                        self.look_again(Duration::from_nanos(at - now));
                    }
                    return;
                }
                Next::Nobody => return,
            }
        }
    }

    fn look_again(&self, after: Duration) {
        let pace = self.clone();
        // A clock that only knows milliseconds would wake us too early for ever.
        let sleep = self.0.env.clock.sleep(after + Duration::from_millis(1));
        let looking = async move {
            sleep.await;
            pace.state().timer = false;
            pace.call_next();
        };
        self.0.env.tasks.spawn("pace", Box::pin(looking));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Move {
    fn drop(&mut self) {
        self.pace.state().gate.done(self.class);
        self.pace.call_next();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.called {
            return;
        }
        {
            let mut state = self.pace.state();
            state.calls.remove(&self.ticket);
            if !state.gate.leave(self.class, self.ticket) {
                state.gate.done(self.class);
            }
        }
        self.pace.call_next();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_rate_is_kept_and_who_gives_up_is_forgotten() {
        let env = Env::real();
        let pace = Pace::new(&env, Bounds { bytes_per_s: 1_000_000, bulk_at_once: 1 });
        let start = env.clock.monotonic();
        let first = pace.begin(Class::Bulk, 20_000).await;
        let short = Duration::from_millis(5);
        assert!(env.timeout(short, pace.begin(Class::Bulk, 1)).await.is_err(), "one at a time");
        drop(first);
        for _ in 0..3 {
            drop(pace.begin(Class::Bulk, 20_000).await);
        }
        let took_ms = env.clock.monotonic().since_ms(start);
        assert!((60..2000).contains(&took_ms), "{took_ms} ms for 60 kB after the first 20");
        let _proof = pace.urgent();
        let _bulk = pace.begin(Class::Bulk, 1).await;
        assert!(env.timeout(short, pace.begin(Class::Bulk, 1)).await.is_err(), "bulk makes way");
        env.timeout(Duration::from_secs(5), pace.begin(Class::Urgent, 1)).await.expect("urgent moves do not");
    }
}
