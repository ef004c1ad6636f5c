//! The files of `docker/` and `deploy/`: the flags and variables in them exist, and the tools that they are for take them.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "reads the source tree and runs real tools")]

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sp_tests::process::{Process, bin_dir};

/// The services, and how the variables of each begin.
const SERVICES: [(&str, &str); 4] = [
    ("sp-scheduler", "SP_SCHEDULER_"),
    ("sp-storage-index", "SP_STORAGE_INDEX_"),
    ("sp-sealing-worker", "SP_SEALING_WORKER_"),
    ("sp-post-worker", "SP_POST_WORKER_"),
];
const TOOLS: [&str; 2] = ["sp-ctl", "sp-verify"];

/// A program, its verbs, and a flag or variable that they are given.
type Given = (Vec<String>, String);

/// A file that is read by somebody else's tool.
struct File {
    path: PathBuf,
    text: String,
}

impl File {
    fn is(&self, extension: &str) -> bool {
        self.path.extension().is_some_and(|e| e == extension)
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn files() -> Vec<File> {
    let entries = ["docker", "deploy/systemd"].map(|dir| std::fs::read_dir(root().join(dir)).unwrap());
    let paths = entries.into_iter().flatten().map(|entry| entry.unwrap().path());
    let found: Vec<File> = paths.map(|path| File { text: std::fs::read_to_string(&path).unwrap(), path }).collect();
    assert!(found.len() >= 12, "only {} files were found", found.len());
    found
}

#[test]
fn every_flag_and_variable_exists() {
    let mut helps: BTreeMap<Vec<String>, Vec<String>> = BTreeMap::new();
    let (mut unknown, mut seen) = (vec![], 0);
    for file in files() {
        for (command, name) in flags(&file).into_iter().chain(variables(&file)) {
            seen += 1;
            let help = helps.entry(command.clone()).or_insert_with(|| help(&command));
            if !help.contains(&name) {
                unknown.push(format!("{}: {} knows no {name}", file.path.display(), command.join(" ")));
            }
        }
    }
    assert!(seen >= 100, "only {seen} flags and variables were found");
    assert!(unknown.is_empty(), "{}", unknown.join("\n"));
}

/// The flags that a unit or the compose file gives to our programs, without their values.
fn flags(file: &File) -> Vec<Given> {
    let (mut found, mut command) = (vec![], vec![]);
    if !file.is("service") && !file.is("yaml") {
        return found;
    }
    for line in file.text.lines().filter(|line| !is_comment(line)) {
        let words = line.split(|c: char| c.is_whitespace() || "[],\"".contains(c)).filter(|word| !word.is_empty());
        // Verbs follow a program at once, in the same line; flags may come in later lines.
        let mut verbs = false;
        for word in words {
            let name = word.rsplit('/').next().unwrap_or(word);
            if TOOLS.contains(&name) || SERVICES.iter().any(|(service, _)| *service == name) {
                (command, verbs) = (vec![name.to_owned()], true);
            } else if word.starts_with("--") {
                verbs = false;
                assert!(!command.is_empty(), "{}: whose is {word}?", file.path.display());
                found.push((command.clone(), word.split('=').next().unwrap_or(word).to_owned()));
            } else if verbs && word.chars().all(|c| c.is_ascii_lowercase()) {
                command.push(word.to_owned());
            } else {
                verbs = false;
            }
        }
    }
    found
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

/// Our variables wherever a file names them, those too that it has commented out.
fn variables(file: &File) -> Vec<Given> {
    let words = file.text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let given = words.filter(|word| word.starts_with("SP_")).map(|name| {
        let owner = SERVICES.iter().find(|(_, prefix)| name.starts_with(prefix));
        let (service, _) = owner.unwrap_or_else(|| panic!("{}: whose is {name}?", file.path.display()));
        if file.is("service") {
            let unit = file.path.file_stem().unwrap().to_string_lossy().into_owned();
            assert_eq!(unit.trim_end_matches('@'), *service, "{}: {name} is another service's", file.path.display());
        }
        (vec![(*service).to_owned(), "run".to_owned()], name.to_owned())
    });
    given.collect()
}

/// The flags and variables that the help of a command lists: `--name`, `--name[=<NAME>]`, `[env: NAME=]`.
fn help(command: &[String]) -> Vec<String> {
    let output = Command::new(bin_dir().unwrap().join(&command[0])).args(&command[1..]).arg("--help").output().unwrap();
    assert!(output.status.success(), "{} --help: {}", command.join(" "), String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_whitespace().filter_map(|word| word.split(['[', '=']).next()).map(str::to_owned).collect()
}

#[test]
fn every_file_says_in_its_first_line_what_it_is_about() {
    for File { path, text } in files() {
        let first = text.lines().find(|line| !line.starts_with("#!")).unwrap_or_default();
        assert!(first.starts_with("# "), "{} begins with `{first}`", path.display());
        let long = text.lines().find(|line| line.chars().count() > 120);
        assert!(long.is_none(), "{}: longer than 120 columns: {}", path.display(), long.unwrap_or_default());
    }
}

#[test]
fn systemd_takes_the_units() {
    if answer(&["systemd-analyze"], &["--version"]).is_none() {
        return skipped("nobody has looked at deploy/systemd: there is no systemd-analyze");
    }
    let dir = tempfile::tempdir().unwrap();
    let installed = format!("={}/", bin_dir().unwrap().display());
    let mut command = Command::new("systemd-analyze");
    command.args(["verify", "--man=no"]);
    for file in files().into_iter().filter(|file| file.is("service") || file.is("target")) {
        let copy = dir.path().join(file.path.file_name().unwrap());
        std::fs::write(&copy, file.text.replace("=/usr/local/bin/", &installed)).unwrap();
        command.arg(copy);
    }
    // Its empty second part stands for the units of the system.
    command.env("SYSTEMD_UNIT_PATH", format!("{}:", dir.path().display()));
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    // A word that it does not know is a warning, and the exit code is 0. Units of the system are not ours to mend.
    let ours = |line: &&str| line.contains("sp-") || line.contains(dir.path().to_str().unwrap());
    let complaints: Vec<&str> = said.lines().filter(ours).collect();
    assert!(output.status.success() && complaints.is_empty(), "{}: {said}", output.status);
}

#[test]
fn compose_takes_its_file() {
    let tools = [&["docker", "compose"][..], &["docker-compose"]];
    // Version 1 is long out of care, and knows no `name`.
    let fits = |version: String| !version.trim().trim_start_matches('v').starts_with("1.");
    let tool = tools.into_iter().find(|tool| answer(tool, &["version", "--short"]).is_some_and(fits));
    let Some(tool) = tool else {
        return skipped("nobody has looked at docker/compose.yaml: there is no docker compose of version 2 or later");
    };
    let file = root().join("docker/compose.yaml");
    let mut command = Command::new(tool[0]);
    command.args(&tool[1..]).arg("-f").arg(file).args(["config", "--quiet"]).stdin(Stdio::null());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{}: {said}", output.status);
}

#[test]
fn the_health_check_tells_a_service_that_serves_from_one_that_is_gone() {
    let speaks = answer(&["curl"], &["--version"]).is_some_and(|said| said.contains("HTTP2"));
    if !speaks {
        return skipped("nobody has run docker/healthy.sh: there is no curl that speaks HTTP/2");
    }
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("index");
    let args = ["run", "--data-dir", data.to_str().unwrap(), "--listen", "127.0.0.1:0"].map(String::from);
    let mut index = Process::start("sp-storage-index", &args, &[], &dir.path().join("log")).unwrap();
    let asked = || Command::new("sh").arg(root().join("docker/healthy.sh")).arg(&data).output().unwrap();
    let serves = asked();
    assert_eq!(serves.status.code(), Some(0), "{}", String::from_utf8_lossy(&serves.stderr));
    index.kill9().unwrap();
    assert_eq!(asked().status.code(), Some(1), "its file still names the address");
}

/// What a tool prints; none when it is not there, or refuses.
fn answer(tool: &[&str], args: &[&str]) -> Option<String> {
    let output = Command::new(tool[0]).args(&tool[1..]).args(args).stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Straight to stderr: what a test that passes prints is hidden.
fn skipped(what: &str) {
    let mut stderr = std::io::stderr().lock();
    writeln!(stderr, "SKIPPED: {what}").unwrap();
}
