//! Downloads from a server that does what it should not.
#![allow(clippy::disallowed_methods)]

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sp_sectors::RealDisk;
use sp_types::SectorSize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

const SECTOR: &str = "s-t01000-7";
const SIZE: u64 = 2048;
const TREE: &str = "sc-02-data-tree-r-last.dat";

/// A server that answers as a script says, and what it was asked.
struct Server {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
    serving: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// What the server sends; then it closes, or says no more.
enum Say {
    Bytes(Vec<u8>),
    ThenNothing(Vec<u8>),
}

impl Server {
    /// The script gets the number of the request, from 0, and its head in lower case.
    async fn new(script: impl Fn(usize, &str) -> Say + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/remote", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let heads = asked.clone();
        let serving = tokio::spawn(async move {
            let mut silent = Vec::new();
            for at in 0.. {
                let (mut stream, _) = listener.accept().await.unwrap();
                let head = head(&mut stream).await;
                heads.lock().unwrap().push(head.clone());
                // Who is asked may have gone.
                match script(at, &head) {
                    Say::Bytes(bytes) => drop(stream.write_all(&bytes).await),
                    Say::ThenNothing(bytes) => {
                        let _ = stream.write_all(&bytes).await;
                        silent.push(stream);
                    }
                }
            }
        });
        Self { url, asked, serving }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap().to_lowercase()
}

/// An answer with its length.
fn answer(status: &str, headers: &[&str], body: &[u8]) -> Vec<u8> {
    raw(status, &[headers, &[&format!("Content-Length: {}", body.len())]].concat(), body)
}

fn raw(status: &str, headers: &[&str], body: &[u8]) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status}\r\n");
    headers.iter().for_each(|header| write!(head, "{header}\r\n").unwrap());
    [head.as_bytes(), b"\r\n", body].concat()
}

fn data(bytes: u64) -> Vec<u8> {
    (0..bytes).map(|at| (at * at % 251) as u8).collect()
}

/// Downloads into a directory of its own, with little patience.
struct Client {
    dir: tempfile::TempDir,
    env: Env,
    source: Source,
}

impl Client {
    fn of(url: &str) -> Self {
        let headers = vec!["Authorization: Bearer secret".parse().unwrap()];
        let source = Source { url: url.parse().unwrap(), headers };
        Self { dir: tempfile::tempdir().unwrap(), env: Env::real(), source }
    }

    fn puller(&self) -> Puller<'_> {
        let ms = Duration::from_millis;
        Puller {
            env: &self.env,
            disk: Arc::new(RealDisk),
            source: self.source.clone(),
            limits: Limits { silence: ms(300), backoff: Backoff::limited(ms(5), ms(10), 2) },
            pace: Box::new(|_| async {}.boxed()),
            came: Box::new(|_| {}),
            said: Box::new(|_| {}),
        }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("it")
    }

    async fn file(&self, size: Size) -> Result<Vec<u8>, Failure> {
        self.puller().file("sealed/s-t01000-7", &self.path(), size).await?;
        Ok(std::fs::read(self.path()).unwrap())
    }

    async fn cache(&self) -> Result<Vec<String>, Failure> {
        let files = cache_files(SectorSize::KiB2);
        let what = Directory { kind: FileKind::Cache, sector: SECTOR.to_owned(), files };
        self.puller().directory("cache/s-t01000-7", &self.path(), &what).await?;
        let mut names: Vec<String> = std::fs::read_dir(self.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        Ok(names)
    }
}

async fn file(size: Size, script: impl Fn(usize, &str) -> Say + Send + 'static) -> Result<Vec<u8>, Failure> {
    let server = Server::new(script).await;
    Client::of(&server.url).file(size).await
}

// === files ===

