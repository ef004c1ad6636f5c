//! Keeps the list of GPUs fresh on a thread of its own: a lost device can hang its driver, and no heartbeat waits for it.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sp_types::GpuDevice;

use super::visible::VisibleSource;
use super::{GpuSource, NoGpus, Visibility, list};

/// How long the start waits for the first reading. A driver that nothing uses yet takes seconds to wake up.
const FIRST_WITHIN: Duration = Duration::from_secs(10);

/// A reading that takes longer hangs.
const HANGS_AFTER: Duration = Duration::from_secs(10);

/// The GPUs that this process sees, as last read.
pub struct GpuWatch {
    state: Arc<Mutex<State>>,
    questions: SyncSender<()>,
}

#[derive(Debug, Default)]
struct State {
    /// Every device ever seen, one that is gone among them.
    known: Vec<GpuDevice>,
    /// When the first question was put that has no answer yet.
    asked: Option<Instant>,
    /// That it takes too long has been said.
    hangs: bool,
    /// There was an answer.
    answered: bool,
    /// Why the last reading gave nothing.
    failure: Option<NoGpus>,
}

impl GpuWatch {
    /// Starts the thread and waits a while for its first reading.
    pub fn start(source: Box<dyn GpuSource>, visibility: Visibility) -> io::Result<Self> {
        let source = VisibleSource::new(source, visibility);
        let state = Arc::new(Mutex::new(State::default()));
        let (questions, asked) = sync_channel(1);
        let (first, first_read) = sync_channel(1);
        let shared = state.clone();
        std::thread::Builder::new()
            .name("gpus".into())
            .spawn(move || read_for_ever(source, &shared, &asked, &first))?;
        let watch = Self { state, questions };
        watch.ask();
        if first_read.recv_timeout(FIRST_WITHIN) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("the GPU driver has not answered yet; its GPUs are shown when it has");
        }
        Ok(watch)
    }

    /// The devices as last read; asks for a new reading and does not wait for it.
    pub fn devices(&self) -> Vec<GpuDevice> {
        let devices = { locked(&self.state).question(Instant::now()) };
        self.ask();
        devices
    }

    fn ask(&self) {
        // Full: a question waits already. Disconnected: never while we hold it, short of a panic of the reader.
        let _ = self.questions.try_send(());
    }
}

