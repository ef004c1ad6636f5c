//! What stands in for the arithmetic: stages that make small deterministic files, and a verifier that knows them.

mod chain;
mod executor;
mod files;
mod seal;
mod stages;
mod verifier;

pub use chain::{MoodyChain, Published};
pub use executor::FakeExecutor;
pub(crate) use seal::unsealed_of;
pub use seal::{Made, Seal};
pub use verifier::FakeVerifier;
pub(crate) use verifier::is_valid;
