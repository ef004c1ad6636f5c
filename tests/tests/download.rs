//! `sectors import --from` by real processes: a sector that another cluster has sealed comes over HTTP, in Lotus's form and in
//! that of a web server, and what is not the sector leaves nothing.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test of real processes")]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use serde_json::Value;
use sp_tests::{Cluster, Setup, audit, judge, wait};

const LIMIT: Duration = Duration::from_secs(60);
const TOKEN: &str = "Bearer t0ken-of-nobody";
const NAME: &str = "s-t01000-0";

/// Which form a server has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// A directory is a tar archive, and whoever asks has to have the token.
    Lotus,
    /// Files alone.
    Web,
}

/// Serves files over HTTP, each by its path, from any byte on. Ends with the test.
struct Server {
    url: String,
    served: Arc<Served>,
}

/// What it serves, and what it has sent.
struct Served {
    form: Form,
    files: Mutex<BTreeMap<String, Vec<u8>>>,
    /// Happens once.
    pause: Mutex<Option<Pause>>,
    /// Every transfer of a single file: its path, the byte that it began with, how many were sent.
    sent: Mutex<Vec<(String, usize, usize)>>,
}

/// In the middle of a file the server stops.
struct Pause {
    path: String,
    after: usize,
    /// Hears that it has stopped.
    reached: Sender<()>,
    /// It goes on when it is told to, and breaks the connection off when nobody is left to tell it.
    go_on: Receiver<()>,
}

impl Server {
    fn start(form: Form, files: BTreeMap<String, Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/remote", listener.local_addr().unwrap());
        let (files, pause, sent) = (Mutex::new(files), Mutex::default(), Mutex::default());
        let served = Arc::new(Served { form, files, pause, sent });
        let serving = served.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, serving) = (stream.unwrap(), serving.clone());
                std::thread::spawn(move || serving.answer(stream));
            }
        });
        Self { url, served }
    }

    fn change(&self, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
        change(self.served.files.lock().unwrap().get_mut(path).unwrap());
    }

    /// Stops once after so many bytes of the file; gives who hears of it, and who tells it to go on.
    fn pause(&self, path: &str, after: usize) -> (Receiver<()>, Sender<()>) {
        let ((reached, hears), (tells, go_on)) = (channel(), channel());
        let pause = Pause { path: path.to_owned(), after, reached, go_on };
        *self.served.pause.lock().unwrap() = Some(pause);
        (hears, tells)
    }

    /// Where the transfers of a file began, and how many bytes each sent.
    fn sent(&self, path: &str) -> Vec<(usize, usize)> {
        let sent = self.served.sent.lock().unwrap();
        sent.iter().filter(|(of, ..)| of == path).map(|(_, from, bytes)| (*from, *bytes)).collect()
    }
}

impl Served {
    fn answer(&self, mut stream: TcpStream) {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|count| count == 1) {
            head.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let path = head.split_whitespace().nth(1).unwrap_or_default().trim_start_matches("/remote/").to_owned();
        let files = self.files.lock().unwrap().clone();
        let dir: Vec<_> = files.iter().filter(|(name, _)| name.starts_with(&format!("{path}/"))).collect();
        let (status, kind, body) = match files.get(&path) {
            _ if self.form == Form::Lotus && !head.contains(TOKEN) => ("401 Unauthorized", "text/plain", vec![]),
            Some(body) => return self.send(stream, &path, body, begin(&head)),
            None if self.form == Form::Lotus && !dir.is_empty() => ("200 OK", "application/x-tar", archive(&dir)),
            None => ("404 Not Found", "text/plain", vec![]),
        };
        let head = format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n", body.len());
        // Whoever asks may have heard enough.
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
    }

    /// One file, from the byte on that is asked for.
    fn send(&self, mut stream: TcpStream, path: &str, body: &[u8], from: usize) {
        let (status, rest, whole) =
            (if from > 0 { "206 Partial Content" } else { "200 OK" }, &body[from..], body.len());
        let part = match from {
            0 => String::new(),
            _ => format!("Content-Range: bytes {from}-{}/{whole}\r\n", whole - 1),
        };
        let head = format!("HTTP/1.1 {status}\r\n{part}Content-Length: {}\r\n\r\n", rest.len());
        let pause = self.pause.lock().unwrap().take_if(|pause| pause.path == path);
        let first = pause.as_ref().map_or(rest.len(), |pause| pause.after.min(rest.len()));
        // Whoever asks may have heard enough, or be gone.
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&rest[..first]));
        let mut sent = first;
        if let Some(Pause { reached, go_on, .. }) = pause {
            reached.send(()).unwrap();
            if go_on.recv().is_ok() && stream.write_all(&rest[first..]).is_ok() {
                sent = rest.len();
            }
        }
        self.sent.lock().unwrap().push((path.to_owned(), from, sent));
    }
}

