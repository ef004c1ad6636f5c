//! Plants one bug at a time into a copy of the tree and sees that the test that is named for it fails.
//!
//! `make mutants [ONLY=WORD] [DIR=PATH]`. Exit status 1: a bug survived, its text is not where it was, or it does not
//! compile; 2: the tree itself fails.
#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods, reason = "copies files and runs cargo on the real machine")]

mod bug;
mod cargo;
mod tree;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::bug::Bug;
use crate::cargo::{Cargo, Outcome};
use crate::tree::Tree;

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(message) => {
            eprintln!("{message}");
            ExitCode::from(2)
        }
    }
}

/// True when every bug was caught.
fn run() -> Result<bool, String> {
    let root = root();
    let only = std::env::var("ONLY").unwrap_or_default();
    let dir = std::env::var("DIR").ok().filter(|d| !d.is_empty());
    let dir = dir.map_or_else(|| std::env::temp_dir().join("sp-mutants"), PathBuf::from);
    let bugs: Vec<Bug> = Bug::all(&root.join("tests/mutants/bugs"))?;
    let bugs: Vec<Bug> = bugs.into_iter().filter(|b| b.name.contains(&only)).collect();
    if bugs.is_empty() {
        return Err(format!("no bug's name contains `{only}`; see tests/mutants/bugs"));
    }
    let tree = Tree::copy(&root, &dir.join("tree"))?;
    let misplaced: Vec<String> = bugs.iter().filter_map(|bug| tree.planted(bug).err()).collect();
    if !misplaced.is_empty() {
        println!("{}\nthe code has changed: plant these bugs anew", misplaced.join("\n"));
        return Ok(false);
    }
    let cargo = Cargo::new(tree.root(), &dir.join("target"));
    sound(&bugs, &cargo)?;
    let mut all = true;
    println!("{:<44} caught by", "bug");
    for bug in &bugs {
        let verdict = judge(bug, &tree, &cargo)?;
        all &= verdict.is_ok();
        let (Ok(text) | Err(text)) = verdict;
        println!("{:<44} {text}", bug.name);
    }
    Ok(all)
}

/// Without a bug every test that is to catch one passes.
fn sound(bugs: &[Bug], cargo: &Cargo) -> Result<(), String> {
    for bug in bugs {
        match cargo.test(&bug.test)? {
            Outcome::Passed => {}
            other => return Err(format!("without any bug, {}: {}", bug.test, other.text())),
        }
    }
    Ok(())
}

/// By which test the bug was caught, or what went wrong instead.
fn judge(bug: &Bug, tree: &Tree, cargo: &Cargo) -> Result<Result<String, String>, String> {
    let planted = tree.plant(bug)?;
    let outcome = cargo.test(&bug.test);
    drop(planted);
    Ok(match outcome? {
        Outcome::Failed(names) => Ok(names.join(", ")),
        Outcome::Passed => Err(format!("SURVIVED: {}", bug.test)),
        other => Err(format!("NOT TESTED: {}", other.text())),
    })
}

fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.ancestors().nth(2).map(Path::to_path_buf).unwrap_or_default()
}
