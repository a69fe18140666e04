//! The operator's side: health, readiness, metrics, and an API for plans and keys, on a listener of its own.

mod acts;
mod api;
mod operation;
mod query;
mod reads;
mod reply;
pub mod views;

use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{Method, Response, StatusCode};
use pingora::apps::http_app::ServeHttp;
use pingora::protocols::http::ServerSession;

use crate::proxy::Snapshot;
use crate::resource_server::ResourceServer;
use crate::store::{KeyStore, Register};
use crate::telemetry::Metrics;

/// Answers the operator.
pub struct Admin {
    /// For the books' state.
    pub server: Arc<ResourceServer>,
    /// For the counters.
    pub metrics: Arc<Metrics>,
    /// The prices and the token of the API, as they are now.
    pub live: Arc<ArcSwap<Snapshot>>,
    /// Subscriptions and keys, as the API reads them.
    pub register: Arc<dyn Register>,
    /// The same books, for one holder.
    pub holders: Arc<dyn KeyStore>,
}

#[async_trait]
impl ServeHttp for Admin {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        if session.req_header().uri.path().starts_with(api::PREFIX) {
            return self.api(session).await;
        }
        let head = session.req_header();
        if head.method != Method::GET && head.method != Method::HEAD {
            return text(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "only GET\n".to_owned());
        }
        match head.uri.path() {
            // The process runs.
            "/healthz" => text(StatusCode::OK, "text/plain", "ok\n".to_owned()),
            "/readyz" => self.ready().await,
            "/metrics" => {
                let open = self.server.ledger().open_payments().await.ok();
                let page = self.metrics.page(self.server.accounts().len(), open);
                text(StatusCode::OK, "text/plain; version=0.0.4", page)
            }
            _ => text(StatusCode::NOT_FOUND, "text/plain", "/healthz /readyz /metrics /api/v1\n".to_owned()),
        }
    }
}

impl Admin {
    /// Requests are let in, and the books can be read. The facilitator is not asked: keys work without it.
    async fn ready(&self) -> Response<Vec<u8>> {
        if !self.metrics.running.is_open() {
            return text(StatusCode::SERVICE_UNAVAILABLE, "text/plain", "stopping\n".to_owned());
        }
        match self.server.ledger().open_payments().await {
            Ok(_) => text(StatusCode::OK, "text/plain", "ready\n".to_owned()),
            Err(error) => text(StatusCode::SERVICE_UNAVAILABLE, "text/plain", format!("{error}\n")),
        }
    }
}

fn text(status: StatusCode, content_type: &str, body: String) -> Response<Vec<u8>> {
    let mut response = Response::new(Vec::new());
    *response.status_mut() = status;
    if let Ok(content_type) = content_type.parse() {
        response.headers_mut().insert(CONTENT_TYPE, content_type);
    }
    response.headers_mut().insert(CONTENT_LENGTH, body.len().into());
    *response.body_mut() = body.into_bytes();
    response
}
