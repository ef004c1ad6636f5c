//! Constraint systems that see a circuit go by. One only counts; the other evaluates the circuit's QAP polynomials at
//! the secret point while the constraints stream through, so that the matrices are never in memory.

use bellperson::{Circuit, ConstraintSystem, Index, LinearCombination, SynthesisError, Variable};
use blstrs::Scalar;
use ff::Field;

/// How many constraints a circuit has, the input constraints that the generator adds included.
pub(crate) fn count_constraints(circuit: impl Circuit<Scalar>) -> Result<usize, SynthesisError> {
    let mut counter = Counter { inputs: 1, aux: 0, constraints: 0 };
    circuit.synthesize(&mut counter)?;
    Ok(counter.constraints + counter.inputs)
}

/// The three QAP polynomials of one variable, evaluated at the secret point.
#[derive(Clone, Copy, Default)]
pub(crate) struct Column {
    pub(crate) a: Scalar,
    pub(crate) b: Scalar,
    pub(crate) c: Scalar,
}

/// The QAP of a circuit at the secret point.
pub(crate) struct Qap {
    pub(crate) inputs: Vec<Column>,
    pub(crate) aux: Vec<Column>,
    pub(crate) constraints: usize,
}

/// Evaluates the QAP of `circuit`, given the Lagrange polynomials of its domain at the secret point. The constraints
/// come in the order of a plain synthesis, then one per input (x * 0 = 0), as in bellperson's generator.
pub(crate) fn evaluate(circuit: impl Circuit<Scalar>, lagrange: &[Scalar]) -> Result<Qap, SynthesisError> {
    let qap = Qap { inputs: Vec::new(), aux: Vec::with_capacity(lagrange.len() / 2), constraints: 0 };
    let mut evaluator = Evaluator { qap, lagrange };
    evaluator.alloc_input(|| "", || Ok(Scalar::ONE))?;
    circuit.synthesize(&mut evaluator)?;
    for input in 0..evaluator.qap.inputs.len() {
        evaluator.enforce(|| "", |lc| lc + Variable(Index::Input(input)), |lc| lc, |lc| lc);
    }
    Ok(evaluator.qap)
}

struct Counter {
    inputs: usize,
    aux: usize,
    constraints: usize,
}

struct Evaluator<'a> {
    qap: Qap,
    lagrange: &'a [Scalar],
}

/// The parts of a constraint system that neither of ours has a use for: names.
macro_rules! without_names {
    () => {
        type Root = Self;

        fn push_namespace<NR: Into<String>, N: FnOnce() -> NR>(&mut self, _: N) {}

        fn pop_namespace(&mut self) {}

        fn get_root(&mut self) -> &mut Self {
            self
        }
    };
}

impl ConstraintSystem<Scalar> for Counter {
    without_names!();

    fn alloc<F, A, AR>(&mut self, _: A, _: F) -> Result<Variable, SynthesisError>
    where
        F: FnOnce() -> Result<Scalar, SynthesisError>,
        A: FnOnce() -> AR,
        AR: Into<String>,
    {
        self.aux += 1;
        Ok(Variable(Index::Aux(self.aux - 1)))
    }

    fn alloc_input<F, A, AR>(&mut self, _: A, _: F) -> Result<Variable, SynthesisError>
    where
        F: FnOnce() -> Result<Scalar, SynthesisError>,
        A: FnOnce() -> AR,
        AR: Into<String>,
    {
        self.inputs += 1;
        Ok(Variable(Index::Input(self.inputs - 1)))
    }

    fn enforce<A, AR, LA, LB, LC>(&mut self, _: A, _: LA, _: LB, _: LC)
    where
        A: FnOnce() -> AR,
        AR: Into<String>,
        LA: FnOnce(LinearCombination<Scalar>) -> LinearCombination<Scalar>,
        LB: FnOnce(LinearCombination<Scalar>) -> LinearCombination<Scalar>,
        LC: FnOnce(LinearCombination<Scalar>) -> LinearCombination<Scalar>,
    {
        self.constraints += 1;
    }
}

impl Evaluator<'_> {
    /// Adds `value` times each coefficient of `terms` to the polynomial that `part` picks.
    fn add(&mut self, terms: &LinearCombination<Scalar>, value: &Scalar, part: impl Fn(&mut Column) -> &mut Scalar) {
        let Qap { inputs, aux, .. } = &mut self.qap;
        let product = |coefficient: &Scalar| if *coefficient == Scalar::ONE { *value } else { *coefficient * value };
        for (index, coefficient) in terms.iter_inputs() {
            *part(&mut inputs[*index]) += product(coefficient);
        }
        for (index, coefficient) in terms.iter_aux() {
            *part(&mut aux[*index]) += product(coefficient);
        }
    }
}

impl ConstraintSystem<Scalar> for Evaluator<'_> {
    without_names!();

    fn alloc<F, A, AR>(&mut self, _: A, _: F) -> Result<Variable, SynthesisError>
    where
        F: FnOnce() -> Result<Scalar, SynthesisError>,
        A: FnOnce() -> AR,
        AR: Into<String>,
    {
        self.qap.aux.push(Column::default());
        Ok(Variable(Index::Aux(self.qap.aux.len() - 1)))
    }

    fn alloc_input<F, A, AR>(&mut self, _: A, _: F) -> Result<Variable, SynthesisError>
    where
        F: FnOnce() -> Result<Scalar, SynthesisError>,
        A: FnOnce() -> AR,
        AR: Into<String>,
    {
        self.qap.inputs.push(Column::default());
        Ok(Variable(Index::Input(self.qap.inputs.len() - 1)))
    }

    fn enforce<A, AR, LA, LB, LC>(&mut self, _: A, a: LA, b: LB, c: LC)
    where
        A: FnOnce() -> AR,
        AR: Into<String>,
        LA: FnOnce(LinearCombination<Scalar>) -> LinearCombination<Scalar>,
        LB: FnOnce(LinearCombination<Scalar>) -> LinearCombination<Scalar>,
        LC: FnOnce(LinearCombination<Scalar>) -> LinearCombination<Scalar>,
    {
        // A circuit larger than the domain is only counted on: the caller sees the count and takes the right domain.
        if let Some(value) = self.lagrange.get(self.qap.constraints) {
            self.add(&a(LinearCombination::zero()), value, |column| &mut column.a);
            self.add(&b(LinearCombination::zero()), value, |column| &mut column.b);
            self.add(&c(LinearCombination::zero()), value, |column| &mut column.c);
        }
        self.qap.constraints += 1;
    }
}
