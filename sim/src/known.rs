//! Defects of the production crates that the simulation has found and that are not mended yet, each with a seed that shows
//! it. They are counted, so that others are seen; with `make sim ALL=1` they fail like any other.
// Reads the environment of a developer's shell.
#![allow(clippy::disallowed_methods)]

use std::sync::OnceLock;

/// `sp-worker/src/attempt/drive.rs`, `publish`, with `sp-sectors/src/store/publish.rs`: what PC2 or FIN publishes takes the
/// place of what it was made from before its result counts. When the attempt is ended in between (an abort, a verdict on
/// its host), the files that count are gone: the sector goes back to PC1 after 30 minutes, or, once it is committed, waits
/// for an operator for ever. Such a sector need not finish. To be mended by storage: what is published has to stand beside
/// its input until the result counts. First seen with seeds 423 and 536.
pub const REPLACED: &str = "an ended attempt has replaced its input";

/// Is every defect to show?
fn all() -> bool {
    static ALL: OnceLock<bool> = OnceLock::new();
    *ALL.get_or_init(|| std::env::var_os("SIM_ALL").is_some_and(|text| !text.is_empty()))
}

/// May a file that counts be missing where an ended attempt has published another?
pub fn input_may_be_replaced() -> Option<&'static str> {
    (!all()).then_some(REPLACED)
}
