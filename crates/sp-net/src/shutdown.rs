//! Stopping on SIGTERM or SIGINT: the first asks, the second means now.

use std::io;
use std::pin::pin;

use futures_util::future::select;
use tokio::signal::unix::{Signal, SignalKind, signal as listen};

/// Exit code after a second signal, as shells count a death by SIGINT.
const EXIT_NOW: i32 = 130;

/// Listens from this call on; the future completes at the first SIGTERM or SIGINT. After that a second one ends the
/// process on the spot, whatever it is doing.
pub fn signal() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    Ok(async move {
        either(&mut terminate, &mut interrupt).await;
        tracing::info!("asked to stop; ask again to stop at once");
        tokio::spawn(async move {
            either(&mut terminate, &mut interrupt).await;
            tracing::warn!("asked to stop again; stopping at once");
            std::process::exit(EXIT_NOW);
        });
    })
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) {
    select(pin!(terminate.recv()), pin!(interrupt.recv())).await;
}
