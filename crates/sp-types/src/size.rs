//! Byte sizes: exact integers with a unit, printed as Lotus prints them.

use std::fmt;
use std::str::FromStr;

/// A number of bytes. Parses `2KiB`, `32 GiB`, `10kB`, `512B`; a bare number or a fraction is refused, so limits are exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct ByteSize(pub u64);

/// A text that is no size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a size; write an integer and a unit, for example 512MiB, 32GiB or 10kB")]
pub struct BadByteSize(pub String);

const BINARY: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
const DECIMAL: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];

/// `%.4g` with 1024 units, as `sealing workers` prints sizes: `125.8 GiB`, `2 KiB`, `0 B`.
impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut value, mut unit) = (self.0 as f64, 0);
        while value >= 1024.0 && unit + 1 < BINARY.len() {
            value /= 1024.0;
            unit += 1;
        }
        let digits = if value >= 1000.0 {
            0
        } else if value >= 100.0 {
            1
        } else if value >= 10.0 {
            2
        } else {
            3
        };
        let text = format!("{value:.digits$}");
        let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
        f.pad(&format!("{text} {}", BINARY[unit]))
    }
}

impl FromStr for ByteSize {
    type Err = BadByteSize;
    fn from_str(text: &str) -> Result<Self, BadByteSize> {
        let bad = || BadByteSize(text.to_owned());
        let trimmed = text.trim();
        let at = trimmed.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
        let number: u64 = trimmed[..at].parse().map_err(|_| bad())?;
        let unit = trimmed[at..].trim_start();
        let power = |units: &[&str], base: u64| units.iter().position(|u| *u == unit).map(|n| base.pow(n as u32));
        let factor = power(&BINARY, 1024).or_else(|| power(&DECIMAL, 1000)).ok_or_else(bad)?;
        number.checked_mul(factor).map(Self).ok_or_else(bad)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_and_parses_as_lotus() {
        for (bytes, text) in [(0, "0 B"), (2048, "2 KiB"), (1 << 35, "32 GiB"), (135_076_755_374, "125.8 GiB")] {
            assert_eq!(ByteSize(bytes).to_string(), text);
        }
        assert_eq!("32GiB".parse(), Ok(ByteSize(1 << 35)));
        assert_eq!("10 kB".parse(), Ok(ByteSize(10_000)));
        for bad in ["", "15", "1.5GiB", "GiB", "-1GiB", "99999999999EiB"] {
            assert!(bad.parse::<ByteSize>().is_err(), "{bad}");
        }
    }
}
