//! Affine points of curves y^2 = x^3 + b, and many additions of them for the price of one inversion.

use super::field::Coordinate;

/// An affine point that is not the identity. The alignment keeps a G1 point within two cache lines.
#[derive(Clone, Copy, Default)]
#[repr(C, align(32))]
pub(crate) struct Affine<C> {
    pub(crate) x: C,
    pub(crate) y: C,
}

/// A set of sums that grow in lock-step: every call adds one point to many of them, sharing one inversion.
pub(crate) struct Sums<C> {
    points: Vec<Affine<C>>,
    /// False where the sum is still the identity, which has no affine form.
    live: Vec<bool>,
}

/// Room for the additions of one call.
#[derive(Default)]
pub(crate) struct Scratch<C> {
    /// The sums with an addition between its two passes.
    pending: Vec<usize>,
    /// Of each pending addition: the difference of the abscissas.
    differences: Vec<C>,
    /// Of each pending addition: the product of the differences up to its own.
    products: Vec<C>,
}

impl<C: Coordinate> Affine<C> {
    /// Bytes of one serialised, uncompressed point.
    pub(crate) const BYTES: usize = 2 * C::BYTES;

    fn negated_if(&self, negate: bool) -> Self {
        let mut point = *self;
        point.y.negate_if(negate);
        point
    }

    /// The double. No point of BLS12-381 has order two, so y is never zero.
    pub(crate) fn doubled(&self) -> Self {
        let [mut square, mut slope, mut twice_y] = [C::default(); 3];
        square.set_square(&self.x);
        slope.set_sum(&square, &square);
        twice_y.set_sum(&slope, &square);
        slope = twice_y;
        twice_y.set_sum(&self.y, &self.y);
        twice_y.invert();
        slope.multiply(&twice_y);
        let mut double = *self;
        double.move_along(&self.x, &slope);
        double
    }

    /// Becomes the third point of the line with this slope through itself and a point with abscissa `other_x`,
    /// mirrored.
    #[inline]
    fn move_along(&mut self, other_x: &C, slope: &C) {
        let mut x = C::default();
        x.set_square(slope);
        x.subtract(&self.x);
        x.subtract(other_x);
        // y' = slope * (x - x') - y
        self.x.subtract(&x);
        self.x.multiply(slope);
        let mut y = C::default();
        y.set_difference(&self.x, &self.y);
        (self.x, self.y) = (x, y);
    }

    pub(crate) fn write(&self, out: &mut [u8]) {
        self.x.write(&mut out[..C::BYTES]);
        self.y.write(&mut out[C::BYTES..Self::BYTES]);
    }
}

impl<C: Coordinate> Sums<C> {
    /// `count` sums, at the identity.
    pub(crate) fn new(count: usize) -> Self {
        Self { points: vec![Affine::default(); count], live: vec![false; count] }
    }

    pub(crate) fn len(&self) -> usize {
        self.points.len()
    }

    /// Adds to every sum `i` the point that `summand(i)` names, negated where it says so; `None` adds nothing.
    pub(crate) fn add<'a>(
        &mut self,
        scratch: &mut Scratch<C>,
        summand: impl Fn(usize) -> Option<(&'a Affine<C>, bool)>,
    ) {
        let Scratch { pending, differences, products } = scratch;
        pending.clear();
        // What these hold is never read before it is written.
        differences.resize(self.len(), C::default());
        products.resize(self.len(), C::default());
        for at in 0..self.len() {
            let Some((other, negate)) = summand(at) else { continue };
            if !self.live[at] {
                (self.points[at], self.live[at]) = (other.negated_if(negate), true);
                continue;
            }
            let slot = pending.len();
            differences[slot].set_difference(&other.x, &self.points[at].x);
            if differences[slot].is_zero() {
                self.add_same_abscissa(at, &other.negated_if(negate));
                continue;
            }
            let (before, own) = products.split_at_mut(slot);
            match before.last() {
                Some(before) => own[0].set_product(before, &differences[slot]),
                None => own[0] = differences[slot],
            }
            pending.push(at);
        }
        self.finish(scratch, summand);
    }

    /// Second pass, backwards: peels one inverse after the other off the inverse of the whole product.
    fn finish<'a>(&mut self, scratch: &Scratch<C>, summand: impl Fn(usize) -> Option<(&'a Affine<C>, bool)>) {
        let Scratch { pending, differences, products } = scratch;
        let Some(last) = pending.len().checked_sub(1) else { return };
        let mut inverse = products[last];
        inverse.invert();
        for (slot, at) in pending.iter().enumerate().rev() {
            let (other, negate) = summand(*at).expect("a summand is the same in both passes");
            let sum = &mut self.points[*at];
            let [mut slope, mut y] = [C::default(), other.y];
            y.negate_if(negate);
            y.subtract(&sum.y);
            match slot.checked_sub(1) {
                Some(before) => {
                    slope.set_product(&inverse, &products[before]);
                    inverse.multiply(&differences[slot]);
                }
                None => slope = inverse,
            }
            slope.multiply(&y);
            sum.move_along(&other.x, &slope);
        }
    }

    fn add_same_abscissa(&mut self, at: usize, other: &Affine<C>) {
        let mut difference = C::default();
        difference.set_difference(&self.points[at].y, &other.y);
        if difference.is_zero() {
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
