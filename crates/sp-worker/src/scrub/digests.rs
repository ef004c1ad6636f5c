//! The digest pass over one replica: in steps, each of which makes way for what is urgent and keeps to the scrub's rate.

use sp_proto::v1::{self, ScrubCheck, ScrubOutcome};
use sp_sectors::{CHUNK_BYTES, Scrub, ScrubFault, ScrubReason, ScrubStep, Scrubbed, Store};
use sp_types::ReplicaInfo;

use super::run::{Halt, Pass};
use crate::pace::{Class, Move};

/// Read with one step at most.
const RUN_BYTES: u64 = 16 << 20;

/// Steps in a second of a scrub with a rate, so that it does not move in jerks.
const STEPS_PER_S: u64 = 4;

/// None: the replica is not there any more.
pub(super) async fn check(pass: &Pass<'_>, store: &Store, info: &ReplicaInfo) -> Result<Option<v1::ScrubResult>, Halt> {
    let result = |outcome, reason: &str| Some(pass.result(info, ScrubCheck::Digests, outcome, reason.to_owned()));
    Ok(match read(pass, store, info).await? {
        Scrubbed::Gone => None,
        Scrubbed::Sound => result(ScrubOutcome::Sound, ""),
        Scrubbed::Unkept => result(ScrubOutcome::Skipped, "it has no digests, and its path is read-only"),
        Scrubbed::Adopted(now) => {
            pass.node.index.declare_found(vec![now.clone()]).await;
            let reason = "it has its digests now".to_owned();
            Some(pass.result(&now, ScrubCheck::Digests, ScrubOutcome::Adopted, reason))
        }
        Scrubbed::Faulty(faults) => {
            // A disk that is going is no fault of each of its files.
            let probed = store.clone();
            pass.unless_stopped(pass.read(move || probed.probe())).await??;
            Some(faulty(pass, info, &faults))
        }
    })
}

async fn read(pass: &Pass<'_>, store: &Store, info: &ReplicaInfo) -> Result<Scrubbed, Halt> {
    let mut scrub: Scrub = store.scrub(info.id.clone(), run_bytes(pass));
    loop {
        let _own = pass.unless_stopped(own_rate(pass, scrub.next_bytes())).await?;
        let _turn = pass.unless_stopped(pass.node.sending.begin(Class::Background, 0)).await?;
        let stepping = pass.read(move || {
            let step = scrub.step();
            (scrub, step)
        });
        let (back, step) = pass.unless_stopped(stepping).await?;
        scrub = back;
        match step {
            ScrubStep::Read(bytes) => pass.scrub.state().scrub.bytes_done += bytes,
            ScrubStep::Done(scrubbed) => return Ok(scrubbed),
        }
    }
}

/// Waits until the scrub's own rate allows so many bytes; from the beginning when there is a new one.
async fn own_rate(pass: &Pass<'_>, bytes: u64) -> Option<Move> {
    loop {
        let changed = pass.scrub.changed.notified();
        let pace = pass.scrub.state().pace.clone().filter(|_| bytes > 0)?;
        tokio::select! {
            own = pace.begin(Class::Bulk, bytes) => return Some(own),
            () = changed => {}
        }
    }
}

fn run_bytes(pass: &Pass<'_>) -> u64 {
    match pass.scrub.state().scrub.bytes_per_s {
        0 => RUN_BYTES,
        rate => (rate / STEPS_PER_S).clamp(CHUNK_BYTES, RUN_BYTES),
    }
}

/// The first fault with its place, and how many there are besides.
fn faulty(pass: &Pass<'_>, info: &ReplicaInfo, faults: &[ScrubFault]) -> v1::ScrubResult {
    let first = faults.first();
    let more = match faults.len() {
        0 | 1 => String::new(),
        many => format!("; {} more of its files are faulty", many - 1),
    };
    let reason = first.map(ToString::to_string).unwrap_or_default() + &more;
    let found = pass.result(info, ScrubCheck::Digests, ScrubOutcome::Faulty, reason);
    v1::ScrubResult {
        file: first.map(|fault| fault.name.clone()).unwrap_or_default(),
        chunk: first.filter(|fault| has_chunk(&fault.reason)).map(|fault| fault.chunk),
        offset: first.map_or(0, ScrubFault::offset),
        bad_chunks: faults.iter().filter(|fault| has_chunk(&fault.reason)).map(|fault| fault.bad_chunks).sum(),
        ..found
    }
}

/// Is it a fault of some chunks, and not of the file as a whole?
fn has_chunk(reason: &ScrubReason) -> bool {
    matches!(reason, ScrubReason::Differs | ScrubReason::Cut(_) | ScrubReason::Long(_) | ScrubReason::Unreadable(_))
}
