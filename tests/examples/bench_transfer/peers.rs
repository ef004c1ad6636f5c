//! The sides of the comparison: our two workers, curl from nginx, and rsync from its daemon.

use std::cell::RefCell;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use sp_tests::spent;

/// A file to transfer, published in a store of its own.
pub(crate) struct Source {
    /// Data directory of the worker that has it.
    pub(crate) dir: PathBuf,
    pub(crate) file: PathBuf,
    pub(crate) mib: u64,
    store: String,
    root: String,
}

/// One way of transferring.
pub(crate) trait Peer {
    fn name(&self) -> String;
    /// Processes of the sending end.
    fn servers(&self) -> Vec<u32>;
    /// Brings the file into an empty directory; says where it is.
    fn fetch(&self, source: &Source, target: &Path) -> Result<PathBuf>;
    /// It is measured to know what it costs, and nothing is promised against it; what its children spend is not seen.
    fn is_ours(&self) -> bool {
        false
    }
    /// Peak memory of either end so far, where it is known.
    fn peaks_mib(&self) -> Vec<(&'static str, Vec<f64>)> {
        vec![]
    }
}

/// A process that ends with this.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Source {
    pub(crate) fn make(dir: &Path, mib: u64) -> Result<Self> {
        let dir = dir.join("from");
        let made = run_json(ours()?.arg("make").arg(&dir).arg((mib << 20).to_string()))?;
        let text = |key: &str| made[key].as_str().map(str::to_owned).with_context(|| format!("no {key}"));
        Ok(Self { dir, file: text("path")?.into(), mib, store: text("store")?, root: text("root")? })
    }
}

/// Our example with both ends.
fn ours() -> Result<Command> {
    let exe = std::env::current_exe()?;
    let program = exe.parent().context("no directory of binaries")?.join("examples/transfer");
    ensure!(program.is_file(), "build it first: cargo build -p sp-worker --example transfer (make bench does)");
    let mut command = Command::new(program);
    command.env("SP_LOG", "error").stdin(Stdio::null());
    Ok(command)
}

/// The same, with who does its file operations.
fn ours_with(paths: Paths) -> Result<Command> {
    let mut command = ours()?;
    command.env("DISK_CHILDREN", if paths == Paths::Children { "always" } else { "never" });
    Ok(command)
}

/// Runs a program that prints one line of JSON.
fn run_json(command: &mut Command) -> Result<Value> {
    let output = command.stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "{command:?} failed: {}", output.status);
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Who does the file operations of a worker's paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paths {
    /// The worker itself, as on the disks of a machine.
    Own,
    /// A child for each path, as on file systems of a network.
    Children,
}

/// Two workers.
pub(crate) struct Ours {
    paths: Paths,
    server: Server,
    /// Its end is the server's end.
    _input: ChildStdin,
    /// Where the data plane listens.
    pub(crate) url: String,
    client_peaks: RefCell<Vec<f64>>,
}

impl Ours {
    pub(crate) fn start(source: &Source, paths: Paths) -> Result<Self> {
        let mut command = ours_with(paths)?;
        command.arg("serve").arg(&source.dir).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut server = Server(command.spawn()?);
        let input = server.0.stdin.take().context("no input")?;
        let mut line = String::new();
        BufReader::new(server.0.stdout.take().context("no output")?).read_line(&mut line)?;
        let announced: Value = serde_json::from_str(&line).with_context(|| format!("no announcement: {line}"))?;
        let listen = announced["listen"].as_str().context("it announced no address")?;
        Ok(Self { paths, server, _input: input, url: format!("http://{listen}"), client_peaks: RefCell::default() })
    }

    /// The same from another address.
    pub(crate) fn fetch_from(&self, url: &str, source: &Source, target: &Path) -> Result<PathBuf> {
        let told = run_json(ours_with(self.paths)?.arg("fetch").arg(target).args([url, &source.store, &source.root]))?;
        self.client_peaks.borrow_mut().push(told["peak_kib"].as_f64().context("no peak")? / 1024.0);
        Ok(told["path"].as_str().context("no path")?.into())
    }
}

impl Peer for Ours {
    fn name(&self) -> String {
        match self.paths {
            Paths::Own => "two workers".to_owned(),
            Paths::Children => "two workers, a child for each path".to_owned(),
        }
    }

