//! What a PoSt worker does about parameters that are missing, as a whole program: it fetches published ones, asks for
//! development ones to be made, and does neither when it is told not to.
// The whole file is a test.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::process::{Command, Stdio};

use proofs_core::params::Kind;
use proofs_core::params::fetch::Wanted;
use sp_types::SectorSize;
use tempfile::TempDir;
use test_server::Server;

// The same server that the tests of the fetch use.
#[path = "../../proofs-core/src/params/fetch/test_server.rs"]
mod test_server;

/// Starts a worker that is to refuse, with an empty directory of parameters; gives what it says.
fn refused(gateway: &str, more: &[&str]) -> String {
    let dir = TempDir::new().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_sp-post-worker"))
        .args(["run", "--windowpost", "--sector-size", "2KiB", "--data-dir", &path("data"), "--parameters", &path("p")])
        .args(["--scheduler", "http://127.0.0.1:1", "--index", "http://127.0.0.1:1"])
        .args(more)
        .envs([("IPFS_GATEWAY", gateway), ("NO_PROXY", "127.0.0.1"), ("no_proxy", "127.0.0.1")])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(!dir.path().join("data").exists(), "nothing was begun");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

#[test]
fn missing_parameters_are_fetched_on_real_networks() {
    // It has nothing: what counts is what it is asked for.
    let server = Server::start([], &[]);
    let gateway = format!("{}/ipfs/", server.url);
    let said = refused(&gateway, &["--network", "mainnet"]);
    let key = &Wanted::published(&[Kind::Window], SectorSize::KiB2)[0];
    assert!(said.contains("parameters: 1/2 window 2KiB vk"), "progress is in the log: {said}");
    assert!(said.contains("cannot fetch window 2KiB vk") && said.contains("status 404"), "{said}");
    assert!(said.contains(&format!("{gateway}{}", key.cid)) && said.contains("params fetch --from"), "{said}");
    let asked: Vec<_> = server.asked().into_iter().map(|asked| asked.path).collect();
    assert_eq!(asked, vec![format!("/ipfs/{}", key.cid); 3]);
}

#[test]
fn nothing_is_fetched_unasked() {
    let server = Server::start([], &[]);
    let said = refused(&server.url, &["--network", "mainnet", "--no-param-fetch"]);
    assert!(
        said.contains("is missing") && said.contains("sp-ctl params fetch --sector-size 2KiB --kinds window"),
        "{said}"
    );
    let said = refused(&server.url, &["--network", "dev"]);
    assert!(said.contains("is missing") && said.contains("sp-ctl params generate --sector-size 2KiB"), "{said}");
    assert!(server.asked().is_empty());

    // A gateway that is none is said before anything is begun, and only where it is needed.
    assert!(refused("proofs.example", &["--network", "mainnet"]).contains("is no source of parameters"));
}
