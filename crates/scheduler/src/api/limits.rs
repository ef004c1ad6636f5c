//! How long an operator's PoSt or check is waited for: always longer than the core's own limit, whose error says more.

use std::time::Duration;

use sp_sched_core::Config;

/// What the core may need to notice its limit, and its answer to arrive.
const MARGIN: Duration = Duration::from_secs(60);

/// Limits of requests that compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ComputeLimits {
    /// Window PoSt and check.
    pub(super) window: Duration,
    /// Winning PoSt.
    pub(super) winning: Duration,
}

impl ComputeLimits {
    /// The core's limits, and a margin.
    pub(crate) fn of(config: &Config) -> Self {
        let beyond = |limit_ms| Duration::from_millis(limit_ms) + MARGIN;
        Self { window: beyond(config.window_post_limit_ms), winning: beyond(config.winning_post_limit_ms) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sp_types::SectorSize;

    #[test]
    fn the_core_gives_up_first_and_says_why() {
        let config = Config::new(1000, SectorSize::KiB2, [7; 32]);
        let ComputeLimits { window, winning } = ComputeLimits::of(&config);
        assert!(window > Duration::from_millis(config.window_post_limit_ms));
        assert!(winning > Duration::from_millis(config.winning_post_limit_ms));
    }
}
