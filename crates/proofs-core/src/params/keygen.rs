//! Groth16 parameters of a circuit for a given trapdoor, as the bytes of bellperson's `Parameters::write`.
//!
//! Same points, same order, same filtering as bellperson's `generate_parameters`, in another way: the QAP is evaluated
//! while the circuit is synthesised, points are sums of table entries (`fixed_base`), and every block is streamed out
//! when made.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use bellperson::groth16::VerifyingKey;
use bellperson::{Circuit, SynthesisError};
use blst::{blst_fp, blst_fp2};
use blstrs::{Bls12, G1Affine, G1Projective, Scalar};
use ff::Field;
use group::Curve;
use rayon::prelude::*;

use super::affine::Affine;
use super::fixed_base::FixedBase;
use super::lagrange::Domain;
use super::qap::{self, Column, Qap};
use super::trapdoor::Trapdoor;

/// Scalars multiplied between two writes.
const BATCH: usize = 1 << 18;
/// Batches that may wait for the disk.
const QUEUED_BATCHES: usize = 2;

/// Hears how many points are made, and how many there will be (a guess until the circuit is synthesised).
pub(crate) type PointsMade<'a> = &'a (dyn Fn(u64, u64) + Sync);

/// The size of a circuit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CircuitSize {
    pub(crate) constraints: usize,
    pub(crate) inputs: usize,
    pub(crate) aux: usize,
}

/// Why no parameters came out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeygenError {
    #[error(transparent)]
    Circuit(#[from] SynthesisError),
    #[error(transparent)]
    Write(#[from] io::Error),
}

/// Writes the parameters of the circuit that `circuit` makes. `domain_log2` is a guess that saves a synthesis only for
/// counting; a wrong one costs time, nothing else. Nothing is written before the circuit is known to be sound.
pub(crate) fn write_parameters<C: Circuit<Scalar>>(
    circuit: impl Fn() -> C + Sync,
    domain_log2: Option<u32>,
    trapdoor: &Trapdoor,
    out: &mut (impl Write + Send),
    progress: PointsMade<'_>,
) -> Result<CircuitSize, KeygenError> {
    let counted = |constraints| Domain::for_constraints(constraints).ok_or(SynthesisError::PolynomialDegreeTooLarge);
    let domain = match domain_log2 {
        Some(log2) => Domain { log2 },
        None => counted(qap::count_constraints(circuit())?)?,
    };
    let mut generator = Generator::new(domain, trapdoor, progress)?;
    let (h, qap) = rayon::join(|| generator.h_points(), || qap::evaluate(circuit(), &generator.lagrange));
    let qap = qap?;
    if counted(qap.constraints)?.log2 != domain.log2 {
        drop((h, qap, generator));
        return write_parameters(circuit, None, trapdoor, out, progress);
    }
    generator.lagrange = Vec::new();
    let size = CircuitSize { constraints: qap.constraints, inputs: qap.inputs.len(), aux: qap.aux.len() };
    generator.write_all(h, qap, out)?;
    Ok(size)
}

struct Generator<'a> {
    domain: Domain,
    trapdoor: &'a Trapdoor,
    lagrange: Vec<Scalar>,
    g1: FixedBase<blst_fp>,
    g2: FixedBase<blst_fp2>,
    gamma_inverse: Scalar,
    delta_inverse: Scalar,
    points_made: AtomicU64,
    points_expected: AtomicU64,
    progress: PointsMade<'a>,
}

impl<'a> Generator<'a> {
    fn new(domain: Domain, trapdoor: &'a Trapdoor, progress: PointsMade<'a>) -> Result<Self, SynthesisError> {
        let invert = |scalar: &Scalar| scalar.invert().into_option().ok_or(SynthesisError::UnexpectedIdentity);
        let (g1, g2) = (trapdoor.g1.to_affine(), trapdoor.g2.to_affine());
        // Of Filecoin's circuits about four in five domain points are constraints, as many are variables, and a
        // quarter of the variables have a B polynomial; only the width of the tables depends on this.
        let (g1_points, g2_points) = (domain.len() * 5 / 2, domain.len() / 5);
        Ok(Self {
            domain,
            trapdoor,
            lagrange: domain.lagrange(&trapdoor.tau).ok_or(SynthesisError::UnexpectedIdentity)?,
            g1: FixedBase::new(Affine { x: g1.as_ref().x, y: g1.as_ref().y }, g1_points),
            g2: FixedBase::new(Affine { x: g2.as_ref().x, y: g2.as_ref().y }, g2_points),
            gamma_inverse: invert(&trapdoor.gamma)?,
            delta_inverse: invert(&trapdoor.delta)?,
            points_made: AtomicU64::new(0),
            points_expected: AtomicU64::new((g1_points + g2_points) as u64),
            progress,
        })
    }

    /// tau^i * t(tau) / delta for i below the domain's length less one. Independent of the circuit, so made beside its
    /// synthesis.
    fn h_points(&self) -> Vec<u8> {
        let tau = &self.trapdoor.tau;
        let mut bytes = vec![0; (self.domain.len() - 1) * Affine::<blst_fp>::BYTES];
        let mut power = self.domain.vanishing(tau) * self.delta_inverse;
        for bytes in bytes.chunks_mut(BATCH * Affine::<blst_fp>::BYTES) {
            let mut scalars = vec![power; bytes.len() / Affine::<blst_fp>::BYTES];
            for scalar in &mut scalars {
                *scalar = power;
                power *= tau;
            }
            self.g1.multiply(&scalars, bytes);
            self.made(scalars.len());
        }
        bytes
    }

