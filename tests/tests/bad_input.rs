//! Bad input: each a clear error that says what to do, and nothing changed.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test of real processes")]

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sp_tests::{Cluster, Setup, parameters, process::bin_dir};

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs a service that is expected to refuse to start; returns exit code and stderr.
fn refused(binary: &str, args: &[&str], env: &[(&str, &Path)]) -> (i32, String) {
    let mut command = Command::new(bin_dir().unwrap().join(binary));
    command.args(args).envs(env.iter().copied());
    ends(command)
}

/// Waits for the end of a command that must not stay; returns exit code and stderr.
fn ends(mut command: Command) -> (i32, String) {
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > Duration::from_secs(60) {
            child.kill().unwrap();
            let output = child.wait_with_output().unwrap();
            panic!("{command:?} did not refuse: {}", stderr(&output));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let output = child.wait_with_output().unwrap();
    (output.status.code().unwrap_or(-1), stderr(&output))
}

/// A binary as a shell starts it after a command of its own.
fn in_shell(first: &str, binary: &str) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("{first}; exec \"$0\" \"$@\"")).arg(bin_dir().unwrap().join(binary));
    command
}

/// Arguments of a worker whose scheduler and index are nowhere.
fn worker_args<'a>(data: &'a str, network: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let urls = ["--scheduler", "http://127.0.0.1:1", "--index", "http://127.0.0.1:1"];
    [&["run", "--data-dir", data, "--listen", "127.0.0.1:0", "--network", network][..], &urls, more].concat()
}

/// Identity, session, process and connection of every worker that was started by hand.
fn workers(cluster: &Cluster) -> Vec<Value> {
    let workers = cluster.workers().unwrap();
    workers
        .iter()
        .filter(|w| w["builtin"] != true)
        .map(|w| json!([w["worker_id"], w["session_id"], w["name"], w["pid"], w["connected"]]))
        .collect()
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

fn one_worker() -> Cluster {
    let setup = Setup { sealing: vec![("seal".into(), vec!["--no-default".into()])], ..Setup::default() };
    Cluster::start(setup).unwrap()
}

#[test]
fn a_worker_of_another_cluster_is_refused() {
    let cluster = one_worker();
    let before = workers(&cluster);
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("w").display().to_string();
    let (scheduler, index) = (cluster.url("scheduler").unwrap(), cluster.url("index").unwrap());
    let args = ["run", "--data-dir", &data, "--listen", "127.0.0.1:0", "--scheduler", &scheduler, "--index", &index];
    let args = [&args[..], &["--cluster", "elsewhere", "--network", "dev", "--name", "stranger"], &["--no-default"]];
    let (code, text) = refused("sp-sealing-worker", &args.concat(), &[]);
    assert_ne!(code, 0);
    assert!(text.contains("SP-WRONG-CLUSTER") && text.contains("elsewhere"), "{text}");
    assert_eq!(workers(&cluster), before, "nothing changed");
}

#[test]
fn two_workers_cannot_share_a_data_directory() {
    let cluster = one_worker();
    let before = workers(&cluster);
    let data = cluster.data_dir("seal").display().to_string();
    let (scheduler, index) = (cluster.url("scheduler").unwrap(), cluster.url("index").unwrap());
    let args = ["run", "--data-dir", &data, "--listen", "127.0.0.1:0", "--scheduler", &scheduler, "--index", &index];
    let args = [&args[..], &["--network", "dev", "--no-default"]].concat();
    let (code, text) = refused("sp-sealing-worker", &args, &[]);
    assert_ne!(code, 0);
    let pid = cluster.pid("seal").unwrap();
    assert!(text.contains(&pid.to_string()), "names the process that has it: {text}");
    assert_eq!(workers(&cluster), before, "the first one is not disturbed");
    assert!(before.len() == 1 && before[0][3] == pid && before[0][4] == true, "{before:?}");
}

#[test]
fn other_networks_refuse_development_parameters() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data").display().to_string();
    let unmarked = dir.path().join("unmarked");
    std::fs::create_dir(&unmarked).unwrap();
    parameters::link_without_marker(&unmarked).unwrap();
    for directory in [parameters::dir().unwrap(), unmarked] {
        let shown = directory.display().to_string();
        let common = ["--sector-size", "2KiB", "--parameters", &shown];
        let scheduler = ["run", "--data-dir", &data, "--index", "http://127.0.0.1:1", "--listen", "127.0.0.1:0"];
        let scheduler = [&scheduler[..], &["--network", "mainnet"], &common].concat();
        let sealing = worker_args(&data, "mainnet", &[&["--no-default"][..], &common].concat());
        let post = worker_args(&data, "mainnet", &[&["--windowpost"][..], &common].concat());
        for (binary, args) in [("sp-scheduler", scheduler), ("sp-sealing-worker", sealing), ("sp-post-worker", post)] {
            // The scheduler looks first at the limit on open files, which a real network sets higher than some hosts.
            let mut command = in_shell("ulimit -Hn 200000 2>/dev/null", binary);
            command.args(args);
            let (code, text) = ends(command);
            assert_ne!(code, 0, "{binary}");
            if binary == "sp-scheduler" && text.contains("ulimit -n 100000") {
                println!("NOT TESTED for {binary} and {shown}: this host allows too few open files");
                continue;
            }
            assert!(text.contains("INSECURE") && text.contains("mainnet") && text.contains(&shown), "{binary}: {text}");
        }
    }
}

