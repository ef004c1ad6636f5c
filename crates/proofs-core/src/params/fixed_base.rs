//! Multiples of one fixed point by many scalars: a table per window of bits, so that a multiple is a sum of table
//! entries and needs no doublings; the sums of a block of scalars grow in lock-step with batched affine additions.
//!
//! Scalars are made at most (r-1)/2 by negating the point, and their digits are signed, which halves the table twice.

use blstrs::Scalar;
use ff::PrimeField;
use rayon::prelude::*;
use rustix::mm::{Advice, madvise};

use super::affine::{Affine, Scratch, Sums};
use super::field::Coordinate;

/// Bits of (r-1)/2.
const HALF_BITS: usize = 254;
/// Scalars whose sums grow together: their points, products and table lines fit a core's L2 cache.
const BLOCK: usize = 1024;
/// How many table look-ups ahead the processor is told which line comes next.
const PREFETCH_AHEAD: usize = 12;
/// Pages of memory advice.
const PAGE_BYTES: usize = 4096;

/// The table of one fixed point.
pub(crate) struct FixedBase<C> {
    width: usize,
    windows: usize,
    /// `windows` runs of `2^(width-1)` entries; entry j of window w is (j+1) * 2^(width*w) * base.
    table: Vec<Affine<C>>,
    recoder: Recoder,
}

/// Scalars on their way: the sums so far, and the digits, window after window.
struct Block<C> {
    sums: Sums<C>,
    digits: Vec<i32>,
}

/// Cuts scalars into signed digits.
struct Recoder {
    width: usize,
    /// (r-1)/2, least significant limb first.
    half: [u64; 4],
}

impl<C: Coordinate> FixedBase<C> {
    /// A table for about `scalars` multiples of `base`: as wide as pays off.
    pub(crate) fn new(base: Affine<C>, scalars: usize) -> Self {
        let additions = |width: usize| {
            let windows = HALF_BITS / width + 1;
            scalars * (windows - 1) + (windows << (width - 1))
        };
        // Wider than 17 bits saves no window until 19, whose table no longer fits near caches.
        let width = (4..=17).min_by_key(|width| additions(*width)).expect("the range is not empty");
        Self::with_width(base, width)
    }

    fn with_width(base: Affine<C>, width: usize) -> Self {
        let windows = HALF_BITS / width + 1;
        let entries = 1 << (width - 1);
        let mut bases = Vec::with_capacity(windows);
        let mut next = base;
        for _ in 0..windows {
            bases.push(next);
            (0..width).for_each(|_| next = next.doubled());
        }
        let mut table = huge_pages(windows * entries);
        table.par_chunks_mut(entries).zip(&bases).for_each(|(window, base)| fill_window(window, *base));
        Self { width, windows, table, recoder: Recoder::new(width) }
    }

    /// Serialises `scalar * base` for every scalar, in order, into `out` (one uncompressed point each).
    ///
    /// All scalars go through one window before any goes to the next, so that its part of the table stays in the cache
    /// that the cores share: give many scalars at once.
    pub(crate) fn multiply(&self, scalars: &[Scalar], out: &mut [u8]) {
        assert_eq!(out.len(), scalars.len() * Affine::<C>::BYTES, "the output holds one point per scalar");
        let mut blocks: Vec<_> = scalars.par_chunks(BLOCK).map(|scalars| self.block(scalars)).collect();
        for (window, table) in self.table.chunks_exact(1 << (self.width - 1)).enumerate() {
            blocks.par_iter_mut().for_each_init(Scratch::default, |scratch, block| block.add(window, table, scratch));
        }
        out.par_chunks_mut(BLOCK * Affine::<C>::BYTES).zip(blocks).for_each(|(out, block)| {
            for (point, bytes) in block.sums.iter().zip(out.chunks_exact_mut(Affine::<C>::BYTES)) {
                match point {
                    Some(point) => point.write(bytes),
                    None => write_identity(bytes),
                }
            }
        });
    }

    fn block(&self, scalars: &[Scalar]) -> Block<C> {
        let mut digits = vec![0; self.windows * scalars.len()];
        for (i, scalar) in scalars.iter().enumerate() {
            self.recoder.digits(scalar, |window, digit| digits[window * scalars.len() + i] = digit);
        }
        Block { sums: Sums::new(scalars.len()), digits }
    }
}

impl<C: Coordinate> Block<C> {
    /// Adds one window's multiples to the sums.
    fn add(&mut self, window: usize, table: &[Affine<C>], scratch: &mut Scratch<C>) {
        let count = self.sums.len();
        let digits = &self.digits[window * count..][..count];
        self.sums.add(scratch, |i| {
            if let Some(ahead) = digits.get(i + PREFETCH_AHEAD) {
                prefetch(table, ahead.unsigned_abs() as usize);
            }
            let digit = digits[i];
            (digit != 0).then(|| (&table[digit.unsigned_abs() as usize - 1], digit < 0))
        });
    }
}

impl Recoder {
    fn new(width: usize) -> Self {
        let mut half = limbs(&-Scalar::from(1));
        for i in 0..4 {
            half[i] = half[i] >> 1 | half.get(i + 1).map_or(0, |next| next << 63);
        }
        Self { width, half }
    }

