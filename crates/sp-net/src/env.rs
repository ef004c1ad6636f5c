//! What services do with an `Env` all the time: block elsewhere, make ids, bound a wait.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio::sync::oneshot;

use crate::Env;

/// A wait took longer than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no answer within {} ms", .0.as_millis())]
pub struct Elapsed(pub Duration);

impl Env {
    /// Runs a closure where it may block and gives its result. A panic in it panics here.
    pub async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (sender, receiver) = oneshot::channel();
        let run = self.tasks.run_blocking(Box::new(move || {
            // The receiver is gone when the caller was dropped: then nobody wants the result.
            let _ = sender.send(work());
        }));
        run.await;
        receiver.await.expect("the closure has run, so it has sent its result")
    }

    /// Waits for a future at most this long.
    pub async fn timeout<T>(&self, duration: Duration, future: impl Future<Output = T>) -> Result<T, Elapsed> {
        match select(pin!(future), self.clock.sleep(duration)).await {
            Either::Left((value, _)) => Ok(value),
            Either::Right(((), _)) => Err(Elapsed(duration)),
        }
    }

    /// `bytes` random bytes as lower-case hex.
    pub fn random_hex(&self, bytes: usize) -> String {
        let mut buffer = vec![0; bytes];
        self.entropy.fill(&mut buffer);
        hex::encode(buffer)
    }

    /// A random (version 4) UUID.
    pub fn uuid(&self) -> String {
        let mut b = [0; 16];
        self.entropy.fill(&mut b);
        b[6] = (b[6] & 0x0f) | 0x40;
        b[8] = (b[8] & 0x3f) | 0x80;
        let text = hex::encode(b);
        format!("{}-{}-{}-{}-{}", &text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn helpers_do_what_they_say() {
        let env = Env::real();
        assert_eq!(env.blocking(|| 7).await, 7);
        let id = env.uuid();
        assert_eq!((id.len(), id.as_bytes()[14]), (36, b'4'));
        assert!(b"89ab".contains(&id.as_bytes()[19]), "{id}");
        assert_ne!(env.random_hex(16), env.random_hex(16));
        let short = Duration::from_millis(5);
        assert_eq!(env.timeout(short, std::future::pending::<()>()).await, Err(Elapsed(short)));
        assert_eq!(env.timeout(Duration::from_secs(5), async { 3 }).await, Ok(3));
    }
}
