//! The scheduler as a worker sees it through its relay.

use std::time::Duration;

use sp_net::sized;
use sp_proto::v1::worker_client::WorkerClient;
use sp_proto::v1::worker_message::Body;
use sp_proto::v1::worker_server::Worker;
use sp_proto::v1::{RenewReply, RenewRequest, WorkerCommand, WorkerMessage};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};

use super::habits::{of_command, of_worker};
use super::meddler::Meddler;
use super::streams::{QUEUE, speak};

/// Parts of a hundred.
const OLD_RESULT_PERCENT: u64 = 15;
const RENEWAL_TWICE_PERCENT: u64 = 8;
const OLD_RENEWAL_PERCENT: u64 = 8;

/// Old things are said within this.
const OLD_MS: u64 = 8_000;

#[derive(Clone)]
pub(super) struct WorkerRelay {
    pub(super) meddler: Meddler,
    pub(super) upstream: Channel,
}

impl WorkerRelay {
    async fn listen(self, mut said: Streaming<WorkerMessage>, up: mpsc::Sender<WorkerMessage>) {
        while let Ok(Some(message)) = said.message().await {
            if let Some(Body::Result(result)) = &message.body
                && let Some(old) = self.meddler.remember_result(result, OLD_RESULT_PERCENT)
            {
                self.meddler.injected("old result");
                let (up, message) = (up.clone().downgrade(), WorkerMessage { body: Some(Body::Result(old)) });
                self.meddler.later(OLD_MS, async move {
                    if let Some(up) = up.upgrade() {
                        let _ = up.send(message).await;
                    }
                });
            }
            let habit = of_worker(&message);
            if !self.meddler.pass(message, habit, &up).await {
                return;
            }
        }
    }

    /// Says a renewal whose answer nobody waits for.
    fn renew_later(&self, renewal: RenewRequest) {
        let mut client = sized!(WorkerClient::new(self.upstream.clone()));
        self.meddler.later(OLD_MS, async move {
            let mut request = Request::new(renewal);
            request.set_timeout(Duration::from_secs(5));
            let _ = client.renew(request).await;
        });
    }
}

#[tonic::async_trait]
impl Worker for WorkerRelay {
    type SessionStream = ReceiverStream<Result<WorkerCommand, Status>>;

    async fn session(
        &self,
        request: Request<Streaming<WorkerMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let ((up, upward), (down, downward)) = (mpsc::channel(QUEUE), mpsc::channel(QUEUE));
        let mut client = sized!(WorkerClient::new(self.upstream.clone()));
        let answering = async move { client.session(ReceiverStream::new(upward)).await };
        let listening = self.clone().listen(request.into_inner(), up);
        let speaking = speak(self.meddler.clone(), answering, of_command, down);
        self.meddler.together(listening, speaking);
        Ok(Response::new(ReceiverStream::new(downward)))
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<RenewReply>, Status> {
        let renewal = request.into_inner();
        if let Some(old) = self.meddler.remember_renewal(&renewal, OLD_RENEWAL_PERCENT) {
            self.meddler.injected("old renewal");
            self.renew_later(old);
        }
        if self.meddler.happens(RENEWAL_TWICE_PERCENT) {
            self.meddler.injected("renewal twice");
            self.renew_later(renewal.clone());
        }
        sized!(WorkerClient::new(self.upstream.clone())).renew(renewal).await
    }
}
