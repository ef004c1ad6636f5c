//! sp-net
