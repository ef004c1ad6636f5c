//! A service and its clients in one process: calls, health, reflection, limits, drain.
#![allow(clippy::disallowed_methods)] // Tests meet the real machine.

use std::net::SocketAddr;
use std::time::Duration;

use sp_net::refusals::{Refusals, Refused};
use sp_net::server::{Limits, Server, Services};
use sp_net::{Env, NetError, client, sized, status};
use sp_proto::MESSAGE_BYTES_MAX;
use sp_proto::v1::worker_client::WorkerClient;
use sp_proto::v1::worker_server::{Worker, WorkerServer};
use sp_proto::v1::{
    GoingAway, Register, RenewReply, RenewRequest, WorkerCommand, WorkerMessage, worker_command, worker_message,
};
use sp_types::ErrorCode;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

const PATIENCE: Duration = Duration::from_secs(20);

/// Answers `Renew` by the worker's name: a number is the length of a reply in attempts.
struct Echo;

#[tonic::async_trait]
impl Worker for Echo {
    type SessionStream = ReceiverStream<Result<WorkerCommand, Status>>;

    /// Answers each message with an empty command and never ends by itself.
    async fn session(
        &self,
        request: Request<Streaming<WorkerMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let mut messages = request.into_inner();
        let (sender, receiver) = mpsc::channel(4);
        tokio::spawn(async move {
            loop {
                match messages.message().await {
                    Ok(Some(_)) => drop(sender.send(Ok(WorkerCommand::default())).await),
                    // The peer has closed its half; ours stays open: the worst client of a drain.
                    Ok(None) => sender.closed().await,
                    Err(error) => return drop(sender.send(Err(error)).await),
                }
                if sender.is_closed() {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<RenewReply>, Status> {
        match request.into_inner().worker_id.as_str() {
            "refuse" => {
                Err(status::to_status(ErrorCode::WrongCluster, "the worker is of cluster b, this is cluster a"))
            }
            "large" => {
                let ended = vec![sp_proto::v1::AttemptId { task: u64::MAX, number: u32::MAX }; MESSAGE_BYTES_MAX / 8];
                Ok(Response::new(RenewReply { known: true, ended }))
            }
            _ => Ok(Response::new(RenewReply { known: true, ended: Vec::new() })),
        }
    }
}

struct Running {
    env: Env,
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: oneshot::Receiver<Result<(), NetError>>,
    refusals: Refusals,
}

impl Running {
    async fn start(limits: Limits) -> Self {
        let services = Services::new().with(sized!(WorkerServer::new(Echo)));
        let env = Env::real();
        let any = "127.0.0.1:0".parse().expect("address");
        let drain = Duration::from_millis(300);
        let refusals = Refusals::new(&env);
        let server = Server::builder(&env, "sp-test", any).limits(limits).drain(drain).refusals(&refusals);
        let server = server.bind().await.expect("binds");
        let address = server.address();
        let (stop, stopped) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        tokio::spawn(async move {
            let shutdown = async { drop(stopped.await) };
            drop(end.send(server.serve(services, shutdown).await));
        });
        Self { env, address, stop, ended, refusals }
    }

    fn channel(&self) -> Channel {
        client::channel(&self.env, &self.address.to_string()).expect("an address")
    }

    fn client(&self) -> WorkerClient<Channel> {
        sized!(WorkerClient::new(self.channel()))
    }

    /// Stops it and gives how long that took.
    async fn stop(self) -> Duration {
        let begin = std::time::Instant::now();
        self.stop.send(()).expect("it runs");
        let ended = tokio::time::timeout(PATIENCE, self.ended).await.expect("bounded").expect("it says how it ended");
        ended.expect("it ends well");
        begin.elapsed()
    }
}

fn renew(worker: &str) -> RenewRequest {
    RenewRequest { worker_id: worker.to_owned(), ..RenewRequest::default() }
}

#[tokio::test]
async fn calls_codes_and_health() {
    let running = Running::start(Limits::CONTROL).await;
    let mut client = running.client();
    assert!(client.renew(renew("a")).await.expect("answers").into_inner().known);
    let refused = client.renew(renew("refuse")).await.expect_err("refused");
    assert_eq!(status::code_of(&refused), Some(ErrorCode::WrongCluster));
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(running.refusals.count(Refused::Call, ErrorCode::WrongCluster), 1);
    let mut health = HealthClient::new(running.channel());
    for service in ["", "sp.v1.Worker"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let reply = health.check(request).await.expect(service).into_inner();
        assert_eq!(reply.status, 1, "{service} serves");
    }
    let unknown = health.check(HealthCheckRequest { service: "sp.v1.Index".to_owned() }).await;
    assert_eq!(unknown.expect_err("not served here").code(), Code::NotFound);
    assert!(running.stop().await < Duration::from_secs(5));
}

#[tokio::test]
async fn both_reflections_list_and_describe_what_is_served() {
    use tonic_reflection::pb::v1::{self, server_reflection_request, server_reflection_response};
    use tonic_reflection::pb::v1alpha;
    let running = Running::start(Limits::CONTROL).await;
    let expected = ["grpc.health.v1.Health", "sp.v1.Worker"];

    let ask = |message_request| v1::ServerReflectionRequest { host: String::new(), message_request };
    let list = ask(Some(server_reflection_request::MessageRequest::ListServices(String::new())));
    let describe = server_reflection_request::MessageRequest::FileContainingSymbol("sp.v1.Worker".to_owned());
    let mut new = v1::server_reflection_client::ServerReflectionClient::new(running.channel());
    let asked = tokio_stream::iter([list, ask(Some(describe))]);
    let mut replies = new.server_reflection_info(asked).await.expect("reflection v1").into_inner();
    let first = replies.message().await.expect("a reply").expect("not the end").message_response;
    let Some(server_reflection_response::MessageResponse::ListServicesResponse(services)) = first else {
        panic!("{first:?}")
    };
    let mut names: Vec<_> = services.service.into_iter().map(|s| s.name).collect();
    names.sort();
    assert!(expected.iter().all(|name| names.iter().any(|n| n == name)), "{names:?}");
    assert!(!names.iter().any(|n| n == "sp.v1.Index"), "only what is served: {names:?}");
    let second = replies.message().await.expect("a reply").expect("not the end").message_response;
    assert!(
        matches!(&second, Some(server_reflection_response::MessageResponse::FileDescriptorResponse(f))
            if !f.file_descriptor_proto.is_empty()),
        "{second:?}"
    );

    let list = v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(v1alpha::server_reflection_request::MessageRequest::ListServices(String::new())),
    };
    let mut old = v1alpha::server_reflection_client::ServerReflectionClient::new(running.channel());
    let mut replies =
        old.server_reflection_info(tokio_stream::iter([list])).await.expect("reflection v1alpha").into_inner();
    let reply = replies.message().await.expect("a reply").expect("not the end").message_response;
    let Some(v1alpha::server_reflection_response::MessageResponse::ListServicesResponse(services)) = reply else {
        panic!("{reply:?}")
    };
    assert!(expected.iter().all(|name| services.service.iter().any(|s| s.name == *name)), "{services:?}");
}

#[tokio::test]
async fn an_oversized_message_is_an_error_on_both_sides() {
    let running = Running::start(Limits::CONTROL).await;
    let large = "x".repeat(MESSAGE_BYTES_MAX + 1);
    let refused = |error: Status| {
        assert_eq!(error.code(), Code::OutOfRange, "{error}");
        assert!(error.message().contains(&MESSAGE_BYTES_MAX.to_string()), "it names the limit: {error}");
    };
    refused(running.client().renew(renew(&large)).await.expect_err("too large to take"));
    // The same on a stream: an error, not a clean end.
    let body = worker_message::Body::Register(Register { worker_id: large, ..Register::default() });
    let messages = tokio_stream::iter([WorkerMessage { body: Some(body) }]);
    let counted = running.refusals.count(Refused::Call, ErrorCode::BadRequest);
    let mut commands = running.client().session(messages).await.expect("opens").into_inner();
    refused(commands.message().await.expect_err("too large to take"));
    let now = running.refusals.count(Refused::Call, ErrorCode::BadRequest);
    assert_eq!(now, counted + 1, "counted, though it came behind the answer's beginning");
    refused(running.client().renew(renew("large")).await.expect_err("too large to read"));
    // The connection has survived it all.
    assert!(running.client().renew(renew("a")).await.is_ok());
}

#[tokio::test]
async fn only_loopback_is_listened_on() {
    let env = Env::real();
    for address in ["0.0.0.0:0", "192.0.2.1:3456", "[::]:0"] {
        let bound = Server::builder(&env, "sp-test", address.parse().expect("address")).bind().await;
        let error = bound.err().expect("refused").to_string();
        assert!(error.contains("no listener without authentication") && error.contains("127.0.0.1"), "{error}");
    }
    let first = Server::builder(&env, "sp-test", "127.0.0.1:0".parse().expect("address")).bind().await.expect("free");
    let second = Server::builder(&env, "sp-test", first.address()).bind().await;
    assert!(matches!(second, Err(NetError::Listen { .. })), "a taken port is an error");
}

#[tokio::test]
async fn a_drain_ends_even_if_a_stream_does_not() {
    let running = Running::start(Limits::CONTROL).await;
    let (sender, receiver) = mpsc::channel(4);
    let mut client = running.client();
    let body = worker_message::Body::GoingAway(GoingAway::default());
    sender.send(WorkerMessage { body: Some(body) }).await.expect("open");
    let mut commands = client.session(ReceiverStream::new(receiver)).await.expect("opens").into_inner();
    let first: Option<worker_command::Body> = commands.message().await.expect("answers").expect("open").body;
    assert!(first.is_none());
    let address = running.address;
    let took = running.stop().await;
    assert!(took >= Duration::from_millis(300) && took < Duration::from_secs(5), "{took:?}");
    let cut = tokio::time::timeout(PATIENCE, commands.message()).await.expect("the client learns of it");
    assert!(cut.is_err(), "a cut is no clean end");
    // The port is free again.
    let again = Server::builder(&Env::real(), "sp-test", address).bind().await;
    assert!(again.is_ok());
}

#[tokio::test]
async fn a_channel_finds_a_restarted_service() {
    let env = Env::real();
    let first = Running::start(Limits::CONTROL).await;
    let (address, mut client) = (first.address, first.client());
    client.renew(renew("a")).await.expect("answers");
    first.stop().await;
    let error = client.renew(renew("a")).await.expect_err("nobody there");
    assert!(matches!(error.code(), Code::Unavailable | Code::Unknown), "{error}");
    let server = Server::builder(&env, "sp-test", address).bind().await.expect("binds again");
    let services = Services::new().with(sized!(WorkerServer::new(Echo)));
    tokio::spawn(server.serve(services, std::future::pending()));
    let answered = async {
        while client.renew(renew("a")).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, answered).await.expect("it connects again");
}

#[tokio::test]
async fn connections_are_counted() {
    let running = Running::start(Limits { connections: 1, ..Limits::CONTROL }).await;
    let mut first = running.client();
    first.renew(renew("a")).await.expect("the one that fits");
    assert!(running.client().renew(renew("a")).await.is_err(), "one too many");
    first.renew(renew("a")).await.expect("the first is not disturbed");
    drop(first);
    let answered = async {
        while running.client().renew(renew("a")).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, answered).await.expect("room again");
}
