//! bench
// Tests meet the real machine.
#![allow(clippy::disallowed_methods)]
fn main() {}
