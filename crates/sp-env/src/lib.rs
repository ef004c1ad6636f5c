//! sp-env
