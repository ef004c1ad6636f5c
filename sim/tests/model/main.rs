//! Leases, fences and leader change in every state that a small configuration has, and with each rule left out.

mod protocol;
mod reach;

use protocol::{DESIGNED, Protocol};
use stateright::{Checker, Model};

/// All states of the designed protocol: one task, two attempts, two schedulers that lead three times, two workers, and a
/// network that forgets nothing. Another number means that the model has changed, or that somebody stopped looking.
const STATES: usize = 169_037;

/// The property that fails first without a rule; the checker stops there.
fn found_by(protocol: Protocol, property: &'static str) -> usize {
    let checker =
        protocol.checker().threads(2).finish_when(stateright::HasDiscoveries::AnyOf([property].into())).spawn_bfs();
    let checker = checker.join();
    let path = checker.discovery(property).unwrap_or_else(|| panic!("`{property}` holds without the rule"));
    let actions = path.into_actions();
    println!("`{property}` is broken by {actions:?}");
    actions.len()
}

#[test]
fn as_designed_every_state_is_right() {
    let checker = DESIGNED.checker().threads(2).spawn_bfs().join();
    checker.assert_properties();
    assert!(checker.is_done(), "some states were not visited");
    assert_eq!(checker.unique_state_count(), STATES);
}

#[test]
fn from_every_state_the_task_can_complete() {
    let (states, hopeless) = reach::hopeless(&DESIGNED, |system| system.durable.completions == 1);
    assert_eq!((states, hopeless), (STATES, None));
}

#[test]
fn without_the_attempt_check_a_task_counts_twice() {
    let protocol = Protocol { attempt_check: false, ..DESIGNED };
    assert!(found_by(protocol, "one effective completion") > 0);
    assert!(found_by(protocol, "no ended attempt counts") > 0);
}

#[test]
fn without_the_epoch_a_deposed_scheduler_counts_again() {
    let protocol = Protocol { epoch_precondition: false, ..DESIGNED };
    assert!(found_by(protocol, "one effective completion") > 0);
    assert!(found_by(protocol, "no deposed scheduler writes") > 0);
}

#[test]
fn without_the_fence_at_the_index_a_zombie_writes() {
    let protocol = Protocol { index_fence: false, ..DESIGNED };
    assert!(found_by(protocol, "no write of an ended attempt is taken") > 0);
}

#[test]
fn a_grant_that_is_sent_before_it_is_durable_is_made_twice() {
    let protocol = Protocol { durable_before_sent: false, ..DESIGNED };
    assert!(found_by(protocol, "an attempt has one worker") > 0);
}
