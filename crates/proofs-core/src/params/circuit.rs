//! Parameters of any circuit, for those who use the generator as a library and for measuring it.

use std::io::Write;

use bellperson::Circuit;
use blstrs::Scalar;
use rand_chacha::ChaCha20Rng;

use super::keygen::{CircuitSize, KeygenError, write_parameters};
use super::trapdoor::Trapdoor;

/// Writes the Groth16 parameters of the circuit that `circuit` makes (it may be asked more than once, and must make
/// the same one), with a trapdoor drawn from `rng`: the bytes that bellperson's `generate_random_parameters` and
/// `Parameters::write` make from the same circuit and random numbers. Gives the number of constraints, input
/// constraints included.
///
/// The random numbers are the secret: whoever knows them can forge proofs.
pub fn write_for_circuit<C: Circuit<Scalar>>(
    circuit: impl Fn() -> C + Sync,
    rng: &mut ChaCha20Rng,
    out: &mut (impl Write + Send),
) -> anyhow::Result<usize> {
    let made = write_parameters(circuit, None, &Trapdoor::draw(rng), out, &|_, _| ());
    made.map(|CircuitSize { constraints, .. }| constraints).map_err(|error| match error {
        KeygenError::Circuit(error) => anyhow::Error::new(error).context("the circuit cannot be synthesised"),
        KeygenError::Write(error) => anyhow::Error::new(error).context("cannot write the parameters"),
    })
}
