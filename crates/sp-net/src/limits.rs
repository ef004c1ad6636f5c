//! The limit on open files: raised to what the system allows, refused when that is too low.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Least number of files on a real network: a PoSt worker opens thousands of sectors at once.
pub const FILES_MIN: u64 = 100_000;

/// Least number of files on network `dev`.
pub const FILES_MIN_DEV: u64 = 1024;

/// Too few files may be open.
#[derive(Debug, thiserror::Error)]
pub enum LimitError {
    /// The hard limit is below the minimum.
    #[error(
        "at most {allowed} files may be open at once, but network `{network}` needs {needed}; raise the limit with \
         `ulimit -n {needed}` in the shell that starts this service, or LimitNOFILE={needed} in its systemd unit"
    )]
    TooFewFiles {
        /// The hard limit.
        allowed: u64,
        /// The minimum.
        needed: u64,
        /// Which network.
        network: String,
    },
    /// The kernel refused.
    #[error("cannot raise the limit on open files to {wanted}: {source}; try `ulimit -n {wanted}` before the start")]
    Refused {
        /// What was asked for.
        wanted: u64,
        /// Why not.
        source: rustix::io::Errno,
    },
}

/// Raises the soft limit on open files to the hard one and gives it; refuses fewer than the network needs.
pub fn raise_file_limit(network: &str) -> Result<u64, LimitError> {
    let limit = getrlimit(Resource::Nofile);
    // No value means no limit.
    let (soft, hard) = (limit.current.unwrap_or(u64::MAX), limit.maximum.unwrap_or(u64::MAX));
    check(network, hard)?;
    if soft < hard {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        setrlimit(Resource::Nofile, raised).map_err(|source| LimitError::Refused { wanted: hard, source })?;
    }
    Ok(hard)
}

fn check(network: &str, allowed: u64) -> Result<(), LimitError> {
    let needed = if network == "dev" { FILES_MIN_DEV } else { FILES_MIN };
    if allowed < needed {
        return Err(LimitError::TooFewFiles { allowed, needed, network: network.to_owned() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_minimum_depends_on_the_network() {
        assert!(check("dev", 1024).is_ok());
        let error = check("dev", 1023).expect_err("too few").to_string();
        assert!(error.contains("ulimit -n 1024") && error.contains("LimitNOFILE=1024"), "{error}");
        assert!(check("mainnet", 99_999).is_err());
        assert!(check("mainnet", 100_000).is_ok());
    }

    #[test]
    fn the_soft_limit_is_raised() {
        let raised = raise_file_limit("dev").expect("this machine allows 1024 files");
        assert_eq!(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX), raised);
    }
}
