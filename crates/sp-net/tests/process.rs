//! What needs a process of its own: signals, a parent's death, stdout moved aside, a lock that its owner's death frees.
#![allow(clippy::disallowed_methods)] // Tests meet the real machine.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use sp_net::lock::{DataDir, DataDirError};
use sp_net::{child, shutdown};

/// Tells a child which part it plays.
const ROLE: &str = "SP_NET_TEST_ROLE";
/// What the part needs to know.
const ARGUMENT: &str = "SP_NET_TEST_ARGUMENT";

const PATIENCE: Duration = Duration::from_secs(20);

/// Not a test of its own: the parts that children play.
#[test]
fn child_process() {
    let argument = std::env::var(ARGUMENT).unwrap_or_default();
    match std::env::var(ROLE).as_deref() {
        Ok("signals") => waits_for_signals(),
        Ok("middle") => drop(play("leaf", &std::process::id().to_string()).wait()),
        Ok("leaf") => {
            child::guard_parent(argument.parse().expect("a pid")).expect("the parent lives");
            say("ready");
            std::thread::sleep(PATIENCE * 2);
        }
        Ok("stdout") => {
            let mut answers = child::move_stdout_aside().expect("moves");
            println!("noise of a driver");
            writeln!(answers, "an answer").expect("the pipe is open");
        }
        Ok("lock") => {
            let _held = DataDir::open(argument).expect("free");
            say("locked");
            std::thread::sleep(PATIENCE * 2);
        }
        _ => {}
    }
}

fn waits_for_signals() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let asked = shutdown::signal().expect("handlers");
        say("listening");
        asked.await;
        say("asked");
        tokio::time::sleep(PATIENCE * 2).await;
    });
}

fn say(line: &str) {
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{line}").expect("the pipe is open");
    stdout.flush().expect("the pipe is open");
}

fn command(role: &str, argument: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this test"));
    command.args(["--exact", "child_process", "--nocapture"]).env(ROLE, role).env(ARGUMENT, argument);
    command
}

fn play(role: &str, argument: &str) -> Child {
    command(role, argument).spawn().expect("starts")
}

/// A child and the lines that it says; the channel ends when nobody holds its stdout any more.
fn listen_to(role: &str, argument: &str) -> (Child, mpsc::Receiver<String>) {
    let mut child = command(role, argument).stdout(Stdio::piped()).spawn().expect("starts");
    let stdout: ChildStdout = child.stdout.take().expect("piped");
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|l| sender.send(l)));
    (child, receiver)
}

/// Waits for a line; libtest's own come between and may share it.
fn wait_for(lines: &mpsc::Receiver<String>, text: &str) {
    while !lines.recv_timeout(PATIENCE).expect(text).ends_with(text) {}
}

/// True when stdout closes in time.
fn closes(lines: &mpsc::Receiver<String>) -> bool {
    loop {
        match lines.recv_timeout(PATIENCE) {
            Ok(_) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => return true,
            Err(mpsc::RecvTimeoutError::Timeout) => return false,
        }
    }
}

fn send(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("not zero");
    kill_process(pid, signal).expect("it lives");
}

fn end(mut child: Child) -> ExitStatus {
    child.wait().expect("reaped")
}

#[test]
fn the_second_signal_means_now() {
    for (first, second) in [(Signal::TERM, Signal::INT), (Signal::INT, Signal::TERM)] {
        let (child, lines) = listen_to("signals", "");
        wait_for(&lines, "listening");
        send(&child, first);
        wait_for(&lines, "asked");
        send(&child, second);
        assert!(closes(&lines));
        assert_eq!(end(child).code(), Some(130));
    }
}

#[test]
fn a_guarded_child_dies_with_its_parent() {
    let (mut middle, lines) = listen_to("middle", "");
    wait_for(&lines, "ready");
    middle.kill().expect("kill");
    middle.wait().expect("reaped");
    // The leaf holds the same stdout: it closes when the leaf is gone too.
    assert!(closes(&lines));
}

#[test]
fn prints_do_not_reach_the_answers() {
    let (child, lines) = listen_to("stdout", "");
    let said: Vec<String> = lines.iter().collect();
    assert!(end(child).success());
    assert!(said.iter().any(|line| line.ends_with("an answer")), "{said:?}");
    assert!(!said.iter().any(|line| line.contains("noise")), "{said:?}");
}

#[test]
fn a_killed_owner_frees_its_directory() {
    let dir = tempfile::tempdir().expect("temp dir");
    let path: &Path = dir.path();
    let (mut owner, lines) = listen_to("lock", &path.to_string_lossy());
    wait_for(&lines, "locked");
    let taken = DataDir::open(path).expect_err("taken");
    assert!(matches!(&taken, DataDirError::Taken { pid, .. } if *pid == owner.id().to_string()), "{taken}");
    owner.kill().expect("kill");
    owner.wait().expect("reaped");
    DataDir::open(path).expect("free again");
}
