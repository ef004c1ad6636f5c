//! Room for reading files into, at the start of a page of memory.
//!
//! A large vector begins 16 bytes behind the start of a page. Some processors (AMD's Zen 3) copy out of the kernel's
//! pages at less than a third of their speed when what they copy to lies less than 32 bytes further into its own page.

use std::ops::{Deref, DerefMut};

/// Start of a page, bytes.
const PAGE_BYTES: usize = 4096;

/// Bytes that begin where a page begins; all zero at first.
#[derive(Default)]
pub struct PageBuffer {
    bytes: Vec<u8>,
    start: usize,
    size: usize,
}

impl PageBuffer {
    /// Room for `size` bytes.
    pub fn new(size: usize) -> Self {
        let bytes = vec![0; size + PAGE_BYTES - 1];
        let start = bytes.as_ptr().align_offset(PAGE_BYTES).min(PAGE_BYTES - 1);
        Self { bytes, start, size }
    }
}

impl Deref for PageBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.size]
    }
}

impl DerefMut for PageBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.size]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_begins_at_a_page_and_is_as_long_as_asked() {
        for size in [1, 31, PAGE_BYTES, 1 << 20] {
            let mut buffer = PageBuffer::new(size);
            assert_eq!((buffer.as_ptr() as usize % PAGE_BYTES, buffer.len()), (0, size));
            buffer.fill(7);
            assert!(buffer.iter().all(|byte| *byte == 7));
        }
    }
}