    /// Calls `put(window, digit)` with digits in -2^(width-1)..=2^(width-1), least significant window first.
    fn digits(&self, scalar: &Scalar, mut put: impl FnMut(usize, i32)) {
        let mut value = limbs(scalar);
        let negative = value.iter().rev().gt(self.half.iter().rev());
        if negative {
            value = limbs(&-scalar);
        }
        let (mask, limit) = ((1u64 << self.width) - 1, 1i64 << (self.width - 1));
        let mut carry = 0;
        for window in 0..=HALF_BITS / self.width {
            let bit = window * self.width;
            let low = value[bit / 64] >> (bit % 64);
            let high = match bit % 64 {
                0 => 0,
                shift => value.get(bit / 64 + 1).map_or(0, |next| next << (64 - shift)),
            };
            let mut digit = ((low | high) & mask) as i64 + carry;
            carry = i64::from(digit > limit);
            digit -= carry << self.width;
            put(window, if negative { -digit } else { digit } as i32);
        }
        debug_assert_eq!(carry, 0, "the top window has a spare bit");
    }
}

/// entry j = (j+1) * base, by doubling the filled part: entry m+j = entry j + entry m-1.
fn fill_window<C: Coordinate>(window: &mut [Affine<C>], base: Affine<C>) {
    window[0] = base;
    let mut scratch = Scratch::default();
    let mut filled = 1;
    while filled < window.len() {
        let (low, high) = window.split_at_mut(filled);
        for (low_block, high_block) in low.chunks(BLOCK).zip(high.chunks_mut(BLOCK)) {
            let mut sums = Sums::new(low_block.len());
            sums.add(&mut scratch, |j| Some((&low_block[j], false)));
            sums.add(&mut scratch, |_| Some((&low[filled - 1], false)));
            for (entry, sum) in high_block.iter_mut().zip(sums.iter()) {
                *entry = *sum.expect("small multiples of a generator are not the identity");
            }
        }
        filled *= 2;
    }
}

fn limbs(scalar: &Scalar) -> [u64; 4] {
    let bytes = scalar.to_repr();
    std::array::from_fn(|i| u64::from_le_bytes(bytes[8 * i..8 * i + 8].try_into().expect("eight bytes")))
}

/// A zeroed table in huge pages where the kernel has them: the look-ups are random, and would miss the TLB at nearly
/// each.
fn huge_pages<C: Coordinate>(entries: usize) -> Vec<Affine<C>> {
    let mut table: Vec<Affine<C>> = Vec::with_capacity(entries);
    let (start, length) = (table.as_mut_ptr().cast::<u8>(), entries * size_of::<Affine<C>>());
    let skipped = start.align_offset(PAGE_BYTES);
    if let Some(length) = length.checked_sub(skipped) {
        // SAFETY: the range lies inside the vector's own allocation, and the advice changes no content. That it is
        // refused costs time only.
        let _ = unsafe { madvise(start.add(skipped).cast(), length / PAGE_BYTES * PAGE_BYTES, Advice::LinuxHugepage) };
    }
    table.resize(entries, Affine::default());
    table
}

/// The identity, uncompressed: only the flag bit.
fn write_identity(out: &mut [u8]) {
    out.fill(0);
    out[0] = 0x40;
}

/// Asks for the table entry of a digit (0: of any) to be brought into the cache.
#[inline]
fn prefetch<C>(table: &[Affine<C>], digit: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let entry = &raw const table[digit.saturating_sub(1)];
        let size = size_of::<Affine<C>>();
        // An entry begins at a multiple of 32 and is a multiple of 96 bytes long: its lines begin 64 bytes apart.
        for offset in (0..size).step_by(64) {
            // SAFETY: the address lies inside a live table entry; a prefetch has no effect but on the cache.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(entry.cast::<i8>().add(offset)) };
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (table, digit);
}

#[cfg(test)]
mod tests {
    use super::*;
    use blst::{blst_fp, blst_fp2};
    use blstrs::{G1Affine, G1Projective, G2Affine, G2Projective};
    use ff::Field;
    use group::{Curve, Group};
    use rand::SeedableRng;
    use rand_chacha::ChaCha20Rng;

    fn scalars(count: usize) -> Vec<Scalar> {
        let mut rng = ChaCha20Rng::from_seed([7; 32]);
        let mut scalars: Vec<_> = (0..count).map(|_| Scalar::random(&mut rng)).collect();
        let two = Scalar::from(2);
        let half = -two.invert().unwrap();
        scalars.extend([Scalar::ZERO, Scalar::ONE, -Scalar::ONE, two, half, half + Scalar::ONE, half - Scalar::ONE]);
        scalars.extend((0..255).map(|bit| two.pow_vartime([bit])));
        scalars
    }

    #[test]
    fn multiples_in_g1_are_those_of_the_curve() {
        let base = G1Projective::random(ChaCha20Rng::from_seed([1; 32]));
        let affine: G1Affine = base.to_affine();
        let scalars = scalars(1500);
        for width in [4, 11, 17] {
            let table = FixedBase::<blst_fp>::with_width(Affine { x: affine.as_ref().x, y: affine.as_ref().y }, width);
            let mut out = vec![0; scalars.len() * 96];
            table.multiply(&scalars, &mut out);
            for (scalar, bytes) in scalars.iter().zip(out.chunks_exact(96)) {
                assert_eq!((base * scalar).to_affine().to_uncompressed().as_slice(), bytes, "{scalar:?}");
            }
        }
    }

    #[test]
    fn multiples_in_g2_are_those_of_the_curve() {
        let base = G2Projective::random(ChaCha20Rng::from_seed([2; 32]));
        let affine: G2Affine = base.to_affine();
        let scalars = scalars(100);
        let table = FixedBase::<blst_fp2>::new(Affine { x: affine.as_ref().x, y: affine.as_ref().y }, scalars.len());
        let mut out = vec![0; scalars.len() * 192];
        table.multiply(&scalars, &mut out);
        for (scalar, bytes) in scalars.iter().zip(out.chunks_exact(192)) {
            assert_eq!((base * scalar).to_affine().to_uncompressed().as_slice(), bytes, "{scalar:?}");
        }
    }
}
