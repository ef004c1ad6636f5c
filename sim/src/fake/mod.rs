//! What stands in for the arithmetic: stages that make small deterministic files, and a verifier that knows them.

mod chain;
mod executor;
mod files;
mod made;
mod post;
mod prover;
mod seal;
mod snap;
mod stages;
mod update;
mod verifier;

pub use chain::{MoodyChain, Published};
pub use executor::FakeExecutor;
pub use made::Made;
pub use post::Statement;
pub use prover::TRY_MOST_MS;
pub use seal::Seal;
pub(crate) use seal::unsealed_of;
pub use update::Update;
pub use verifier::FakeVerifier;
pub(crate) use verifier::{is_valid, is_valid_update};
