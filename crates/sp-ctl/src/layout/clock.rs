//! Durations and times of day as Lotus prints them.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A duration as Go prints it, cut to tenths of a second: `1h46m40.5s`, `400ms`, `0s`.
pub(crate) fn go_duration(ms: u64) -> String {
    let tenths = ms / 100;
    let (hours, minutes, tenths) = (tenths / 36_000, tenths / 600 % 60, tenths % 600);
    let seconds = if tenths.is_multiple_of(10) {
        format!("{}s", tenths / 10)
    } else {
        format!("{}.{}s", tenths / 10, tenths % 10)
    };
    match (hours, minutes) {
        (0, 0) if tenths > 0 && tenths < 10 => format!("{}ms", tenths * 100),
        (0, 0) => seconds,
        (0, _) => format!("{minutes}m{seconds}"),
        _ => format!("{hours}h{minutes}m{seconds}"),
    }
}

/// Seconds with one decimal: `83.4s`.
pub(crate) fn seconds(ms: u64) -> String {
    format!("{}.{}s", ms / 1000, ms / 100 % 10)
}

/// The two largest units in words: `2 hours 3 minutes`.
pub(crate) fn rough_duration(ms: u64) -> String {
    let whole = ms / 1000;
    let units = [("week", 604_800), ("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1)];
    let (mut rest, mut words) = (whole, Vec::new());
    for (name, length) in units {
        let count = rest / length;
        rest %= length;
        if count > 0 && words.len() < 2 {
            words.push(format!("{count} {name}{}", if count == 1 { "" } else { "s" }));
        }
    }
    if words.is_empty() { format!("{ms} milliseconds") } else { words.join(" ") }
}

/// Time of day on this machine, `HH:MM:SS`.
pub(crate) fn local_time(unix_ms: u64) -> String {
    formatted(unix_ms, &TimeZone::system(), "%H:%M:%S")
}

/// Date and time on this machine as Go prints it: `2023-11-14 22:13:20 +0000 UTC`.
pub(crate) fn local_date_time(unix_ms: u64) -> String {
    formatted(unix_ms, &TimeZone::system(), DATE_TIME)
}

const DATE_TIME: &str = "%Y-%m-%d %H:%M:%S %z %Z";

fn formatted(unix_ms: u64, zone: &TimeZone, format: &str) -> String {
    let known = i64::try_from(unix_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    known.map_or_else(|| "n/a".to_owned(), |time| time.to_zoned(zone.clone()).strftime(format).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos() {
        for (ms, text) in [
            (0, "0s"),
            (450, "400ms"),
            (1000, "1s"),
            (2300, "2.3s"),
            (121_300, "2m1.3s"),
            (6_400_500, "1h46m40.5s"),
            (3_600_000, "1h0m0s"),
        ] {
            assert_eq!(go_duration(ms), text);
        }
        assert_eq!(seconds(83_456), "83.4s");
    }

    #[test]
    fn rough_durations_have_two_units() {
        assert_eq!(rough_duration(7_385_000), "2 hours 3 minutes");
        assert_eq!(rough_duration(61_000), "1 minute 1 second");
        assert_eq!(rough_duration(500), "500 milliseconds");
    }

    #[test]
    fn times_are_of_the_zone() {
        assert_eq!(formatted(1_700_000_000_000, &TimeZone::UTC, DATE_TIME), "2023-11-14 22:13:20 +0000 UTC");
        assert_eq!(formatted(u64::MAX, &TimeZone::UTC, "%H"), "n/a");
    }
}
