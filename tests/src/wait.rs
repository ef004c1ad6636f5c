//! Bounded waiting.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Asks `probe` every 50 ms until it answers, at most for `limit`; the error names what was awaited and the last answer.
pub fn until<T>(what: &str, limit: Duration, probe: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    every(Duration::from_millis(50), what, limit, probe)
}

/// The same, asking so often.
pub fn every<T>(
    pause: Duration,
    what: &str,
    limit: Duration,
    mut probe: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let start = Instant::now();
    let mut last = String::from("nothing yet");
    while start.elapsed() < limit {
        match probe() {
            Ok(Some(value)) => return Ok(value),
            Ok(None) => {}
            Err(error) => last = format!("{error:#}"),
        }
        std::thread::sleep(pause);
    }
    bail!("waited {limit:?} for {what}; last: {last}")
}
