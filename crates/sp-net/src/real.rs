//! The real `Env`: the machine's clock, entropy, threads and TCP, over tokio.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::future::select;
use sp_env::{BoxFuture, Clock, Entropy, Monotonic, TaskHandle, Tasks};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::net::{Accepting, BoxIo, Env, Listener, Net};

struct RealClock {
    start: Instant,
}

struct OsEntropy;

struct TokioTasks;

struct Stopper(CancellationToken);

struct Tcp;

struct TcpAcceptor(TcpListener);

impl Env {
    /// The machine itself. Tasks are spawned on the tokio runtime that is current at that moment.
    pub fn real() -> Self {
        Self {
            clock: Arc::new(RealClock { start: Instant::now() }),
            entropy: Arc::new(OsEntropy),
            tasks: Arc::new(TokioTasks),
            net: Arc::new(Tcp),
        }
    }
}

impl Clock for RealClock {
    fn monotonic(&self) -> Monotonic {
        Monotonic(self.start.elapsed().as_millis() as u64)
    }

    fn monotonic_ns(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn unix_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.map_or(0, |d| d.as_millis() as u64)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

impl Entropy for OsEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        let mut filled = 0;
        while filled < bytes.len() {
            match rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty()) {
                Ok(count) => filled += count,
                Err(rustix::io::Errno::INTR) => {}
                // Without randomness no id is unique; nothing sensible can go on.
                Err(error) => panic!("the kernel gives no random bytes: {error}"),
            }
        }
    }
}

impl Tasks for TokioTasks {
    fn spawn(&self, name: &'static str, future: BoxFuture<()>) -> Box<dyn TaskHandle> {
        let token = CancellationToken::new();
        let stopped = token.clone();
        let watched = tokio::spawn(async move {
            select(future, pin!(stopped.cancelled_owned())).await;
        });
        tokio::spawn(async move {
            if watched.await.is_err_and(|e| e.is_panic()) {
                tracing::error!(task = name, "a task panicked; this is a bug");
            }
        });
        Box::new(Stopper(token))
    }

    fn spawn_isolated(
        &self,
        name: &'static str,
        make: Box<dyn FnOnce() -> BoxFuture<()> + Send>,
    ) -> Box<dyn TaskHandle> {
        let token = CancellationToken::new();
        let stopped = token.clone();
        let run = move || match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => {
                runtime.block_on(async move {
                    select(make(), pin!(stopped.cancelled_owned())).await;
                });
            }
            Err(error) => tracing::error!(task = name, %error, "cannot start a runtime of its own"),
        };
        if let Err(error) = std::thread::Builder::new().name(name.to_owned()).spawn(run) {
            tracing::error!(task = name, %error, "cannot start a thread; raise the limit on processes (ulimit -u)");
        }
        Box::new(Stopper(token))
    }

    fn run_blocking(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<()> {
        let running = tokio::task::spawn_blocking(work);
        Box::pin(async move {
            if let Err(error) = running.await {
                match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    // Cancelled: the runtime is going down, and this future with it.
                    Err(_) => std::future::pending().await,
                }
            }
        })
    }
}

impl TaskHandle for Stopper {
    fn stop(&self) {
        self.0.cancel();
    }
}

impl Net for Tcp {
    fn connect(&self, authority: String) -> BoxFuture<io::Result<BoxIo>> {
        Box::pin(async move {
            let stream = TcpStream::connect(authority).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as BoxIo)
        })
    }

    fn listen(&self, address: SocketAddr) -> BoxFuture<io::Result<Box<dyn Listener>>> {
        Box::pin(async move { Ok(Box::new(TcpAcceptor(TcpListener::bind(address).await?)) as Box<dyn Listener>) })
    }
}

impl Listener for TcpAcceptor {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    fn accept(&mut self) -> Accepting<'_> {
        Box::pin(async move {
            let (stream, peer) = self.0.accept().await?;
            stream.set_nodelay(true)?;
            Ok((Box::new(stream) as BoxIo, peer))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn an_isolated_task_runs_elsewhere_and_stops() {
        let env = Env::real();
        let (sender, receiver) = mpsc::channel();
        let make = move || -> BoxFuture<()> {
            Box::pin(async move {
                sender.send(std::thread::current().id()).expect("the test listens");
                std::future::pending::<()>().await;
            })
        };
        let handle = env.tasks.spawn_isolated("apart", Box::new(make));
        let there = receiver.recv_timeout(Duration::from_secs(5)).expect("it starts");
        assert_ne!(there, std::thread::current().id());
        handle.stop();
        // Stopping drops the future and with it the sender.
        assert_eq!(receiver.recv_timeout(Duration::from_secs(5)), Err(mpsc::RecvTimeoutError::Disconnected));
    }

    #[tokio::test]
    async fn a_stopped_task_is_dropped() {
        let env = Env::real();
        let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
        let future = Box::pin(async move {
            let _held = sender;
            std::future::pending::<()>().await;
        });
        env.tasks.spawn("held", future).stop();
        assert!(env.timeout(Duration::from_secs(5), receiver).await.expect("bounded").is_err());
    }
}
