//! The header of a partial answer: which bytes it brings, and of how many.

/// What `Content-Range: bytes FIRST-LAST/TOTAL` says; `TOTAL` may be unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ContentRange {
    pub(super) first: u64,
    pub(super) total: Option<u64>,
}

impl ContentRange {
    /// `None` where the text is not one, or contradicts itself.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (unit, rest) = text.trim().split_once(' ')?;
        let (range, total) = rest.trim().split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let (first, last) = (number(first)?, number(last)?);
        let total = if total == "*" { None } else { Some(number(total)?) };
        let fits = first <= last && total.is_none_or(|total| last < total);
        (unit.eq_ignore_ascii_case("bytes") && fits).then_some(Self { first, total })
    }
}

/// Digits and nothing else: `parse` alone would take a sign.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranges_parse() {
        let range = |first, total| Some(ContentRange { first, total });
        assert_eq!(ContentRange::parse("bytes 5-9/10"), range(5, Some(10)));
        assert_eq!(ContentRange::parse("Bytes 5-9/*"), range(5, None));
        for bad in
            ["", "bytes", "bytes 5-9", "bytes */10", "bytes 9-5/10", "bytes 5-10/10", "bytes +5-9/10", "lines 5-9/10"]
        {
            assert_eq!(ContentRange::parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_taken_or_refused(text in "(bytes )?[0-9*/ +-]{0,40}") {
            if let Some(ContentRange { first, total: Some(total) }) = ContentRange::parse(&text) {
                prop_assert!(first < total);
            }
        }

        #[test]
        fn what_servers_write_is_read(first in 0u64..=u64::MAX - 2, length in 0u64..1 << 40) {
            let last = first.saturating_add(length).min(u64::MAX - 1);
            let parsed = ContentRange::parse(&format!("bytes {first}-{last}/{}", last + 1));
            prop_assert_eq!(parsed, Some(ContentRange { first, total: Some(last + 1) }));
        }
    }
}
