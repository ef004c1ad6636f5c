//! The Lagrange polynomials of a radix-2 domain, evaluated at one point, in closed form: L_j(t) = (t^m - 1)/m * w^j/(t
//! - w^j).

use blstrs::Scalar;
use ff::{Field, PrimeField};
use rayon::prelude::*;

const CHUNK: usize = 4096;

/// The evaluation domain of a circuit: the powers of a primitive 2^log2-th root of unity.
#[derive(Clone, Copy)]
pub(crate) struct Domain {
    pub(crate) log2: u32,
}

impl Domain {
    /// The smallest domain with a point for every constraint; `None` where the field has none.
    pub(crate) fn for_constraints(constraints: usize) -> Option<Self> {
        let log2 = constraints.max(1).checked_next_power_of_two()?.trailing_zeros();
        (log2 < Scalar::S).then_some(Self { log2 })
    }

    pub(crate) fn len(self) -> usize {
        1 << self.log2
    }

    fn root(self) -> Scalar {
        (self.log2..Scalar::S).fold(Scalar::ROOT_OF_UNITY, |root, _| root.square())
    }

    /// The vanishing polynomial at `tau`: tau^m - 1.
    pub(crate) fn vanishing(self, tau: &Scalar) -> Scalar {
        tau.pow_vartime([self.len() as u64]) - Scalar::ONE
    }

    /// L_0(tau) .. L_{m-1}(tau); `None` if `tau` lies in the domain, where the closed form does not hold.
    pub(crate) fn lagrange(self, tau: &Scalar) -> Option<Vec<Scalar>> {
        let scale = Scalar::from(self.len() as u64).invert().into_option()? * self.vanishing(tau);
        if scale.is_zero_vartime() {
            return None;
        }
        let root = self.root();
        let mut values = vec![Scalar::ZERO; self.len()];
        values.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, values)| {
            let first = root.pow_vartime([(chunk * CHUNK) as u64]);
            fill(values, first, &root, tau, &scale);
        });
        Some(values)
    }
}

/// One chunk, starting at the power `first` of `root`; all its divisions share one inversion.
fn fill(values: &mut [Scalar], first: Scalar, root: &Scalar, tau: &Scalar, scale: &Scalar) {
    let mut powers = Vec::with_capacity(values.len());
    let (mut power, mut product) = (first, Scalar::ONE);
    for value in values.iter_mut() {
        powers.push(power);
        *value = product;
        product *= tau - power;
        power *= root;
    }
    let mut inverse = product.invert().expect("tau lies outside the domain");
    for (value, power) in values.iter_mut().zip(&powers).rev() {
        *value *= inverse * power * scale;
        inverse *= tau - power;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_interpolate() {
        let domain = Domain::for_constraints(5000).unwrap();
        assert_eq!(domain.len(), 8192);
        let tau = Scalar::from(123_456_789).square();
        let values = domain.lagrange(&tau).unwrap();
        // The polynomial x^3 is interpolated exactly by its values on the domain.
        let root = domain.root();
        let (mut power, mut sum) = (Scalar::ONE, Scalar::ZERO);
        for value in &values {
            sum += power.cube() * value;
            power *= root;
        }
        assert_eq!(sum, tau.cube());
        assert!(domain.lagrange(&root).is_none());
        assert_eq!(Domain::for_constraints(1).unwrap().len(), 1);
    }
}
