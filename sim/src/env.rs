//! The simulated `Env`: turmoil's TCP, tokio's paused clock, entropy from the seed, tasks on the host's own runtime.
//!
//! One is made for every start of a process, on its simulated host. Blocking work runs inline, a little later than
//! asked for, and goes on when its caller has gone, as on a thread pool; it ends with the process.
// This is a machine: the simulated one.
#![allow(clippy::disallowed_methods)]

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::select;
use sp_env::{BoxFuture, Clock, Entropy, Monotonic, TaskHandle, Tasks};
use sp_net::{Accepting, BoxIo, Env, Listener, Net};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use turmoil::net::{TcpListener, TcpStream};

use crate::machine::Machine;
use crate::rng::Rng;

/// When every run begins: 2026-01-01 00:00 UTC.
pub(crate) const BEGIN_UNIX_MS: u64 = 1_767_225_600_000;

struct SimClock {
    start: Instant,
    start_unix_ms: u64,
    machine: Arc<Machine>,
}

#[derive(Clone)]
struct Chance(Arc<Mutex<Rng>>);

struct SimTasks {
    chance: Chance,
    machine: Arc<Machine>,
}

struct Stopper(CancellationToken);

struct SimNet {
    own: IpAddr,
}

struct SimListener {
    listener: TcpListener,
    own: IpAddr,
}

/// The machine as a process sees it that starts now on the current host. Call it there.
pub fn env(host: &str, machine: &Arc<Machine>, mut rng: Rng) -> Env {
    let since_begin = turmoil::sim_elapsed().unwrap_or_default();
    let start_unix_ms = BEGIN_UNIX_MS + since_begin.as_millis() as u64;
    let chance = Chance(Arc::new(Mutex::new(Rng::new(rng.value(), "disk", 0))));
    Env {
        clock: Arc::new(SimClock { start: Instant::now(), start_unix_ms, machine: machine.clone() }),
        entropy: Arc::new(Chance(Arc::new(Mutex::new(rng)))),
        tasks: Arc::new(SimTasks { chance, machine: machine.clone() }),
        net: Arc::new(SimNet { own: turmoil::lookup(host) }),
    }
}

/// The same with the clock of another machine.
pub fn with_clock_of(env: &Env, machine: &Arc<Machine>) -> Env {
    let since_begin = turmoil::sim_elapsed().unwrap_or_default();
    let start_unix_ms = BEGIN_UNIX_MS + since_begin.as_millis() as u64;
    let clock = SimClock { start: Instant::now(), start_unix_ms, machine: machine.clone() };
    Env { clock: Arc::new(clock), ..env.clone() }
}

impl Clock for SimClock {
    fn monotonic(&self) -> Monotonic {
        Monotonic(self.start.elapsed().as_millis() as u64)
    }

    fn unix_ms(&self) -> u64 {
        (self.start_unix_ms + self.start.elapsed().as_millis() as u64).saturating_add_signed(self.machine.clock_ms())
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

impl Chance {
    fn with<T>(&self, draw: impl FnOnce(&mut Rng) -> T) -> T {
        draw(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Entropy for Chance {
    fn fill(&self, bytes: &mut [u8]) {
        self.with(|rng| rng.fill(bytes));
    }
}

impl Tasks for SimTasks {
    fn spawn(&self, _: &'static str, future: BoxFuture<()>) -> Box<dyn TaskHandle> {
        let token = CancellationToken::new();
        let stopped = token.clone();
        // A panic in it ends the run: turmoil's runtimes are built so.
        tokio::spawn(async move {
            select(future, pin!(stopped.cancelled_owned())).await;
        });
        Box::new(Stopper(token))
    }

    fn spawn_isolated(
        &self,
        name: &'static str,
        make: Box<dyn FnOnce() -> BoxFuture<()> + Send>,
    ) -> Box<dyn TaskHandle> {
        self.spawn(name, make())
    }

    fn run_blocking(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<()> {
        let longest = self.machine.disk_delay_ms();
        let delay = Duration::from_millis(self.chance.with(|rng| rng.range(0, longest)));
        let running = tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            work();
        });
        Box::pin(async move {
            if running.await.is_err() {
                // Cancelled: the process has been killed, and this future goes with it.
                std::future::pending::<()>().await;
            }
        })
    }
}

impl TaskHandle for Stopper {
    fn stop(&self) {
        self.0.cancel();
    }
}

impl Net for SimNet {
    fn connect(&self, authority: String) -> BoxFuture<io::Result<BoxIo>> {
        Box::pin(async move { Ok(Box::new(TcpStream::connect(authority).await?) as BoxIo) })
    }

    fn listen(&self, address: SocketAddr) -> BoxFuture<io::Result<Box<dyn Listener>>> {
        let own = self.own;
        Box::pin(async move {
            let listener = TcpListener::bind(address).await?;
            Ok(Box::new(SimListener { listener, own }) as Box<dyn Listener>)
        })
    }

    fn is_private(&self) -> bool {
        true
    }
}

impl Listener for SimListener {
    /// With the host's own address, so that others can be told where to connect.
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(SocketAddr::new(self.own, self.listener.local_addr()?.port()))
    }

    fn accept(&mut self) -> Accepting<'_> {
        Box::pin(async move {
            let (stream, peer) = self.listener.accept().await?;
            Ok((Box::new(stream) as BoxIo, peer))
        })
    }
}
