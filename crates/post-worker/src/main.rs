//! post-worker
fn main() {}
