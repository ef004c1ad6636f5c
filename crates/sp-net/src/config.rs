//! Configuration: one TOML file per service, flags and environment over it, nothing unknown accepted.
//!
//! A section is one struct that derives both `clap::Args` (each field `Option` with `long` and `env`) and
//! `Deserialize` with `#[serde(default, deny_unknown_fields)]`. Then a value is `flags.x.or(file.x).unwrap_or(default)`.
//! Never `#[serde(flatten)]`: it switches `deny_unknown_fields` off.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sp_types::ByteSize;

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}: {source}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file says something that makes no sense.
    #[error("configuration {}:\n{reason}", path.display())]
    Parse {
        /// Which file.
        path: PathBuf,
        /// Line, caret and what was expected.
        reason: String,
    },
    /// Environment variables with our prefix that nobody reads.
    #[error("unknown environment variable {}; known are: {}", .unknown.join(", "), .known.join(", "))]
    UnknownVariable {
        /// What was found.
        unknown: Vec<String>,
        /// What could have been meant.
        known: Vec<String>,
    },
    /// An environment variable whose value makes no sense.
    #[error("environment variable {variable}=`{value}`: {reason}")]
    BadVariable {
        /// Which one.
        variable: String,
        /// Its value.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Reads a file; without one, everything is as the type's defaults say. Unknown keys are errors if the type (and each
/// of its tables) says `deny_unknown_fields`.
pub fn load<T: DeserializeOwned>(path: Option<&Path>) -> Result<T, ConfigError> {
    let (path, text) = match path {
        Some(path) => {
            let read = std::fs::read_to_string(path);
            (path, read.map_err(|source| ConfigError::Read { path: path.to_owned(), source })?)
        }
        None => (Path::new("(none)"), String::new()),
    };
    let reason = |e: toml::de::Error| ConfigError::Parse { path: path.to_owned(), reason: e.to_string() };
    toml::from_str(&text).map_err(reason)
}

/// Names of the environment variables that begin with `prefix` and are not in `known`.
pub fn unknown_env(prefix: &str, known: &[String]) -> Vec<String> {
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    unknown_names(names, prefix, known)
}

/// Refuses environment variables of ours that nobody reads; a misspelt setting must not be silent.
pub fn refuse_unknown_env(prefix: &str, known: &[String]) -> Result<(), ConfigError> {
    let unknown = unknown_env(prefix, known);
    if unknown.is_empty() { Ok(()) } else { Err(ConfigError::UnknownVariable { unknown, known: known.to_vec() }) }
}

/// Every environment variable that a command and its subcommands read.
pub fn env_names(command: &clap::Command) -> Vec<String> {
    let here = command.get_arguments().filter_map(|argument| argument.get_env());
    let mut names: Vec<String> = here.map(|name| name.to_string_lossy().into_owned()).collect();
    names.extend(command.get_subcommands().flat_map(env_names));
    names.sort();
    names.dedup();
    names
}

/// The value of a second name (Lotus's) when the first is not set, so that the first always wins.
pub fn second_name(primary: &str, second: &str) -> Option<String> {
    if std::env::var_os(primary).is_some() {
        return None;
    }
    let value = std::env::var(second).ok()?;
    tracing::info!("{second} is read as {primary}");
    Some(value)
}

/// As [`second_name`], parsed.
pub fn second_value<T: FromStr>(primary: &str, second: &str) -> Result<Option<T>, ConfigError>
where
    T::Err: fmt::Display,
{
    let Some(value) = second_name(primary, second) else { return Ok(None) };
    match value.parse() {
        Ok(parsed) => Ok(Some(parsed)),
        Err(error) => Err(bad_variable(second, value, error)),
    }
}

/// As [`second_name`], a switch with the spellings that Lotus accepts.
pub fn second_flag(primary: &str, second: &str) -> Result<Option<bool>, ConfigError> {
    let Some(value) = second_name(primary, second) else { return Ok(None) };
    match value.as_str() {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Some(true)),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Some(false)),
        _ => Err(bad_variable(second, value, "write true or false")),
    }
}

fn bad_variable(variable: &str, value: String, reason: impl fmt::Display) -> ConfigError {
    ConfigError::BadVariable { variable: variable.to_owned(), value, reason: reason.to_string() }
}

