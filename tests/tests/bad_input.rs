//! Bad input: each a clear error that says what to do, and nothing changed.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test of real processes")]

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use sp_tests::{Cluster, Setup, process::bin_dir};

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs a service that is expected to refuse to start; returns exit code and stderr.
fn refused(binary: &str, args: &[&str], env: &[(&str, &Path)]) -> (i32, String) {
    let mut child = Command::new(bin_dir().unwrap().join(binary))
        .args(args)
        .envs(env.iter().copied())
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > Duration::from_secs(30) {
            child.kill().unwrap();
            let output = child.wait_with_output().unwrap();
            panic!("{binary} {args:?} did not refuse: {}", stderr(&output));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let output = child.wait_with_output().unwrap();
    (output.status.code().unwrap_or(-1), stderr(&output))
}

#[test]
fn sectors_and_pieces_that_make_no_sense_are_refused() {
    let cluster = Cluster::start(Setup::default()).unwrap();
    let unknown = cluster.ctl(&["sectors", "status", "77"]).unwrap();
    assert_eq!(unknown.status.code(), Some(3), "{}", stderr(&unknown));
    assert!(stderr(&unknown).contains("77"), "{}", stderr(&unknown));

    let large = cluster.dir().join("large");
    std::fs::write(&large, vec![7u8; 2033]).unwrap();
    let too_large = cluster.ctl(&["sectors", "add", large.to_str().unwrap()]).unwrap();
    assert_eq!(too_large.status.code(), Some(1), "{}", stderr(&too_large));
    assert!(stderr(&too_large).contains("2032"), "names the limit: {}", stderr(&too_large));

    let empty = cluster.dir().join("empty");
    std::fs::write(&empty, b"").unwrap();
    let refused_empty = cluster.ctl(&["sectors", "add", empty.to_str().unwrap()]).unwrap();
    assert_eq!(refused_empty.status.code(), Some(1), "{}", stderr(&refused_empty));
    assert!(stderr(&refused_empty).contains("empty"), "{}", stderr(&refused_empty));

    for args in [&["sectors", "unseal", "5"][..], &["sectors", "proof", "5"], &["storage", "find", "5"]] {
        let output = cluster.ctl(args).unwrap();
        assert_eq!(output.status.code(), Some(3), "{args:?}: {}", stderr(&output));
    }
    assert!(cluster.states().unwrap().is_empty(), "nothing changed");
}

#[test]
fn a_worker_of_another_cluster_is_refused() {
    let cluster = Cluster::start(Setup::default()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("w").display().to_string();
    let (scheduler, index) = (cluster.url("scheduler").unwrap(), cluster.url("index").unwrap());
    let args = ["run", "--data-dir", &data, "--listen", "127.0.0.1:0", "--scheduler", &scheduler, "--index", &index];
    let args = [&args[..], &["--cluster", "elsewhere", "--network", "dev", "--no-default"]].concat();
    let (code, text) = refused("sp-sealing-worker", &args, &[]);
    assert_ne!(code, 0);
    assert!(text.contains("SP-WRONG-CLUSTER") || text.contains("cluster"), "{text}");
}

#[test]
fn two_workers_cannot_share_a_data_directory() {
    let setup = Setup { sealing: vec![("seal".into(), vec!["--no-default".into()])], ..Setup::default() };
    let cluster = Cluster::start(setup).unwrap();
    let data = cluster.data_dir("seal").display().to_string();
    let (scheduler, index) = (cluster.url("scheduler").unwrap(), cluster.url("index").unwrap());
    let args = ["run", "--data-dir", &data, "--listen", "127.0.0.1:0", "--scheduler", &scheduler, "--index", &index];
    let (code, text) = refused("sp-sealing-worker", &[&args[..], &["--network", "dev"]].concat(), &[]);
    assert_ne!(code, 0);
    assert!(text.contains(&cluster.pid("seal").unwrap().to_string()), "names the process that has it: {text}");
}

#[test]
fn configurations_that_contradict_themselves_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data").display().to_string();
    let config = dir.path().join("config.toml");
    std::fs::write(&config, "[scheduler]\nno-such-key = 1\n").unwrap();
    let config = config.display().to_string();
    for binary in ["sp-scheduler", "sp-storage-index", "sp-sealing-worker", "sp-post-worker"] {
        let (code, text) = refused(binary, &["run", "--data-dir", &data, "--config", &config], &[]);
        assert_ne!(code, 0, "{binary}");
        assert!(text.contains("unknown"), "{binary}: {text}");
    }
    let urls = ["--scheduler", "http://127.0.0.1:1", "--index", "http://127.0.0.1:1", "--data-dir", &data];
    let both = [&["run", "--windowpost", "--winningpost"][..], &urls].concat();
    let (code, text) = refused("sp-post-worker", &both, &[]);
    assert!(code != 0 && text.contains("post"), "{text}");
    let mixed = [&["run", "--windowpost", "--precommit1"][..], &urls].concat();
    let (code, text) = refused("sp-sealing-worker", &mixed, &[]);
    assert!(code != 0 && text.contains("sp-post-worker"), "{text}");
}

#[test]
fn missing_and_truncated_parameters_are_named_at_start() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data").display().to_string();
    let params = dir.path().join("params");
    std::fs::create_dir(&params).unwrap();
    let urls = ["--scheduler", "http://127.0.0.1:1", "--index", "http://127.0.0.1:1", "--network", "dev"];
    let args = [&["run", "--windowpost", "--data-dir", &data][..], &urls].concat();
    let (code, text) = refused("sp-post-worker", &args, &[("FIL_PROOFS_PARAMETER_CACHE", &params)]);
    assert_ne!(code, 0);
    assert!(text.contains("v28-") && text.contains("params generate"), "{text}");

    let name = text.split(|c: char| c.is_whitespace() || "`'\"/,".contains(c)).find(|w| w.starts_with("v28-")).unwrap();
    let stem = name.trim_end_matches(".params").trim_end_matches(".vk").trim_end_matches(".meta");
    for extension in ["params", "vk", "meta"] {
        std::fs::write(params.join(format!("{stem}.{extension}")), b"truncated").unwrap();
    }
    let (code, text) = refused("sp-post-worker", &args, &[("FIL_PROOFS_PARAMETER_CACHE", &params)]);
    assert_ne!(code, 0);
    assert!(text.contains(stem), "{text}");
}

#[test]
fn a_message_over_the_limit_is_refused_with_its_reason() {
    let cluster = Cluster::start(Setup::default()).unwrap();
    // A name of 5 MiB makes the request larger than any message may be; the service stays up.
    let file = cluster.dir().join("piece");
    std::fs::write(&file, vec![1u8; 100]).unwrap();
    let name = "x".repeat(5 << 20);
    let output = sp_tests::cluster::raw_add_piece(&cluster, &name).unwrap();
    assert!(output.contains("limit") || output.contains("too large") || output.contains("length"), "{output}");
    assert!(cluster.states().unwrap().is_empty());
}
