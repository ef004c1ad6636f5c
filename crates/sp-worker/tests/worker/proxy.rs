//! A way between two workers that is not to be trusted: it cuts, delays, truncates, reorders and flips bits.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// What happens to what the server sends on one connection, from a byte on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The connection ends there.
    Cut(u64),
    /// This bit of that byte is another.
    Flip(u64, u8),
    /// That byte is left out.
    Drop(u64),
    /// Two halves of what is read from there on change places, once.
    Reorder(u64),
    /// Every piece waits this long.
    Delay(Duration),
    /// Nothing more comes; the connection stays open.
    Silence(u64),
}

/// The proxy. It ends with its runtime.
pub struct Proxy {
    pub url: String,
    /// Bytes that were passed on to clients.
    pub passed: Arc<AtomicU64>,
    /// Faults of the next connections, in order; then none.
    pub faults: Arc<Mutex<Vec<Option<Fault>>>>,
    /// All connections end, once, when so many bytes have been passed on; 0: never.
    pub cut_all_at: Arc<AtomicU64>,
}

impl Proxy {
    /// In front of a data plane.
    pub async fn start(data_url: &str) -> Self {
        let target = data_url.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            passed: Arc::default(),
            faults: Arc::default(),
            cut_all_at: Arc::default(),
        };
        let (passed, faults, cut_all_at) = (proxy.passed.clone(), proxy.faults.clone(), proxy.cut_all_at.clone());
        let cut = Arc::new(Mutex::new(CancellationToken::new()));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&target).await.unwrap();
                let fault = {
                    let mut faults = faults.lock().unwrap();
                    if faults.is_empty() { None } else { faults.remove(0) }
                };
                let way = Way { passed: passed.clone(), cut_all_at: cut_all_at.clone(), cut: cut.clone(), fault };
                tokio::spawn(way.pass(client, server));
            }
        });
        proxy
    }
}

struct Way {
    passed: Arc<AtomicU64>,
    cut_all_at: Arc<AtomicU64>,
    cut: Arc<Mutex<CancellationToken>>,
    fault: Option<Fault>,
}

impl Way {
    async fn pass(self, client: TcpStream, server: TcpStream) {
        let cut = self.cut.lock().unwrap().clone();
        let ((mut from_client, to_client), (from_server, mut to_server)) = (client.into_split(), server.into_split());
        let up = async { drop(tokio::io::copy(&mut from_client, &mut to_server).await) };
        tokio::select! {
            () = cut.cancelled() => {}
            () = up => {}
            () = self.down(from_server, to_client) => {}
        }
    }

    async fn down(&self, mut from: tokio::net::tcp::OwnedReadHalf, mut to: tokio::net::tcp::OwnedWriteHalf) {
        let (mut buffer, mut at) = (vec![0; 64 << 10], 0);
        loop {
            let Ok(got @ 1..) = from.read(&mut buffer).await else { return };
            let mut piece = buffer[..got].to_vec();
            let inside = |place: u64| (at..at + got as u64).contains(&place).then(|| (place - at) as usize);
            let mut ends = false;
            match self.fault {
                Some(Fault::Cut(place)) if inside(place).is_some() => {
                    piece.truncate((place - at) as usize);
                    ends = true;
                }
                Some(Fault::Flip(place, bit)) => inside(place).into_iter().for_each(|i| piece[i] ^= 1 << bit),
                Some(Fault::Drop(place)) => {
                    inside(place).map(|i| piece.remove(i));
                }
                Some(Fault::Reorder(place)) if inside(place).is_some() => piece.rotate_left(got / 2),
                Some(Fault::Delay(pause)) => tokio::time::sleep(pause).await,
                Some(Fault::Silence(place)) if at + got as u64 > place => std::future::pending().await,
                _ => {}
            }
            at += got as u64;
            if to.write_all(&piece).await.is_err() || ends {
                return;
            }
            let passed = self.passed.fetch_add(piece.len() as u64, Ordering::SeqCst) + piece.len() as u64;
            let limit = self.cut_all_at.load(Ordering::SeqCst);
            if limit > 0 && passed >= limit && self.cut_all_at.swap(0, Ordering::SeqCst) > 0 {
                std::mem::take(&mut *self.cut.lock().unwrap()).cancel();
            }
        }
    }
}
