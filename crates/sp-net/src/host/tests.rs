//! Machines and containers as tables of files.

use std::fs;

use super::*;

const GIB: u64 = 1 << 30;

const MACHINE: &[(&str, &str)] = &[
    (
        "proc/meminfo",
        "MemTotal:       16777216 kB\nMemFree:  1 kB\nMemAvailable:   12582912 kB\nSwapTotal: 2097152 kB\nSwapFree: 1048576 kB\n",
    ),
    ("proc/self/status", "Name:\tx\nCpus_allowed:\tff\nCpus_allowed_list:\t0-7\n"),
    ("proc/sys/kernel/random/boot_id", "0f2b1c9e-0000-4000-8000-0123456789ab\n"),
    ("proc/sys/kernel/hostname", "box.example\n"),
];

fn host(files: &[(&str, &str)]) -> (tempfile::TempDir, Host) {
    let dir = tempfile::tempdir().expect("temp dir");
    for (path, text) in MACHINE.iter().chain(files) {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        fs::write(path, text).expect("write");
    }
    let host = Host::at(dir.path());
    (dir, host)
}

fn capacity_of(files: &[(&str, &str)], no_swap: bool) -> HostCapacity {
    let (_dir, host) = host(files);
    host.capacity(no_swap).expect("readable")
}

/// Memory, memory used, swap, swap used (GiB) and cores.
fn figures(c: &HostCapacity) -> [u64; 5] {
    let gib = |bytes: u64| bytes / GIB;
    [gib(c.memory_bytes), gib(c.memory_used_bytes), gib(c.swap_bytes), gib(c.swap_used_bytes), u64::from(c.cpus)]
}

#[test]
fn a_plain_machine() {
    assert_eq!(figures(&capacity_of(&[], false)), [16, 4, 2, 1, 8]);
    assert_eq!(figures(&capacity_of(&[], true)), [16, 4, 0, 0, 8]);
}

#[test]
fn the_tightest_ancestor_counts() {
    let files = [
        ("proc/self/cgroup", "0::/a/b/c\n"),
        ("sys/fs/cgroup/a/memory.max", "4294967296\n"),
        ("sys/fs/cgroup/a/memory.current", "3221225472\n"),
        ("sys/fs/cgroup/a/memory.stat", "anon 5\ninactive_file 1073741824\n"),
        ("sys/fs/cgroup/a/b/memory.max", "max\n"),
        ("sys/fs/cgroup/a/b/c/memory.max", "8589934592\n"),
        ("sys/fs/cgroup/a/b/memory.swap.max", "0\n"),
        ("sys/fs/cgroup/a/b/cpu.max", "250000 100000\n"),
        ("sys/fs/cgroup/a/b/c/cpu.max", "max 100000\n"),
    ];
    assert_eq!(figures(&capacity_of(&files, false)), [4, 2, 0, 0, 2]);
}

#[test]
fn the_throttling_limit_counts_too() {
    let files = [
        ("proc/self/cgroup", "0::/\n"),
        ("sys/fs/cgroup/memory.max", "8589934592\n"),
        ("sys/fs/cgroup/memory.high", "2147483648\n"),
        ("sys/fs/cgroup/cpuset.cpus.effective", "1,3-5\n"),
    ];
    assert_eq!(figures(&capacity_of(&files, false)), [2, 0, 2, 1, 4]);
}

#[test]
fn a_looser_limit_changes_nothing() {
    let files = [
        ("proc/self/cgroup", "0::/a\n"),
        ("sys/fs/cgroup/a/memory.max", "68719476736\n"),
        ("sys/fs/cgroup/a/memory.current", "1\n"),
        ("sys/fs/cgroup/a/cpu.max", "6400000 100000\n"),
    ];
    assert_eq!(figures(&capacity_of(&files, false)), [16, 4, 2, 1, 8]);
}

#[test]
fn a_path_outside_the_namespace_is_the_mount() {
    let files = [("proc/self/cgroup", "0::/../sibling\n"), ("sys/fs/cgroup/memory.max", "1073741824\n")];
    assert_eq!(figures(&capacity_of(&files, false)), [1, 0, 2, 1, 8]);
}

