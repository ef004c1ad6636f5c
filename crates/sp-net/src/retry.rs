//! Waiting between tries: longer each time, never beyond a bound, never all at the same moment.

use std::time::Duration;

use sp_env::Entropy;

use crate::Env;

/// The waits between tries of one thing.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    tries_max: Option<u32>,
    tries: u32,
}

impl Backoff {
    /// At most `tries_max` waits, doubling from `first` to `longest`.
    pub fn limited(first: Duration, longest: Duration, tries_max: u32) -> Self {
        Self { first, longest, tries_max: Some(tries_max), tries: 0 }
    }

    /// Waits without end, for what has no successor to hand over to: a worker's session with its scheduler.
    pub fn endless(first: Duration, longest: Duration) -> Self {
        Self { first, longest, tries_max: None, tries: 0 }
    }

    /// How long to wait before the next try: between half and all of the doubled time. None when there is no next try.
    pub fn next(&mut self, entropy: &dyn Entropy) -> Option<Duration> {
        if self.tries_max.is_some_and(|max| self.tries >= max) {
            return None;
        }
        let full = self.first.saturating_mul(1 << self.tries.min(20)).min(self.longest);
        self.tries = self.tries.saturating_add(1);
        let mut random = [0; 4];
        entropy.fill(&mut random);
        let share = f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX);
        Some(full.mul_f64(0.5 + share / 2.0))
    }

    /// Waits before the next try; false when there is none.
    pub async fn wait(&mut self, env: &Env) -> bool {
        match self.next(env.entropy.as_ref()) {
            Some(duration) => {
                env.clock.sleep(duration).await;
                true
            }
            None => false,
        }
    }

    /// Tries so far since the last success.
    pub fn tries(&self) -> u32 {
        self.tries
    }

    /// After a success: the next wait is the first again.
    pub fn reset(&mut self) {
        self.tries = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(u8);

    impl Entropy for Fixed {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(self.0);
        }
    }

    #[test]
    fn waits_grow_and_end() {
        let ms = Duration::from_millis;
        let mut full = Backoff::limited(ms(100), ms(500), 4);
        let waits: Vec<_> = std::iter::from_fn(|| full.next(&Fixed(255))).collect();
        assert_eq!(waits, [ms(100), ms(200), ms(400), ms(500)]);
        full.reset();
        assert_eq!(full.next(&Fixed(0)), Some(ms(50)));
        let mut endless = Backoff::endless(ms(100), ms(500));
        assert!((0..1000).all(|_| endless.next(&Fixed(255)).is_some_and(|d| d <= ms(500))));
    }
}
