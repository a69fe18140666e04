//! A JSON-RPC server on loopback that answers as a test wants.

use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

/// What the server does with a call.
#[derive(Debug, Clone)]
pub(super) enum Reply {
    /// Answers with this result.
    Result(Value),
    /// Answers with this error.
    Error(i64, &'static str),
    /// Answers with this status and body.
    Raw(u16, String),
    /// Says nothing.
    Silence,
}

type Script = dyn Fn(&str, &Value) -> Reply + Send + Sync;

/// The server; it ends with this value.
pub(super) struct Scripted {
    url: String,
    script: Arc<Script>,
    asked: Arc<Mutex<Vec<(String, Value)>>>,
    task: JoinHandle<()>,
}

impl Scripted {
    /// Starts one that answers by method and parameters.
    pub(super) async fn start(script: impl Fn(&str, &Value) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (script, asked): (Arc<Script>, _) = (Arc::new(script), Arc::default());
        let (answering, log) = (Arc::clone(&script), Arc::clone(&asked));
        let task = tokio::spawn(async move {
            // Connections die with the set, and the set with this task.
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (script, asked) = (Arc::clone(&answering), Arc::clone(&log));
                let service = service_fn(move |request| answer(request, Arc::clone(&script), Arc::clone(&asked)));
                connections.spawn(async move {
                    let server = hyper::server::conn::http1::Builder::new();
                    let _ = server.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { url, script, asked, task }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// What it would answer.
    pub(super) fn reply(&self, method: &str, params: &Value) -> Reply {
        (self.script)(method, params)
    }

    /// The parameters of every call of a method so far.
    pub(super) fn asked(&self, method: &str) -> Vec<Value> {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|(name, _)| name == method).map(|(_, params)| params.clone()).collect()
    }

    /// The methods that were called so far, in order.
    pub(super) fn methods(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().map(|(method, _)| method.clone()).collect()
    }
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scripted")
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(
    request: Request<Incoming>,
    script: Arc<Script>,
    asked: Arc<Mutex<Vec<(String, Value)>>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let call: Value = serde_json::from_slice(&body).unwrap();
    let method = call["method"].as_str().unwrap();
    asked.lock().unwrap().push((method.to_owned(), call["params"].clone()));
    let (status, body) = match script(method, &call["params"]) {
        Reply::Result(result) => (200, json!({"jsonrpc": "2.0", "id": call["id"], "result": result}).to_string()),
        Reply::Error(code, message) => {
            let error = json!({"code": code, "message": message});
            (200, json!({"jsonrpc": "2.0", "id": call["id"], "error": error}).to_string())
        }
        Reply::Raw(status, body) => (status, body),
        Reply::Silence => match std::future::pending::<Infallible>().await {},
    };
    Ok(Response::builder().status(status).body(Full::from(body)).unwrap())
}
