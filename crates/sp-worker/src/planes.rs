//! Connections to data planes while the challenges of a partition are read: one for each of them, and not one for each
//! read, which is small and over sooner than a connection is open.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use sp_net::client::{self, NetError};
use sp_net::{Env, sized};
use sp_proto::v1::data_plane_client::DataPlaneClient;
use tokio::sync::{Semaphore, SemaphorePermit};
use tonic::transport::Channel;

/// Reads at once over one connection: fewer than any data plane takes streams, whose word on that comes only after the
/// first ones have been opened.
const READS_MAX: usize = 48;

/// Connections of one partition. They end with it: the next one may find other addresses.
#[derive(Default)]
pub(crate) struct Planes(Mutex<BTreeMap<String, Arc<Plane>>>);

/// The connection to one data plane.
pub(crate) struct Plane {
    channel: Channel,
    free: Semaphore,
}

impl Planes {
    /// The connection to this data plane; it is opened by the first read.
    pub(crate) fn of(&self, env: &Env, data_url: &str) -> Result<Arc<Plane>, NetError> {
        let mut planes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(plane) = planes.get(data_url) {
            return Ok(plane.clone());
        }
        let channel = client::channel(env, data_url)?;
        let plane = Arc::new(Plane { channel, free: Semaphore::new(READS_MAX) });
        planes.insert(data_url.to_owned(), plane.clone());
        Ok(plane)
    }

    /// Nothing came of a read over this connection: the next one is not to wait for what may be dead.
    pub(crate) fn forget(&self, data_url: &str, plane: &Arc<Plane>) {
        let mut planes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if planes.get(data_url).is_some_and(|known| Arc::ptr_eq(known, plane)) {
            planes.remove(data_url);
        }
    }
}

impl Plane {
    /// A client, once there is room for one more read.
    pub(crate) async fn client(&self) -> (DataPlaneClient<Channel>, Option<SemaphorePermit<'_>>) {
        // Never closed: without a permit the read goes on all the same.
        let permit = self.free.acquire().await.ok();
        (sized!(DataPlaneClient::new(self.channel.clone())), permit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_is_shared_until_it_has_failed() {
        let (env, planes, url) = (Env::real(), Planes::default(), "http://127.0.0.1:9");
        let of = |url| planes.of(&env, url).expect("an address");
        let first = of(url);
        assert!(Arc::ptr_eq(&first, &of(url)));
        assert!(!Arc::ptr_eq(&first, &of("http://127.0.0.1:10")));
        planes.forget(url, &first);
        let second = of(url);
        assert!(!Arc::ptr_eq(&first, &second), "another one after a failure");
        planes.forget(url, &first);
        assert!(Arc::ptr_eq(&second, &of(url)), "whoever is late takes nothing from the others");
    }

    #[tokio::test]
    async fn reads_over_one_connection_are_bounded() {
        let planes = Planes::default();
        let plane = planes.of(&Env::real(), "http://127.0.0.1:9").expect("an address");
        let mut reading = Vec::new();
        for _ in 0..READS_MAX {
            reading.push(plane.client().await);
        }
        assert_eq!(plane.free.available_permits(), 0);
        reading.pop();
        assert_eq!(plane.free.available_permits(), 1);
    }
}
