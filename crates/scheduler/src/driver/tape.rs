//! Recording what the core sees, for diagnosis: bounded, off the loop, and never a reason for the scheduler to wait.
// An operator's own file, outside the state: nothing depends on it, and a simulation records nothing.
#![allow(clippy::disallowed_methods)]

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;

use sp_net::Env;
use sp_replay::{Recorder, Start};
use sp_sched_core::effect::Effect;
use sp_sched_core::event::Event;
use sp_sched_core::model::UnixMs;

/// Bytes that may wait for the disk, the start apart; a disk that is slower ends the recording.
const WAITING_MAX: u64 = 64 << 20;

/// What to record to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recording {
    /// The file; one that is there becomes `<file>.old`.
    pub file: PathBuf,
    /// The recording ends at this size.
    pub limit_bytes: u64,
}

/// A recording in progress, or one that has ended.
pub(crate) struct Tape {
    recording: Recording,
    recorder: Option<Recorder>,
    /// To the writer; it ends when this is dropped.
    pages: Option<mpsc::Sender<Vec<u8>>>,
    waiting: Arc<AtomicU64>,
    written: u64,
}

impl Tape {
    /// Makes the file, and starts what writes it.
    pub(crate) async fn open(env: &Env, recording: Recording) -> io::Result<Self> {
        let path = recording.file.clone();
        let file = env.blocking(move || create(&path)).await?;
        let (pages, incoming) = mpsc::channel();
        let waiting = Arc::new(AtomicU64::new(0));
        let (path, waits) = (recording.file.clone(), waiting.clone());
        tracing::info!(file = %path.display(), "every event is recorded");
        let write = move || {
            if let Err(error) = write_all(file, &incoming, &waits) {
                tracing::error!(file = %path.display(), %error, "recording ends: the file cannot be written");
            }
        };
        // It ends by itself, soon after this tape.
        drop(env.tasks.run_blocking(Box::new(write)));
        Ok(Self { recording, recorder: None, pages: Some(pages), waiting, written: 0 })
    }

    /// The core begins here.
    pub(crate) fn begin(&mut self, start: &Start) {
        let (recorder, page) = Recorder::begin(start);
        self.recorder = Some(recorder);
        self.hand_over(page);
    }

    /// An event on its way to the core.
    pub(crate) fn event(&mut self, now: UnixMs, event: &Event) {
        if let Some(page) = self.recorder.as_mut().map(|recorder| recorder.event(now, event)) {
            self.hand_over(page);
        }
    }

    /// What came of it.
    pub(crate) fn effects(&mut self, effects: &[Effect]) {
        if let Some(page) = self.recorder.as_mut().map(|recorder| recorder.effects(effects)) {
            self.hand_over(page);
        }
        // Between two events, so that the last one has its decisions.
        if self.written >= self.recording.limit_bytes {
            self.end(&format!("the limit of {} bytes is reached", self.recording.limit_bytes));
        } else if self.waiting.load(Ordering::Relaxed) > WAITING_MAX {
            self.end("the disk does not keep up");
        }
    }

    /// Nothing follows.
    pub(crate) fn end(&mut self, reason: &str) {
        if let Some(recorder) = self.recorder.take() {
            tracing::info!(file = %self.recording.file.display(), reason, "recording ends");
            self.hand_over(recorder.end(reason));
        }
        self.pages = None;
    }

    fn hand_over(&mut self, page: Vec<u8>) {
        let bytes = page.len() as u64;
        self.written += bytes;
        self.waiting.fetch_add(bytes, Ordering::Relaxed);
        if self.pages.as_ref().is_some_and(|pages| pages.send(page).is_err()) {
            // The writer has said why it ended.
            (self.pages, self.recorder) = (None, None);
        }
    }
}

/// The recording names secrets (upload tickets): nobody else may read it.
fn create(path: &Path) -> io::Result<File> {
    match fs::rename(path, old(path)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

fn old(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".old");
    PathBuf::from(name)
}

/// Writes what comes, and flushes whenever nothing waits: then a killed scheduler has lost no more than its last moment.
fn write_all(file: File, incoming: &mpsc::Receiver<Vec<u8>>, waiting: &AtomicU64) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(256 << 10, file);
    while let Ok(page) = incoming.recv() {
        let mut next = Some(page);
        while let Some(page) = next {
            out.write_all(&page)?;
            waiting.fetch_sub(page.len() as u64, Ordering::Relaxed);
            next = incoming.try_recv().ok();
        }
        out.flush()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use sp_replay::{Ending, Report, replay};
    use sp_sched_core::model::Rows;
    use sp_sched_core::{Config, Core};
    use sp_types::SectorSize;

    use super::*;

    async fn recorded(file: &Path, limit_bytes: u64, events: u64) -> Report {
        let mut tape = Tape::open(&Env::real(), Recording { file: file.to_owned(), limit_bytes }).await.unwrap();
        let (config, rows, now) = (Config::new(1000, SectorSize::KiB2, [7; 32]), Rows::default(), UnixMs(1));
        let (mut core, effects) = Core::restore(config.clone(), rows.clone(), now);
        tape.begin(&Start { build: "test".into(), config, rows, now, effects });
        for at in 0..events {
            let now = UnixMs(10 + at);
            tape.event(now, &Event::Wake);
            tape.effects(&core.step(now, Event::Wake));
        }
        tape.end("enough");
        // The writer ends soon after.
        for _ in 0..1_000 {
            if let Ok(report) = replay(File::open(file).unwrap())
                && matches!(report.ending, Some(Ending::Closed(_)))
            {
                return report;
            }
            Env::real().clock.sleep(std::time::Duration::from_millis(5)).await;
        }
        panic!("{} is never closed", file.display());
    }

    #[tokio::test]
    async fn a_new_recording_keeps_the_one_before_and_both_are_private() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("events");
        assert_eq!(recorded(&file, 1 << 20, 3).await.events, 3);
        let report = recorded(&file, 1 << 20, 5).await;
        assert_eq!((report.events, report.difference), (5, None));
        assert_eq!(replay(File::open(old(&file)).unwrap()).unwrap().events, 3);
        for path in [file.clone(), old(&file)] {
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[tokio::test]
    async fn a_recording_is_bounded_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("events");
        let report = recorded(&file, 6_000, 10_000).await;
        assert_eq!(report.ending, Some(Ending::Closed("the limit of 6000 bytes is reached".into())));
        assert!(report.events > 0 && report.events < 1_000, "{report:?}");
        assert!(fs::metadata(&file).unwrap().len() < 8_000);
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_made_is_an_error() {
        let missing = Recording { file: "/no/such/directory/events".into(), limit_bytes: 1 };
        assert!(Tape::open(&Env::real(), missing).await.is_err());
    }
}
