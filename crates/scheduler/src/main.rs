//! scheduler binary
fn main() {}
