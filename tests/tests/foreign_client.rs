//! Reflection and health, proven by a gRPC client that is not ours (Python's grpcio in a virtual environment).
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test of real processes")]

use std::path::Path;
use std::process::Command;

use sp_tests::{Cluster, Setup};

#[test]
#[ignore = "make test-grpc runs it, after setting up Python"]
fn python_lists_describes_and_calls_every_service() {
    let python = std::env::var("SP_TEST_PYTHON").expect("make test-grpc sets SP_TEST_PYTHON");
    let setup = Setup { window: vec!["window".into()], ..Setup::two_sealing() };
    let cluster = Cluster::start(setup).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("foreign/client.py");
    let addresses = ["scheduler", "index", "seal-a", "seal-b", "window"]
        .map(|name| format!("{name}={}", cluster.url(name).unwrap().trim_start_matches("http://")));
    let output = Command::new(python).arg(script).args(addresses).output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}\n{}", cluster.tails());
    print!("{text}");
}
