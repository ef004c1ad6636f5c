//! Figures of a measurement: one value per run, shown as median and spread, with what was promised of it.

use std::process::ExitCode;

/// What a figure must keep to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Promise {
    /// The median is no more than this.
    AtMost(f64),
    /// The median is no less than this.
    AtLeast(f64),
}

/// One figure of a table.
#[derive(Debug, Clone)]
pub struct Line {
    /// What was measured.
    pub what: String,
    /// Unit of the values.
    pub unit: &'static str,
    /// One value per run, rising; never empty.
    pub values: Vec<f64>,
    /// What was promised of it, or how to read it.
    pub note: String,
    promise: Option<Promise>,
}

/// Prints figures as they come and remembers which promises were missed.
#[derive(Debug, Default)]
pub struct Table {
    missed: Vec<String>,
    unmeasured: Vec<String>,
}

impl Line {
    /// A figure of so many runs.
    pub fn new(what: impl Into<String>, unit: &'static str, mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        if values.is_empty() {
            values.push(f64::NAN);
        }
        Self { what: what.into(), unit, values, note: String::new(), promise: None }
    }

    /// With words beside it.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    /// With a promise that the median is held to.
    pub fn promised(mut self, promise: Promise) -> Self {
        self.promise = Some(promise);
        self
    }

    /// The middle value; of two middle values the upper one.
    pub fn median(&self) -> f64 {
        self.values[self.values.len() / 2]
    }

    /// True when nothing was promised, or the promise is kept. A figure that is no number keeps no promise.
    pub fn kept(&self) -> bool {
        match self.promise {
            None => true,
            Some(Promise::AtMost(most)) => self.median() <= most,
            Some(Promise::AtLeast(least)) => self.median() >= least,
        }
    }

    /// The line as it is printed.
    pub fn text(&self) -> String {
        let (first, last) = (self.values[0], self.values[self.values.len() - 1]);
        let spread = format!("{} .. {} of {}", number(first), number(last), self.values.len());
        let verdict = match (self.promise, self.kept()) {
            (None, _) => String::new(),
            (Some(promise), true) => format!("kept: {promise} "),
            (Some(promise), false) => format!("MISSED: {promise} "),
        };
        let (what, median, unit, note) = (&self.what, number(self.median()), self.unit, &self.note);
        format!("{what:<62} {median:>10} {unit:<6} ({spread:<24}) {verdict}{note}").trim_end().to_owned()
    }
}

impl std::fmt::Display for Promise {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtMost(most) => write!(f, "at most {}", number(*most)),
            Self::AtLeast(least) => write!(f, "at least {}", number(*least)),
        }
    }
}

impl Table {
    /// A line between parts.
    pub fn heading(&self, text: &str) {
        println!("\n== {text}");
    }

    /// Prints a figure.
    pub fn show(&mut self, line: Line) {
        println!("{}", line.text());
        if !line.kept() {
            self.missed.push(line.what);
        }
    }

    /// A promise that could not be measured here, and why.
    pub fn unmeasured(&mut self, what: impl Into<String>) {
        self.unmeasured.push(what.into());
    }

    /// Says what was missed and what was not measured; failure if anything was missed.
    pub fn end(self) -> ExitCode {
        if !self.unmeasured.is_empty() {
            println!("\nNOT MEASURED: {}", self.unmeasured.join("; "));
        }
        if self.missed.is_empty() {
            let all = if self.unmeasured.is_empty() { "every promise" } else { "every other promise" };
            println!("\n{all} is kept");
            return ExitCode::SUCCESS;
        }
        println!("\nMISSED: {}", self.missed.join("; "));
        ExitCode::FAILURE
    }
}

/// The value that `part` (0 to 1) of the values do not exceed; the values in any order.
pub fn percentile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = (values.len() as f64 * part).ceil() as usize;
    values.get(at.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

/// The mean; not a number when there is no value.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Three digits or more, however large or small.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 0.1 || v == 0.0 => 2,
        _ => 4,
    };
    format!("{value:.digits$}")
}

/// The machine as it was: cores, and how many processes wanted them.
pub fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').take(1).collect::<String>();
    let checks = if cfg!(debug_assertions) { "with debug assertions" } else { "without debug assertions" };
    format!("{cores} cores, load {load}, built {checks}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_is_held_to_the_median() {
        let line = Line::new("x", "s", vec![9.0, 1.0, 2.0]);
        assert_eq!(line.median(), 2.0);
        assert!(line.clone().promised(Promise::AtMost(2.0)).kept());
        assert!(!line.promised(Promise::AtLeast(2.5)).kept());
        assert!(!Line::new("nothing", "s", vec![]).promised(Promise::AtMost(1.0)).kept());
    }

    #[test]
    fn percentiles_are_values_that_occurred() {
        let mut values: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        assert_eq!(percentile(&mut values, 0.5), 100.0);
        assert_eq!(percentile(&mut values, 0.99), 198.0);
        assert_eq!(percentile(&mut values, 1.0), 200.0);
        assert!(percentile(&mut [], 0.5).is_nan());
    }
}
