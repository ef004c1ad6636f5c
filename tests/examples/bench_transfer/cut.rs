//! What a cut costs: every connection ends at a random byte, and what came twice is counted on the way.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use sp_tests::figures::{Line, Promise, Table};

use crate::options::Options;
use crate::peers::{Ours, Paths, Source};

/// Streams of a fetch, as workers have them.
const STREAMS: f64 = 4.0;

/// Counts what it passes on to clients, and cuts every connection once.
#[derive(Default)]
struct Way {
    passed: AtomicU64,
    /// 0: never, or done.
    cut_at: AtomicU64,
    open: Mutex<Vec<TcpStream>>,
}

pub(crate) fn measure(options: &Options, table: &mut Table) -> Result<()> {
    table.heading("a cut of every connection, on disk");
    let dir = tempfile::Builder::new().prefix("sp-bench-transfer-").tempdir_in(&options.dir)?;
    let source = Source::make(dir.path(), options.mib)?;
    let ours = Ours::start(&source, Paths::Own)?;
    let (way, url) = start(&ours.url)?;
    let target = dir.path().join("to");
    let passed = |cut_at: u64| -> Result<u64> {
        way.passed.store(0, Ordering::SeqCst);
        way.cut_at.store(cut_at, Ordering::SeqCst);
        ours.fetch_from(&url, &source, &target)?;
        std::fs::remove_dir_all(&target)?;
        anyhow::ensure!(way.cut_at.load(Ordering::SeqCst) == 0, "it was not cut");
        Ok(way.passed.load(Ordering::SeqCst))
    };
    let whole = passed(0)?;
    let mut again = Vec::new();
    for _ in 0..options.runs.min(3) {
        // Anywhere: no two runs are meant to be alike.
        let random = u64::from(SystemTime::now().duration_since(UNIX_EPOCH)?.subsec_nanos());
        let cut_at = (1 << 20) + random % ((source.mib - 2) << 20);
        again.push(passed(cut_at)?.saturating_sub(whole) as f64 / f64::from(1 << 20));
    }
    // One chunk of each stream, and what the calls themselves take.
    let most = Promise::AtMost(STREAMS + 0.1);
    table.show(Line::new("sent again after a cut at a random byte, 4 streams", "MiB", again).promised(most));
    Ok(())
}

/// A listener in front of a data plane. Its threads end with the process.
fn start(data_url: &str) -> Result<(Arc<Way>, String)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}", listener.local_addr()?);
    let (way, target) = (Arc::new(Way::default()), data_url.trim_start_matches("http://").to_owned());
    let shared = way.clone();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(server) = TcpStream::connect(&target) else { continue };
            if let Err(error) = shared.clone().pass(client, server) {
                eprintln!("a connection is not passed on: {error}");
            }
        }
    });
    Ok((way, url))
}

impl Way {
    fn pass(self: Arc<Self>, client: TcpStream, server: TcpStream) -> Result<()> {
        {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            open.extend([client.try_clone()?, server.try_clone()?]);
        }
        let (mut up_from, mut up_to) = (client.try_clone()?, server.try_clone()?);
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut up_from, &mut up_to);
            let _ = up_to.shutdown(Shutdown::Both);
        });
        std::thread::spawn(move || self.down(server, client));
        Ok(())
    }

    fn down(&self, mut server: TcpStream, mut client: TcpStream) {
        let mut buffer = vec![0; 256 << 10];
        while let Ok(got @ 1..) = server.read(&mut buffer) {
            if client.write_all(&buffer[..got]).is_err() {
                break;
            }
            let passed = self.passed.fetch_add(got as u64, Ordering::SeqCst) + got as u64;
            let cut_at = self.cut_at.load(Ordering::SeqCst);
            if cut_at > 0 && passed >= cut_at && self.cut_at.swap(0, Ordering::SeqCst) > 0 {
                let open = std::mem::take(&mut *self.open.lock().unwrap_or_else(PoisonError::into_inner));
                open.iter().for_each(|connection| drop(connection.shutdown(Shutdown::Both)));
            }
        }
        let _ = client.shutdown(Shutdown::Both);
    }
}