fn read_for_ever(mut source: VisibleSource, state: &Mutex<State>, asked: &Receiver<()>, first: &SyncSender<()>) {
    while asked.recv().is_ok() {
        let read = source.read();
        locked(state).answer(read);
        // Only the first reading is waited for.
        let _ = first.try_send(());
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    /// Notes that a question is put; gives the devices as far as they are known.
    fn question(&mut self, now: Instant) -> Vec<GpuDevice> {
        let asked = *self.asked.get_or_insert(now);
        if now.saturating_duration_since(asked) > HANGS_AFTER && !self.hangs {
            self.hangs = true;
            tracing::error!("the GPU driver hangs: no GPU counts as healthy until it answers");
        }
        let show = |gpu: &GpuDevice| GpuDevice { healthy: gpu.healthy && !self.hangs, ..gpu.clone() };
        self.known.iter().map(show).collect()
    }

    fn answer(&mut self, read: Result<Vec<GpuDevice>, NoGpus>) {
        (self.asked, self.hangs) = (None, false);
        match read {
            Ok(devices) => {
                if self.failure.take().is_some() {
                    tracing::info!("the GPU driver answers");
                }
                self.note(devices);
            }
            Err(reason) if self.failure.as_ref() == Some(&reason) => {}
            Err(reason) => {
                if self.known.is_empty() {
                    tracing::info!(%reason, "no GPUs");
                } else {
                    tracing::error!(%reason, "the GPUs cannot be read: none counts as healthy until they can");
                }
                self.known.iter_mut().for_each(|gpu| gpu.healthy = false);
                self.failure = Some(reason);
            }
        }
        self.answered = true;
    }

    /// Devices that were there and are missing now stay, not healthy.
    fn note(&mut self, mut devices: Vec<GpuDevice>) {
        let before = std::mem::take(&mut self.known);
        let is_in = |devices: &[GpuDevice], gpu: &GpuDevice| devices.iter().any(|other| other.id == gpu.id);
        for lost in before.iter().filter(|gpu| !is_in(&devices, gpu)).cloned().collect::<Vec<_>>() {
            devices.push(GpuDevice { healthy: false, ..lost });
        }
        devices.sort_by(|a, b| (a.index, &a.id).cmp(&(b.index, &b.id)));
        devices.iter().for_each(|gpu| say_change(gpu, before.iter().find(|old| old.id == gpu.id)));
        if devices.len() > before.len() {
            tracing::info!(gpus = list(&devices), "GPUs");
        } else if devices.is_empty() && !self.answered {
            tracing::info!("no GPUs: the driver shows none");
        }
        self.known = devices;
    }
}

fn say_change(now: &GpuDevice, before: Option<&GpuDevice>) {
    let GpuDevice { id, name, .. } = now;
    match (before.map(|gpu| gpu.healthy), now.healthy) {
        (Some(true), false) => tracing::error!(%id, name, "a GPU is lost"),
        (Some(false), true) => tracing::info!(%id, name, "a GPU is back"),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake;
    use super::*;

    fn healthy(devices: &[GpuDevice]) -> Vec<(&str, bool)> {
        devices.iter().map(|gpu| (gpu.id.as_str(), gpu.healthy)).collect()
    }

    fn ask(state: &mut State) -> Vec<GpuDevice> {
        state.question(Instant::now())
    }

    #[test]
    fn a_device_that_vanishes_stays_and_is_not_healthy() {
        let mut state = State::default();
        assert!(ask(&mut state).is_empty());
        state.answer(Ok(fake(&["GPU-a", "GPU-b"])));
        assert_eq!(healthy(&ask(&mut state)), [("GPU-a", true), ("GPU-b", true)]);
        state.answer(Ok(fake(&["GPU-b"])));
        assert_eq!(healthy(&ask(&mut state)), [("GPU-a", false), ("GPU-b", true)]);
        state.answer(Ok(fake(&["GPU-a", "GPU-b"])));
        assert_eq!(healthy(&ask(&mut state)), [("GPU-a", true), ("GPU-b", true)]);
    }

    #[test]
    fn a_driver_that_fails_leaves_the_last_inventory_as_not_healthy() {
        let mut state = State::default();
        state.answer(Err(NoGpus("no driver".into())));
        assert!(ask(&mut state).is_empty());
        state.answer(Ok(fake(&["GPU-a"])));
        assert_eq!(healthy(&ask(&mut state)), [("GPU-a", true)]);
        state.answer(Err(NoGpus("unknown error".into())));
        assert_eq!(healthy(&ask(&mut state)), [("GPU-a", false)]);
        state.answer(Ok(fake(&["GPU-a"])));
        assert_eq!(healthy(&ask(&mut state)), [("GPU-a", true)]);
    }

    #[test]
    fn a_driver_that_hangs_makes_nothing_healthy_until_it_answers() {
        let mut state = State::default();
        state.answer(Ok(fake(&["GPU-a"])));
        let start = Instant::now();
        let healthy_after = |state: &mut State, s| state.question(start + Duration::from_secs(s))[0].healthy;
        assert!(healthy_after(&mut state, 0) && healthy_after(&mut state, 10));
        assert!(!healthy_after(&mut state, 11) && !healthy_after(&mut state, 12));
        state.answer(Ok(fake(&["GPU-a"])));
        assert!(healthy_after(&mut state, 13));
    }

    /// Answers once per permission.
    struct Slow(Receiver<()>);

    impl GpuSource for Slow {
        fn read(&mut self) -> Result<Vec<GpuDevice>, NoGpus> {
            self.0.recv().map_err(|_| NoGpus("gone".into()))?;
            Ok(fake(&["GPU-a", "GPU-b"]))
        }
    }

    #[test]
    fn nobody_waits_for_a_reading_but_the_start() {
        let (permit, permits) = sync_channel(8);
        permit.send(()).expect("the source holds it");
        let visibility = Visibility::read(|name| (name == "CUDA_VISIBLE_DEVICES").then(|| "1".into())).expect("good");
        let watch = GpuWatch::start(Box::new(Slow(permits)), visibility).expect("a thread");
        // The next reading hangs; these come back at once all the same.
        for _ in 0..4 {
            assert_eq!(healthy(&watch.devices()), [("GPU-b", true)]);
        }
    }
}