#[test]
fn services_refuse_to_run_with_too_few_files() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data").display().to_string();
    let service = ["run", "--data-dir", &data, "--listen", "127.0.0.1:0", "--network", "dev"];
    let scheduler = [&service[..], &["--index", "http://127.0.0.1:1"]].concat();
    let sealing = worker_args(&data, "dev", &["--no-default"]);
    let post = worker_args(&data, "dev", &["--windowpost"]);
    let services = [
        ("sp-storage-index", service.to_vec()),
        ("sp-scheduler", scheduler),
        ("sp-sealing-worker", sealing),
        ("sp-post-worker", post),
    ];
    for (binary, args) in services {
        let mut command = in_shell("ulimit -Sn 512; ulimit -Hn 512", binary);
        command.args(args);
        let (code, text) = ends(command);
        assert_ne!(code, 0, "{binary}");
        assert!(text.contains("ulimit -n 1024"), "{binary}: {text}");
    }
    assert!(!Path::new(&data).join("storage").exists(), "nothing was begun");
}

#[test]
fn no_service_listens_anywhere_but_on_loopback() {
    let dir = tempfile::tempdir().unwrap();
    let nowhere = ["--scheduler", "http://127.0.0.1:1", "--index", "http://127.0.0.1:1"];
    let services = [
        ("sp-storage-index", vec![]),
        ("sp-scheduler", nowhere[2..].to_vec()),
        ("sp-sealing-worker", [&nowhere[..], &["--no-default"]].concat()),
        ("sp-post-worker", [&nowhere[..], &["--windowpost"]].concat()),
    ];
    for (binary, more) in services {
        let data = dir.path().join(binary).display().to_string();
        let args = ["run", "--data-dir", &data, "--network", "dev", "--listen", "0.0.0.0:0"];
        let (code, text) = refused(binary, &[&args[..], &more].concat(), &[]);
        assert_ne!(code, 0, "{binary}");
        assert!(text.contains("no listener without authentication"), "{binary} says why: {text}");
        assert!(text.contains("use a loopback address"), "{binary} says what to do: {text}");
    }
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
    let starts = [
        ("sp-post-worker", worker_args(&data, "dev", &["--windowpost"])),
        ("sp-post-worker", worker_args(&data, "dev", &["--winningpost"])),
        ("sp-sealing-worker", worker_args(&data, "dev", &["--no-default", "--commit=true"])),
    ];
    for (at, (binary, args)) in starts.into_iter().enumerate() {
        let params = dir.path().join(format!("params-{at}"));
        std::fs::create_dir(&params).unwrap();
        let env = [("FIL_PROOFS_PARAMETER_CACHE", &*params)];
        let (code, text) = refused(binary, &args, &env);
        assert_ne!(code, 0);
        assert!(text.contains("v28-") && text.contains("params generate"), "{text}");

        let stem = text.split(|c: char| c.is_whitespace() || "`'\"/,".contains(c)).find(|w| w.starts_with("v28-"));
        let stem = stem.unwrap().trim_end_matches(".params").to_owned();
        let cut = cut_parameters(&stem, &params);
        let (code, text) = refused(binary, &args, &env);
        assert_ne!(code, 0);
        assert!(text.contains("damaged") && text.contains(cut.to_str().unwrap()), "{text}");
    }
    assert!(!Path::new(&data).exists(), "nothing was begun");
}

