//! Real children: they do what the machine's disk does, and what they hang in or die of stays theirs.
//!
//! A child here is this test program, asked for the one test that serves. A stopped process stands for one that hangs.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use sp_sectors::{Disk, RealDisk, Sharing};

use super::*;
use crate::children::{LeftBehind, record};

const LIMIT: Duration = Duration::from_secs(20);

/// Long enough for a call to reach its child, and to be seen not to come back.
const MOMENT: Duration = Duration::from_millis(200);

#[test]
#[ignore = "started by the other tests as their child"]
fn serves() {
    let parent = std::env::args().next_back().and_then(|last| last.parse().ok()).expect("the process id of the parent");
    serve(parent).unwrap();
}

struct Case {
    _dir: tempfile::TempDir,
    disks: Arc<Disks>,
    data: PathBuf,
    root: PathBuf,
}

impl Case {
    fn new() -> Self {
        Self::with(|_| vec![])
    }

    fn with(left_behind: impl FnOnce(&Path) -> Vec<LeftBehind>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (data, root) = (dir.path().join("data"), dir.path().join("path"));
        fs::create_dir(&root).unwrap();
        let disks = Arc::new(disks(&data, left_behind(&root)));
        Self { _dir: dir, disks, data, root }
    }

    fn looked_at() -> Self {
        let case = Self::new();
        case.disks.look_at(&case.root).unwrap();
        case
    }

    /// The children that run, by their records.
    fn children(&self) -> Vec<u32> {
        let names = fs::read_dir(self.data.join("children")).into_iter().flatten();
        names.filter_map(|name| name.unwrap().file_name().to_str()?.strip_prefix("disk-")?.parse().ok()).collect()
    }

    fn child(&self) -> u32 {
        let children = self.children();
        assert_eq!(children.len(), 1, "{children:?}");
        children[0]
    }

    /// Runs something in a thread of its own; what it comes to.
    fn apart<T: Send + 'static>(&self, work: impl FnOnce(&Disks) -> T + Send + 'static) -> mpsc::Receiver<T> {
        let (sender, receiver) = mpsc::channel();
        let disks = self.disks.clone();
        thread::spawn(move || sender.send(work(&disks)));
        receiver
    }
}

fn disks(data: &Path, left_behind: Vec<LeftBehind>) -> Disks {
    let arguments = ["disks::tests::serves", "--exact", "--ignored"].map(Into::into).to_vec();
    let program = std::env::current_exe().unwrap();
    let children = DiskChildren { program, arguments, data_dir: data.to_owned(), left_behind };
    Disks::new(DiskChildrenFor::Always, children).unwrap()
}

fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal).unwrap();
}

/// Stops every thread of a process: the signal alone may be a moment ahead of its effect.
fn stop(pid: u32) {
    signal(pid, Signal::STOP);
    until("a stopped child", || {
        let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        let stats = threads.filter_map(|thread| fs::read_to_string(thread.unwrap().path().join("stat")).ok());
        stats.into_iter().all(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T')))
    });
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < LIMIT, "{what} does not come to be");
        thread::sleep(Duration::from_millis(5));
    }
}

