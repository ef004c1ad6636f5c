//! How fast sources have been, and in which order they are tried.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Weight of the newest measurement.
const NEWEST: f64 = 0.3;

/// Shorter moves say more about delays than about speed.
const BYTES_MIN: u64 = 1 << 20;

/// Sources that are remembered; beyond them the slowest is forgotten.
const SOURCES_MAX: usize = 1024;

/// Bytes per second by data URL, smoothed.
#[derive(Debug, Default)]
pub(crate) struct Speeds(Mutex<BTreeMap<String, f64>>);

impl Speeds {
    /// So many bytes came from there in so long.
    pub(super) fn note(&self, url: &str, bytes: u64, took_ms: u64) {
        if bytes < BYTES_MIN {
            return;
        }
        let speed = bytes as f64 * 1000.0 / took_ms.max(1) as f64;
        self.update(url, |known| known.map_or(speed, |known| known + NEWEST * (speed - known)));
    }

    /// Nothing came from there: it is tried after those that are known to work.
    pub(super) fn failed(&self, url: &str) {
        self.update(url, |known| known.unwrap_or(0.0) / 2.0);
    }

    /// The best source first. One that nobody has tried comes before all: else it would never be known.
    pub(super) fn order<'a, T>(&self, sources: &'a [T], url: impl Fn(&T) -> &str) -> Vec<&'a T> {
        let speeds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut order: Vec<_> = sources.iter().collect();
        let speed = |source: &T| speeds.get(url(source)).copied().unwrap_or(f64::INFINITY);
        order.sort_by(|a, b| speed(b).total_cmp(&speed(a)));
        order
    }

    fn update(&self, url: &str, new: impl FnOnce(Option<f64>) -> f64) {
        let mut speeds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let speed = new(speeds.get(url).copied());
        speeds.insert(url.to_owned(), speed);
        if speeds.len() > SOURCES_MAX {
            let slowest = speeds.iter().min_by(|a, b| a.1.total_cmp(b.1)).map(|(url, _)| url.clone());
            slowest.map(|url| speeds.remove(&url));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fastest_comes_first_and_the_unknown_before_it() {
        let speeds = Speeds::default();
        let order =
            |speeds: &Speeds| -> Vec<&str> { speeds.order(&["a", "b", "c"], |url| url).into_iter().copied().collect() };
        assert_eq!(order(&speeds), ["a", "b", "c"]);
        speeds.note("a", 10 << 20, 1000);
        assert_eq!(order(&speeds), ["b", "c", "a"]);
        speeds.note("b", 20 << 20, 1000);
        speeds.note("c", 100, 1);
        speeds.failed("c");
        assert_eq!(order(&speeds), ["b", "a", "c"]);
        // One bad hour is not the end: what is measured later counts more and more.
        (0..3).for_each(|_| speeds.note("b", 1 << 20, 1000));
        assert_eq!(order(&speeds), ["a", "b", "c"]);
        speeds.failed("a");
        speeds.failed("a");
        assert_eq!(order(&speeds), ["b", "a", "c"]);
    }

    #[test]
    fn only_so_many_are_remembered() {
        let speeds = Speeds::default();
        (0..SOURCES_MAX + 9).for_each(|i| speeds.note(&format!("{i}"), 1 << 20, 1 + i as u64));
        assert_eq!(speeds.0.lock().unwrap().len(), SOURCES_MAX);
    }
}
