//! The executor child of this worker.

use sp_worker::launch::WRONG_PROOF_ENV;

/// Serves the parent until its pipe closes.
pub(crate) fn serve(parent: u32) -> anyhow::Result<()> {
    // Upstream is talkative: only for those who ask.
    if ["SP_LOG", "RUST_LOG"].iter().any(|name| std::env::var_os(name).is_some()) {
        sp_net::logs::init("sp-post-worker executor")?;
    }
    // The parent removes the variable on every network but dev.
    let options = sp_executor::Options { wrong_proofs: std::env::var_os(WRONG_PROOF_ENV).is_some_and(|v| v == "1") };
    sp_worker::children::serve(parent, |request| sp_executor::execute(options, request))
}
