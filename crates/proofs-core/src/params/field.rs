//! Coordinates of curve points as blst keeps them (Montgomery form), with the few raw operations that affine additions need.

use blst::{
    blst_bendian_from_fp, blst_fp, blst_fp_add, blst_fp_cneg, blst_fp_inverse, blst_fp_mul, blst_fp_sqr, blst_fp_sub,
    blst_fp2, blst_fp2_add, blst_fp2_cneg, blst_fp2_inverse, blst_fp2_mul, blst_fp2_sqr, blst_fp2_sub,
};

/// An element of the field over which a curve is defined: Fp for G1, Fp2 for G2.
pub(crate) trait Coordinate: Copy + Default + Send + Sync + 'static {
    /// Length of one serialised coordinate.
    const BYTES: usize;

    fn add(&self, other: &Self) -> Self;
    fn sub(&self, other: &Self) -> Self;
    fn mul(&self, other: &Self) -> Self;
    fn square(&self) -> Self;
    fn negated_if(&self, negate: bool) -> Self;
    /// The inverse; zero for zero.
    fn invert(&self) -> Self;
    fn is_zero(&self) -> bool;
    /// Big-endian canonical bytes into `out[..Self::BYTES]`, the way points are serialised.
    fn write(&self, out: &mut [u8]);
}

/// Calls a blst function that fills its first argument from valid, possibly aliased, inputs.
macro_rules! blst_op {
    ($out:ty, $f:ident, $($arg:expr),+) => {{
        let mut out = <$out>::default();
        // SAFETY: `out` and the arguments are valid, aligned blst field elements for the whole call; blst reads the
        // arguments and writes only `out`.
        unsafe { $f(&mut out, $($arg),+) };
        out
    }};
}

impl Coordinate for blst_fp {
    const BYTES: usize = 48;

    #[inline]
    fn add(&self, other: &Self) -> Self {
        blst_op!(Self, blst_fp_add, self, other)
    }

    #[inline]
    fn sub(&self, other: &Self) -> Self {
        blst_op!(Self, blst_fp_sub, self, other)
    }

    #[inline]
    fn mul(&self, other: &Self) -> Self {
        blst_op!(Self, blst_fp_mul, self, other)
    }

    #[inline]
    fn square(&self) -> Self {
        blst_op!(Self, blst_fp_sqr, self)
    }

    #[inline]
    fn negated_if(&self, negate: bool) -> Self {
        blst_op!(Self, blst_fp_cneg, self, negate)
    }

    fn invert(&self) -> Self {
        blst_op!(Self, blst_fp_inverse, self)
    }

    #[inline]
    fn is_zero(&self) -> bool {
        self.l == [0; 6]
    }

    fn write(&self, out: &mut [u8]) {
        let mut bytes = [0; 48];
        // SAFETY: blst writes exactly 48 bytes, the length of `bytes`, and reads one valid field element.
        unsafe { blst_bendian_from_fp(bytes.as_mut_ptr(), self) };
        out[..48].copy_from_slice(&bytes);
    }
}

impl Coordinate for blst_fp2 {
    const BYTES: usize = 96;

    #[inline]
    fn add(&self, other: &Self) -> Self {
        blst_op!(Self, blst_fp2_add, self, other)
    }

    #[inline]
    fn sub(&self, other: &Self) -> Self {
        blst_op!(Self, blst_fp2_sub, self, other)
    }

    #[inline]
    fn mul(&self, other: &Self) -> Self {
        blst_op!(Self, blst_fp2_mul, self, other)
    }

    #[inline]
    fn square(&self) -> Self {
        blst_op!(Self, blst_fp2_sqr, self)
    }

    #[inline]
    fn negated_if(&self, negate: bool) -> Self {
        blst_op!(Self, blst_fp2_cneg, self, negate)
    }

    fn invert(&self) -> Self {
        blst_op!(Self, blst_fp2_inverse, self)
    }

    #[inline]
    fn is_zero(&self) -> bool {
        self.fp.iter().all(Coordinate::is_zero)
    }

    /// The imaginary part comes first (the serialisation of the BLS12-381 specification).
    fn write(&self, out: &mut [u8]) {
        self.fp[1].write(&mut out[..48]);
        self.fp[0].write(&mut out[48..96]);
    }
}