#[tokio::test]
async fn what_is_cut_goes_on_where_it_broke() {
    let server = Server::new(|at, _| {
        let all = data(SIZE);
        match at {
            0 => Say::Bytes(raw("200 OK", &["Content-Length: 2048"], &all[..1000])),
            1 => Say::Bytes(raw(
                "206 Partial Content",
                &["Content-Range: bytes 1000-2047/2048", "Content-Length: 1048"],
                &all[1000..1500],
            )),
            _ => Say::Bytes(answer("206 Partial Content", &["Content-Range: bytes 1500-2047/2048"], &all[1500..])),
        }
    })
    .await;
    assert_eq!(Client::of(&server.url).file(Size::Exactly(SIZE)).await, Ok(data(SIZE)));
    let asked = server.asked();
    assert_eq!(asked.len(), 3);
    assert!(asked.iter().all(|head| head.starts_with("get /remote/sealed/s-t01000-7 http/1.1\r\n")), "{asked:?}");
    assert!(asked.iter().all(|head| head.contains("authorization: bearer secret\r\n")), "{asked:?}");
    assert!(!asked[0].contains("range:") && asked[1].contains("range: bytes=1000-\r\n"), "{asked:?}");
    assert!(asked[2].contains("range: bytes=1500-\r\n"), "{asked:?}");
}

#[tokio::test]
async fn a_server_that_knows_no_parts_is_asked_for_all_of_it_again() {
    let come = file(Size::Exactly(SIZE), |at, _| match at {
        0 => Say::Bytes(raw("200 OK", &["Content-Length: 2048"], &data(1000))),
        _ => Say::Bytes(answer("200 OK", &[], &data(SIZE))),
    });
    assert_eq!(come.await, Ok(data(SIZE)));
}

#[tokio::test]
async fn another_length_than_it_may_have_is_refused() {
    let failure =
        file(Size::Exactly(SIZE), |_, _| Say::Bytes(answer("200 OK", &[], &data(SIZE + 1)))).await.unwrap_err();
    assert!(
        failure.code == ErrorCode::DigestMismatch && failure.message.ends_with("has 2049 bytes; 2048 are right"),
        "{failure}"
    );
    // It does not say how much it sends, and sends more.
    let chunk = |body: &[u8]| [format!("{:x}\r\n", body.len()).as_bytes(), body, b"\r\n"].concat();
    let failure = file(Size::Exactly(SIZE), move |_, _| {
        Say::Bytes(raw("200 OK", &["Transfer-Encoding: chunked"], &chunk(&data(5000)).repeat(3)))
    });
    assert!(failure.await.unwrap_err().message.ends_with("sends more than the 2048 bytes that it may have"));
    let short = file(Size::Exactly(SIZE), move |_, _| {
        let body = [chunk(&data(100)), b"0\r\n\r\n".to_vec()].concat();
        Say::Bytes(raw("200 OK", &["Transfer-Encoding: chunked"], &body))
    });
    assert!(short.await.unwrap_err().message.ends_with("has 100 bytes; 2048 are right"));
    // The end of an unsealed file of Lotus's is not wanted.
    let unsealed = file(Size::First(SIZE), |_, _| Say::Bytes(answer("200 OK", &[], &data(SIZE + 9))));
    assert_eq!(unsealed.await, Ok(data(SIZE)));
    let unsealed = file(Size::First(SIZE), |_, _| Say::Bytes(answer("200 OK", &[], &data(SIZE - 1))));
    assert!(unsealed.await.unwrap_err().message.contains("has only 2047 bytes"));
}

#[tokio::test]
async fn a_file_that_changes_meanwhile_is_none() {
    let failure = file(Size::UpTo(4096), |at, _| match at {
        0 => Say::Bytes(raw("200 OK", &["Content-Length: 2048"], &data(1000))),
        _ => Say::Bytes(answer("206 Partial Content", &["Content-Range: bytes 1000-1999/2000"], &data(1000))),
    });
    assert!(failure.await.unwrap_err().message.contains("has changed meanwhile, from 2048 to 2000 bytes"));
    let failure = file(Size::Exactly(SIZE), |at, _| match at {
        0 => Say::Bytes(raw("200 OK", &["Content-Length: 2048"], &data(1000))),
        _ => Say::Bytes(answer("206 Partial Content", &["Content-Range: bytes 0-2047/2048"], &data(SIZE))),
    });
    assert!(failure.await.unwrap_err().message.contains("another part"));
}

