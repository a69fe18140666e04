//! A client's connection that ends itself when its [`Line`] says so. To the framework a cut looks like a client that
//! left, so whatever has to happen then happens.

use std::any::Any;
use std::future::Future as _;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::{Buf as _, Bytes, BytesMut};
use pingora::http::ResponseHeader;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::{SslDigest, TlsRef};
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, IO, Peek, Shutdown, SocketDigest, Ssl, TimingDigest,
    UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep_until};

use super::line::{Cut, Line, PREFACE, Wait};
use crate::telemetry::Metrics;

const TOO_SLOW: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
const TOO_LARGE: &[u8] =
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// As much is read at once of what comes next on a connection that rests: the whole head of most requests.
const FIRST_BYTES: usize = 2048;

/// A connection and its guard. Its `Debug` form does not show the bytes that were read already: they may hold a key.
pub(super) struct Guarded<S> {
    inner: S,
    line: Arc<Line>,
    metrics: Arc<Metrics>,
    /// By it the hooks find the line.
    digest: Arc<ProxyDigest>,
    /// What was read to see that something comes, and which HTTP it is.
    peeked: Bytes,
    /// What is still to be said before the end.
    farewell: Bytes,
    reading: Alarm,
    writing: Alarm,
    /// Since when the client has taken nothing of what there is to write.
    stalled: Option<Instant>,
}

impl<S: std::fmt::Debug> std::fmt::Debug for Guarded<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guarded").field("inner", &self.inner).field("line", &self.line).finish_non_exhaustive()
    }
}

/// A timer that is set again only when it must ring earlier than it would, or has rung.
#[derive(Debug, Default)]
struct Alarm(Option<Pin<Box<Sleep>>>);

impl<S: IO> Guarded<S> {
    pub(super) fn new(inner: S, line: Arc<Line>, metrics: Arc<Metrics>) -> pingora::Result<Self> {
        let user_data: Box<dyn Any + Send + Sync> = Box::new(Arc::clone(&line));
        let digest = Arc::new(ProxyDigest::new(Box::new(ResponseHeader::build(200, Some(0))?), Some(user_data)));
        let (reading, writing) = (Alarm::default(), Alarm::default());
        let (peeked, farewell) = (Bytes::new(), Bytes::new());
        Ok(Self { inner, line, metrics, digest, peeked, farewell, reading, writing, stalled: None })
    }

    /// Waits for the beginning of what comes next, and keeps it for whoever reads on. False if nothing comes any more.
    ///
    /// Cancel safe: nothing that was read is lost.
    pub(super) async fn hears_more(&mut self) -> io::Result<bool> {
        if self.peeked.is_empty() {
            std::future::poll_fn(|cx| self.poll_first(cx)).await?;
        }
        Ok(!self.peeked.is_empty())
    }

    fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // On the stack, which nobody has while it waits.
        let mut piece = [const { MaybeUninit::uninit() }; FIRST_BYTES];
        let mut first = ReadBuf::uninit(&mut piece);
        ready!(self.poll_socket(cx, &mut first))?;
        self.peeked = Bytes::copy_from_slice(first.filled());
        Poll::Ready(Ok(()))
    }

    /// What is heard, as far as it is here.
    pub(super) fn heard(&self) -> &Bytes {
        &self.peeked
    }

    /// Whether what is heard begins as HTTP/2 does, as far as it goes.
    pub(super) fn may_be_http2(&self) -> bool {
        PREFACE.starts_with(self.peeked.get(..PREFACE.len()).unwrap_or(&self.peeked))
    }

    /// Reads from the socket, within the line's limits.
    fn poll_socket(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let room = match self.line.room() {
            Ok(room) => room,
            Err(cut) => return Poll::Ready(Err(self.cut(cut))),
        };
        let before = buf.filled().len();
        let read = if buf.remaining() <= room {
            Pin::new(&mut self.inner).poll_read(cx, buf)
        } else {
            let mut part = ReadBuf::new(buf.initialize_unfilled_to(room));
            let read = Pin::new(&mut self.inner).poll_read(cx, &mut part);
            let count = part.filled().len();
            buf.advance(count);
            read
        };
        match read {
            Poll::Ready(Ok(())) => self.line.heard(buf.filled().len().saturating_sub(before)),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => return self.poll_late(cx).map(Err),
        }
        read
    }

    /// Ends a wait for bytes that has been too long.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        loop {
            match self.line.wait(Instant::now()) {
                Wait::Long => return Poll::Pending,
                Wait::Over(cut) => return Poll::Ready(self.cut(cut)),
                Wait::Until(due) => ready!(self.reading.poll_until(due, cx)),
            }
        }
    }

    /// Ends a wait for the client to take bytes that has been too long.
    fn poll_write_with<T>(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if let written @ Poll::Ready(_) = write(Pin::new(&mut self.inner), cx) {
            self.stalled = None;
            return written;
        }
        let since = *self.stalled.get_or_insert_with(Instant::now);
        ready!(self.writing.poll_until(since + self.line.limits().write_timeout, cx));
        Poll::Ready(Err(self.cut(Cut::SlowReader)))
    }

    fn cut(&mut self, cut: Cut) -> io::Error {
        self.metrics.connections.cut(cut.as_str());
        if self.line.awaits_head() {
            self.farewell = Bytes::from_static(match cut {
                Cut::LargeHead => TOO_LARGE,
                Cut::SlowHead => TOO_SLOW,
                Cut::Idle | Cut::GivenUp | Cut::SlowBody | Cut::SlowReader | Cut::SlowHandshake | Cut::BadHandshake => {
                    b""
                }
            });
        }
        io::Error::new(io::ErrorKind::TimedOut, cut.as_str().unwrap_or("keep_alive"))
    }
}

