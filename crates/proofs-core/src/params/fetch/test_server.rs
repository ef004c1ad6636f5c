//! A web server for tests: serves what it was given, and misbehaves as its script says.
// It is part of tests, here and of other crates, which use some of it each.
#![allow(dead_code, clippy::unwrap_used, clippy::disallowed_methods)]

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// No connection lasts longer, whatever a test does wrong.
const LIMIT: Duration = Duration::from_secs(20);

/// What happens to one request.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Act {
    /// It is answered as it should be.
    Serve,
    /// The connection ends after so many bytes of the body, of which all were announced.
    Cut(usize),
    /// The whole file comes whatever was asked for.
    IgnoreRange,
    /// So many bytes come, and are said to be all.
    Shorten(usize),
    /// One byte of the answer is another.
    Corrupt(usize),
    /// A status and nothing else.
    Status(u16),
    /// The head comes and so many bytes, and then nothing.
    Hang(usize),
    /// The file, and then more, without a length said before.
    Overflow,
    /// Other bytes than those that were asked for.
    OtherRange,
    /// A slow answer, so that somebody else can look meanwhile.
    Slow(Duration),
    /// Elsewhere: the same path behind `/moved`.
    Redirect,
}

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) path: String,
    /// First byte that was asked for.
    pub(crate) from: Option<usize>,
}

pub(crate) struct Server {
    pub(crate) url: String,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    files: BTreeMap<String, Vec<u8>>,
    script: Mutex<VecDeque<Act>>,
    asked: Mutex<Vec<Asked>>,
    stop: AtomicBool,
}

impl Server {
    /// Serves files by the last part of their path. The requests meet the acts of the script, one each; then all goes well.
    pub(crate) fn start(files: impl IntoIterator<Item = (String, Vec<u8>)>, script: &[Act]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            files: files.into_iter().collect(),
            script: Mutex::new(script.iter().copied().collect()),
            asked: Mutex::default(),
            stop: AtomicBool::new(false),
        });
        let serving = shared.clone();
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if serving.stop.load(Ordering::SeqCst) {
                    return;
                }
                let (serving, Ok(stream)) = (serving.clone(), stream) else { continue };
                // A client that goes away is what some tests are about.
                std::thread::spawn(move || drop(serving.answer(&stream)));
            }
        });
        Self { url, shared, thread: Some(thread) }
    }

    /// The requests so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap().clone()
    }

    /// From which bytes on was asked.
    pub(crate) fn offsets(&self) -> Vec<Option<usize>> {
        self.asked().into_iter().map(|asked| asked.from).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        // Wakes the listener.
        let _ = TcpStream::connect(self.url.trim_start_matches("http://"));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn answer(&self, mut stream: &TcpStream) -> std::io::Result<()> {
        stream.set_read_timeout(Some(LIMIT))?;
        stream.set_write_timeout(Some(LIMIT))?;
        let asked = read_request(stream)?;
        self.asked.lock().unwrap().push(asked.clone());
        let act = self.script.lock().unwrap().pop_front().unwrap_or(Act::Serve);
        let name = asked.path.rsplit('/').next().unwrap_or_default();
        match (act, self.files.get(name)) {
            (Act::Status(status), _) => head(stream, status, &["Content-Length: 0".to_owned()]),
            (Act::Redirect, _) => {
                head(stream, 302, &[format!("Location: /moved{}", asked.path), "Content-Length: 0".into()])
            }
            (_, None) => head(stream, 404, &["Content-Length: 0".to_owned()]),
            (act, Some(file)) => {
                send(stream, file, asked.from, act)?;
                stream.flush()
            }
        }
    }
}

fn read_request(stream: &TcpStream) -> std::io::Result<Asked> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next().ok_or(std::io::ErrorKind::UnexpectedEof)??;
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut from = None;
    for line in lines {
        let line = line?.to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(range) = line.strip_prefix("range: ") {
            // The only form that a fetch has a use for.
            let first = range.strip_prefix("bytes=").and_then(|range| range.strip_suffix('-')).unwrap();
            from = Some(first.parse().unwrap());
        }
    }
    Ok(Asked { path, from })
}

fn head(mut stream: &TcpStream, status: u16, headers: &[String]) -> std::io::Result<()> {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    write!(stream, "HTTP/1.1 {status} Whatever\r\n{headers}Connection: close\r\n\r\n")
}

fn send(mut stream: &TcpStream, file: &[u8], from: Option<usize>, act: Act) -> std::io::Result<()> {
    let from = from.filter(|_| !matches!(act, Act::IgnoreRange));
    let total = file.len();
    let first = from.unwrap_or(0);
    if first >= total && from.is_some() {
        return head(stream, 416, &[format!("Content-Range: bytes */{total}"), "Content-Length: 0".into()]);
    }
    let mut body = file[first..].to_vec();
    match act {
        Act::Shorten(length) => body.truncate(length),
        Act::Corrupt(at) => body[at] ^= 1,
        Act::Overflow => body.extend([7; 1000]),
        _ => {}
    }
    let mut headers = Vec::new();
    if !matches!(act, Act::Overflow) {
        headers.push(format!("Content-Length: {}", body.len()));
    }
    if from.is_some() {
        let said = if matches!(act, Act::OtherRange) { first + 1 } else { first };
        headers.push(format!("Content-Range: bytes {said}-{}/{total}", total - 1));
    }
    head(stream, if from.is_some() { 206 } else { 200 }, &headers)?;
    match act {
        Act::Cut(length) => stream.write_all(&body[..length]),
        Act::Hang(length) => {
            stream.write_all(&body[..length])?;
            // Until the client has had enough.
            std::io::copy(&mut { stream }, &mut std::io::sink()).map(drop)
        }
        Act::Slow(pause) => {
            let (one, other) = body.split_at(body.len() / 2);
            stream.write_all(one)?;
            std::thread::sleep(pause);
            stream.write_all(other)
        }
        _ => stream.write_all(&body),
    }
}