#[test]
fn version_1_limits_memory() {
    let files = [
        ("proc/self/cgroup", "5:memory:/docker/x\n3:cpu,cpuacct:/docker/x\n"),
        ("sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes", "3221225472\n"),
        ("sys/fs/cgroup/memory/docker/x/memory.usage_in_bytes", "2147483648\n"),
        ("sys/fs/cgroup/memory/docker/x/memory.stat", "total_inactive_file 1073741824\n"),
        ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
    ];
    assert_eq!(figures(&capacity_of(&files, false)), [3, 1, 2, 1, 8]);
}

#[test]
fn version_1_limits_swap_and_processor_time() {
    let files = [
        ("proc/self/cgroup", "4:memory:/docker/x\n1:cpu,cpuacct:/docker/x\n0::/\n"),
        ("sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes", "9223372036854771712\n"),
        ("sys/fs/cgroup/memory/docker/x/memory.usage_in_bytes", "3221225472\n"),
        ("sys/fs/cgroup/memory/docker/x/memory.memsw.limit_in_bytes", "5368709120\n"),
        ("sys/fs/cgroup/memory/docker/x/memory.memsw.usage_in_bytes", "3221225472\n"),
        // A group outside what this process can see has the limit.
        (
            "sys/fs/cgroup/memory/docker/x/memory.stat",
            "total_active_file 1073741824\ntotal_inactive_file 1073741824\nhierarchical_memory_limit 4294967296\n",
        ),
        ("sys/fs/cgroup/cpu,cpuacct/docker/cpu.cfs_quota_us", "390000\n"),
        ("sys/fs/cgroup/cpu,cpuacct/docker/cpu.cfs_period_us", "100000\n"),
        ("sys/fs/cgroup/cpu,cpuacct/docker/x/cpu.cfs_quota_us", "-1\n"),
        ("sys/fs/cgroup/cpu,cpuacct/docker/x/cpu.cfs_period_us", "100000\n"),
        ("sys/fs/cgroup/unified/cgroup.procs", ""),
    ];
    assert_eq!(figures(&capacity_of(&files, false)), [4, 1, 1, 0, 3]);
}

#[test]
fn version_1_without_limits_changes_nothing() {
    let files = [
        ("proc/self/cgroup", "4:memory:/\n"),
        ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
        ("sys/fs/cgroup/memory/memory.memsw.limit_in_bytes", "9223372036854771712\n"),
        ("sys/fs/cgroup/memory/memory.usage_in_bytes", "1\n"),
    ];
    assert_eq!(figures(&capacity_of(&files, false)), [16, 4, 2, 1, 8]);
}

#[test]
fn cores_that_are_off_do_not_count() {
    let files = [("proc/self/status", "Cpus_allowed_list:\t0-127\n"), ("sys/devices/system/cpu/online", "0-3,6\n")];
    assert_eq!(capacity_of(&files, false).cpus, 5);
}

#[test]
fn affinity_limits_cores() {
    let files = [("proc/self/status", "Cpus_allowed_list:\t2,6\n")];
    assert_eq!(capacity_of(&files, false).cpus, 2);
}

#[test]
fn nonsense_is_an_error_that_names_the_file() {
    let (_dir, host) = host(&[("proc/meminfo", "nothing\n")]);
    let error = host.capacity(false).expect_err("nonsense").to_string();
    assert!(error.contains("meminfo"), "{error}");
    assert!(Host::at("/nonexistent").capacity(false).is_err());
    assert!(Host::at("/nonexistent").id().is_err());
}

#[test]
fn the_id_falls_back_step_by_step() {
    let boot = "0f2b1c9e0000400080000123456789ab";
    let cases: [(&[(&str, &str)], &str); 4] = [
        (&[("etc/machine-id", "0123456789abcdef0123456789abcdef\n")], "0123456789abcdef0123456789abcdef"),
        (
            &[("etc/machine-id", "uninitialized\n"), ("var/lib/dbus/machine-id", "ff23456789abcdef0123456789abcdef")],
            "ff23456789abcdef0123456789abcdef",
        ),
        (&[("etc/machine-id", "")], "host_box_example"),
        (&[], "host_box_example"),
    ];
    for (files, machine) in cases {
        let (_dir, host) = host(files);
        assert_eq!(host.id().expect("an id").as_str(), format!("{machine}-{boot}"));
    }
}

#[test]
fn this_machine_can_be_read() {
    let here = capacity(false).expect("a Linux machine");
    assert!(here.memory_bytes > 0 && here.memory_used_bytes <= here.memory_bytes && here.cpus > 0, "{here:?}");
    assert_eq!(host_id().expect("an id"), host_id().expect("an id"));
}