/// What calls on a disk give, one line each.
fn everything(disk: &dyn Disk, root: &Path) -> Vec<String> {
    let mut said = Vec::new();
    let at = |name: &str| root.join(name);
    let tell = |result: std::io::Result<String>| match result {
        Ok(text) => text,
        Err(error) => format!("{:?} {:?}", error.kind(), error.raw_os_error()),
    };
    let mut say = |what: &str, result: std::io::Result<String>| said.push(format!("{what}: {}", tell(result)));
    let done = |()| "done".to_owned();
    say("make directories", disk.create_dir_all(&at("a/b")).map(done));
    say("open nothing", disk.open(&at("none")).map(|_| String::new()));
    say("write nothing", disk.open_write(&at("none")).map(|_| String::new()));
    let file = disk.create_new(&at("a/file")).unwrap();
    say("create again", disk.create_new(&at("a/file")).map(|_| String::new()));
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
    say("write", file.write_at(&bytes, 5 << 20).map(done));
    say("length", file.size_bytes().map(|n| n.to_string()));
    say("stored from", file.next_data(0).map(|at| format!("{at:?}")));
    say("stored behind", file.next_data(64 << 20).map(|at| format!("{at:?}")));
    let mut read = vec![1; 4_000_000];
    say("read to the end", file.read_at(&mut read, 5 << 20).map(|n| n.to_string()));
    assert_eq!(read[..3_000_000], bytes);
    say("read a hole", file.read_at(&mut read[..100], 1 << 20).map(|n| format!("{n} {:?}", &read[..3])));
    say("read behind", file.read_at(&mut read, 1 << 30).map(|n| n.to_string()));
    say("read none", file.read_at(&mut [], 0).map(|n| n.to_string()));
    say("set length", file.set_size(10 << 20).map(done));
    say("sync", file.sync().map(done));
    say("one name", file.is_shared().map(|is| is.to_string()));
    say("link", disk.hard_link(&at("a/file"), &at("a/twin")).map(done));
    say("two names", file.is_shared().map(|is| is.to_string()));
    say("copy", disk.copy(&at("a/file"), &at("a/copy")).map(done));
    say("copy over", disk.copy(&at("a/file"), &at("a/copy")).map(done));
    say("rename over", disk.rename(&at("a/copy"), &at("a/twin")).map(done));
    say("rename", disk.rename(&at("a/copy"), &at("a/b/moved")).map(done));
    say("exchange", disk.exchange(&at("a/b/moved"), &at("a/twin")).map(done));
    say("replace", disk.replace(&at("a/twin"), &at("a/b/moved")).map(done));
    say("look", disk.metadata(&at("a/file")).map(|m| format!("{} {}", m.is_dir, m.size_bytes)));
    say("look at a directory", disk.metadata(&at("a")).map(|m| m.is_dir.to_string()));
    say("look at nothing", disk.metadata(&at("none")).map(|_| String::new()));
    say(
        "same file",
        disk.metadata(&at("a/file")).map(|m| (m.id == disk.metadata(&at("a/file")).unwrap().id).to_string()),
    );
    say("sync names", disk.sync_dir(&at("a")).map(done));
    say("list", disk.list(&at("a")).map(|entries| format!("{entries:?}")));
    say("list nothing", disk.list(&at("none")).map(|_| String::new()));
    say("space", disk.space(root).map(|space| space.capacity_bytes.to_string()));
    drop(disk.lock(&at("lock"), Sharing::Alone).unwrap());
    drop((disk.lock(&at("lock"), Sharing::Shared).unwrap(), disk.lock(&at("lock"), Sharing::Shared).unwrap()));
    say("remove", disk.remove_file(&at("a/file")).map(done));
    say("remove again", disk.remove_file(&at("a/file")).map(done));
    say("remove all", disk.remove_dir_all(&at("a")).map(done));
    say("left", disk.list(root).map(|entries| format!("{entries:?}")));
    said
}

#[test]
fn a_child_does_what_the_disk_does() {
    let (case, plain) = (Case::looked_at(), tempfile::tempdir().unwrap());
    assert_eq!(everything(&*case.disks, &case.root), everything(&RealDisk, plain.path()));
    assert_eq!(case.children().len(), 1);
}

#[test]
fn only_paths_that_were_looked_at_have_children() {
    let case = Case::new();
    fs::write(case.root.join("file"), "here").unwrap();
    assert_eq!(case.disks.metadata(&case.root.join("file")).unwrap().size_bytes, 4);
    assert!(case.children().is_empty());
}

#[test]
fn many_threads_at_once() {
    let case = Case::looked_at();
    let all: Vec<_> = (0..32_u8)
        .map(|i| {
            let path = case.root.join(i.to_string());
            case.apart(move |disks| {
                let file = disks.create_new(&path).unwrap();
                file.write_at(&vec![i; 700_000], 0).unwrap();
                let mut read = vec![0; 700_000];
                assert_eq!(file.read_at(&mut read, 0).unwrap(), 700_000);
                read.iter().all(|byte| *byte == i)
            })
        })
        .collect();
    assert!(all.into_iter().all(|answer| answer.recv_timeout(LIMIT).unwrap()));
    assert_eq!(case.children().len(), 1);
}

#[test]
fn locks_exclude_those_of_other_children() {
    let (case, other) = (Case::looked_at(), tempfile::tempdir().unwrap());
    let (second, path) = (disks(other.path(), vec![]), case.root.join("lock"));
    second.look_at(&case.root).unwrap();
    let held = case.disks.lock(&path, Sharing::Alone).unwrap();
    let (sender, waiting) = mpsc::channel();
    thread::spawn(move || sender.send(second.lock(&path, Sharing::Shared).is_ok()));
    assert!(waiting.recv_timeout(MOMENT).is_err(), "it has to wait");
    drop(held);
    assert!(waiting.recv_timeout(LIMIT).unwrap());
}

#[test]
fn what_hangs_is_given_up_and_read_again_when_the_path_answers() {
    let case = Case::looked_at();
    let path = case.root.join("file");
    fs::write(&path, "what was written").unwrap();
    let file = case.disks.open_write(&path).unwrap();
    let first = case.child();
    stop(first);
    let reading = case.apart(move |_| {
        let mut read = vec![0; 100];
        let got = file.read_at(&mut read, 5).unwrap();
        file.write_at(b"WHAT", 0).unwrap();
        read.truncate(got);
        read
    });
    let (from, to) = (path.clone(), case.root.join("renamed"));
    let renaming = case.apart(move |disks| disks.rename(&from, &to));
    assert!(reading.recv_timeout(MOMENT).is_err() && renaming.try_recv().is_err(), "both hang");
    assert!(case.disks.give_up(&case.root), "whoever waits hears of it");
    let unknown = renaming.recv_timeout(LIMIT).unwrap().unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::TimedOut, "nobody knows whether it was renamed");
    assert!(reading.recv_timeout(MOMENT).is_err(), "a read waits for the path");
    case.disks.look_at(&case.root).unwrap();
    assert_eq!(reading.recv_timeout(LIMIT).unwrap(), b"was written");
    assert_ne!(case.child(), first);
    assert_eq!(fs::read(&path).unwrap(), b"WHAT was written");
}

