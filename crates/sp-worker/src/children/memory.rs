//! How much memory this process has had resident at most: what a task really takes, beside what the table says.

const KIB: u64 = 1 << 10;

/// From now on a new peak counts. Where the kernel does not allow it the old one stays, which is never too little.
pub(super) fn forget_peak() {
    // 5: the peak becomes what is resident now (proc(5)).
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// The peak since then; 0 where the system does not tell.
pub(super) fn peak_bytes() -> u64 {
    std::fs::read_to_string("/proc/self/status").ok().and_then(|status| high_water(&status)).unwrap_or(0)
}

fn high_water(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * KIB)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_s_line_is_read() {
        assert_eq!(high_water("Name:\tx\nVmPeak:\t 9 kB\nVmHWM:\t    2048 kB\n"), Some(2 << 20));
        assert_eq!(high_water("VmHWM:\tmuch\n"), None);
        assert_eq!(high_water(""), None);
    }

    #[test]
    fn what_was_touched_counts() {
        forget_peak();
        let before = peak_bytes();
        let touched = std::hint::black_box(vec![1_u8; 64 << 20]);
        drop(touched);
        assert!(before > 0 && peak_bytes() >= before + (48 << 20), "{before}, {}", peak_bytes());
    }
}
