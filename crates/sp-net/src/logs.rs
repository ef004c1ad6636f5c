//! Logs: to stderr, for people or as JSON, filtered by `SP_LOG` or `RUST_LOG`.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// The logs cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter makes no sense.
    #[error("{variable} is no log filter: {reason}; write for example info or sp_net=debug,warn")]
    Filter {
        /// Where it came from.
        variable: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// An unknown format.
    #[error("SP_LOG_FORMAT is `{0}`; write text or json")]
    Format(String),
    /// Somebody set up logs before.
    #[error("logs are set up twice in this process")]
    Twice,
}

/// Sends this process's logs to stderr: level `info` unless `SP_LOG` (or else `RUST_LOG`) says otherwise; JSON lines
/// with `SP_LOG_FORMAT=json`. Upstream's `log` records come along.
pub fn init(service: &str) -> Result<(), LogError> {
    let filter = filter()?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let set = match std::env::var("SP_LOG_FORMAT").as_deref() {
        Err(_) | Ok("" | "text") => builder.try_init(),
        Ok("json") => builder.json().try_init(),
        Ok(other) => return Err(LogError::Format(other.to_owned())),
    };
    set.map_err(|_| LogError::Twice)?;
    tracing::info!(service, version = env!("CARGO_PKG_VERSION"), pid = std::process::id(), "started");
    Ok(())
}

fn filter() -> Result<EnvFilter, LogError> {
    for variable in ["SP_LOG", "RUST_LOG"] {
        if let Ok(text) = std::env::var(variable)
            && !text.is_empty()
        {
            let parsed = EnvFilter::try_new(text);
            return parsed.map_err(|e| LogError::Filter { variable, reason: e.to_string() });
        }
    }
    Ok(EnvFilter::new("info"))
}
