//! sp-proto
