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
    service: S,
    sockets: Vec<(SocketAddr, TcpListener)>,
}

impl<S> Listening<S> {
    /// A service that has been told to listen on these addresses.
    ///
    /// # Errors
    /// [`StartError::Listen`] if one is taken, or not ours.
    pub(super) fn new(service: S, addresses: impl IntoIterator<Item = SocketAddr>) -> Result<Self, StartError> {
        let sockets = addresses.into_iter().map(|address| Ok((address, listen(address)?)));
        Ok(Self { service, sockets: sockets.collect::<Result<_, StartError>>()? })
    }
}

#[async_trait]
impl<S: Service> Service for Listening<S> {
    async fn start_service(&mut self, fds: Option<ListenFds>, shutdown: ShutdownWatch, listeners_per_fd: usize) {
        if let Some(fds) = &fds {
            // The framework's from here on.
            let sockets = self.sockets.drain(..);
            sockets.for_each(|(address, socket)| fds.lock().add(address.to_string(), socket.into_raw_fd()));
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

/// Takes an address.
///
/// # Errors
/// [`StartError::Listen`] if it is taken, or not ours.
pub(super) fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    let bind = || {
        let socket = TcpListener::bind(address)?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    };
    bind().map_err(|error| StartError::Listen(address, error))
}
