//! Coordinates of curve points as blst keeps them (Montgomery form), with the few raw operations that affine additions
//! need.

use blst::{
    blst_bendian_from_fp, blst_fp, blst_fp_add, blst_fp_cneg, blst_fp_inverse, blst_fp_mul, blst_fp_sqr, blst_fp_sub,
    blst_fp2, blst_fp2_add, blst_fp2_cneg, blst_fp2_inverse, blst_fp2_mul, blst_fp2_sqr, blst_fp2_sub,
};

/// An element of the field over which a curve is defined: Fp for G1, Fp2 for G2.
///
/// Results are written in place: values returned by value would be copied by wide loads right after blst's narrow
/// stores, which stalls the processor at every operation.
pub(crate) trait Coordinate: Copy + Default + Send + Sync + 'static {
    /// Length of one serialised coordinate.
    const BYTES: usize;

    fn set_sum(&mut self, a: &Self, b: &Self);
    fn set_difference(&mut self, a: &Self, b: &Self);
    fn set_product(&mut self, a: &Self, b: &Self);
    fn set_square(&mut self, a: &Self);
    fn multiply(&mut self, by: &Self);
    fn subtract(&mut self, other: &Self);
    fn negate_if(&mut self, negate: bool);
    /// The inverse; zero for zero.
    fn invert(&mut self);
    fn is_zero(&self) -> bool;
    /// Big-endian canonical bytes into `out[..Self::BYTES]`, the way points are serialised.
    fn write(&self, out: &mut [u8]);
}

/// The operations that blst has under the same names for both fields.
macro_rules! blst_operations {
    ($add:ident, $sub:ident, $mul:ident, $sqr:ident, $cneg:ident, $inverse:ident) => {
        #[inline]
        fn set_sum(&mut self, a: &Self, b: &Self) {
            // SAFETY: here and below, all pointers are to valid, aligned field elements; blst reads the sources,
            // writes only the target, and allows them to be the same.
            unsafe { $add(self, a, b) }
        }

        #[inline]
        fn set_difference(&mut self, a: &Self, b: &Self) {
            // SAFETY: as above.
            unsafe { $sub(self, a, b) }
        }

        #[inline]
        fn set_product(&mut self, a: &Self, b: &Self) {
            // SAFETY: as above.
            unsafe { $mul(self, a, b) }
        }

        #[inline]
        fn set_square(&mut self, a: &Self) {
            // SAFETY: as above.
            unsafe { $sqr(self, a) }
        }

        #[inline]
        fn multiply(&mut self, by: &Self) {
            let target: *mut Self = self;
            // SAFETY: as above; the target is also a source.
            unsafe { $mul(target, target, by) }
        }

        #[inline]
        fn subtract(&mut self, other: &Self) {
            let target: *mut Self = self;
            // SAFETY: as above; the target is also a source.
            unsafe { $sub(target, target, other) }
        }

        #[inline]
        fn negate_if(&mut self, negate: bool) {
            let target: *mut Self = self;
            // SAFETY: as above; the target is also the source.
            unsafe { $cneg(target, target, negate) }
        }

        fn invert(&mut self) {
            let target: *mut Self = self;
            // SAFETY: as above; the target is also the source.
            unsafe { $inverse(target, target) }
        }
    };
}

impl Coordinate for blst_fp {
    const BYTES: usize = 48;

    blst_operations!(blst_fp_add, blst_fp_sub, blst_fp_mul, blst_fp_sqr, blst_fp_cneg, blst_fp_inverse);

    #[inline]
    fn is_zero(&self) -> bool {
        self.l.iter().fold(0, |any, limb| any | limb) == 0
    }

    fn write(&self, out: &mut [u8]) {
        let out: &mut [u8; 48] = (&mut out[..48]).try_into().expect("48 bytes");
        // SAFETY: blst writes exactly 48 bytes, the length of `out`, and reads one valid field element.
        unsafe { blst_bendian_from_fp(out.as_mut_ptr(), self) }
    }
}

impl Coordinate for blst_fp2 {
    const BYTES: usize = 96;

    blst_operations!(blst_fp2_add, blst_fp2_sub, blst_fp2_mul, blst_fp2_sqr, blst_fp2_cneg, blst_fp2_inverse);

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
