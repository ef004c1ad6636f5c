//! The copy of the tree that bugs are planted into: what git knows and what it does not ignore, and nothing else.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::bug::Bug;

/// The copy.
pub(crate) struct Tree {
    root: PathBuf,
}

/// A bug in the copy; it leaves with this.
pub(crate) struct Planted {
    path: PathBuf,
    sound: String,
}

impl Drop for Planted {
    fn drop(&mut self) {
        if let Err(error) = std::fs::write(&self.path, &self.sound) {
            eprintln!("{}: the bug is still in the copy: {error}", self.path.display());
        }
    }
}

impl Tree {
    /// Makes the copy equal to the tree; files that are equal already keep their times, so that they are not compiled
    /// again.
    pub(crate) fn copy(from: &Path, to: &Path) -> Result<Self, String> {
        let files = listed(from)?;
        for file in &files {
            copy_if_other(&from.join(file), &to.join(file)).map_err(|e| format!("{file}: {e}"))?;
        }
        for gone in kept_list(to).difference(&files) {
            std::fs::remove_file(to.join(gone)).map_err(|e| format!("{gone}: {e}"))?;
        }
        let list: Vec<&str> = files.iter().map(String::as_str).collect();
        std::fs::write(to.join(LIST), list.join("\n")).map_err(|e| format!("{LIST}: {e}"))?;
        Ok(Self { root: to.to_path_buf() })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The text of the bug's file with the bug in it.
    pub(crate) fn planted(&self, bug: &Bug) -> Result<String, String> {
        bug.planted(&self.read(&bug.file)?)
    }

    /// Puts the bug in.
    pub(crate) fn plant(&self, bug: &Bug) -> Result<Planted, String> {
        let (path, sound) = (self.root.join(&bug.file), self.read(&bug.file)?);
        let planted = bug.planted(&sound)?;
        std::fs::write(&path, planted).map_err(|e| format!("{}: {e}", bug.file))?;
        Ok(Planted { path, sound })
    }

    fn read(&self, file: &str) -> Result<String, String> {
        std::fs::read_to_string(self.root.join(file)).map_err(|e| format!("{file}: {e}"))
    }
}

/// What was copied the last time.
const LIST: &str = ".copied";

fn kept_list(to: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(to.join(LIST)).unwrap_or_default();
    text.lines().map(str::to_owned).filter(|file| to.join(file).is_file()).collect()
}

fn listed(root: &Path) -> Result<BTreeSet<String>, String> {
    let arguments = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let output = Command::new("git").args(arguments).current_dir(root).output();
    let output = output.map_err(|e| format!("git: {e}; it lists what is copied"))?;
    if !output.status.success() {
        return Err(format!("git: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let names = String::from_utf8_lossy(&output.stdout).into_owned();
    let names = names.split('\0').filter(|name| !name.is_empty());
    Ok(names.filter(|name| root.join(name).is_file()).map(str::to_owned).collect())
}

fn copy_if_other(from: &Path, to: &Path) -> std::io::Result<()> {
    let bytes = std::fs::read(from)?;
    if std::fs::read(to).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    if let Some(parent) = to.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::write(to, bytes)
}
