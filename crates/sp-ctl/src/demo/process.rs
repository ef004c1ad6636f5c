//! Processes by their id: is it still the one that we started, and signals to it and its group.

use std::path::Path;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// Is the process alive, and still the one that was started with `marker` in its command line? Ids are reused; the
/// directory of this demo in the arguments is not.
pub(super) fn is_ours(pid: u32, marker: &Path) -> bool {
    let read = |file: &str| std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
    // The state follows the name, which stands in parentheses and may hold anything.
    let stat = read("stat");
    let zombie = stat.rsplit(|byte| *byte == b')').next().is_some_and(|rest| rest.starts_with(b" Z"));
    let arguments = read("cmdline");
    let marker = marker.as_os_str().as_encoded_bytes();
    !zombie && !marker.is_empty() && arguments.windows(marker.len()).any(|part| part == marker)
}

/// When a living process started, in the kernel's words; none for one that is gone or only waits to be reaped.
pub(super) fn start_ticks(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name is in parentheses and may hold anything; fields are counted behind it.
    let fields: Vec<&str> = stat[stat.rfind(')')? + 1..].split_whitespace().collect();
    if matches!(*fields.first()?, "Z" | "X") { None } else { fields.get(19).map(|ticks| (*ticks).to_owned()) }
}

/// Was this process told, as nohup does, not to mind a hangup?
pub(super) fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // Bit 0 is signal 1, the hangup.
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

/// Asks the process to end.
pub(super) fn terminate(pid: u32) {
    send(pid, Signal::TERM, false);
}

/// Ends the process, and all of its group when it leads one.
pub(super) fn kill(pid: u32, group: bool) {
    send(pid, Signal::KILL, group);
}

/// A process that has ended meanwhile is what we want; nothing to report.
fn send(pid: u32, signal: Signal, group: bool) {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return };
    let _ = if group { kill_process_group(pid, signal) } else { kill_process(pid, signal) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_arguments() {
        let own = std::env::current_exe().unwrap();
        assert!(is_ours(std::process::id(), &own));
        assert!(!is_ours(std::process::id(), Path::new("/no/such/directory/of/ours")));
        assert!(!is_ours(0, &own));
    }
}
