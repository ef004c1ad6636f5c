//! The stages end to end at 2 KiB: sealing, snapping, unsealing, both PoSts, the verifier, and what each refuses.
//!
//! Tests that prove need development parameters: `make test` makes them before; by hand,
//! `sp-ctl params generate --sector-size 2KiB`. Without them they fail and name the missing file.
#![allow(clippy::unwrap_used)]
// Tests meet the real machine.
#![allow(clippy::disallowed_methods)]

mod bad_input;
mod check;
mod pc1;
mod post;
mod seal;
mod snap;
mod support;
mod upstream;
