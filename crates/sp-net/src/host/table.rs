//! The small text formats of `/proc` and `/sys`.

use std::collections::BTreeSet;

/// A list of cores may name no higher number: far above any kernel's limit, and a bound on what a list can cost.
const CORE_MAX: u32 = 65_535;

/// Figures of `/proc/meminfo`, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Memory {
    pub(super) total: u64,
    pub(super) available: u64,
    pub(super) swap_total: u64,
    pub(super) swap_free: u64,
}

/// Reads `/proc/meminfo`.
pub(super) fn meminfo(text: &str) -> Option<Memory> {
    let bytes = |name| {
        let kib: u64 = field(text, name)?.strip_suffix("kB")?.trim().parse().ok()?;
        kib.checked_mul(1024)
    };
    Some(Memory {
        total: bytes("MemTotal:")?,
        available: bytes("MemAvailable:")?,
        // A kernel without swap has no such lines.
        swap_total: bytes("SwapTotal:").unwrap_or(0),
        swap_free: bytes("SwapFree:").unwrap_or(0),
    })
}

/// What follows `name` on its line.
pub(super) fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

/// The numbers that a list such as `0-3,8,10-11` names; none for an empty or malformed one.
pub(super) fn cores(text: &str) -> Option<BTreeSet<u32>> {
    let mut cores = BTreeSet::new();
    for item in text.trim().split(',') {
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        let (first, last): (u32, u32) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if last < first || last > CORE_MAX {
            return None;
        }
        cores.extend(first..=last);
    }
    Some(cores)
}

/// What `cpu.max` says, `quota period`, in whole cores: rounded down, since a part of a core runs no thread at full
/// speed, but never none. No limit for `max`.
pub(super) fn quota(line: &str) -> Option<u32> {
    let (quota, period) = line.trim().split_once(' ')?;
    whole_cores(quota.parse().ok()?, period.trim().parse().ok()?)
}

/// The same of version 1's two files, where a quota of -1 is no limit.
pub(super) fn quota_v1(quota: &str, period: &str) -> Option<u32> {
    whole_cores(quota.trim().parse().ok()?, period.trim().parse().ok()?)
}

fn whole_cores(quota: u64, period: u64) -> Option<u32> {
    Some(u32::try_from(quota.checked_div(period)?).ok()?.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cores() {
        let count = |text| cores(text).map(|cores| cores.len());
        let cases = [
            ("0", Some(1)),
            ("0-3", Some(4)),
            ("0-3,8,10-11\n", Some(7)),
            (" 5 ", Some(1)),
            ("0-3,2-5", Some(6)),
            ("", None),
            ("\n", None),
            ("3-0", None),
            ("0-", None),
            ("-1", None),
            ("a-b", None),
            ("0,,1", None),
            ("0-4294967295", None),
            ("99999", None),
        ];
        for (text, expected) in cases {
            assert_eq!(count(text), expected, "{text:?}");
        }
    }

    #[test]
    fn quotas_are_whole_cores_and_at_least_one() {
        let cases = [
            ("max 100000", None),
            ("100000 100000", Some(1)),
            ("150000 100000", Some(1)),
            ("250000 100000\n", Some(2)),
            ("399999 100000", Some(3)),
            ("10000 100000", Some(1)),
            ("6400000 100000", Some(64)),
            ("100000 0", None),
            ("100000", None),
            ("", None),
            ("-1 100000", None),
        ];
        for (line, expected) in cases {
            assert_eq!(quota(line), expected, "{line:?}");
        }
        assert_eq!(quota_v1("-1\n", "100000\n"), None);
        assert_eq!(quota_v1("350000\n", "100000\n"), Some(3));
        assert_eq!(quota_v1("5000\n", "100000\n"), Some(1));
        assert_eq!(quota_v1("5000\n", ""), None);
    }

    #[test]
    fn memory_needs_its_two_lines() {
        let text = "MemTotal: 8 kB\nMemFree: 1 kB\nMemAvailable:  4 kB\n";
        let memory = Memory { total: 8192, available: 4096, swap_total: 0, swap_free: 0 };
        assert_eq!(meminfo(text), Some(memory));
        assert_eq!(meminfo("MemTotal: 8 kB\n"), None);
        assert_eq!(meminfo("MemTotal: 8 MB\nMemAvailable: 4 kB\n"), None);
        assert_eq!(meminfo("MemTotal: 18446744073709551615 kB\nMemAvailable: 4 kB\n"), None);
    }
}