/// The byte that an answer is to begin with.
fn begin(head: &str) -> usize {
    let range = head.lines().find_map(|line| line.to_lowercase().strip_prefix("range: bytes=").map(str::to_owned));
    range.map_or(0, |range| range.trim_end_matches('-').parse().unwrap())
}

/// Names relative to the directory, as Lotus has them.
fn archive(dir: &[(&String, &Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in dir {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, Path::new(path).file_name().unwrap(), content.as_slice()).unwrap();
    }
    builder.into_inner().unwrap()
}

/// Files of the sector below a storage path, those of its update too.
fn files_of(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for file in ["sealed", "update"].map(|kind| format!("{kind}/{NAME}")) {
        // Not every sector was updated.
        if let Ok(content) = std::fs::read(path.join(&file)) {
            files.insert(file, content);
        }
    }
    for dir in ["cache", "update-cache"].map(|kind| format!("{kind}/{NAME}")) {
        for entry in std::fs::read_dir(path.join(&dir)).into_iter().flatten().map(Result::unwrap) {
            let name = format!("{dir}/{}", entry.file_name().to_string_lossy());
            files.insert(name, std::fs::read(entry.path()).unwrap());
        }
    }
    assert!(files.len() > 3, "{:?}", files.keys());
    files
}

/// A sector that is sealed and finished, its files and its record.
type Sealed = (BTreeMap<String, Vec<u8>>, String);

/// The same one for all tests.
static SEALED: LazyLock<Sealed> = LazyLock::new(sealed);

/// It is forced past its proof, which nobody here asks for.
fn sealed() -> Sealed {
    let mut cluster = finished();
    let record = record(&cluster);
    cluster.kill9_all().unwrap();
    (files_of(&cluster.data_dir("seal").join("storage")), record)
}

/// The same, updated: that is forced past its proof, too.
fn updated() -> Sealed {
    let mut cluster = finished();
    let file = cluster.dir().join("data");
    std::fs::write(&file, [7; 1900]).unwrap();
    if cluster.states().unwrap()[&0] == "Proving" {
        cluster.ctl_json(&["sectors", "mark-for-update", "0"]).unwrap();
    }
    cluster.ctl_json(&["sectors", "snap", "0", file.to_str().unwrap()]).unwrap();
    cluster.wait_for_state(&[0], &["ProveReplicaUpdate"], LIMIT).unwrap();
    cluster.ctl_json(&["sectors", "update-state", "0", "FinalizeReplicaUpdate", "--really-do-it"]).unwrap();
    cluster.wait_for_state(&[0], &["Proving"], LIMIT).unwrap();
    let record = record(&cluster);
    cluster.kill9_all().unwrap();
    (files_of(&cluster.data_dir("seal").join("storage")), record)
}

fn record(cluster: &Cluster) -> String {
    let record = cluster.ctl(&["sectors", "export", "0"]).unwrap();
    assert!(record.status.success(), "{record:?}");
    String::from_utf8(record.stdout).unwrap()
}

fn finished() -> Cluster {
    let flags = vec!["--commit=false".to_owned(), "--prove-replica-update2=false".to_owned()];
    let mut cluster = Cluster::start(Setup { sealing: vec![("seal".into(), flags)], ..Setup::default() }).unwrap();
    let numbers = cluster.pledge(1).unwrap();
    cluster.wait_for_state(&numbers, &["Committing2"], LIMIT).unwrap();
    cluster.ctl_json(&["sectors", "update-state", "0", "FinalizeSector", "--really-do-it"]).unwrap();
    cluster.wait_for_state(&numbers, &["Proving", "Available"], LIMIT).unwrap();
    cluster
}

/// A cluster that knows nothing, with a worker that downloads to a path that only stores.
fn receiver(download: &str) -> (Cluster, PathBuf) {
    let flags = ["--no-default", "--no-local-storage", download].map(String::from).to_vec();
    let setup = Setup { sealing: vec![("shelf".into(), flags)], window: vec!["prover".into()], ..Setup::default() };
    let cluster = Cluster::start(setup).unwrap();
    let path = cluster.dir().join("shelf-path");
    let attach = ["storage", "attach", "--worker", "shelf", "--init", "--store", path.to_str().unwrap()];
    cluster.ctl_json(&attach).unwrap();
    (cluster, path)
}

fn import(cluster: &Cluster, args: &[&str]) -> (Value, String) {
    let output = cluster.ctl(&[&["sectors", "import", "0", "--json"], args].concat()).unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let rows: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {said}"));
    (rows[0].clone(), said)
}

/// Files in the sectors' directories of a path, and work that lies there.
fn left(path: &Path) -> Vec<String> {
    let dirs = ["sealed", "cache", ".sp/work", ".sp/manifests/sealed", ".sp/manifests/cache"];
    let list = |dir: &str| std::fs::read_dir(path.join(dir)).into_iter().flatten().map(|e| e.unwrap().path());
    dirs.iter().flat_map(|dir| list(dir)).map(|path| path.display().to_string()).collect()
}

fn proven(cluster: &Cluster) {
    let output = cluster.ctl(&["proving", "compute", "window-post", "0"]).unwrap();
    assert!(output.status.success(), "{output:?}\n{}", cluster.tails());
    let text = String::from_utf8(output.stdout).unwrap();
    let post: Value = serde_json::from_str(text.split_once('\n').unwrap().1).unwrap();
    assert_eq!(post["partitions"][0]["skipped"], Value::Array(vec![]), "{post}");
    assert_eq!(judge::verify("sp-verify", &post).unwrap(), Some(0), "{post}");
}

#[test]
fn a_sector_comes_from_elsewhere_and_what_is_none_leaves_nothing() {
    let (files, record) = &*SEALED;
    from_lotus(files, record);
    from_the_web(files);
}

/// What has come stays, and only the rest is asked for.
#[test]
fn a_connection_that_is_cut_goes_on_where_it_was() {
    let (files, _) = &*SEALED;
    let server = Server::start(Form::Web, files.clone());
    let sealed = format!("sealed/{NAME}");
    let (hears, tells) = server.pause(&sealed, 1000);
    drop(tells);
    let (cluster, path) = receiver("--download");
    let (row, said) = import(&cluster, &["--from", &server.url]);
    assert_eq!(row["state"], "Proving", "{row}\n{said}\n{}", cluster.tails());
    hears.recv_timeout(LIMIT).unwrap();
    assert_eq!(server.sent(&sealed), [(0, 1000), (1000, files[&sealed].len() - 1000)]);
    let whole = |path: &&String| path.starts_with("cache/");
    for path in files.keys().filter(whole) {
        assert_eq!(server.sent(path), [(0, files[path].len())], "{path} came more than once");
    }
    assert_eq!(&files_of(&path), files);
    assert_eq!(audit::clean(&cluster).unwrap(), 2);
}

/// The worker is killed while the sealed file is half here. Started again, it brings the sector all the same.
#[test]
fn a_worker_that_is_killed_in_a_download_begins_it_again() {
    let (files, _) = &*SEALED;
    let server = Server::start(Form::Lotus, files.clone());
    let (hears, tells) = server.pause(&format!("sealed/{NAME}"), 1000);
    let (mut cluster, path) = receiver("--download");
    let header = format!("Authorization: {TOKEN}");
    let (row, said) = import(&cluster, &["--from", &server.url, "--header", &header, "--no-wait"]);
    assert_eq!(row["state"], "ReceiveSector", "{row}\n{said}");
    hears.recv_timeout(LIMIT).unwrap_or_else(|e| panic!("{e}\n{}", cluster.tails()));
    cluster.kill9("shelf").unwrap();
    assert!(!left(&path).is_empty(), "it was killed too early");
    tells.send(()).unwrap();
    cluster.restart("shelf").unwrap();
    cluster.wait_for_state(&[0], &["Proving"], LIMIT).unwrap();
    assert_eq!(&files_of(&path), files);
    proven(&cluster);
    assert_eq!(audit::clean(&cluster).unwrap(), 2);
    let work: Vec<_> = left(&path).into_iter().filter(|path| path.contains(".sp/work")).collect();
    assert!(work.is_empty(), "{work:?}");
}

/// The update is what is proven; what was before it comes, too.
#[test]
fn an_updated_sector_comes_with_what_it_was_before() {
    let (files, record) = updated();
    let server = Server::start(Form::Web, files.clone());
    let (cluster, path) = receiver("--download");
    let records = cluster.dir().join("records.json").display().to_string();
    std::fs::write(&records, &record).unwrap();
    let (row, said) = import(&cluster, &["--from", &server.url, "--updated", "--record", &records]);
    assert_eq!(
        (&row["state"], &row["updated"]),
        (&"Proving".into(), &true.into()),
        "{row}\n{said}\n{}",
        cluster.tails()
    );
    assert_eq!(files_of(&path), files);
    proven(&cluster);
    let again = cluster.ctl_json(&["sectors", "export", "0"]).unwrap();
    assert_eq!(again, serde_json::from_str::<Value>(&record).unwrap(), "nothing of it is lost on the way");
    assert_eq!(audit::clean(&cluster).unwrap(), 4);
}

/// First wrongly, then right: the same command goes on.
fn from_lotus(files: &BTreeMap<String, Vec<u8>>, record: &str) {
    let server = Server::start(Form::Lotus, files.clone());
    let (cluster, path) = receiver("--download");
    let records = cluster.dir().join("records.json").display().to_string();
    std::fs::write(&records, record).unwrap();

    let (row, said) = import(&cluster, &["--from", &server.url]);
    assert!(row["error"].as_str().unwrap().contains("--header 'Authorization: Bearer TOKEN'"), "{row}\n{said}");
    let header = format!("Authorization: {TOKEN}");
    server.change(&format!("sealed/{NAME}"), |bytes| bytes.iter_mut().for_each(|byte| *byte ^= 0x15));
    let args = ["--from", &server.url, "--header", &header, "--record", &records];
    let (row, said) = import(&cluster, &args);
    assert!(
        row["error"].as_str().unwrap().contains("does not answer a challenge"),
        "{row}\n{said}\n{}",
        cluster.tails()
    );
    assert_eq!(cluster.states().unwrap()[&0], "ReceiveSectorFailed");
    let gone = wait::until("what has come to go", LIMIT, || Ok(left(&path).is_empty().then_some(())));
    gone.unwrap_or_else(|e| panic!("{e:#}: {:?}\n{}", left(&path), cluster.tails()));

    server.change(&format!("sealed/{NAME}"), |bytes| bytes.iter_mut().for_each(|byte| *byte ^= 0x15));
    let (row, said) = import(&cluster, &args);
    assert_eq!(
        (&row["state"], &row["with_record"]),
        (&"Proving".into(), &true.into()),
        "{row}\n{said}\n{}",
        cluster.tails()
    );
    let found = cluster.ctl_json(&["storage", "find", "0"]).unwrap();
    let places: Vec<_> = found.as_array().unwrap().iter().map(|row| &row["local_path"]).collect();
    assert_eq!(places, [path.to_str().unwrap(); 2], "{found}");
    assert_eq!(&files_of(&path), files);
    proven(&cluster);
    let again = cluster.ctl_json(&["sectors", "export", "0"]).unwrap();
    assert_eq!(again, serde_json::from_str::<Value>(record).unwrap(), "nothing of it is lost on the way");
    assert_eq!(audit::clean(&cluster).unwrap(), 2);
    let told = ["index", "scheduler", "shelf"].map(|name| std::fs::read_to_string(cluster.log(name)).unwrap());
    let shown = cluster.ctl(&["sectors", "status", "0", "--log"]).unwrap();
    assert!(!format!("{told:?}{shown:?}{said}").contains(TOKEN), "nobody says the token");
}

/// Without a worker that downloads it waits, and says for what; then it comes file by file.
fn from_the_web(files: &BTreeMap<String, Vec<u8>>) {
    let server = Server::start(Form::Web, files.clone());
    let (mut cluster, path) = receiver("--download=false");
    let (row, said) = import(&cluster, &["--from", &server.url, "--no-wait"]);
    assert_eq!((&row["state"], &row["error"]), (&"ReceiveSector".into(), &Value::Null), "{row}\n{said}");
    let jobs = cluster.ctl_json(&["sealing", "jobs", "--reasons"]).unwrap();
    assert!(jobs.to_string().contains("does not take DL; start it with --download"), "{jobs}");
    let flags = ["--no-default", "--no-local-storage", "--download"].map(String::from).to_vec();
    cluster.change_flags("shelf", flags).unwrap();
    cluster.wait_for_state(&[0], &["Proving"], LIMIT).unwrap();
    assert_eq!(&files_of(&path), files);
    for (args, words) in [
        (vec!["0", "--from", "https://h/remote"], "TLS"),
        (vec!["--all", "--from", "http://h/remote"], "cannot be used with"),
        (vec!["0", "--dry-run", "--from", "http://h/remote"], "cannot be used with"),
        (vec!["0", "--updated"], "--from"),
        (vec!["0", "--from", "http://h", "--header", "Host: t0ken"], "is set by whoever downloads"),
        (vec!["0", "--from", "http://h"], "there is a sector 0 already"),
    ] {
        let refused = cluster.ctl(&[&["sectors", "import"], args.as_slice()].concat()).unwrap();
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && said.contains(words), "{args:?}: {said}");
    }
}
