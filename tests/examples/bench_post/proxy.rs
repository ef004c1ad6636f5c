//! A way between two processes that counts what passes, takes its time, and can fall silent without closing anything.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

/// What a client of HTTP/2 says first.
const PREFACE: usize = 24;

/// Length, type, flags and stream of a frame.
const HEAD: usize = 9;

/// Chunks that may be under way in one direction.
const UNDER_WAY: usize = 256;

/// A listener in front of another address. What it has taken ends with it.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    passing: Arc<Passing>,
    accepting: AbortHandle,
}

/// What has passed, both ways together.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Passed {
    pub(crate) bytes: u64,
    /// Frames of HTTP/2 with data: a message of gRPC that is not large is one.
    pub(crate) messages: u64,
}

struct Passing {
    target: SocketAddr,
    delay: Duration,
    silent: AtomicBool,
    bytes: AtomicU64,
    messages: AtomicU64,
    /// When the last data came from a client.
    heard: Mutex<Instant>,
}

/// Finds the frames in a stream of bytes.
struct Frames {
    /// Of the preface, or of what a frame holds.
    skip: usize,
    head: Vec<u8>,
}

impl Proxy {
    /// Listens on a free port; each chunk is `delay` on its way.
    pub(crate) async fn start(target: SocketAddr, delay: Duration) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let passing = Arc::new(Passing {
            target,
            delay,
            silent: AtomicBool::new(false),
            bytes: AtomicU64::new(0),
            messages: AtomicU64::new(0),
            heard: Mutex::new(Instant::now()),
        });
        let accepting = tokio::spawn(accept(listener, passing.clone())).abort_handle();
        Ok(Self { address, passing, accepting })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Nothing passes any more, and nobody is told.
    pub(crate) fn fall_silent(&self) {
        self.passing.silent.store(true, Ordering::SeqCst);
    }

    /// Up to now.
    pub(crate) fn passed(&self) -> Passed {
        let read = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
        Passed { bytes: read(&self.passing.bytes), messages: read(&self.passing.messages) }
    }

    /// When a client last said something: while it works on what it has, its heartbeat.
    pub(crate) fn heard(&self) -> Instant {
        *self.passing.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Passing {
    /// Never returns once it is silent: not even that an end has closed is told to the other.
    async fn unless_silent(&self) {
        if self.silent.load(Ordering::SeqCst) {
            std::future::pending().await
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Passed {
    /// What passed between the two.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self { bytes: self.bytes - earlier.bytes, messages: self.messages - earlier.messages }
    }
}

async fn accept(listener: TcpListener, passing: Arc<Passing>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        connections.spawn(connect(client, passing.clone()));
    }
}

async fn connect(client: TcpStream, passing: Arc<Passing>) {
    // The handshake of a connection goes there and back too.
    tokio::time::sleep(passing.delay * 2).await;
    let Ok(server) = TcpStream::connect(passing.target).await else { return };
    // Small messages must not wait for each other here.
    if client.set_nodelay(true).and(server.set_nodelay(true)).is_err() {
        return;
    }
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    tokio::select! {
        () = pass(&passing, from_client, to_server, true) => {}
        () = pass(&passing, from_server, to_client, false) => {}
    }
}

/// One direction, until either end closes.
async fn pass(passing: &Passing, from: OwnedReadHalf, to: OwnedWriteHalf, up: bool) {
    let (chunks, due) = mpsc::channel(UNDER_WAY);
    tokio::select! {
        () = take(passing, from, chunks, up) => {}
        () = give(due, to) => {}
    }
}

async fn take(passing: &Passing, mut from: OwnedReadHalf, chunks: mpsc::Sender<(Instant, Vec<u8>)>, up: bool) {
    let mut frames = Frames { skip: if up { PREFACE } else { 0 }, head: Vec::with_capacity(HEAD) };
    let mut buffer = vec![0; 64 << 10];
    while let Ok(got @ 1..) = from.read(&mut buffer).await {
        passing.unless_silent().await;
        let now = Instant::now();
        let messages = frames.count(&buffer[..got]);
        passing.bytes.fetch_add(got as u64, Ordering::SeqCst);
        passing.messages.fetch_add(messages, Ordering::SeqCst);
        if up && messages > 0 {
            *passing.heard.lock().unwrap_or_else(PoisonError::into_inner) = now;
        }
        if chunks.send((now + passing.delay, buffer[..got].to_vec())).await.is_err() {
            return;
        }
    }
    passing.unless_silent().await;
    // What is under way arrives.
    tokio::time::sleep(passing.delay).await;
}

async fn give(mut chunks: mpsc::Receiver<(Instant, Vec<u8>)>, mut to: OwnedWriteHalf) {
    while let Some((due, chunk)) = chunks.recv().await {
        tokio::time::sleep_until(due.into()).await;
        if to.write_all(&chunk).await.is_err() {
            return;
        }
    }
}

impl Frames {
    /// How many frames with data begin in these bytes.
    fn count(&mut self, mut bytes: &[u8]) -> u64 {
        let mut found = 0;
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            (self.skip, bytes) = (self.skip - skipped, &bytes[skipped..]);
            let wanted = (HEAD - self.head.len()).min(bytes.len());
            self.head.extend(&bytes[..wanted]);
            bytes = &bytes[wanted..];
            if let [a, b, c, kind, ..] = self.head[..]
                && self.head.len() == HEAD
            {
                self.skip = u32::from_be_bytes([0, a, b, c]) as usize;
                found += u64::from(kind == 0 && self.skip > 0);
                self.head.clear();
            }
        }
        found
    }
}
