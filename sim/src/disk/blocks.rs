//! A state file on a disk of 512-byte blocks: what was not synced when the power goes is there, or not, block by block.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sp_sectors::Loss;
use sp_state::StorageBackend;

use super::Trouble;
use crate::rng::Rng;

const BLOCK_BYTES: usize = 512;

/// The file as the machine has it: it outlives every process. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct BlockFile(Arc<Mutex<Blocks>>);

#[derive(Debug, Default)]
struct Blocks {
    /// What a process sees.
    data: Vec<u8>,
    /// What a machine without power keeps.
    durable: Vec<u8>,
    /// Blocks that differ, or may.
    dirty: BTreeSet<usize>,
    /// Rises with each crash, so that handles of before are dead.
    generation: u64,
}

/// The file as one process has it open.
#[derive(Debug)]
pub struct Handle {
    file: BlockFile,
    trouble: Arc<Trouble>,
    generation: u64,
}

impl BlockFile {
    /// Opens it for a process.
    pub fn open(&self, trouble: &Arc<Trouble>) -> Handle {
        Handle { file: self.clone(), trouble: trouble.clone(), generation: self.blocks().generation }
    }

    /// The process or the machine dies.
    pub fn crash(&self, loss: Loss) {
        let mut blocks = self.blocks();
        blocks.generation += 1;
        match loss {
            Loss::Nothing => return,
            Loss::Unsynced => {}
            Loss::Some(seed) => blocks.write_back_some(Rng::new(seed, "blocks", 0)),
        }
        blocks.dirty.clear();
        blocks.data = blocks.durable.clone();
    }

    fn blocks(&self) -> MutexGuard<'_, Blocks> {
        // A panic while it was held ends the run anyway.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Blocks {
    fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        if self.data.len() < end {
            self.resize(end);
        }
        self.data[offset..end].copy_from_slice(bytes);
        self.soil(offset, end);
    }

    fn resize(&mut self, size: usize) {
        let (from, to) = (self.data.len().min(size), self.data.len().max(size));
        self.data.resize(size, 0);
        self.soil(from, to);
    }

    fn soil(&mut self, from: usize, to: usize) {
        if from < to {
            self.dirty.extend(from / BLOCK_BYTES..=(to - 1) / BLOCK_BYTES);
        }
    }

    fn sync(&mut self) {
        let size = self.data.len();
        self.durable.resize(size, 0);
        for block in std::mem::take(&mut self.dirty) {
            self.write_back(block);
        }
    }

    fn write_back(&mut self, block: usize) {
        let start = block * BLOCK_BYTES;
        let end = (start + BLOCK_BYTES).min(self.data.len()).min(self.durable.len());
        if start < end {
            self.durable[start..end].copy_from_slice(&self.data[start..end]);
        }
    }

    /// The disk wrote some blocks before its power went, in whatever order it liked, and knew the new length or did not.
    fn write_back_some(&mut self, mut rng: Rng) {
        if rng.percent(50) {
            let size = self.data.len();
            self.durable.resize(size, 0);
        }
        // Few or many: one block of a commit that is missing is as bad as all but one.
        let part = rng.range(0, 101);
        for block in std::mem::take(&mut self.dirty) {
            if rng.percent(part) {
                self.write_back(block);
            }
        }
    }
}

impl Handle {
    fn blocks(&self) -> io::Result<MutexGuard<'_, Blocks>> {
        let blocks = self.file.blocks();
        match blocks.generation == self.generation {
            true => Ok(blocks),
            false => Err(io::Error::other("a handle of a process that has crashed")),
        }
    }
}

impl StorageBackend for Handle {
    fn len(&self) -> io::Result<u64> {
        self.trouble.read()?;
        Ok(self.blocks()?.data.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.trouble.read()?;
        let (blocks, start) = (self.blocks()?, offset as usize);
        let found = blocks.data.get(start..start + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(found);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.trouble.change(len > self.blocks()?.data.len() as u64)?;
        self.blocks()?.resize(len as usize);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.trouble.sync()?;
        self.blocks()?.sync();
        Ok(())
    }

    /// Growing even inside of the file: a file system finds room for a block when it writes it.
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.trouble.change(true)?;
        self.blocks()?.write(offset as usize, data);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use sp_state::{Batch, Redb, State};

    use super::*;

    fn batch(number: u64) -> Batch {
        let mut batch = Batch::new();
        batch.put(number.to_be_bytes(), [number as u8; 300]).put("last", number.to_be_bytes());
        batch
    }

    /// Commits until the power goes in the middle of a call; gives how many were acknowledged.
    fn commit_until_cut(file: &BlockFile, trouble: &Arc<Trouble>, from: u64) -> u64 {
        let Ok(state) = Redb::on(file.open(trouble), 1) else { return from };
        let mut done = from;
        while state.commit(batch(done + 1)).is_ok() {
            done += 1;
        }
        assert!(trouble.is_cut());
        done
    }

    fn last(state: &Redb) -> u64 {
        state.get(b"last").unwrap().map_or(0, |bytes| u64::from_be_bytes(bytes.try_into().unwrap()))
    }

    #[test]
    fn what_redb_acknowledged_survives_cuts_and_torn_blocks() {
        let mut rng = Rng::new(1, "blocks", 0);
        for _ in 0..100 {
            let (file, trouble) = (BlockFile::default(), Arc::new(Trouble::default()));
            drop(Redb::on(file.open(&trouble), 1).unwrap());
            let mut acknowledged = 0;
            for _ in 0..4 {
                trouble.cut_after(rng.range(0, 120));
                acknowledged = commit_until_cut(&file, &trouble, acknowledged);
                file.crash(Loss::Some(rng.value()));
                trouble.revive();
                let state = Redb::on(file.open(&trouble), 1).unwrap();
                let found = last(&state);
                assert!((acknowledged..=acknowledged + 1).contains(&found), "{found} of {acknowledged}");
                assert_eq!(state.scan_all(b"").unwrap().len() as u64, found + u64::from(found > 0));
                acknowledged = found;
            }
        }
    }

    /// Overwrites without a sync, cuts the power, and gives the first byte of every block.
    fn torn(seed: u64) -> Vec<u8> {
        let (file, trouble) = (BlockFile::default(), Arc::new(Trouble::default()));
        let handle = file.open(&trouble);
        handle.write(0, &[1; 4096]).unwrap();
        handle.sync_data().unwrap();
        handle.write(0, &[2; 4096]).unwrap();
        file.crash(Loss::Some(seed));
        assert!(handle.read(0, &mut [0]).is_err(), "a handle of before");
        let mut found = [0; 4096];
        file.open(&trouble).read(0, &mut found).unwrap();
        assert!(found.chunks(BLOCK_BYTES).all(|block| block.iter().all(|b| *b == block[0])), "whole blocks");
        found.chunks(BLOCK_BYTES).map(|block| block[0]).collect()
    }

    #[test]
    fn the_disk_bites_who_does_not_sync() {
        let all: Vec<_> = (0..20).map(torn).collect();
        assert!(all.iter().any(|blocks| blocks.contains(&1) && blocks.contains(&2)), "{all:?}");
        assert!(all.iter().any(|blocks| !blocks.contains(&2)), "{all:?}");
    }
}
