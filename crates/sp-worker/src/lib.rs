//! sp-worker
