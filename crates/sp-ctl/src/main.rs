//! sp-ctl
fn main() {}