    fn made(&self, points: usize) {
        let made = self.points_made.fetch_add(points as u64, Ordering::Relaxed) + points as u64;
        (self.progress)(made, self.points_expected.load(Ordering::Relaxed).max(made));
    }

    /// Combination of a variable's polynomials that goes into the IC query (inputs, 1/gamma) and the L query (aux,
    /// 1/delta).
    fn extension(&self, column: &Column, inverse: &Scalar) -> Scalar {
        (column.a * self.trapdoor.beta + column.b * self.trapdoor.alpha + column.c) * inverse
    }

    fn verifying_key(&self, inputs: &[Column]) -> VerifyingKey<Bls12> {
        let Trapdoor { g1, g2, alpha, beta, gamma, delta, .. } = self.trapdoor;
        let multiple = |scalar: &Scalar| (*g1 * scalar).to_affine();
        VerifyingKey {
            alpha_g1: multiple(alpha),
            beta_g1: multiple(beta),
            beta_g2: (g2 * beta).to_affine(),
            gamma_g2: (g2 * gamma).to_affine(),
            delta_g1: multiple(delta),
            delta_g2: (g2 * delta).to_affine(),
            ic: normalised(inputs.iter().map(|input| g1 * self.extension(input, &self.gamma_inverse)).collect()),
        }
    }

    /// Streams the file out; a thread of its own writes while the points are made.
    fn write_all(&self, h: Vec<u8>, qap: Qap, out: &mut (impl Write + Send)) -> Result<(), KeygenError> {
        // Upstream refuses variables that no constraint touches: the L query must be dense.
        let l_scalar = |column: &Column| Some(self.extension(column, &self.delta_inverse));
        if qap.aux.par_iter().any(|column| l_scalar(column).is_some_and(|l| l.is_zero_vartime())) {
            return Err(SynthesisError::UnconstrainedVariable.into());
        }
        let nonzero = |scalar: Scalar| (!scalar.is_zero_vartime()).then_some(scalar);
        let (a_scalar, b_scalar) = (|column: &Column| nonzero(column.a), |column: &Column| nonzero(column.b));
        let count = |keep: &(dyn Fn(&Column) -> Option<Scalar> + Sync)| {
            let kept = |columns: &[Column]| columns.par_iter().filter(|column| keep(column).is_some()).count();
            kept(&qap.inputs) + kept(&qap.aux)
        };
        let (a_count, b_count) = (count(&a_scalar), count(&b_scalar));
        let total = self.domain.len() - 1 + qap.aux.len() + a_count + 2 * b_count;
        self.points_expected.store(total as u64, Ordering::Relaxed);

        let (sender, receiver) = sync_channel(QUEUED_BATCHES);
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| drain(receiver, out));
            let sent = (|| {
                let mut head = Vec::new();
                self.verifying_key(&qap.inputs).write(&mut head)?;
                send(&sender, head)?;
                send(&sender, length(h.len() / Affine::<blst_fp>::BYTES))?;
                send(&sender, h)?;
                send(&sender, length(qap.aux.len()))?;
                self.stream(&self.g1, &[&qap.aux], &l_scalar, &sender)?;
                let all = [qap.inputs.as_slice(), qap.aux.as_slice()];
                send(&sender, length(a_count))?;
                self.stream(&self.g1, &all, &a_scalar, &sender)?;
                send(&sender, length(b_count))?;
                self.stream(&self.g1, &all, &b_scalar, &sender)?;
                send(&sender, length(b_count))?;
                self.stream(&self.g2, &all, &b_scalar, &sender)
            })();
            drop(sender);
            // The writer's error is the cause when both have one: a closed channel is all that this side sees.
            writer.join().expect("the writer does not panic")?;
            Ok(sent?)
        })
    }

    /// The points of the scalars that `pick` takes from the columns, in order.
    fn stream<F: super::field::Coordinate>(
        &self,
        base: &FixedBase<F>,
        columns: &[&[Column]],
        pick: &(dyn Fn(&Column) -> Option<Scalar> + Sync),
        sender: &SyncSender<Vec<u8>>,
    ) -> io::Result<()> {
        for batch in columns.iter().flat_map(|columns| columns.chunks(BATCH)) {
            let scalars: Vec<_> = batch.par_iter().filter_map(pick).collect();
            let mut bytes = vec![0; scalars.len() * Affine::<F>::BYTES];
            base.multiply(&scalars, &mut bytes);
            send(sender, bytes)?;
            self.made(scalars.len());
        }
        Ok(())
    }
}

fn normalised(points: Vec<G1Projective>) -> Vec<G1Affine> {
    points.iter().map(Curve::to_affine).collect()
}

fn length(points: usize) -> Vec<u8> {
    u32::try_from(points).expect("domains are below 2^32 points").to_be_bytes().to_vec()
}

fn send(sender: &SyncSender<Vec<u8>>, bytes: Vec<u8>) -> io::Result<()> {
    sender.send(bytes).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
}

fn drain(receiver: Receiver<Vec<u8>>, out: &mut impl Write) -> io::Result<()> {
    receiver.iter().try_for_each(|bytes| out.write_all(&bytes))?;
    out.flush()
}
