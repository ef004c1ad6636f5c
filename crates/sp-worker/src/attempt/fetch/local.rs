//! From another store of this worker: blocks shared where the file system can, else copied; read and checked either way.
//!
//! What cannot be shared is not copied by the kernel: the bytes have to come by here for their digests anyhow.

use std::sync::Arc;

use sp_sectors::{CHUNK_BYTES, Chunk, Manifest, Missing, PageBuffer, Receiver, ReplicaFile, Shared, Store, share};
use sp_types::{ReplicaId, TaskKind};

use super::Fetching;
use crate::attempt::prepare::replica_id;
use crate::failure::Failure;

/// Chunks that are read, checked and written together.
const GROUP: usize = 8;

/// What is copied between two looks at whether anybody still wants it.
const STEP_BYTES: u64 = 64 << 20;

impl Fetching<'_> {
    pub(super) async fn bring_local(&self, store: &Store) -> Result<Manifest, Failure> {
        self.attempt.works_on(store.id());
        let replica = replica_id(self.input.sector, self.input, store);
        // A move changes nothing in what it brings; every other task may.
        let link = self.attempt.assignment.task == TaskKind::Fetch;
        let (from, work) = (store.clone(), self.work.clone());
        let open = move || {
            let manifest = from.manifest(&replica)?;
            let replica = ReplicaId { root: manifest.root(), ..replica };
            let how = share(&work, &from, replica.sector, &manifest, link)?;
            Ok::<_, Failure>((how, Receiver::open(&work, replica.sector, manifest)?, replica))
        };
        let (how, receiver, replica) = self.node.env.blocking(open).await?;
        self.node.tell_read(store, &replica_id(self.input.sector, self.input, store)).await;
        if how != Shared::Nothing {
            tracing::debug!(attempt = %self.attempt.id(), ?how, "{}: not copied", self.what);
        }
        let (missing, receiver) = (receiver.missing(), Arc::new(receiver));
        let total: u64 = missing.iter().map(|missing| missing.size_bytes).sum();
        let mut done = 0;
        for Missing { name, offset, size_bytes } in missing {
            let (from, id, named) = (store.clone(), replica.clone(), name.clone());
            let file = self.node.env.blocking(move || from.open_file(&id, &named)).await?;
            let file = Arc::new(file);
            for from in (offset..offset + size_bytes).step_by(STEP_BYTES as usize) {
                if self.attempt.cancel.is_cancelled() {
                    return Err(Failure::cancelled());
                }
                let to = (offset + size_bytes).min(from + STEP_BYTES);
                let (receiver, file, name) = (receiver.clone(), file.clone(), name.clone());
                self.node.env.blocking(move || copy(&receiver, &file, &name, from, to)).await?;
                done += to - from;
                self.attempt.set_fraction(done as f64 / total as f64);
            }
        }
        receiver.finish()?;
        Ok(receiver.manifest().clone())
    }
}

/// Copies whole chunks, several at once.
fn copy(receiver: &Receiver, file: &ReplicaFile, name: &str, from: u64, to: u64) -> Result<(), Failure> {
    let group = GROUP.min((to - from).div_ceil(CHUNK_BYTES) as usize);
    let mut buffers: Vec<_> = (0..group).map(|_| PageBuffer::new(CHUNK_BYTES as usize)).collect();
    let mut at = from;
    while at < to {
        let mut chunks = Vec::with_capacity(GROUP);
        for buffer in &mut buffers {
            if at >= to {
                break;
            }
            let wanted = file.chunk_bytes(at)?;
            let got = file.read_chunk(at, &mut buffer[..wanted])?;
            chunks.push(Chunk { name, offset: at, bytes: &buffer[..got] });
            at += wanted as u64;
        }
        receiver.write_many(&chunks).into_iter().collect::<Result<(), _>>()?;
    }
    Ok(())
}
