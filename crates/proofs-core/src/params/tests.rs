//! Our generator against bellperson's own: the same bytes for the same trapdoor.

use bellperson::groth16::{generate_parameters, generate_random_parameters};
use bellperson::{Circuit, ConstraintSystem, SynthesisError};
use blstrs::{Bls12, Scalar};
use ff::Field;
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use sp_types::SectorSize;

use super::keygen::write_parameters;
use super::kind::{WithCircuit, with_circuit};
use super::trapdoor::{Trapdoor, development_rng};
use super::*;

/// x^n = y with two inputs, one of them in no constraint, and variables that lack an A or a B polynomial.
#[derive(Clone)]
struct Power(usize);

impl Circuit<Scalar> for Power {
    fn synthesize<CS: ConstraintSystem<Scalar>>(self, cs: &mut CS) -> Result<(), SynthesisError> {
        let absent = || Err(SynthesisError::AssignmentMissing);
        cs.alloc_input(|| "idle", absent)?;
        let output = cs.alloc_input(|| "output", absent)?;
        let x = cs.alloc(|| "x", absent)?;
        let mut power = x;
        for step in 0..self.0 {
            let next = cs.alloc(|| "power", absent)?;
            let three = Scalar::from(3);
            cs.enforce(
                || "times",
                |lc| lc + power + (three, x) - CS::one(),
                |lc| if step % 3 == 0 { lc + power } else { lc + x },
                |lc| lc + next - (three, output),
            );
            power = next;
        }
        cs.enforce(|| "output", |lc| lc + CS::one(), |lc| lc + CS::one(), |lc| lc + output - power);
        Ok(())
    }
}

struct Unconstrained;

impl Circuit<Scalar> for Unconstrained {
    fn synthesize<CS: ConstraintSystem<Scalar>>(self, cs: &mut CS) -> Result<(), SynthesisError> {
        cs.alloc(|| "loose", || Err(SynthesisError::AssignmentMissing)).map(drop)
    }
}

/// Makes the same parameters both ways and compares.
struct Compare(ChaCha20Rng);

impl WithCircuit for Compare {
    type Output = usize;

    fn run<C: Circuit<Scalar>>(mut self, circuit: impl Fn() -> C + Sync) -> usize {
        let trapdoor = Trapdoor::draw(&mut self.0.clone());
        let mut ours = Vec::new();
        let size = write_parameters(&circuit, None, &trapdoor, &mut ours, &|_, _| ()).unwrap();
        let mut theirs = Vec::new();
        generate_random_parameters::<Bls12, _, _>(circuit(), &mut self.0).unwrap().write(&mut theirs).unwrap();
        assert!(ours == theirs, "{size:?}");
        size.constraints
    }
}

fn rng(seed: u8) -> ChaCha20Rng {
    ChaCha20Rng::from_seed([seed; 32])
}

#[test]
fn small_circuits_match_bellperson() {
    for (seed, steps) in [(1, 0), (2, 1), (3, 5), (4, 12), (5, 1000)] {
        Compare(rng(seed)).run(|| Power(steps));
    }
}

#[test]
fn an_explicit_trapdoor_matches_bellperson() {
    let mut trapdoor = Trapdoor::draw(&mut rng(6));
    trapdoor.gamma = Scalar::ONE;
    trapdoor.alpha = Scalar::ZERO;
    let Trapdoor { g1, g2, alpha, beta, gamma, delta, tau } = trapdoor.clone();
    let mut theirs = Vec::new();
    let parameters = generate_parameters::<Bls12, _>(Power(77), g1, g2, alpha, beta, gamma, delta, tau).unwrap();
    parameters.write(&mut theirs).unwrap();
    // Both wrong guesses of the domain: too small, too large.
    for guess in [Some(3), Some(12), None] {
        let mut ours = Vec::new();
        write_parameters(|| Power(77), guess, &trapdoor, &mut ours, &|_, _| ()).unwrap();
        assert!(ours == theirs, "{guess:?}");
    }
}

#[test]
fn window_post_2kib_matches_bellperson() {
    let rng = development_rng(Kind::Window, SectorSize::KiB2);
    let constraints = with_circuit(Kind::Window, SectorSize::KiB2, Compare(rng)).unwrap();
    assert!(constraints > 20_000);
}

#[test]
fn an_unconstrained_variable_is_refused() {
    let trapdoor = Trapdoor::draw(&mut rng(7));
    let mut out = Vec::new();
    let error = write_parameters(|| Unconstrained, None, &trapdoor, &mut out, &|_, _| ()).unwrap_err();
    assert!(error.to_string().contains("unconstrained"), "{error}");
    assert!(out.is_empty());
}
