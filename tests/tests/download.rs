//! `sectors import --from` by real processes: a sector that another cluster has sealed comes over HTTP, in Lotus's form and in
//! that of a web server, and what is not the sector leaves nothing.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test of real processes")]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
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

/// Serves files over HTTP, each by its path. Ends with the test.
struct Server {
    url: String,
    files: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
}

impl Server {
    fn start(form: Form, files: BTreeMap<String, Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/remote", listener.local_addr().unwrap());
        let files = Arc::new(Mutex::new(files));
        let served = files.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let files = served.lock().unwrap().clone();
                answer(stream.unwrap(), form, &files);
            }
        });
        Self { url, files }
    }

    fn change(&self, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
        change(self.files.lock().unwrap().get_mut(path).unwrap());
    }
}

fn answer(mut stream: TcpStream, form: Form, files: &BTreeMap<String, Vec<u8>>) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|count| count == 1) {
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split_whitespace().nth(1).unwrap_or_default().trim_start_matches("/remote/").to_owned();
    let dir: Vec<_> = files.iter().filter(|(name, _)| name.starts_with(&format!("{path}/"))).collect();
    let (status, kind, body) = match files.get(&path) {
        _ if form == Form::Lotus && !head.contains(TOKEN) => ("401 Unauthorized", "text/plain", vec![]),
        Some(body) => ("200 OK", "application/octet-stream", body.clone()),
        None if form == Form::Lotus && !dir.is_empty() => ("200 OK", "application/x-tar", archive(&dir)),
        None => ("404 Not Found", "text/plain", vec![]),
    };
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n", body.len());
    // Whoever asks may have heard enough.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
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

/// Files of the sector below a storage path.
fn files_of(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let sealed = format!("sealed/{NAME}");
    files.insert(sealed.clone(), std::fs::read(path.join(&sealed)).unwrap());
    for entry in std::fs::read_dir(path.join("cache").join(NAME)).unwrap() {
        let entry = entry.unwrap();
        let name = format!("cache/{NAME}/{}", entry.file_name().to_string_lossy());
        files.insert(name, std::fs::read(entry.path()).unwrap());
    }
    files
}

/// A sector that is sealed and finished, its files and its record. It is forced past its proof, which nobody here asks for.
fn sealed() -> (BTreeMap<String, Vec<u8>>, String) {
    let flags = vec!["--commit=false".to_owned(), "--prove-replica-update2=false".to_owned()];
    let mut cluster = Cluster::start(Setup { sealing: vec![("seal".into(), flags)], ..Setup::default() }).unwrap();
    let numbers = cluster.pledge(1).unwrap();
    cluster.wait_for_state(&numbers, &["Committing2"], LIMIT).unwrap();
    cluster.ctl_json(&["sectors", "update-state", "0", "FinalizeSector", "--really-do-it"]).unwrap();
    cluster.wait_for_state(&numbers, &["Proving", "Available"], LIMIT).unwrap();
    let record = cluster.ctl(&["sectors", "export", "0"]).unwrap();
    assert!(record.status.success(), "{record:?}");
    cluster.kill9_all().unwrap();
    (files_of(&cluster.data_dir("seal").join("storage")), String::from_utf8(record.stdout).unwrap())
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
    let (files, record) = sealed();
    from_lotus(&files, &record);
    from_the_web(&files);
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
