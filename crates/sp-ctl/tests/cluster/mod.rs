//! A scheduler and a data port that answer from fixed replies, and the real sp-ctl run against them.

mod scheduler;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use sp_proto::v1::data_plane_server::DataPlaneServer;
use sp_proto::v1::scheduler_server::SchedulerServer;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

pub(crate) mod data_port;

/// What the fake remembers and answers.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// Verbs called, in order.
    pub(crate) calls: Vec<String>,
    /// Answers that fail: verb to (gRPC code, stable code, message).
    pub(crate) failures: BTreeMap<&'static str, (Code, &'static str, &'static str)>,
    /// Bytes that the data port has taken.
    pub(crate) received: Vec<u8>,
    /// The data port breaks the first transfer after so many bytes.
    pub(crate) break_after: Option<usize>,
    /// Length and digest that sp-ctl announced.
    pub(crate) announced: Option<(u64, Vec<u8>)>,
    /// The scheduler forgets the commitment that it is asked for, once.
    pub(crate) forgets: bool,
    /// Jobs that were aborted.
    pub(crate) aborted: Vec<String>,
    /// Priority of the last request that has one.
    pub(crate) priority: Option<i64>,
    /// Data of the sector that can be unsealed.
    pub(crate) piece: Vec<u8>,
    /// Flip a byte of every read.
    pub(crate) damaged: bool,
    /// What was attached last.
    pub(crate) attached: sp_proto::v1::AttachStore,
    /// The path `store-1`: where it lies, and what is listed there.
    pub(crate) path: String,
    /// See above.
    pub(crate) replicas: Vec<sp_proto::v1::Replica>,
    /// Where the data port listens.
    pub(crate) url: String,
}

/// A running fake.
#[derive(Debug, Clone)]
pub(crate) struct Cluster {
    pub(crate) state: Arc<Mutex<State>>,
    pub(crate) address: SocketAddr,
}

/// What a run of sp-ctl gave.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State { url: format!("http://{address}"), ..State::default() }));
        let cluster = Self { state, address };
        let server = tonic::transport::Server::builder()
            .add_service(SchedulerServer::new(cluster.clone()))
            .add_service(DataPlaneServer::new(cluster.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(server);
        cluster
    }

    pub(crate) fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap())
    }

    /// Runs `sp-ctl ARGS` against this fake.
    pub(crate) async fn ctl(&self, arguments: &[&str]) -> Ran {
        ctl_at(&format!("http://{}", self.address), arguments).await
    }

    fn called(&self, verb: &'static str) -> Result<(), Status> {
        self.with(|state| {
            state.calls.push(verb.to_owned());
            let Some((code, stable, message)) = state.failures.get(verb) else { return Ok(()) };
            let mut status = Status::new(*code, *message);
            status.metadata_mut().insert("sp-code", MetadataValue::from_static(stable));
            Err(status)
        })
    }
}

/// Runs `sp-ctl ARGS` against a scheduler at `url`.
pub(crate) async fn ctl_at(url: &str, arguments: &[&str]) -> Ran {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_sp-ctl"));
    command.args(arguments).env("SP_CTL_SCHEDULER", url).env("NO_COLOR", "1").env("TZ", "UTC");
    let output = tokio::time::timeout(std::time::Duration::from_secs(60), command.output()).await.unwrap().unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}
