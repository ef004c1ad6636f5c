//! What only a file can get wrong: who opens it, which version it has, what a killed process leaves.
// Tests meet the real machine.
#![allow(clippy::disallowed_methods)]

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use sp_state::{Batch, OpenError, Redb, State};

/// Names the state file to the killed child.
const CHILD: &str = "SP_STATE_TEST_CHILD";

#[test]
fn one_process_at_a_time() {
    let dir = tempfile::tempdir().expect("temp dir");
    let path = dir.path().join("state.redb");
    let first = Redb::open(&path, 1).expect("free");
    let error = Redb::open(&path, 1).err().expect("taken");
    assert!(matches!(error, OpenError::Taken { .. }), "{error}");
    drop(first);
    Redb::open(&path, 1).expect("free again");
    let names: Vec<_> = std::fs::read_dir(dir.path()).expect("list").map(|e| e.expect("entry").file_name()).collect();
    assert_eq!(names, ["state.redb"], "nothing is left aside");
}

#[test]
fn a_newer_schema_is_refused_and_an_older_one_raised() {
    let dir = tempfile::tempdir().expect("temp dir");
    let path = dir.path().join("state.redb");
    drop(Redb::open(&path, 1).expect("made"));
    let raised = Redb::open(&path, 3).expect("an older file opens");
    assert_eq!(raised.schema_found(), 1);
    drop(raised);
    let error = Redb::open(&path, 2).err().expect("newer than we know");
    assert!(matches!(error, OpenError::Newer { found: 3, known: 2, .. }), "{error}");
    assert_eq!(Redb::open(&path, 3).expect("ours").schema_found(), 3);
}

#[test]
fn what_is_no_state_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().expect("temp dir");
    let path = dir.path().join("state.redb");
    std::fs::write(&path, b"something else entirely").expect("write");
    assert!(matches!(Redb::open(&path, 1), Err(OpenError::Unusable { .. })));
    assert_eq!(std::fs::read(&path).expect("read"), b"something else entirely");
    assert!(matches!(Redb::open(dir.path().join("no/such/dir"), 1), Err(OpenError::Unusable { .. })));
    // A start that was killed while it made its file is forgotten.
    std::fs::write(dir.path().join("fresh.redb.new"), b"half").expect("write");
    Redb::open(dir.path().join("fresh.redb"), 1).expect("made anew");
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let dir = tempfile::tempdir().expect("temp dir");
    let path = dir.path().join("state.redb");
    let mut acknowledged = 0_u32;
    for round in 0..4 {
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "child_that_is_killed", "--nocapture"])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        for line in lines.map_while(Result::ok) {
            let Some(number) = line.rsplit("committed ").next().and_then(|n| n.parse::<u32>().ok()) else { continue };
            acknowledged = number;
            if number % 20 == 7 + round {
                child.kill().expect("kill");
                break;
            }
        }
        child.wait().expect("reaped");
        let state = Redb::open(&path, 1).expect("opens after a kill");
        let rows = state.scan_all(b"").expect("scan");
        assert!(rows.len() as u32 >= acknowledged && acknowledged > 0, "{} < {acknowledged}", rows.len());
        for (n, (key, value)) in rows.iter().enumerate() {
            assert_eq!((key.as_slice(), value.as_slice()), (&(n as u32).to_be_bytes()[..], &b"v"[..]));
        }
    }
}

/// Not a test of its own: commits rows until it is killed.
#[test]
fn child_that_is_killed() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let state = Redb::open(path, 1).expect("opens");
    let first = state.scan_all(b"").expect("scan").len() as u32;
    for number in first..first + 1000 {
        let mut batch = Batch::new();
        batch.put(number.to_be_bytes(), "v");
        state.commit(batch).expect("commit");
        println!("committed {}", number + 1);
    }
}

#[test]
fn a_state_may_lie_on_storage_of_the_caller() {
    let state = Redb::on(redb::backends::InMemoryBackend::new(), 2).expect("made");
    let mut batch = sp_state::Batch::new();
    batch.put("key", "value");
    state.commit(batch).expect("written");
    assert_eq!(state.get(b"key").expect("read"), Some(b"value".to_vec()));
    assert_eq!(state.schema_found(), 2);
}
