//! sp-sched-core
