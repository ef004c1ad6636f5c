//! RLE+, version 0: which bits of a field are set, told as the lengths of runs that are set and unset by turns.
//!
//! Bits are numbered from the lowest of the first byte on. After two bits of version and one that says whether the first
//! run is set, each run is a block: `1` for one bit, `01` and four bits for up to 15, `00` and a varint (LEB128) for more.
//! `fvm_ipld_bitfield` reads this too, but brings CIDs, multihashes and DAG-CBOR into every binary that opens a path; the
//! codec is less than what those take to be kept up to date.

use std::ops::Range;

/// Bits that a short block can tell a length in.
const SHORT_BITS: u32 = 4;
/// The first length that takes a long block.
const LONG_MIN: u64 = 1 << SHORT_BITS;
/// Bytes of the longest varint of 64 bits.
const VARINT_BYTES_MAX: u32 = 10;

/// Why bytes are no RLE+.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RleError {
    /// Only version 0 was ever published.
    #[error("it is of version {0}, not 0")]
    Version(u64),
    /// A run is told in more bits than it takes, or has no length.
    #[error("a run is not told as short as can be")]
    NotMinimal,
    /// A run, or all of them together, is longer than 64 bits count.
    #[error("its runs are longer than 64 bits count")]
    TooLong,
    /// Zeros behind the last run that belong to nothing.
    #[error("more zeros follow the last run than fill its byte")]
    Trailing,
}

/// Ranges of set bits, rising, none of them empty or touching another.
///
/// What lies behind the last byte reads as zeros, since newer writers leave zero bytes at the end out; older ones wrote the
/// one that the last block may reach into.
pub(super) fn decode(bytes: &[u8]) -> Result<Vec<Range<u64>>, RleError> {
    if bytes.len() >= 2 && bytes.ends_with(&[0, 0]) {
        return Err(RleError::Trailing);
    }
    let mut bits = Reader { bytes, at: 0 };
    match bits.take(2) {
        0 => {}
        version => return Err(RleError::Version(version)),
    }
    let (mut set, mut at, mut ranges) = (bits.take(1) == 1, 0u64, Vec::new());
    while bits.has_more() {
        let end = at.checked_add(bits.run()?).ok_or(RleError::TooLong)?;
        if set {
            ranges.push(at..end);
        }
        (set, at) = (!set, end);
    }
    Ok(ranges)
}

/// The other way round; the ranges are as `decode` returns them.
pub(super) fn encode(ranges: &[Range<u64>]) -> Vec<u8> {
    let mut bits = Writer::default();
    bits.put(0, 2);
    bits.put(u64::from(ranges.first().is_some_and(|first| first.start == 0)), 1);
    let mut at = 0;
    for range in ranges {
        if range.start > at {
            bits.run(range.start - at);
        }
        bits.run(range.end - range.start);
        at = range.end;
    }
    bits.finish()
}

struct Reader<'a> {
    bytes: &'a [u8],
    /// Number of the next bit.
    at: usize,
}

impl Reader<'_> {
    fn take(&mut self, count: u32) -> u64 {
        let mut value = 0;
        for shift in 0..count {
            let byte = self.bytes.get(self.at / 8).copied().unwrap_or(0);
            value |= u64::from(byte >> (self.at % 8) & 1) << shift;
            self.at += 1;
        }
        value
    }

    /// Is a bit set from here on? Every block has one.
    fn has_more(&self) -> bool {
        let last = self.bytes.iter().rposition(|byte| *byte != 0);
        last.is_some_and(|last| last * 8 + (7 - self.bytes[last].leading_zeros() as usize) >= self.at)
    }

    fn run(&mut self) -> Result<u64, RleError> {
        if self.take(1) == 1 {
            return Ok(1);
        }
        let (length, least) = match self.take(1) {
            1 => (self.take(SHORT_BITS), 2),
            _ => (self.varint()?, LONG_MIN),
        };
        if length < least { Err(RleError::NotMinimal) } else { Ok(length) }
    }

    fn varint(&mut self) -> Result<u64, RleError> {
        let mut value = 0;
        for index in 0..VARINT_BYTES_MAX {
            let (seven, more) = (self.take(7), self.take(1) == 1);
            // Of the last byte only the lowest bit fits.
            if index == VARINT_BYTES_MAX - 1 && (seven > 1 || more) {
                return Err(RleError::TooLong);
            }
            value |= seven << (7 * index);
            match (more, seven) {
                (true, _) => {}
                (false, 0) if index > 0 => return Err(RleError::NotMinimal),
                (false, _) => return Ok(value),
            }
        }
        Err(RleError::TooLong)
    }
}

#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
    /// Number of the next bit.
    at: usize,
}

impl Writer {
    fn put(&mut self, value: u64, count: u32) {
        for shift in 0..count {
            if self.at.is_multiple_of(8) {
                self.bytes.push(0);
            }
            if let Some(byte) = self.bytes.last_mut() {
                *byte |= ((value >> shift & 1) as u8) << (self.at % 8);
            }
            self.at += 1;
        }
    }

    fn run(&mut self, length: u64) {
        match length {
            1 => self.put(1, 1),
            2..LONG_MIN => {
                self.put(0b10, 2);
                self.put(length, SHORT_BITS);
            }
            _ => {
                self.put(0, 2);
                self.varint(length);
            }
        }
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.put(value & 0x7f | 0x80, 8);
            value >>= 7;
        }
        self.put(value, 8);
    }

    /// Without zero bytes at the end: readers of the network refuse them.
    fn finish(mut self) -> Vec<u8> {
        while self.bytes.last() == Some(&0) {
            self.bytes.pop();
        }
        self.bytes
    }
}
