//! Large zeroed tables that are read at random.

use rustix::mm::{Advice, madvise};

/// A huge page; also where the advice must begin.
const PAGE_BYTES: usize = 2 << 20;

/// `len` zeroes in huge pages where the kernel has them, all of them there at once: look-ups at random would miss the
/// TLB at nearly each, and memory that is short must be missed before hours of work and not amidst.
pub(crate) fn zeroed<T: Copy + Default>(len: usize) -> Result<Vec<T>, std::collections::TryReserveError> {
    let mut table: Vec<T> = Vec::new();
    table.try_reserve_exact(len)?;
    let (start, bytes) = (table.as_mut_ptr().cast::<u8>(), len * size_of::<T>());
    let skipped = start.align_offset(PAGE_BYTES);
    if let Some(bytes) = bytes.checked_sub(skipped) {
        // SAFETY: the range lies inside the vector's own allocation, and the advice changes no content. That it is
        // refused costs time only.
        let _ = unsafe { madvise(start.add(skipped).cast(), bytes / PAGE_BYTES * PAGE_BYTES, Advice::LinuxHugepage) };
    }
    table.resize(len, T::default());
    Ok(table)
}