/// Copies a parameter set, of the parameter file only the first mebibyte; gives that file.
fn cut_parameters(stem: &str, to: &Path) -> PathBuf {
    let from = parameters::dir().unwrap();
    for extension in ["vk", "meta"] {
        let name = format!("{stem}.{extension}");
        std::fs::copy(from.join(&name), to.join(&name)).unwrap();
    }
    let name = format!("{stem}.params");
    let mut head = vec![];
    let whole = std::fs::File::open(from.join(&name)).unwrap();
    whole.take(1 << 20).read_to_end(&mut head).unwrap();
    assert_eq!(head.len(), 1 << 20, "the file is longer than what is kept");
    std::fs::write(to.join(&name), head).unwrap();
    to.join(name)
}

#[test]
fn parameters_of_unknown_origin_do_not_pass_the_check() {
    let dir = tempfile::tempdir().unwrap();
    let shown = dir.path().display().to_string();
    let check = ["params", "check", "--sector-size", "2KiB", "--kinds", "window", "--dir", &shown, "--json"];
    let verify = |args: &[&str]| Command::new(bin_dir().unwrap().join("sp-verify")).args(args).output().unwrap();
    let generate = [&["params", "generate"][..], &check[2..]].concat();
    assert!(verify(&generate).status.success());
    assert_eq!(verify(&check).status.code(), Some(0));
    // Another trapdoor gives another verifying key; the rest of the files does not matter here.
    for entry in std::fs::read_dir(dir.path()).unwrap().map(Result::unwrap) {
        if entry.path().extension().is_some_and(|e| e == "params" || e == "vk") {
            let mut bytes = std::fs::read(entry.path()).unwrap();
            bytes[95] ^= 1;
            std::fs::write(entry.path(), bytes).unwrap();
        }
    }
    for more in [&[][..], &["--quick"]] {
        let output = verify(&[&check[..], more].concat());
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(report["ok"] == false && report["sets"][0]["origin"] == "unknown", "{report}");
        assert!(report["sets"][0]["error"].as_str().unwrap().contains("neither published nor made"), "{report}");
    }
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

/// The checks of shape cannot see it; the first real proof would have been lost.
#[test]
fn a_winning_worker_with_damaged_parameters_never_says_that_it_is_ready() {
    let (dir, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for entry in std::fs::read_dir(parameters::dir().unwrap()).unwrap() {
        let entry = entry.unwrap();
        std::os::unix::fs::symlink(entry.path(), dir.path().join(entry.file_name())).unwrap();
    }
    let dir = dir.path().display().to_string();
    let check = ["params", "check", "--sector-size", "2KiB", "--kinds", "winning", "--quick", "--json", "--dir", &dir];
    let checked = Command::new(bin_dir().unwrap().join("sp-verify")).args(check).output().unwrap();
    let checked: Value = serde_json::from_slice(&checked.stdout).unwrap();
    let file = Path::new(checked["sets"][0]["path"].as_str().unwrap());
    let mut bytes = std::fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 4096].fill(1);
    std::fs::remove_file(file).unwrap();
    std::fs::write(file, bytes).unwrap();

    let data = data.path().display().to_string();
    let (code, text) =
        refused("sp-post-worker", &worker_args(&data, "dev", &["--winningpost", "--parameters", &dir]), &[]);
    assert!(code == 1 && text.contains("for 2KiB sectors cannot be made ready"), "{code}: {text}");
}
