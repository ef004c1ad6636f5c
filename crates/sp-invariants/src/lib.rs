//! The laws of sp-cluster: an id and one line each, and the predicates that can be checked on plain figures.
//!
//! A broken law panics where debug assertions are on (tests, simulation) and is counted in production.
#![forbid(unsafe_code)]

mod capacity;
mod laws;
mod predicates;

pub use capacity::{Spell, capacity_existed, proven_if_possible};
pub use laws::{Law, note, violations};
pub use predicates::{
    HostUse, at_most_one_completion, bounded, delete_keeps_a_copy, edge_is_published, ends_before_live, fits_gpu,
    fits_host,
};

/// Checks a law: `check!(Law::L7, predicate, "sector {} ...", n)`. A breach panics with debug assertions, else counts.
#[macro_export]
macro_rules! check {
    ($law:expr, $holds:expr, $($message:tt)+) => {
        if !$holds {
            $crate::note($law);
            if cfg!(debug_assertions) {
                panic!("law {} broken ({}): {}", $law.id(), $law.text(), format_args!($($message)+));
            }
        }
    };
}