fn unknown_names(names: impl Iterator<Item = String>, prefix: &str, known: &[String]) -> Vec<String> {
    let mut unknown: Vec<String> = names.filter(|n| n.starts_with(prefix) && !known.contains(n)).collect();
    unknown.sort();
    unknown
}

/// A time with a unit: `15s`, `2m 30s`, `500ms`. Months and years have no exact length and are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(pub std::time::Duration);

/// A text that is no time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a time; write a number and a unit, for example 500ms, 15s, 2m or 1h 30m")]
pub struct BadDuration(String);

/// A size with a unit: `512MiB`, `32GiB`, `10kB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub ByteSize);

impl FromStr for Duration {
    type Err = BadDuration;

    fn from_str(text: &str) -> Result<Self, BadDuration> {
        let bad = || BadDuration(text.to_owned());
        let units = text.split(|c: char| !c.is_alphabetic()).filter(|unit| !unit.is_empty());
        let inexact = |unit: &str| matches!(unit, "M" | "y") || unit.starts_with("month") || unit.starts_with("year");
        let mut units = units.peekable();
        // humantime takes a bare 0; we want its unit.
        if units.peek().is_none() || units.any(inexact) {
            return Err(bad());
        }
        humantime::parse_duration(text).map(Self).map_err(|_| bad())
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&humantime::format_duration(self.0).to_string())
    }
}

impl FromStr for Size {
    type Err = sp_types::BadByteSize;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Text in, text out: a bare number has no unit and is an error.
macro_rules! serde_as_text {
    ($($name:ident),+) => {$(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )+};
}

serde_as_text!(Duration, Size);

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Example {
        name: Option<String>,
        lease: Lease,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Lease {
        expires: Option<Duration>,
        space: Option<Size>,
    }

    fn parse(text: &str) -> Result<Example, String> {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("example.toml");
        std::fs::write(&path, text).expect("write");
        load(Some(&path)).map_err(|e| e.to_string())
    }

    #[test]
    fn reads_units_and_defaults() {
        let example = parse("name = 'a'\n[lease]\nexpires = '15s'\nspace = '2GiB'\n").expect("good");
        assert_eq!(example.lease.expires, Some(Duration(std::time::Duration::from_secs(15))));
        assert_eq!(example.lease.space, Some(Size(ByteSize(2 << 30))));
        assert_eq!(load::<Example>(None).expect("defaults"), Example::default());
    }

    #[test]
    fn what_is_wrong_is_shown_with_its_place() {
        let error = parse("[lease]\nexpirs = '15s'\n").expect_err("unknown key");
        for part in ["example.toml", "line 2", "^", "expirs", "expires"] {
            assert!(error.contains(part), "{part} in {error}");
        }
        for bad in ["expires = 15", "expires = '15'", "expires = '1month'", "space = '1.5GiB'", "space = 5"] {
            let error = parse(&format!("[lease]\n{bad}\n")).expect_err(bad);
            assert!(error.contains("line 2"), "{error}");
        }
        assert!(matches!(load::<Example>(Some(Path::new("/nonexistent/x.toml"))), Err(ConfigError::Read { .. })));
    }

    #[test]
    fn durations_round_trip() {
        for text in ["15s", "1m 30s", "500ms", "2days"] {
            let parsed: Duration = text.parse().expect(text);
            assert_eq!(parsed.to_string().parse(), Ok(parsed), "{text}");
        }
        for bad in ["", "0", "15", "1y", "2years", "1M", "3 months", "-1s"] {
            assert!(bad.parse::<Duration>().is_err(), "{bad}");
        }
    }

    #[test]
    fn unknown_variables_are_found() {
        let known = ["SP_X_NAME".to_owned()];
        let names = ["SP_X_NAME", "SP_X_NAEM", "SP_Y_NAEM", "PATH"].map(str::to_owned);
        assert_eq!(unknown_names(names.into_iter(), "SP_X_", &known), ["SP_X_NAEM"]);
        let command = clap::Command::new("x")
            .arg(clap::Arg::new("name").env("SP_X_NAME"))
            .subcommand(clap::Command::new("run").arg(clap::Arg::new("listen").env("SP_X_LISTEN")));
        assert_eq!(env_names(&command), ["SP_X_LISTEN", "SP_X_NAME"]);
    }
}