impl Alarm {
    /// Ready at that time or before.
    fn poll_until(&mut self, due: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let due = due.into();
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if sleep.is_elapsed() || sleep.deadline() > due {
            sleep.as_mut().reset(due);
        }
        sleep.as_mut().poll(cx)
    }
}

impl<S: IO> AsyncRead for Guarded<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.peeked.is_empty() {
            return this.poll_socket(cx, buf);
        }
        let count = this.peeked.len().min(buf.remaining());
        buf.put_slice(&this.peeked.split_to(count));
        Poll::Ready(Ok(()))
    }
}

impl<S: IO> AsyncWrite for Guarded<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write_with(cx, |inner, cx| inner.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write_with(cx, |inner, cx| inner.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_write_with(cx, AsyncWrite::poll_flush)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while !this.farewell.is_empty() {
            let rest = this.farewell.clone();
            let written = ready!(this.poll_write_with(cx, |inner, cx| inner.poll_write(cx, &rest)))?;
            this.farewell.advance(written.min(rest.len()));
        }
        this.poll_write_with(cx, AsyncWrite::poll_shutdown)
    }
}

#[async_trait]
impl<S: IO> Shutdown for Guarded<S> {
    async fn shutdown(&mut self) {
        // The client may be gone, and it is the end anyhow.
        let _ = std::future::poll_fn(|cx| Pin::new(&mut *self).poll_shutdown(cx)).await;
    }
}

#[async_trait]
impl<S: IO> Peek for Guarded<S> {
    /// Reads no further than it takes to tell HTTP/2 from the rest, so that nothing is waited for in vain.
    async fn try_peek(&mut self, buf: &mut [u8]) -> io::Result<bool> {
        let mut read = BytesMut::from(&*self.peeked);
        while read.len() < PREFACE.len() && PREFACE.starts_with(&read) {
            let mut piece = [0; PREFACE.len()];
            let (rest, _) = piece.split_at_mut(PREFACE.len() - read.len());
            let mut part = ReadBuf::new(rest);
            std::future::poll_fn(|cx| self.poll_socket(cx, &mut part)).await?;
            if part.filled().is_empty() {
                break;
            }
            read.extend_from_slice(part.filled());
        }
        if read.starts_with(PREFACE) {
            self.line.multiplex();
        }
        buf.iter_mut().zip(&read).for_each(|(to, from)| *to = *from);
        self.peeked = read.freeze();
        Ok(true)
    }
}

impl<S: IO> UniqueID for Guarded<S> {
    fn id(&self) -> UniqueIDType {
        self.inner.id()
    }
}

impl<S: IO> Ssl for Guarded<S> {
    fn get_ssl(&self) -> Option<&TlsRef> {
        self.inner.get_ssl()
    }

    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.inner.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.inner.selected_alpn_proto()
    }
}

