//! Unsealed files that hold only some ranges of their data: Lotus's partial files (`spec/lotus.md` 3.2).
//!
//! Such a file is the Fr32-padded data, exactly as long as its sector, then a trailer: an RLE+ bitmap with a bit for each
//! byte of it that is there, and the bitmap's length, 4 bytes, little-endian. What is not there is a hole and reads as
//! zeros. A file without a trailer holds everything.

mod rle;
#[cfg(test)]
mod tests;

use std::ops::Range;

pub use rle::RleError;

/// Bytes of the length at the end of a trailer.
const LENGTH_BYTES: u64 = 4;

/// Longest bitmap that is read. A run takes at most seven bytes in a sector of 64 GiB, so it is that of a file with some
/// thousands of pieces; and it bounds what is made of it in memory, whoever wrote it.
const BITMAP_BYTES_MAX: u64 = 64 << 10;

/// A quad of Fr32, the smallest that data can come in: no sector is less.
const DATA_BYTES_MIN: u64 = 128;

/// What an unsealed file holds of its data, in bytes of the padded file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filled {
    data_bytes: u64,
    /// Rising, none empty, none touching another.
    ranges: Vec<Range<u64>>,
}

/// Why a file is no unsealed file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TrailerError {
    /// Neither as long as a sector nor as a sector with a trailer.
    #[error("it has {0} bytes, which is neither a sector nor one with a trailer that says what of it is there")]
    NoSector(u64),
    /// Longer than any that was ever needed.
    #[error("the list of what is there has {0} bytes, more than the {BITMAP_BYTES_MAX} that are read")]
    TooLarge(u64),
    /// The bitmap does not parse.
    #[error("the list of what is there is no RLE+: {0}")]
    Rle(#[from] RleError),
    /// A run reaches behind the data.
    #[error("byte {0} is said to be there, of {1}")]
    Beyond(u64, u64),
}

impl Filled {
    /// A file that holds everything.
    pub fn whole(data_bytes: u64) -> Self {
        let all = 0..data_bytes;
        Self { data_bytes, ranges: vec![all] }
    }

    /// A file that holds these ranges and nothing else. They may come in any order, touch and overlap.
    pub fn of(data_bytes: u64, mut ranges: Vec<Range<u64>>) -> Result<Self, TrailerError> {
        ranges.retain(|range| !range.is_empty());
        ranges.sort_by_key(|range| range.start);
        let mut merged: Vec<Range<u64>> = Vec::new();
        for range in ranges {
            match merged.last_mut().filter(|last| last.end >= range.start) {
                Some(last) => last.end = last.end.max(range.end),
                None => merged.push(range),
            }
        }
        Self { data_bytes, ranges: merged }.checked()
    }

    /// Reads what a file of this size says of itself, by a function that reads some bytes from an offset on. An error of
    /// that is passed on; what is wrong with the trailer comes as the inner one.
    pub fn read<E>(
        size_bytes: u64,
        mut read: impl FnMut(u64, usize) -> Result<Vec<u8>, E>,
    ) -> Result<Result<Self, TrailerError>, E> {
        if is_data(size_bytes) {
            return Ok(Ok(Self::whole(size_bytes)));
        }
        let Some(end) = size_bytes.checked_sub(LENGTH_BYTES) else {
            return Ok(Err(TrailerError::NoSector(size_bytes)));
        };
        let length = read(end, LENGTH_BYTES as usize)?;
        let length = length.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        // Nothing is read, and no memory taken, on the word of a number that does not fit.
        let Some(data_bytes) = end.checked_sub(length).filter(|bytes| is_data(*bytes)) else {
            return Ok(Err(TrailerError::NoSector(size_bytes)));
        };
        if length > BITMAP_BYTES_MAX {
            return Ok(Err(TrailerError::TooLarge(length)));
        }
        let bitmap = read(data_bytes, length as usize)?;
        let ranges = rle::decode(&bitmap).map_err(TrailerError::from);
        Ok(ranges.and_then(|ranges| Self { data_bytes, ranges }.checked()))
    }

    fn checked(self) -> Result<Self, TrailerError> {
        match self.ranges.last().filter(|last| last.end > self.data_bytes) {
            Some(last) => Err(TrailerError::Beyond(last.end - 1, self.data_bytes)),
            None => Ok(self),
        }
    }

    /// Length of the padded data, with what is not there of it: the sector's size.
    pub fn data_bytes(&self) -> u64 {
        self.data_bytes
    }

    /// What is there, in bytes of the padded file: rising, none empty, none touching another.
    pub fn ranges(&self) -> &[Range<u64>] {
        &self.ranges
    }

    /// Is all of it there?
    pub fn is_whole(&self) -> bool {
        self.first_missing(&(0..self.data_bytes)).is_none()
    }

    /// The first part of a range that is not there.
    pub fn first_missing(&self, wanted: &Range<u64>) -> Option<Range<u64>> {
        let holder = self.ranges.iter().find(|range| range.contains(&wanted.start));
        // No range touches the next one.
        let from = holder.map_or(wanted.start, |range| range.end);
        let next = self.ranges.iter().map(|range| range.start).find(|start| *start > from);
        (from < wanted.end).then(|| from..next.map_or(wanted.end, |next| next.min(wanted.end)))
    }

    /// What follows the data in the file. Of a whole file, which may go without, it is valid too.
    pub fn trailer(&self) -> Vec<u8> {
        let mut trailer = rle::encode(&self.ranges);
        let length = u32::try_from(trailer.len()).unwrap_or(u32::MAX);
        trailer.extend(length.to_le_bytes());
        trailer
    }
}

/// Is it the size of a sector? Any power of two is one to us: the published ones are known where sectors are made.
fn is_data(bytes: u64) -> bool {
    bytes >= DATA_BYTES_MIN && bytes.is_power_of_two()
}
