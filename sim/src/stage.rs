//! What the processes of a run share that no process has: what the fakes know, their moods, and who watches.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::fake::{Made, Published};
use crate::relay::Memory;
use crate::watch::Watch;

/// Everything shared. Clones share it.
#[derive(Clone, Default)]
pub struct Stage {
    /// Replicas made.
    pub made: Made,
    /// Published on the chain.
    pub published: Published,
    /// What was said and may be said again.
    pub memory: Memory,
    /// How the fakes behave.
    pub mood: Mood,
    /// Who sees it all.
    pub watch: Watch,
}

/// How fakes and relays behave at the moment. Clones share it.
#[derive(Clone, Default)]
pub struct Mood(Arc<Inner>);

#[derive(Default)]
struct Inner {
    executors: AtomicBool,
    messages: AtomicBool,
    operators: AtomicBool,
    chain_down: AtomicBool,
    chain_forgetful: AtomicBool,
    verifier_down: AtomicBool,
    verifier_ms: AtomicU64,
    submissions_lost: AtomicBool,
    hanging: Hosts,
    lying: Hosts,
}

/// Hosts by name.
type Hosts = Mutex<BTreeSet<&'static str>>;

macro_rules! flags {
    ($($(#[$doc:meta])* $get:ident, $set:ident);+ $(;)?) => {
        impl Mood {
            $($(#[$doc])*
            pub fn $get(&self) -> bool {
                self.0.$get.load(Ordering::SeqCst)
            }

            /// Sets it.
            pub fn $set(&self, on: bool) {
                self.0.$get.store(on, Ordering::SeqCst);
            })+
        }
    };
}

flags! {
    /// Executors die and lie.
    executors, set_executors;
    /// Relays repeat and delay what is said.
    messages, set_messages;
    /// Operators do more than they must.
    operators, set_operators;
    /// The chain refuses calls.
    chain_down, set_chain_down;
    /// The chain carries calls out and says that it did not.
    chain_forgetful, set_chain_forgetful;
    /// The verifier cannot decide.
    verifier_down, set_verifier_down;
    /// Proofs that are handed in reach no chain.
    submissions_lost, set_submissions_lost;
}

impl Mood {
    /// How long the verifier thinks beyond its usual time, ms.
    pub fn verifier_ms(&self) -> u64 {
        self.0.verifier_ms.load(Ordering::SeqCst)
    }

    /// Sets it.
    pub fn set_verifier_ms(&self, ms: u64) {
        self.0.verifier_ms.store(ms, Ordering::SeqCst);
    }

    /// What this host reads and proves gets no answer.
    pub fn hangs(&self, host: &str) -> bool {
        self.0.hanging.lock().unwrap_or_else(PoisonError::into_inner).contains(host)
    }

    /// Sets it.
    pub fn set_hangs(&self, host: &'static str, on: bool) {
        set(&self.0.hanging, host, on);
    }

    /// What this host reads and proves is wrong.
    pub fn lies(&self, host: &str) -> bool {
        self.0.lying.lock().unwrap_or_else(PoisonError::into_inner).contains(host)
    }

    /// Sets it.
    pub fn set_lies(&self, host: &'static str, on: bool) {
        set(&self.0.lying, host, on);
    }
}

fn set(hosts: &Hosts, host: &'static str, on: bool) {
    let mut hosts = hosts.lock().unwrap_or_else(PoisonError::into_inner);
    if on {
        hosts.insert(host);
    } else {
        hosts.remove(host);
    }
}