#[tokio::test]
async fn what_is_refused_says_what_to_do() {
    let at = Arc::new(Mutex::new(0));
    for (status, header, code, words, times) in [
        ("404 Not Found", "X: y", ErrorCode::FileMissing, "there is no http://127.0.0.1", 1),
        ("401 Unauthorized", "X: y", ErrorCode::BadRequest, "--header 'Authorization: Bearer TOKEN'", 1),
        ("403 Forbidden", "X: y", ErrorCode::BadRequest, "--header 'Authorization: Bearer TOKEN'", 1),
        ("302 Found", "Location: http://other/x", ErrorCode::BadRequest, "leads on to `http://other/x`", 1),
        ("500 Internal Server Error", "X: y", ErrorCode::Unavailable, "Lotus says so also", 3),
        ("418 Teapot", "X: y", ErrorCode::BadRequest, "418", 1),
        ("200 OK", "Content-Encoding: gzip", ErrorCode::BadRequest, "encoded (gzip)", 1),
    ] {
        *at.lock().unwrap() = 0;
        let count = at.clone();
        let failure = file(Size::Exactly(SIZE), move |_, _| {
            *count.lock().unwrap() += 1;
            Say::Bytes(answer(status, &[header], b""))
        });
        let failure = failure.await.unwrap_err();
        assert!(failure.code == code && failure.message.contains(words), "{status}: {failure}");
        assert!(!failure.message.contains("secret"), "{failure}");
        assert_eq!(*at.lock().unwrap(), times, "{status}");
    }
}

#[tokio::test]
async fn silence_has_an_end() {
    let failure = file(Size::Exactly(SIZE), |_, _| Say::ThenNothing(vec![])).await.unwrap_err();
    assert!(
        failure.code == ErrorCode::Unavailable && failure.message.contains("did not answer within 0.3 s"),
        "{failure}"
    );
    let failure =
        file(Size::Exactly(SIZE), |_, _| Say::ThenNothing(raw("200 OK", &["Content-Length: 2048"], b""))).await;
    assert!(failure.unwrap_err().message.contains("nothing came for 0.3 s"));
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let failure = Client::of(&format!("http://{closed}")).file(Size::Exactly(SIZE)).await.unwrap_err();
    assert!(failure.message.contains(&format!("cannot connect to {closed}")), "{failure}");
}

// === directories ===

/// One file of an archive: name as it is, type, content.
type Packed<'a> = (&'a [u8], tar::EntryType, &'a [u8]);

const PLAIN: tar::EntryType = tar::EntryType::Regular;

