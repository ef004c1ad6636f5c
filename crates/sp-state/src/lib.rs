//! sp-state
