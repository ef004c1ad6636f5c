//! What the demo says while it runs: steps, commands and progress. Bars on a terminal, else one line per change.

use std::cell::RefCell;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::layout::seconds;
use crate::output;

/// Says what happens.
pub(super) struct Stage {
    start: Instant,
    /// On a terminal only.
    bars: Option<MultiProgress>,
    step: RefCell<String>,
}

impl Stage {
    pub(super) fn new() -> Self {
        let bars = std::io::stderr().is_terminal().then(MultiProgress::new);
        Self { start: Instant::now(), bars, step: RefCell::new("preparation".to_owned()) }
    }

    /// Begins a step of the demo.
    pub(super) fn step(&self, number: u32, title: &str) {
        *self.step.borrow_mut() = format!("step {number} ({title})");
        self.say(&format!("\n=== {number}. {title}"));
    }

    /// The step that is under way, for a failure's message.
    pub(super) fn current_step(&self) -> String {
        self.step.borrow().clone()
    }

    /// Something that happened, with the time since the start.
    pub(super) fn line(&self, text: &str) {
        let elapsed = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.say(&format!("[{:>7}] {text}", seconds(elapsed)));
    }

    /// A command that is being run.
    pub(super) fn command(&self, command: &str) {
        self.say(&format!("          $ {command}"));
    }

    /// Takes the bars away, so that plain output can follow.
    pub(super) fn clear(&self) {
        if let Some(bars) = &self.bars {
            // A terminal that cannot be written to any more shows no bars either.
            let _ = bars.clear();
        }
    }

    fn say(&self, text: &str) {
        match &self.bars {
            Some(bars) => bars.suspend(|| output::note(text)),
            None => output::note(text),
        }
    }

    /// Follows something that goes through `length` stations.
    pub(super) fn track(&self, name: &str, length: u64) -> Track<'_> {
        let bar = self.bars.as_ref().map(|bars| {
            let template = if length == 0 {
                "{spinner} {prefix} {wide_msg} {elapsed}"
            } else {
                "  {prefix} [{bar:24}] {wide_msg} {elapsed}"
            };
            let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
            let bar = bars.add(ProgressBar::new(length).with_style(style.progress_chars("|| ")));
            bar.set_prefix(name.to_owned());
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Track { stage: self, name: name.to_owned(), bar, last: RefCell::default() }
    }
}

/// The progress of one thing.
pub(super) struct Track<'a> {
    stage: &'a Stage,
    name: String,
    bar: Option<ProgressBar>,
    last: RefCell<String>,
}

impl Track<'_> {
    /// It stands at `position`. Without a terminal a line is printed when `text` changes.
    pub(super) fn at(&self, position: u64, text: &str) {
        match &self.bar {
            Some(bar) => {
                bar.set_position(position);
                bar.set_message(text.to_owned());
            }
            None if *self.last.borrow() != text => {
                self.stage.line(&format!("{}: {text}", self.name));
                text.clone_into(&mut self.last.borrow_mut());
            }
            None => {}
        }
    }
}

impl Drop for Track<'_> {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
