//! sp-sectors
