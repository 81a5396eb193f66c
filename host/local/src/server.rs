//! A server on loopback: its port, and the task that serves.

use crate::error::{LocalError, LocalService};
use futures::channel::oneshot;
use std::{net::Ipv4Addr, num::NonZeroU16};
use tokio::{net::TcpListener, task::JoinHandle};

/// Where on the loopback interface a server listens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Port {
    /// On a port that is free.
    #[default]
    Free,
    /// On this one.
    Given(NonZeroU16),
}

impl From<Option<NonZeroU16>> for Port {
    fn from(port: Option<NonZeroU16>) -> Self {
        port.map_or(Self::Free, Self::Given)
    }
}

/// A serving task. It ends when it is stopped, or when this is dropped.
pub(crate) struct Server {
    pub(crate) endpoint: String,
    pub(crate) stop: oneshot::Sender<()>,
    pub(crate) task: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn stop(self) {
        drop(self.stop);
        // A task that has panicked has stopped serving too, and that is all that was asked.
        let _ = self.task.await;
    }
}

/// Binds a port of the loopback interface. Returns its URL as well.
pub(crate) async fn listen(
    service: LocalService,
    port: Port,
) -> Result<(TcpListener, String), LocalError> {
    let number = match port {
        Port::Free => 0,
        Port::Given(port) => port.get(),
    };
    let failed = |source| match port {
        Port::Free => LocalError::Listen { service, source },
        Port::Given(port) => LocalError::Port {
            service,
            port,
            source,
        },
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, number))
        .await
        .map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, format!("http://{address}")))
}