impl<S: IO> GetTimingDigest for Guarded<S> {
    /// Asked for with each request, and read by nobody.
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }

    fn get_read_pending_time(&self) -> Duration {
        self.inner.get_read_pending_time()
    }

    fn get_write_pending_time(&self) -> Duration {
        self.inner.get_write_pending_time()
    }
}

impl<S: IO> GetProxyDigest for Guarded<S> {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        Some(Arc::clone(&self.digest))
    }
}

impl<S: IO> GetSocketDigest for Guarded<S> {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.inner.get_socket_digest()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

    use super::*;
    use crate::config::ConnectionsConfig;

    #[test]
    fn what_a_client_sent_is_not_printed() {
        let head = Box::new(ResponseHeader::build(200, Some(0)).unwrap());
        let guarded = Guarded {
            inner: "a socket",
            line: Arc::new(Line::new(ConnectionsConfig::default(), false, Instant::now())),
            metrics: Arc::new(Metrics::new().unwrap()),
            digest: Arc::new(ProxyDigest::new(head, None)),
            peeked: Bytes::from_static(b"X-API-KEY: tg_live_1"),
            farewell: Bytes::new(),
            reading: Alarm::default(),
            writing: Alarm::default(),
            stalled: None,
        };
        let printed = format!("{guarded:?}");
        assert!(printed.contains("a socket") && !printed.contains("tg_live"), "{printed}");
    }

    /// Both ends of a connection.
    fn connected() -> (Guarded<DuplexStream>, DuplexStream) {
        let (ours, client) = tokio::io::duplex(64 * 1024);
        let line = Arc::new(Line::new(ConnectionsConfig::default(), false, Instant::now()));
        (Guarded::new(ours, line, Arc::new(Metrics::new().unwrap())).unwrap(), client)
    }

    #[tokio::test]
    async fn what_is_heard_first_is_read_first() {
        for sent in [b"G".to_vec(), b"PUT / HTTP/1.1\r\n\r\n".to_vec(), vec![b'P'; FIRST_BYTES * 2 + 1]] {
            let (mut guarded, mut client) = connected();
            client.write_all(&sent).await.unwrap();
            assert!(guarded.hears_more().await.unwrap());
            // Once more is no more: nothing is lost.
            assert!(guarded.hears_more().await.unwrap());
            client.write_all(b", and more").await.unwrap();
            drop(client);
            assert!(!guarded.may_be_http2(), "{sent:?}");
            let mut read = Vec::new();
            guarded.read_to_end(&mut read).await.unwrap();
            assert_eq!(read, [&sent, &b", and more"[..]].concat());
            assert!(!guarded.hears_more().await.unwrap());
        }
    }

    #[tokio::test]
    async fn the_newer_version_is_known_in_whatever_pieces_it_comes() {
        let whole = [PREFACE, b"and its first frames"].concat();
        for at in [1, 2, PREFACE.len() - 1, PREFACE.len(), PREFACE.len() + 1, whole.len()] {
            let (mut guarded, mut client) = connected();
            let (first, rest) = whole.split_at(at);
            client.write_all(first).await.unwrap();
            assert!(guarded.hears_more().await.unwrap() && guarded.may_be_http2(), "{at}");
            client.write_all(rest).await.unwrap();
            drop(client);
            let mut begins = [0; PREFACE.len()];
            assert!(guarded.try_peek(&mut begins).await.unwrap());
            assert_eq!(begins, PREFACE);
            assert_eq!(guarded.line.room(), Ok(usize::MAX), "{at}: it is multiplexed");
            let mut read = Vec::new();
            guarded.read_to_end(&mut read).await.unwrap();
            assert_eq!(read, whole, "{at}");
        }
    }

    #[tokio::test]
    async fn what_only_begins_as_the_newer_version_is_the_older() {
        let (mut guarded, mut client) = connected();
        client.write_all(b"PR").await.unwrap();
        assert!(guarded.hears_more().await.unwrap() && guarded.may_be_http2());
        client.write_all(b"OPFIND / HTTP/1.1\r\n").await.unwrap();
        drop(client);
        let mut begins = [0; PREFACE.len()];
        assert!(guarded.try_peek(&mut begins).await.unwrap());
        assert_ne!(begins, PREFACE);
        let mut read = Vec::new();
        guarded.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, b"PROPFIND / HTTP/1.1\r\n");
    }
}