    fn is_ours(&self) -> bool {
        true
    }

    fn servers(&self) -> Vec<u32> {
        vec![self.server.0.id()]
    }

    fn fetch(&self, source: &Source, target: &Path) -> Result<PathBuf> {
        self.fetch_from(&self.url, source, target)
    }

    fn peaks_mib(&self) -> Vec<(&'static str, Vec<f64>)> {
        let sending = spent::peak_mib(self.server.0.id()).into_iter().collect();
        vec![("fetching end", self.client_peaks.borrow().clone()), ("sending end", sending)]
    }
}

/// A client of another program, and its server.
struct Foreign {
    name: &'static str,
    server: Server,
    client: Command,
    /// Where the client is told to write: the last argument but this many.
    _config: tempfile::TempDir,
}

impl Peer for Foreign {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn servers(&self) -> Vec<u32> {
        vec![self.server.0.id()]
    }

    fn fetch(&self, source: &Source, target: &Path) -> Result<PathBuf> {
        let file = target.join(source.file.file_name().context("no name")?);
        let mut client = Command::new(self.client.get_program());
        client.args(self.client.get_args()).arg(&file).stdin(Stdio::null());
        let status = client.status()?;
        ensure!(status.success(), "{client:?} failed: {status}");
        Ok(file)
    }
}

/// What is compared with, or the name of what is missing.
type Found = std::result::Result<Box<dyn Peer>, &'static str>;

/// curl from nginx, as it is meant to be used for files: sendfile.
pub(crate) fn nginx(source: &Source) -> Result<Found> {
    let (Some(nginx), Some(curl)) = (program("nginx"), program("curl")) else { return Ok(Err("curl from nginx")) };
    let (config, port) = (tempfile::tempdir()?, free_port()?);
    let at = config.path().display();
    let root = source.file.parent().context("no directory")?.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|what| format!("{what}_temp_path {at}/{what};"))
        .concat();
    // nginx started by root would give up its rights, and with them the temporary directory.
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let text = format!(
        "daemon off; master_process off; {user} pid {at}/pid; error_log {at}/log; events {{}}\n\
         http {{ access_log off; sendfile on; tcp_nopush on; {temporary}\n\
         server {{ listen 127.0.0.1:{port}; root {root}; }} }}\n"
    );
    std::fs::write(config.path().join("nginx.conf"), text)?;
    let mut server = Command::new(nginx);
    server.arg("-c").arg(config.path().join("nginx.conf")).arg("-e").arg(config.path().join("log"));
    let name = source.file.file_name().and_then(|name| name.to_str()).context("no name")?;
    let mut client = Command::new(curl);
    client.args(["--silent", "--fail", &format!("http://127.0.0.1:{port}/{name}"), "-o"]);
    start("curl from nginx", server, client, port, config)
}

/// rsync from its daemon, whole files.
pub(crate) fn rsync(source: &Source) -> Result<Found> {
    let Some(rsync) = program("rsync") else { return Ok(Err("an rsync daemon")) };
    let (config, port) = (tempfile::tempdir()?, free_port()?);
    let root = source.file.parent().context("no directory")?.display();
    let text = format!("use chroot = false\n[store]\npath = {root}\nread only = true\n");
    let path = config.path().join("rsyncd.conf");
    std::fs::write(&path, text)?;
    let mut server = Command::new(&rsync);
    server.args(["--daemon", "--no-detach", "--address=127.0.0.1", &format!("--port={port}")]);
    server.arg(format!("--config={}", path.display()));
    let name = source.file.file_name().and_then(|name| name.to_str()).context("no name")?;
    let mut client = Command::new(rsync);
    client.args(["--whole-file", &format!("rsync://127.0.0.1:{port}/store/{name}")]);
    start("an rsync daemon", server, client, port, config)
}

fn start(
    name: &'static str,
    mut server: Command,
    client: Command,
    port: u16,
    config: tempfile::TempDir,
) -> Result<Found> {
    let server = Server(server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
    let began = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        if began.elapsed() > Duration::from_secs(10) {
            bail!("{name} does not listen; see {}", config.path().display());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(Ok(Box::new(Foreign { name, server, client, _config: config })))
}

fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(usual).map(|dir| dir.join(name)).find(|file| file.is_file())
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
