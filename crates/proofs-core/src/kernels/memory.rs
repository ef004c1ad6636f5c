//! Large tables of words that are read at random.

use std::io;
use std::ops::{Deref, DerefMut};

use memmap2::{Advice, MmapMut};

use super::Words;

/// What the kernel gives memory by, at least.
const PAGE_BYTES: usize = 4 << 10;

/// Zeroed words on whole pages, huge ones where the kernel has them: look-ups at random would miss the TLB at nearly each.
/// One, two or four words that begin at a multiple of their number share as few cache lines as they can.
#[derive(Debug)]
pub struct Table {
    map: MmapMut,
}

impl Table {
    /// A table of `len` words of eight. All its memory is there when this returns: memory that is short must be missed
    /// before hours of work and not amidst.
    pub fn zeroed(len: usize) -> io::Result<Self> {
        let mut map = MmapMut::map_anon(len * size_of::<Words>())?;
        // That it is refused costs time only.
        #[cfg(target_os = "linux")]
        let _ = map.advise(Advice::HugePage);
        map.chunks_mut(PAGE_BYTES).for_each(|page| page[0] = 0);
        Ok(Self { map })
    }
}

impl Deref for Table {
    type Target = [Words];

    fn deref(&self) -> &[Words] {
        // SAFETY: every value of the bytes is one of the words, and what does not fit is left out.
        unsafe { self.map.align_to().1 }
    }
}

impl DerefMut for Table {
    fn deref_mut(&mut self) -> &mut [Words] {
        // SAFETY: as above, and every value of the words is one of the bytes.
        unsafe { self.map.align_to_mut().1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_zero_and_begins_at_a_cache_line() {
        let mut table = Table::zeroed(1000).unwrap();
        assert!(table.len() == 1000 && table.iter().all(|words| *words == [0; 8]));
        assert_eq!(table.as_ptr().align_offset(64), 0);
        table[999] = [7; 8];
        assert_eq!(table[999], [7; 8]);
    }
}
