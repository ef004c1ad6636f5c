//! A small seeded generator (xorshift64*), so that a failing run can be repeated.

/// Pseudo-random numbers from a printed seed.
pub struct Random(u64);

impl Random {
    /// From `SP_TEST_SEED` if set, else from the clock; prints which.
    pub fn from_env() -> Self {
        let clock =
            || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(1, |d| d.as_nanos() as u64);
        let seed = std::env::var("SP_TEST_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(clock);
        println!("SP_TEST_SEED={seed}");
        Self(seed | 1)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) % bound
    }

    /// One of the items.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u64) as usize]
    }
}
