//! The progress bar of a transfer: on a terminal only.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar for so many bytes.
pub(crate) fn bytes_bar(doing: &str, size_bytes: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} [{bar:32}] {bytes}/{total_bytes} {bytes_per_sec} {eta}");
    let bar = ProgressBar::new(size_bytes).with_message(doing.to_owned());
    match style {
        Ok(style) => bar.with_style(style.progress_chars("|| ")),
        // A template that does not parse costs the looks, not the transfer.
        Err(_) => bar,
    }
}
