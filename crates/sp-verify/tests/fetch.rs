//! `params fetch` as a whole program, against a web server that misbehaves, a gateway and a directory.
// The whole file is a test.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use test_server::{Act, Asked, Server};

// The same server that the library's own tests use.
#[path = "../../proofs-core/src/params/fetch/test_server.rs"]
mod test_server;

const PROVER: &str = env!("CARGO_BIN_EXE_sp-verify");
const PARAMS: &str = "v28-test.params";
const KEY: &str = "v28-test.vk";
const LENGTH: usize = 5 << 20;

/// Two files, their manifest, and where they are to go.
struct Case {
    dir: TempDir,
    files: Vec<(String, Vec<u8>)>,
}

impl Case {
    fn new() -> Self {
        let bytes = (0..LENGTH as u32 / 4).flat_map(|word| word.wrapping_mul(2654435761).to_le_bytes()).collect();
        let files = vec![(PARAMS.to_owned(), bytes), (KEY.to_owned(), b"a key".to_vec())];
        let dir = TempDir::new().unwrap();
        fs::create_dir(dir.path().join("source")).unwrap();
        for (name, bytes) in &files {
            fs::write(dir.path().join("source").join(name), bytes).unwrap();
        }
        let entry = |cid: &str, digest: &str| json!({"cid": cid, "digest": digest, "sector_size": 2048});
        let manifest = json!({PARAMS: entry("QmParams", PARAMS_DIGEST), KEY: entry("QmKey", KEY_DIGEST)});
        fs::write(dir.path().join("manifest.json"), manifest.to_string()).unwrap();
        Self { dir, files }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The program, which has `from` to fetch from, and no proxy.
    fn command(&self, from: &[&str]) -> Command {
        let mut command = Command::new(PROVER);
        let text = |name: &str| self.path(name).display().to_string();
        command
            .args(["params", "fetch", "--sector-size", "2KiB", "--manifest", &text("manifest.json")])
            .args(["--dir", &text("to")])
            .args(from)
            .envs([("NO_PROXY", "127.0.0.1"), ("no_proxy", "127.0.0.1")])
            .env_remove("IPFS_GATEWAY")
            .stdin(Stdio::null());
        command
    }

    fn run(&self, from: &[&str]) -> Output {
        self.command(from).output().unwrap()
    }

    #[track_caller]
    fn is_there(&self) {
        for (name, bytes) in &self.files {
            assert!(fs::read(self.path("to").join(name)).unwrap() == *bytes, "{name}");
        }
        assert_eq!(visible(&self.path("to")), [PARAMS, KEY]);
    }
}

/// Digests of the two files, computed by another program: the first 16 bytes of BLAKE2b-512.
const PARAMS_DIGEST: &str = "a3b439d358def2569a3845f91860f91d";
const KEY_DIGEST: &str = "66f1e6927f91f713f5f01fe4c5d9ef8d";

fn visible(dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| !name.starts_with('.'));
    names.sort();
    names
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn breaks_and_errors_cost_nothing_but_time() {
    let case = Case::new();
    // The key, then the parameters.
    let server =
        Server::start(case.files.clone(), &[Act::Serve, Act::Cut(2 << 20), Act::Status(503), Act::IgnoreRange]);
    let output = case.run(&["--from", &server.url]);
    assert_eq!(code(&output), 0, "{output:?}");
    case.is_there();
    assert_eq!(server.offsets(), [None, None, Some(2 << 20), Some(2 << 20)]);
    let said = text(&output.stderr);
    assert!(said.contains("1/2 v28-test.vk") && said.contains("2/2 v28-test.params"), "{said}");
    assert!(said.contains("of 5 MiB") && said.contains("status 503; again in"), "{said}");
    let told = text(&output.stdout);
    assert!(told.contains("v28-test.params") && told.contains("--parameters"), "{told}");

    // What is there is not fetched again; for programs it is JSON, and nothing else.
    let output = case.run(&["--from", &server.url, "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        report["files"][1],
        json!({
            "name": PARAMS, "path": case.path("to").join(PARAMS), "length_bytes": LENGTH, "digest": PARAMS_DIGEST, "fetched": false,
        })
    );
    assert_eq!(server.asked().len(), 4);
}

#[test]
fn a_killed_fetch_goes_on_when_it_is_run_again() {
    let case = Case::new();
    let server = Server::start(case.files.clone(), &[Act::Serve, Act::Hang(3 << 20)]);
    let mut child = case.command(&["--from", &server.url]).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let part = case.path("to").join(format!(".{PARAMS}.part"));
    until(&mut child, || fs::metadata(&part).is_ok_and(|part| part.len() == 3 << 20));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(visible(&case.path("to")), [KEY]);
    assert_eq!(code(&case.run(&["--from", &server.url])), 0);
    case.is_there();
    assert_eq!(server.offsets(), [None, None, Some(3 << 20)]);
    assert!(!part.exists());
}

fn until(child: &mut Child, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        if start.elapsed() > Duration::from_secs(30) || child.try_wait().unwrap().is_some() {
            let _ = child.kill();
            panic!("it did not come to that");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn gateways_are_asked_for_content_ids_and_directories_are_copied() {
    let case = Case::new();
    let [params, key] = ["QmParams", "QmKey"].map(str::to_owned);
    let by_cid = [(params, case.files[0].1.clone()), (key, case.files[1].1.clone())];
    let gateway = Server::start(by_cid, &[]);
    let url = format!("{}/ipfs/", gateway.url);
    let output = case.command(&[]).env("IPFS_GATEWAY", &url).output().unwrap();
    assert_eq!(code(&output), 0, "{output:?}");
    case.is_there();
    let asked = |path: &str| Asked { path: path.to_owned(), from: None };
    assert_eq!(gateway.asked(), [asked("/ipfs/QmKey"), asked("/ipfs/QmParams")]);

    fs::remove_dir_all(case.path("to")).unwrap();
    let source = case.path("source").display().to_string();
    assert_eq!(code(&case.run(&["--from", &source, "--keys-only"])), 0);
    assert_eq!(visible(&case.path("to")), [KEY]);
    assert_eq!(code(&case.run(&["--from", &source])), 0);
    case.is_there();
    assert_eq!(visible(&case.path("source")), [PARAMS, KEY]);
}

#[test]
fn what_is_not_the_published_file_never_gets_its_name() {
    let case = Case::new();
    let server = Server::start(case.files.clone(), &[Act::Serve, Act::Corrupt(7), Act::Corrupt(7)]);
    let output = case.run(&["--from", &server.url]);
    let said = text(&output.stderr);
    assert_eq!(code(&output), 1, "{said}");
    assert!(
        said.contains("not the published file") && said.contains(PARAMS_DIGEST) && said.contains("--from"),
        "{said}"
    );
    assert_eq!(visible(&case.path("to")), [KEY]);
}

#[test]
fn wrong_usage_says_what_to_do() {
    let case = Case::new();
    for (args, word) in [
        (&["--from", "ftp://h/"][..], "http://"),
        (&["--from", "http://me:secret@h/"], "logs"),
        (&["--kinds", "porep"], "--manifest"),
    ] {
        let output = case.run(args);
        let said = text(&output.stderr);
        assert_eq!(code(&output), 2, "{said}");
        assert!(said.contains(word), "{said}");
    }
    // Neither is anything fetched into the directory of development parameters, named or not.
    let home = TempDir::new().unwrap();
    let source = case.path("source").display().to_string();
    let fetch = |extra: &[&str]| {
        let mut command = Command::new(PROVER);
        command.args(["params", "fetch", "--sector-size", "2KiB", "--kinds", "window", "--from", &source]).args(extra);
        command.env("HOME", home.path()).env_remove("XDG_CACHE_HOME").env_remove("FIL_PROOFS_PARAMETER_CACHE");
        command.output().unwrap()
    };
    let output = fetch(&[]);
    assert_eq!(code(&output), 1);
    assert!(text(&output.stderr).contains("is for development parameters"), "{output:?}");
    let marked = TempDir::new().unwrap();
    fs::write(marked.path().join("INSECURE-DEVELOPMENT-PARAMETERS"), "").unwrap();
    let output = fetch(&["--dir", marked.path().to_str().unwrap()]);
    assert_eq!(code(&output), 1);
    assert!(text(&output.stderr).contains("INSECURE"), "{output:?}");
}
