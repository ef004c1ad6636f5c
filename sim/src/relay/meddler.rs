//! Passes messages on as their habits say, and remembers what may be said again much later.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sp_net::Env;
use sp_proto::v1;
use tokio::sync::mpsc;

use super::habits::Habit;
use crate::rng::Rng;
use crate::stage::Stage;

/// So many old messages are kept.
const REMEMBERED_MAX: usize = 32;

/// What all relays of a run remember: results and renewals of any worker and any session.
#[derive(Clone, Default)]
pub struct Memory(Arc<Mutex<Remembered>>);

#[derive(Default)]
struct Remembered {
    results: Vec<v1::TaskResult>,
    renewals: Vec<v1::RenewRequest>,
}

/// One process's hand in what it says and hears.
#[derive(Clone)]
pub(super) struct Meddler {
    env: Env,
    stage: Stage,
    rng: Arc<Mutex<Rng>>,
}

impl Memory {
    fn inner(&self) -> MutexGuard<'_, Remembered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets the oldest.
fn remember<M>(list: &mut Vec<M>, message: M) {
    if list.len() == REMEMBERED_MAX {
        list.remove(0);
    }
    list.push(message);
}

impl Meddler {
    pub(super) fn new(env: Env, stage: Stage, rng: Rng) -> Self {
        Self { env, stage, rng: Arc::new(Mutex::new(rng)) }
    }

    fn rng(&self) -> MutexGuard<'_, Rng> {
        self.rng.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// In so many of a hundred cases, when messages are meddled with at all.
    pub(super) fn happens(&self, percent: u64) -> bool {
        self.stage.mood.messages() && percent > 0 && self.rng().percent(percent)
    }

    pub(super) fn injected(&self, kind: &'static str) {
        self.stage.watch.injected(kind);
    }

    /// A time up to this.
    fn within(&self, most_ms: u64) -> Duration {
        Duration::from_millis(self.rng().range(0, most_ms.max(1)))
    }

    /// Does something later; not when the process has ended by then.
    pub(super) fn later(&self, most_ms: u64, what: impl Future<Output = ()> + Send + 'static) {
        let pause = self.env.clock.sleep(self.within(most_ms));
        let wait = async move {
            pause.await;
            what.await;
        };
        drop(self.env.tasks.spawn("relay, later", Box::pin(wait)));
    }

    /// Passes a message on: at once, or late; and perhaps a second time. False when nobody listens any more.
    pub(super) async fn pass<M: Clone + Send + 'static>(&self, message: M, habit: Habit, to: &mpsc::Sender<M>) -> bool {
        if self.happens(habit.twice_percent) {
            self.injected(habit.twice);
            self.say_later(message.clone(), habit.twice_ms, to);
        }
        if self.happens(habit.late_percent) {
            self.injected(habit.late);
            self.say_later(message, habit.late_ms, to);
            return !to.is_closed();
        }
        to.send(message).await.is_ok()
    }

    fn say_later<M: Send + 'static>(&self, message: M, most_ms: u64, to: &mpsc::Sender<M>) {
        let to = to.downgrade();
        self.later(most_ms, async move {
            if let Some(to) = to.upgrade() {
                // Closed: what was late is lost with its stream.
                let _ = to.send(message).await;
            }
        });
    }

    /// Runs the two directions of a stream until one of them ends, which ends the other.
    pub(super) fn together(
        &self,
        up: impl Future<Output = ()> + Send + 'static,
        down: impl Future<Output = ()> + Send + 'static,
    ) {
        let both = async move {
            tokio::select! {
                biased;
                () = down => {}
                () = up => {}
            }
        };
        drop(self.env.tasks.spawn("relay, stream", Box::pin(both)));
    }

    /// Keeps a result, and gives an old one, perhaps another worker's, now and then.
    pub(super) fn remember_result(&self, result: &v1::TaskResult, percent: u64) -> Option<v1::TaskResult> {
        let old = self.happens(percent);
        let mut memory = self.stage.memory.inner();
        let found = (old && !memory.results.is_empty()).then(|| self.rng().pick(&memory.results).clone());
        remember(&mut memory.results, result.clone());
        found
    }

    /// The same for renewals.
    pub(super) fn remember_renewal(&self, renewal: &v1::RenewRequest, percent: u64) -> Option<v1::RenewRequest> {
        let old = self.happens(percent);
        let mut memory = self.stage.memory.inner();
        let found = (old && !memory.renewals.is_empty()).then(|| self.rng().pick(&memory.renewals).clone());
        remember(&mut memory.renewals, renewal.clone());
        found
    }
}
