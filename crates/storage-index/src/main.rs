//! storage-index binary
fn main() {}