#[test]
fn a_path_that_does_not_answer_a_second_child_either() {
    let case = Case::looked_at();
    case.disks.give_up(&case.root);
    until("the first child's end", || case.children().is_empty());
    let root = case.root.clone();
    let looking = case.apart(move |disks| disks.look_at(&root));
    until("a second child", || !case.children().is_empty());
    stop(case.child());
    thread::sleep(MOMENT);
    case.disks.give_up(&case.root);
    // It may have answered just before it was stopped; either way the look comes back.
    let _ = looking.recv_timeout(LIMIT).expect("an end of the look");
    until("the second child's end", || case.children().is_empty());
    case.disks.look_at(&case.root).unwrap();
    assert!(case.disks.metadata(&case.root).unwrap().is_dir);
}

#[test]
fn what_went_on_under_a_lock_does_not_go_on_without() {
    let case = Case::looked_at();
    let (lock, file) = (case.root.join("lock"), case.root.join("file"));
    let held = case.disks.lock(&lock, Sharing::Alone).unwrap();
    case.disks.give_up(&case.root);
    case.disks.look_at(&case.root).unwrap();
    assert_eq!(case.disks.create_new(&file).map(drop).unwrap_err().kind(), ErrorKind::TimedOut);
    assert_eq!(case.disks.metadata(&case.root).unwrap_err().kind(), ErrorKind::TimedOut);
    let root = case.root.clone();
    assert!(case.apart(move |disks| disks.metadata(&root)).recv_timeout(LIMIT).unwrap().is_ok(), "others go on");
    drop(held);
    case.disks.create_new(&file).unwrap();
}

#[test]
fn a_child_that_dies_is_replaced() {
    let case = Case::looked_at();
    let path = case.root.join("file");
    fs::write(&path, "still here").unwrap();
    let file = case.disks.open(&path).unwrap();
    for _ in 0..3 {
        let child = case.child();
        signal(child, Signal::KILL);
        until("its end", || !case.children().contains(&child));
        let mut read = [0; 5];
        assert_eq!(file.read_at(&mut read, 0).unwrap(), 5);
        assert_eq!(&read, b"still");
    }
}

#[test]
fn another_file_under_its_name_is_not_taken_for_it() {
    let case = Case::looked_at();
    let path = case.root.join("file");
    fs::write(&path, "one").unwrap();
    let file = case.disks.open(&path).unwrap();
    fs::write(case.root.join("new"), "two").unwrap();
    fs::rename(case.root.join("new"), &path).unwrap();
    let mut read = [0; 3];
    assert_eq!(file.read_at(&mut read, 0).unwrap(), 3);
    assert_eq!(&read, b"one", "as long as it is open it is what it was");
    case.disks.give_up(&case.root);
    case.disks.look_at(&case.root).unwrap();
    assert_eq!(file.read_at(&mut read, 0).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn whoever_waits_for_a_path_that_is_detached_goes_on() {
    let case = Case::looked_at();
    case.disks.give_up(&case.root);
    let root = case.root.clone();
    let waiting = case.apart(move |disks| disks.metadata(&root));
    assert!(waiting.recv_timeout(MOMENT).is_err());
    case.disks.let_go(&case.root);
    assert_eq!(waiting.recv_timeout(LIMIT).unwrap().unwrap_err().kind(), ErrorKind::NotConnected);
    until("the end of its child", || case.children().is_empty());
    assert!(case.disks.metadata(&case.root).unwrap().is_dir, "it is asked as any other directory");
}

#[test]
fn a_path_in_which_an_earlier_child_hangs_is_asked_when_that_is_gone() {
    let mut earlier = Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap();
    let case = Case::with(|root| {
        let data = root.parent().unwrap().join("data");
        let record = record::write_disk(&data, earlier.id(), root).unwrap();
        let start = fs::read_to_string(&record).unwrap().lines().next().unwrap().to_owned();
        fs::remove_file(record).unwrap();
        vec![LeftBehind { pid: earlier.id(), start, root: root.to_owned() }]
    });
    let root = case.root.clone();
    let looking = case.apart(move |disks| disks.look_at(&root));
    assert!(looking.recv_timeout(MOMENT).is_err());
    assert!(case.children().is_empty(), "no second one where one hangs");
    earlier.kill().unwrap();
    earlier.wait().unwrap();
    looking.recv_timeout(LIMIT).unwrap().unwrap();
    assert!(case.disks.metadata(&case.root).unwrap().is_dir);
}
