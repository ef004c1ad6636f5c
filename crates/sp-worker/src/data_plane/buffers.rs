//! Buffers of one chunk each, used again: a fresh mebibyte costs more than filling it.

use std::sync::{Arc, Mutex, PoisonError};

use sp_sectors::{CHUNK_BYTES, PageBuffer};

/// Buffers that are kept for the next reads, enough for a fetch with four streams: one that is freed and made again
/// costs, and fragments. What is beyond them is freed.
const IDLE_MAX: usize = 24;

/// Where buffers come from and go back to.
#[derive(Clone, Default)]
pub(super) struct Buffers(Arc<Mutex<Vec<PageBuffer>>>);

/// A buffer. Goes back when the last slice of it is gone.
pub(super) struct Buffer {
    bytes: PageBuffer,
    used: usize,
    home: Buffers,
}

impl Buffers {
    /// A buffer of this length, at most a chunk. What is in it has no meaning.
    pub(super) fn take(&self, size: usize) -> Buffer {
        let idle = if size as u64 == CHUNK_BYTES { self.idle().pop() } else { None };
        Buffer { bytes: idle.unwrap_or_else(|| PageBuffer::new(size)), used: size, home: self.clone() }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<PageBuffer>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Buffer {
    pub(super) fn space(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.used]
    }

    pub(super) fn shorten(&mut self, size: usize) {
        self.used = self.used.min(size);
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.used]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut idle = self.home.idle();
        if self.bytes.len() as u64 == CHUNK_BYTES && idle.len() < IDLE_MAX {
            idle.push(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_buffers_come_back_and_only_so_many() {
        let buffers = Buffers::default();
        let first = buffers.take(CHUNK_BYTES as usize);
        let place = first.as_ref().as_ptr();
        drop(first);
        assert_eq!(buffers.take(CHUNK_BYTES as usize).as_ref().as_ptr(), place);
        assert_eq!(buffers.take(10).as_ref().len(), 10);
        drop([(); IDLE_MAX + 3].map(|()| buffers.take(CHUNK_BYTES as usize)));
        assert_eq!(buffers.idle().len(), IDLE_MAX);
        let mut short = buffers.take(CHUNK_BYTES as usize);
        short.shorten(7);
        assert_eq!((short.as_ref().len(), short.space().len()), (7, 7));
    }
}
