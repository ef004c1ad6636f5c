//! Where a process listens, told to those who started it: one JSON line, and `listen.json` in the data directory.

use std::fs::{self, File};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// Name of the file in the data directory.
pub const FILE_NAME: &str = "listen.json";

/// Which service listens where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// The binary's name, such as `sp-scheduler`.
    pub service: String,
    /// The address, with the port that was taken.
    pub listen: SocketAddr,
    /// The process.
    pub pid: u32,
}

impl Announcement {
    /// This process.
    pub fn new(service: &str, listen: SocketAddr) -> Self {
        Self { service: service.to_owned(), listen, pid: std::process::id() }
    }

    /// Writes the file first, then the line, so that who reads the line finds the file.
    pub fn publish(&self, data_dir: Option<&Path>) -> io::Result<()> {
        let line = serde_json::to_string(self).map_err(io::Error::other)? + "\n";
        if let Some(data_dir) = data_dir {
            write_aside(data_dir, line.as_bytes())?;
        }
        let mut stdout = io::stdout().lock();
        match stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush()) {
            // Who started us does not listen any more; a service that restarts by itself is no worse for it.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            told => told,
        }
    }

    /// Reads the file of a data directory; none when the service has not started yet.
    pub fn read(data_dir: &Path) -> io::Result<Option<Self>> {
        match fs::read(data_dir.join(FILE_NAME)) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn write_aside(data_dir: &Path, bytes: &[u8]) -> io::Result<()> {
    let aside = data_dir.join(format!("{FILE_NAME}.new"));
    let mut file = File::create(&aside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&aside, data_dir.join(FILE_NAME))?;
    File::open(data_dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_is_read() {
        let dir = tempfile::tempdir().expect("temp dir");
        assert_eq!(Announcement::read(dir.path()).expect("read"), None);
        let here = Announcement::new("sp-test", "127.0.0.1:1234".parse().expect("address"));
        here.publish(Some(dir.path())).expect("publish");
        assert_eq!(Announcement::read(dir.path()).expect("read"), Some(here));
        assert_eq!(fs::read_dir(dir.path()).expect("list").count(), 1, "nothing is left aside");
    }
}
