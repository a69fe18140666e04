//! Calls over HTTP/2.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::SendRequest;
use http::{Method, Request, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::Result;
use super::upstream::LARGE;

/// Over a cleartext connection, with prior knowledge.
pub(super) async fn make(addr: SocketAddr, calls: usize) -> Result<()> {
    over(TcpStream::connect(addr).await?, calls).await
}

/// Over any connection.
pub(super) async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, calls: usize) -> Result<()> {
    let (mut client, connection) = h2::client::handshake(stream).await?;
    let connection = tokio::spawn(connection);
    for number in 0..calls {
        let (path, body, status) = match number % 16 {
            0 => ("/free/large", Bytes::new(), StatusCode::OK),
            1 => ("/free/small", Bytes::from_static(LARGE), StatusCode::OK),
            2..8 => ("/paid", Bytes::new(), StatusCode::PAYMENT_REQUIRED),
            _ => ("/free/small", Bytes::new(), StatusCode::OK),
        };
        client = client.ready().await?;
        ask(&mut client, path, body, status).await?;
    }
    drop(client);
    let _ = connection.await?;
    Ok(())
}

async fn ask(client: &mut SendRequest<Bytes>, path: &str, body: Bytes, status: StatusCode) -> Result<()> {
    let method = if body.is_empty() { Method::GET } else { Method::POST };
    let request = Request::builder().method(method).uri(format!("http://api.example.com{path}")).body(())?;
    let (response, mut sending) = client.send_request(request, body.is_empty())?;
    if !body.is_empty() {
        // Whatever the window, it goes out as that opens.
        sending.send_data(body, true)?;
    }
    let response = response.await?;
    if response.status() != status {
        return Err(format!("{path} over HTTP/2 is answered {}", response.status()).into());
    }
    let mut body = response.into_body();
    while let Some(data) = body.data().await {
        body.flow_control().release_capacity(data?.len())?;
    }
    Ok(())
}
