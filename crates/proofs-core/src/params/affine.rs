//! Affine points of curves y^2 = x^3 + b, and many additions of them for the price of one inversion.

use super::field::Coordinate;

/// An affine point that is not the identity.
#[derive(Clone, Copy, Default)]
pub(crate) struct Affine<C> {
    pub(crate) x: C,
    pub(crate) y: C,
}

/// A set of sums that grow in lock-step: every call adds one point to many of them, sharing one inversion.
pub(crate) struct Sums<C> {
    points: Vec<Affine<C>>,
    /// False where the sum is still the identity, which has no affine form.
    live: Vec<bool>,
    pending: Vec<Pending<C>>,
}

/// One addition between its two passes: the difference of the abscissas, and the product of all earlier ones.
struct Pending<C> {
    at: usize,
    difference: C,
    earlier: C,
}

impl<C: Coordinate> Affine<C> {
    /// Bytes of one serialised, uncompressed point.
    pub(crate) const BYTES: usize = 2 * C::BYTES;

    pub(crate) fn negated_if(&self, negate: bool) -> Self {
        Self { x: self.x, y: self.y.negated_if(negate) }
    }

    /// The double. No point of BLS12-381 has order two, so y is never zero.
    pub(crate) fn doubled(&self) -> Self {
        let square = self.x.square();
        let slope = square.add(&square).add(&square).mul(&self.y.add(&self.y).invert());
        self.third(&self.x, &slope)
    }

    /// The third point of the line with this slope through `self` and a point with abscissa `other_x`, mirrored.
    #[inline]
    fn third(&self, other_x: &C, slope: &C) -> Self {
        let x = slope.square().sub(&self.x).sub(other_x);
        Self { x, y: slope.mul(&self.x.sub(&x)).sub(&self.y) }
    }

    pub(crate) fn write(&self, out: &mut [u8]) {
        self.x.write(&mut out[..C::BYTES]);
        self.y.write(&mut out[C::BYTES..Self::BYTES]);
    }
}

impl<C: Coordinate> Sums<C> {
    pub(crate) fn new() -> Self {
        Self { points: Vec::new(), live: Vec::new(), pending: Vec::new() }
    }

    /// Starts `count` sums at the identity.
    pub(crate) fn reset(&mut self, count: usize) {
        self.points.clear();
        self.points.resize(count, Affine::default());
        self.live.clear();
        self.live.resize(count, false);
    }

    /// Adds to every sum `i` the point that `summand(i)` names, negated where it says so; `None` adds nothing.
    pub(crate) fn add<'a>(&mut self, summand: impl Fn(usize) -> Option<(&'a Affine<C>, bool)>) {
        self.pending.clear();
        let mut product: Option<C> = None;
        for at in 0..self.points.len() {
            let Some((other, negate)) = summand(at) else { continue };
            if !self.live[at] {
                (self.points[at], self.live[at]) = (other.negated_if(negate), true);
                continue;
            }
            let difference = other.x.sub(&self.points[at].x);
            if difference.is_zero() {
                self.add_same_abscissa(at, &other.negated_if(negate));
                continue;
            }
            // The first pending addition has no earlier product; it is never read (see below).
            self.pending.push(Pending { at, difference, earlier: product.unwrap_or_default() });
            product = Some(product.map_or(difference, |p| p.mul(&difference)));
        }
        let Some(product) = product else { return };
        self.finish(product.invert(), summand);
    }

    /// Second pass, backwards: peels one inverse after the other off the inverse of the whole product.
    fn finish<'a>(&mut self, mut inverse: C, summand: impl Fn(usize) -> Option<(&'a Affine<C>, bool)>) {
        for (index, pending) in self.pending.iter().enumerate().rev() {
            let own = if index == 0 { inverse } else { inverse.mul(&pending.earlier) };
            if index != 0 {
                inverse = inverse.mul(&pending.difference);
            }
            let sum = &mut self.points[pending.at];
            let (other, negate) = summand(pending.at).expect("a summand is the same in both passes");
            let slope = other.y.negated_if(negate).sub(&sum.y).mul(&own);
            *sum = sum.third(&other.x, &slope);
        }
    }

    fn add_same_abscissa(&mut self, at: usize, other: &Affine<C>) {
        if self.points[at].y.sub(&other.y).is_zero() {
            self.points[at] = self.points[at].doubled();
        } else {
            self.live[at] = false;
        }
    }

    /// The sums; `None` is the identity.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Option<&Affine<C>>> {
        self.points.iter().zip(&self.live).map(|(point, live)| live.then_some(point))
    }
}
