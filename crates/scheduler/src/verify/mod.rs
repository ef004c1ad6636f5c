//! The verifier as the scheduler sees it: a question about a proof, and a verdict or the reason why there is none.

mod child;
mod lane;
mod parameters;

use sp_env::BoxFuture;
use sp_proto::v1;

pub use child::{VerifierOptions, VerifierProcesses};
pub use parameters::{parameters_are_insecure, refuse_insecure_parameters};

/// A proof with its statement.
pub type Question = v1::verify_request::What;

/// Judges proofs. Nobody judges his own: it is never asked by who made the proof.
pub trait Verifier: Send + Sync + 'static {
    /// True for a valid proof; an error when it could not be decided.
    fn verify(&self, question: Question) -> BoxFuture<Result<bool, String>>;
}
