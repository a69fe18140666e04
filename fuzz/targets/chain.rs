//! What RPC servers of chains say of a payment: a lying one cannot keep us busy, and a payment is paid only by a
//! transaction that shows it.

use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use alloy_primitives::hex;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tollgate::chain::{Authorization, Chain, Sighting, Sought, connect};
use tollgate::money::{Address, AtomicAmount, Network};
use tollgate::x402::codec;

use super::market::NOW;
use super::text;

const EVM: &str = "eip155:8453";
const SOLANA: &str = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp";
const ASSET: &str = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913";
const SELLER: &str = "0x1563915e194D8CfBA1943570603F7606A3115508";
const MINT: &str = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v";
/// Far more calls than one look takes.
const CALLS_MAX: usize = 1_000;

/// The server and its clients. They live as long as the process, as one connection for each look would use all ports
/// up; so the chain's own identity is asked for once, and given truthfully.
struct World {
    runtime: Runtime,
    script: Arc<Mutex<Script>>,
    evm: Arc<dyn Chain>,
    solana: Arc<dyn Chain>,
}

/// What is answered: a line for each answer, its method and its result. The last one of a method is repeated.
#[derive(Default)]
struct Script {
    lines: Vec<(String, String)>,
    /// The receipts and transactions that were given.
    shown: Vec<Value>,
    calls: usize,
}

static WORLD: LazyLock<World> = LazyLock::new(World::start);

/// Reads the bytes as a payment that is to be looked up, and as an RPC server's answers about one.
pub fn chain(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let _ = Authorization::read(text);
    for (chain, sought) in [(&WORLD.evm, evm()), (&WORLD.solana, solana())] {
        WORLD.play(text);
        let seen = WORLD.runtime.block_on(chain.look_up(&sought));
        let script = WORLD.script();
        assert!(script.calls <= CALLS_MAX, "{} calls", script.calls);
        match seen {
            Ok(Sighting::Paid { transaction, .. }) => {
                assert!(script.shows(&sought), "{transaction:?} is no payment");
            }
            Ok(_) => {}
            Err(error) => assert!(error.to_string().len() <= 2_048, "{error}"),
        }
    }
}

fn evm() -> Sought {
    let network = Network::parse(EVM).expect("an id");
    let address = |text| Address::parse(text, &network).expect("an address");
    let from = address("0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A");
    let authorization = Authorization::Eip3009 { from, nonce: [1; 32], valid_before: NOW + 60 };
    sought(authorization, address(ASSET), address(SELLER), format!("0x{}", "ab".repeat(32)))
}

fn solana() -> Sought {
    let network = Network::parse(SOLANA).expect("an id");
    let address = Address::parse(MINT, &network).expect("an address");
    let head = [0x80, 2, 0, 1, 3];
    let message = [&head[..], &[1; 32], &[2; 32], &[3; 32], &[9; 32], &[1, 2, 1, 0, 2, 7, 7, 0]].concat();
    let hint = bs58::encode([5; 64]).into_string();
    sought(Authorization::Svm { message }, address.clone(), address, hint)
}

fn sought(authorization: Authorization, asset: Address, pay_to: Address, hint: String) -> Sought {
    let since = UNIX_EPOCH + Duration::from_secs(NOW);
    Sought { authorization, asset, pay_to, amount: AtomicAmount::new(10_000), since, hint: Some(hint) }
}

impl World {
    fn start() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let script = Arc::new(Mutex::new(Script::default()));
        let answering = Arc::clone(&script);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&answering)));
            }
        });
        let chain = |id| connect(&Network::parse(id).expect("an id"), &url).expect("a chain");
        let (evm, solana) = (chain(EVM), chain(SOLANA));
        Self { runtime, script, evm, solana }
    }

    fn script(&self) -> std::sync::MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn play(&self, text: &str) {
        let lines = text.lines().filter_map(|line| line.split_once(' '));
        let lines = lines.map(|(method, result)| (method.to_owned(), result.to_owned())).collect();
        *self.script() = Script { lines, shown: Vec::new(), calls: 0 };
    }
}

/// Answers on one connection. None at its end.
async fn serve(stream: TcpStream, script: Arc<Mutex<Script>>) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.ok()? == 0 {
                return None;
            }
            let line = line.trim_end().to_ascii_lowercase();
            match line.split_once(": ") {
                Some(("content-length", digits)) => length = digits.parse().ok()?,
                _ if line.is_empty() => break,
                _ => {}
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.ok()?;
        let question: Value = serde_json::from_slice(&body).ok()?;
        let method = question["method"].as_str()?;
        let result = script.lock().unwrap_or_else(PoisonError::into_inner).answer(method);
        let body = match result.strip_prefix('!') {
            Some(whole) => whole.to_owned(),
            None => format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, question["id"]),
        };
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).await.ok()?;
    }
}

impl Script {
    fn answer(&mut self, method: &str) -> String {
        match method {
            "eth_chainId" => return "\"0x2105\"".to_owned(),
            "getGenesisHash" => return "\"5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d\"".to_owned(),
            _ => self.calls += 1,
        }
        let Some(at) = self.lines.iter().position(|(named, _)| named == method) else { return "null".to_owned() };
        let is_last = !self.lines.iter().skip(at + 1).any(|(named, _)| named == method);
        let answer = if is_last { self.lines[at].1.clone() } else { self.lines.remove(at).1 };
        if ["eth_getTransactionReceipt", "getTransaction"].contains(&method) {
            self.shown.extend(serde_json::from_str::<Value>(answer.trim_start_matches('!')));
        }
        answer
    }

    /// Whether something was given that has the nonce, the receiver and the amount in it, or the message.
    fn shows(&self, sought: &Sought) -> bool {
        match &sought.authorization {
            Authorization::Eip3009 { nonce, .. } => {
                let amount = format!("{:064x}", sought.amount.atomic());
                let parts = [hex::encode(nonce), SELLER.to_ascii_lowercase().replace("0x", ""), amount];
                let texts = self.shown.iter().map(|value| value.to_string().to_ascii_lowercase());
                texts.into_iter().any(|text| parts.iter().all(|part| text.contains(part)))
            }
            Authorization::Svm { message } => self.shown.iter().any(|value| {
                let text = value.pointer("/transaction/0").or(value.pointer("/result/transaction/0"));
                let bytes = text.and_then(Value::as_str).and_then(|text| codec::decode_bytes(text).ok());
                bytes.is_some_and(|bytes| bytes.ends_with(message))
            }),
        }
    }
}
