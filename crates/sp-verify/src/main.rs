//! sp-verify
fn main() {}
