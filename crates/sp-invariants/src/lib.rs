//! sp-invariants
