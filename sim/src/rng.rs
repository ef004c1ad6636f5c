//! Splitmix64: everything by chance in a run comes from streams of it, all of them from the run's seed.

/// One stream.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// The stream of a name and two numbers under a seed.
    pub fn new(seed: u64, name: &str, number: u64) -> Self {
        let mut rng = Self(seed);
        for byte in name.bytes() {
            rng.0 = rng.value() ^ u64::from(byte);
        }
        rng.0 = rng.value() ^ number;
        rng
    }

    /// The next one.
    pub fn value(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A value from `low` to below `high`.
    pub fn range(&mut self, low: u64, high: u64) -> u64 {
        low + self.value() % (high - low)
    }

    /// True in so many of a hundred cases.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.range(0, 100) < percent
    }

    /// One of these.
    pub fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.range(0, list.len() as u64) as usize]
    }

    /// Fills a buffer.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.value().to_le_bytes()[..chunk.len()]);
        }
    }
}