fn pack(entries: &[Packed<'_>]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, kind, content) in entries {
        let mut header = tar::Header::new_ustar();
        // Past the checks of whoever means well.
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.set_entry_type(*kind);
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        header.set_cksum();
        builder.append(&header, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

fn good() -> Vec<Packed<'static>> {
    let tree: &[u8] = &[3; 2336];
    vec![
        (b"p_aux", PLAIN, &[1; 64]),
        (b"./t_aux", PLAIN, &[2; 400]),
        (b"s-t01000-7/sc-02-data-tree-r-last.dat", PLAIN, tree),
    ]
}

fn tarred(archive: &[u8]) -> Vec<u8> {
    answer("200 OK", &["Content-Type: application/x-tar"], archive)
}

async fn cache(script: impl Fn(usize, &str) -> Say + Send + 'static) -> Result<Vec<String>, Failure> {
    let server = Server::new(script).await;
    Client::of(&server.url).cache().await
}

#[tokio::test]
async fn an_archive_is_unpacked_and_one_that_breaks_begins_anew() {
    let all = ["p_aux", TREE, "t_aux"].map(str::to_owned).to_vec();
    let dir: Packed<'_> = (b"./", tar::EntryType::Directory, b"");
    let archive = pack(&[&[dir], good().as_slice()].concat());
    assert_eq!(cache(move |_, _| Say::Bytes(tarred(&archive))).await, Ok(all.clone()));
    let come = cache(|at, _| {
        let whole = tarred(&pack(&good()));
        Say::Bytes(if at == 0 { whole[..whole.len() / 2].to_vec() } else { whole })
    });
    assert_eq!(come.await, Ok(all));
}

#[tokio::test]
async fn nothing_of_an_archive_leads_elsewhere() {
    use tar::EntryType as T;
    let long = [b'a'; 100];
    let cases: Vec<(Packed<'_>, &str)> = vec![
        ((b"../p_aux", PLAIN, b"x"), "leads out of the directory"),
        ((b"/etc/passwd", PLAIN, b"x"), "an absolute name"),
        ((b"s-t01000-8/p_aux", PLAIN, b"x"), "a directory of its own"),
        ((b"etc", T::Directory, b""), "a directory"),
        ((b"p_aux", T::Symlink, b""), "a link"),
        ((b"p_aux", T::Link, b""), "a link"),
        ((b"p_aux", T::Char, b""), "a device"),
        ((b"p_aux", T::Fifo, b""), "a device"),
        ((b"././@LongLink", T::GNULongName, &[b'b'; 300]), "a name that is too long"),
        ((b"x", T::XHeader, b"11 path=p\n"), "an extended header"),
        ((b"p_aux", T::GNUSparse, b""), "holes"),
        ((&long, PLAIN, b"x"), "no file of a finished cache"),
        ((b"sc-02-data-layer-1.dat", PLAIN, b"x"), "no file of a finished cache"),
        ((b"p_aux", PLAIN, &[1; 65]), "p_aux has 65 bytes; 64 are right"),
        ((b"t_aux", PLAIN, &[1; 10241]), "10240 are the most"),
        ((b"t_aux", PLAIN, b""), "has only 0 bytes"),
        ((b"./s-t01000-7/p_aux", PLAIN, &[1; 64]), "p_aux twice"),
        ((b"t_aux\xff", PLAIN, b"x"), "no text"),
    ];
    for (entry, words) in cases {
        let mut entries = good()[..usize::from(words.contains("twice"))].to_vec();
        entries.push(entry);
        let archive = pack(&entries);
        let failure = cache(move |_, _| Say::Bytes(tarred(&archive))).await.unwrap_err();
        assert!(failure.code == ErrorCode::DigestMismatch && failure.message.contains(words), "{words}: {failure}");
    }
}

#[tokio::test]
async fn an_archive_has_every_file_and_an_end() {
    let failure = cache(|_, _| Say::Bytes(tarred(&pack(&good()[..2])))).await.unwrap_err();
    assert!(
        failure.code == ErrorCode::FileMissing && failure.message.contains("has no sc-02-data-tree-r-last.dat"),
        "{failure}"
    );
    let failure = cache(|_, _| Say::Bytes(tarred(&[7; 5000]))).await.unwrap_err();
    assert!(failure.message.contains("its archive is none"), "{failure}");
    // Its end is said to be in the middle of a file.
    let failure = cache(|_, _| Say::Bytes(tarred(&pack(&good())[..700]))).await.unwrap_err();
    assert!(failure.message.contains("archive"), "{failure}");
    let failure = cache(|_, _| Say::ThenNothing(raw("200 OK", &["Content-Type: application/x-tar"], b""))).await;
    assert_eq!(failure.unwrap_err().code, ErrorCode::Unavailable);
    let dir: Packed<'_> = (b"./", tar::EntryType::Directory, b"");
    let endless = pack(&vec![dir; 3000]);
    let failure = cache(move |_, _| Say::Bytes(tarred(&endless))).await.unwrap_err();
    assert!(failure.message.contains("longer than the"), "{failure}");
}

#[tokio::test]
async fn a_web_server_is_asked_for_each_file() {
    let serve = |status: &'static str| {
        move |_: usize, head: &str| {
            let body = match head.split_whitespace().nth(1).unwrap().rsplit('/').next().unwrap() {
                "p_aux" => vec![1; 64],
                "t_aux" => vec![2; 400],
                TREE => vec![3; 2336],
                _ => return Say::Bytes(answer(status, &["Location: /remote/cache/s-t01000-7/"], b"<html>")),
            };
            Say::Bytes(answer("200 OK", &[], &body))
        }
    };
    for status in ["301 Moved Permanently", "404 Not Found", "200 OK", "403 Forbidden"] {
        assert_eq!(cache(serve(status)).await.map(|names| names.len()), Ok(3), "{status}");
    }
    let failure = cache(serve("401 Unauthorized")).await.unwrap_err();
    assert!(failure.message.contains("--header"), "{failure}");
    let failure = cache(|_, _| Say::Bytes(answer("404 Not Found", &[], b""))).await.unwrap_err();
    assert!(
        failure.code == ErrorCode::FileMissing && failure.message.contains("/cache/s-t01000-7/p_aux (404)"),
        "{failure}"
    );
}
