//! Colours, only on a terminal and never against NO_COLOR.

use std::io::IsTerminal;

/// Colours that Lotus's listings use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Color {
    Red,
    Green,
    Yellow,
    Blue,
    Magenta,
    Cyan,
}

/// Puts colour on text, or leaves it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paint {
    on: bool,
}

impl Paint {
    /// Colours when standard output is a terminal that wants them.
    pub(crate) fn for_stdout() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
        let able = std::env::var_os("TERM").is_some_and(|term| term != "dumb");
        Self { on: wanted && able && std::io::stdout().is_terminal() }
    }

    /// Never colours.
    #[cfg(test)]
    pub(crate) fn off() -> Self {
        Self { on: false }
    }

    pub(crate) fn paint(&self, color: Color, text: &str) -> String {
        if !self.on || text.is_empty() {
            return text.to_owned();
        }
        let number = match color {
            Color::Red => 31,
            Color::Green => 32,
            Color::Yellow => 33,
            Color::Blue => 34,
            Color::Magenta => 35,
            Color::Cyan => 36,
        };
        format!("\x1b[{number}m{text}\x1b[0m")
    }
}
