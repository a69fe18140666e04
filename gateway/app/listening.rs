//! Services whose addresses take connections before anything is served: whoever hears that the gateway is ready, can call
//! it.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::IntoRawFd as _;

use async_trait::async_trait;
use pingora::server::{ListenFds, ShutdownWatch};
use pingora::services::Service;

use super::StartError;

/// A service of the framework's, with what it listens on. The framework would bind it on threads of the service's own,
/// each service when it comes to it.
pub(super) struct Listening<S> {
    pub(super) service: S,
    pub(super) sockets: Vec<Socket>,
}

/// An address that takes connections.
pub(super) struct Socket {
    /// With the port that was given, where any was asked for.
    pub(super) address: SocketAddr,
    listener: TcpListener,
}

#[async_trait]
impl<S: Service> Service for Listening<S> {
    async fn start_service(&mut self, fds: Option<ListenFds>, shutdown: ShutdownWatch, listeners_per_fd: usize) {
        if let Some(fds) = &fds {
            // The framework's from here on.
            let sockets = self.sockets.drain(..);
            sockets.for_each(|socket| fds.lock().add(socket.address.to_string(), socket.listener.into_raw_fd()));
        }
        self.service.start_service(fds, shutdown, listeners_per_fd).await;
    }

    fn name(&self) -> &str {
        self.service.name()
    }

    fn threads(&self) -> Option<usize> {
        self.service.threads()
    }
}

impl Socket {
    /// Takes an address.
    ///
    /// # Errors
    /// [`StartError::Listen`] if it is taken, or not ours.
    pub(super) fn open(address: SocketAddr) -> Result<Self, StartError> {
        let bind = || {
            let listener = TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            Ok(Self { address: listener.local_addr()?, listener })
        };
        bind().map_err(|error| StartError::Listen(address, error))
    }
}
