//! Waits for scrubs to end, and shows how far they are: a bar on a terminal, and what they wait for.

use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use sp_proto::v1::{ScrubAction, ScrubState, ScrubStorageReply, StoreScrub};

use super::Scrub;
use crate::context::Scheduler;
use crate::error::CommandError;
use crate::output;

const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// How all of them together stand.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sum {
    running: usize,
    bytes: u64,
    bytes_done: u64,
    faulty: u64,
}

pub(super) async fn until_done(
    scrub: &Scrub,
    scheduler: &mut Scheduler,
    begun: &ScrubStorageReply,
) -> Result<(), CommandError> {
    let (bar, mut said) = (bar(), BTreeMap::new());
    let mut reply = begun.clone();
    loop {
        let sum = sum(&reply);
        bar.set_length(sum.bytes);
        bar.set_position(sum.bytes_done);
        bar.set_message(format!("{} paths, {} faults", sum.running, sum.faulty));
        for text in news(&reply, &mut said) {
            bar.suspend(|| output::note(&text));
        }
        if sum.running == 0 {
            bar.finish_and_clear();
            return Ok(());
        }
        tokio::time::sleep(POLL_INTERVAL).await;
        match scrub.ask(scheduler, ScrubAction::Status, false).await {
            Ok(now) => reply = now,
            Err(failure) if failure.may_pass() => {}
            Err(failure) => return Err(failure.hint("the scrub goes on without this command")),
        }
    }
}

fn scrubs(reply: &ScrubStorageReply) -> impl Iterator<Item = &StoreScrub> {
    reply.scrubs.iter().filter_map(|scrub| scrub.scrub.as_ref())
}

fn sum(reply: &ScrubStorageReply) -> Sum {
    scrubs(reply).fold(Sum::default(), |sum, scrub| Sum {
        running: sum.running + usize::from(scrub.state() == ScrubState::Running),
        bytes: sum.bytes + scrub.bytes,
        bytes_done: sum.bytes_done + scrub.bytes_done,
        faulty: sum.faulty + scrub.faulty,
    })
}

/// What a path waits for, once for each reason.
fn news(reply: &ScrubStorageReply, said: &mut BTreeMap<String, String>) -> Vec<String> {
    let waits = scrubs(reply).filter(|scrub| scrub.detail.starts_with("waits"));
    let new =
        waits.filter(|scrub| said.insert(scrub.store.clone(), scrub.detail.clone()).as_ref() != Some(&scrub.detail));
    new.map(|StoreScrub { store, local_path, detail, .. }| format!("{store} ({local_path}): {detail}")).collect()
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("scrub [{bar:32}] {bytes}/{total_bytes} {bytes_per_sec} {eta} {msg}");
    match style {
        Ok(style) => ProgressBar::new(0).with_style(style.progress_chars("|| ")),
        // A template that does not parse costs the looks, not the scrub.
        Err(_) => ProgressBar::new(0),
    }
}

#[cfg(test)]
mod tests {
    use sp_proto::v1::WorkerScrub;

    use super::*;

    #[test]
    fn what_is_waited_for_is_said_once() {
        let scrub = |store: &str, state: ScrubState, detail: &str| WorkerScrub {
            worker: "w".into(),
            scrub: Some(StoreScrub {
                store: store.into(),
                state: state as i32,
                bytes: 10,
                bytes_done: 4,
                faulty: 1,
                detail: detail.into(),
                ..Default::default()
            }),
        };
        let running = scrub("a", ScrubState::Running, "waits: no disk");
        let reply = ScrubStorageReply { scrubs: vec![running, scrub("b", ScrubState::Done, "")], silent: vec![] };
        assert_eq!(sum(&reply), Sum { running: 1, bytes: 20, bytes_done: 8, faulty: 2 });
        let mut said = BTreeMap::new();
        assert_eq!(news(&reply, &mut said), ["a (): waits: no disk"]);
        assert_eq!(news(&reply, &mut said), [""; 0]);
    }
}
