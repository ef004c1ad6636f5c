//! Chance from a number. What a single thing takes is drawn by its name, so that one change does not change all the rest.

/// Splitmix64.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The dice of a thing that has a name.
    pub fn of(seed: u64, name: &[u64]) -> Self {
        Self(name.iter().fold(seed, |seed, part| Self(seed ^ part.wrapping_mul(0x9e37_79b9_7f4a_7c15)).next()))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    /// Both ends are possible.
    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    /// Of something that happens now and then, so long apart on average: the time to the next one.
    pub fn around(&mut self, mean: u64) -> u64 {
        let part = (self.below(1 << 30) + 1) as f64 / (1u64 << 30) as f64;
        (-part.ln() * mean as f64) as u64 + 1
    }

    /// So much, give or take so many percent.
    pub fn about(&mut self, usual: u64, percent: u64) -> u64 {
        usual * self.between(100 - percent, 100 + percent) / 100
    }
}
