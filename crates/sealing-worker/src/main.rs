//! sealing-worker
fn main() {}
