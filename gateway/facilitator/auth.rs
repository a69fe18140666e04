//! How calls to a facilitator say who asks: by fixed headers, by a token that is signed for each endpoint, or not at all.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use http::header::{
    ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, TE, TRANSFER_ENCODING, UPGRADE, USER_AGENT,
};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::SetupError;
use super::base_url::BaseUrl;
use super::cdp::{CdpKey, LIFETIME_S};
use super::transport::Endpoint;
use crate::clock::{Clock, unix_seconds};

/// What frames the message or names its receiver is not the operator's to set.
const OWN_HEADERS: [HeaderName; 7] = [CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, TE, TRANSFER_ENCODING, UPGRADE];
/// What a token must still have when it is sent: a slow network and a clock that is not quite right take their part.
const SPARE_S: u64 = 30;
/// So long a token is sent again.
const KEPT_FOR: Duration = Duration::from_secs(LIFETIME_S - SPARE_S);

/// What is sent with every call.
#[derive(Debug)]
pub(super) struct Auth {
    headers: HeaderMap,
    tokens: Option<Tokens>,
}

/// What one call carries beside the fixed headers.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pass(Option<Bearer>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Bearer {
    value: HeaderValue,
    /// Whether it is sent for the first time: then nothing better is to be had.
    is_new: bool,
}

impl Auth {
    pub(super) fn new(headers: &[(HeaderName, HeaderValue)], tokens: Option<Tokens>) -> Result<Self, SetupError> {
        Ok(Self { headers: fixed(headers)?, tokens })
    }

    /// What a call is to carry.
    pub(super) fn pass(&self, endpoint: Endpoint) -> Pass {
        Pass(self.tokens.as_ref().map(|tokens| tokens.current(endpoint)))
    }

    /// Another one after a facilitator has refused this one; none if it would be no better.
    pub(super) fn renewed(&self, endpoint: Endpoint, refused: &Pass) -> Option<Pass> {
        let bearer = self.tokens.as_ref()?.after(endpoint, refused.0.as_ref()?);
        bearer.map(|bearer| Pass(Some(bearer)))
    }

    /// The headers of a call, but for that of its body.
    pub(super) fn headers(&self, pass: &Pass) -> HeaderMap {
        let mut headers = self.headers.clone();
        if let Pass(Some(bearer)) = pass {
            headers.insert(AUTHORIZATION, bearer.value.clone());
        }
        headers
    }
}

impl Pass {
    /// Whether it is good for one URL only. The key signs for the endpoints that the operator has named, and for nothing
    /// that a redirect asks for: it may open more on the same host than payments.
    pub(super) fn is_bound(&self) -> bool {
        self.0.is_some()
    }
}

fn fixed(headers: &[(HeaderName, HeaderValue)]) -> Result<HeaderMap, SetupError> {
    let mut all = HeaderMap::new();
    all.insert(ACCEPT, HeaderValue::from_static("application/json"));
    all.insert(USER_AGENT, HeaderValue::from_static(concat!("tollgate/", env!("CARGO_PKG_VERSION"))));
    for (name, _) in headers {
        if OWN_HEADERS.contains(name) {
            return Err(SetupError::Header(name.clone()));
        }
        // The operator's word replaces ours; several of the same name are all kept.
        all.remove(name);
    }
    for (name, value) in headers {
        let mut value = value.clone();
        // Keeps it out of every debug print.
        value.set_sensitive(true);
        all.append(name, value);
    }
    Ok(all)
}

/// The tokens of one facilitator, one for each endpoint.
pub(super) struct Tokens {
    key: CdpKey,
    clock: Arc<dyn Clock>,
    verify: Slot,
    settle: Slot,
    supported: Slot,
}

/// One endpoint, and the token that was signed for it last.
struct Slot {
    uri: String,
    // Held while one signs, which takes less than a millisecond: the others then find the token.
    kept: Mutex<Option<Kept>>,
}

#[derive(Clone)]
struct Kept {
    value: HeaderValue,
    signed: Moment,
}

/// A time by two clocks, since each is wrong in its own way: the one can be set back, the other stands still while the
/// machine sleeps.
#[derive(Debug, Clone, Copy)]
struct Moment {
    wall: SystemTime,
    steady: Instant,
}

impl Moment {
    /// Whether a token that was signed then may be sent now.
    fn is_fresh(self, now: Self) -> bool {
        let by_wall = now.wall.duration_since(self.wall);
        by_wall.is_ok_and(|age| age < KEPT_FOR) && now.steady.saturating_duration_since(self.steady) < KEPT_FOR
    }
}

impl Tokens {
    pub(super) fn new(key: CdpKey, base: &BaseUrl, clock: Arc<dyn Clock>) -> Self {
        let slot = |endpoint: Endpoint| {
            let (method, path) = endpoint.method_and_path();
            Slot { uri: base.uri(&method, path), kept: Mutex::new(None) }
        };
        let (verify, settle) = (slot(Endpoint::Verify), slot(Endpoint::Settle));
        Self { key, clock, verify, settle, supported: slot(Endpoint::Supported) }
    }

    /// The token of this time.
    fn current(&self, endpoint: Endpoint) -> Bearer {
        self.take(endpoint, self.now(), |_| true)
    }

    /// What may be tried after `refused`: a kept token may have been forgotten by the other side, or signed by a clock
    /// that was wrong.
    fn after(&self, endpoint: Endpoint, refused: &Bearer) -> Option<Bearer> {
        if refused.is_new {
            // The next call is to begin with a new one.
            self.slot(endpoint).lock().take_if(|kept| kept.value == refused.value);
            return None;
        }
        let other = self.take(endpoint, self.now(), |value| *value != refused.value);
        // Once is enough, whoever signed it.
        Some(Bearer { is_new: true, ..other })
    }

    /// The kept token if it will do, else a new one.
    fn take(&self, endpoint: Endpoint, now: Moment, will_do: impl Fn(&HeaderValue) -> bool) -> Bearer {
        let slot = self.slot(endpoint);
        let mut kept = slot.lock();
        match kept.as_ref().filter(|kept| kept.signed.is_fresh(now) && will_do(&kept.value)) {
            Some(kept) => Bearer { value: kept.value.clone(), is_new: false },
            None => {
                let value = self.sign(&slot.uri, now);
                *kept = Some(Kept { value: value.clone(), signed: now });
                Bearer { value, is_new: true }
            }
        }
    }

    fn sign(&self, uri: &str, now: Moment) -> HeaderValue {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).expect("the operating system gives random bytes");
        let token = self.key.token(uri, nonce, unix_seconds(now.wall));
        let mut value = HeaderValue::try_from(format!("Bearer {token}")).expect("base64 and dots make a header");
        value.set_sensitive(true);
        value
    }

    fn now(&self) -> Moment {
        Moment { wall: self.clock.now(), steady: Instant::now() }
    }

    fn slot(&self, endpoint: Endpoint) -> &Slot {
        match endpoint {
            Endpoint::Verify => &self.verify,
            Endpoint::Settle => &self.settle,
            Endpoint::Supported => &self.supported,
        }
    }
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, Option<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    const SECRET: &str = "ZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmY0tNkEMVbLbc8L6wopSbdVnJQNK8ttvoxTqbMCeOOnRg==";

    struct Stage {
        tokens: Tokens,
        start: Moment,
    }

    impl Stage {
        fn new() -> Self {
            let base = BaseUrl::parse("https://api.example/x402").unwrap();
            let clock = Arc::new(ManualClock::at(1_767_225_600));
            let start = Moment { wall: clock.now(), steady: Instant::now() };
            Self { tokens: Tokens::new(CdpKey::parse("id", SECRET).unwrap(), &base, clock), start }
        }

        /// The token that is sent when so many seconds have passed by each clock, and whether it is new.
        fn sent(&self, wall: i64, steady: u64) -> (HeaderValue, bool) {
            let by = Duration::from_secs(wall.unsigned_abs());
            let wall = if wall < 0 { self.start.wall - by } else { self.start.wall + by };
            let now = Moment { wall, steady: self.start.steady + Duration::from_secs(steady) };
            let bearer = self.tokens.take(Endpoint::Verify, now, |_| true);
            (bearer.value, bearer.is_new)
        }
    }

    #[test]
    fn a_token_is_kept_until_shortly_before_its_end() {
        let stage = Stage::new();
        let (first, is_new) = stage.sent(0, 0);
        assert!(is_new);
        assert_eq!(stage.sent(89, 89), (first.clone(), false));
        let (second, is_new) = stage.sent(90, 90);
        assert!(is_new && second != first);
        assert_eq!(stage.sent(179, 179), (second, false));
    }

    #[test]
    fn no_clock_that_stands_or_goes_back_keeps_a_token_alive() {
        for (what, wall, steady) in [
            ("the machine slept", 3600, 1),
            ("the clock was set back", -1, 1),
            ("the clock was set back while the token grew old", 10, 90),
            ("the clock stands", 0, 90),
        ] {
            let stage = Stage::new();
            let (first, _) = stage.sent(0, 0);
            let (second, is_new) = stage.sent(wall, steady);
            assert!(is_new && second != first, "{what}");
        }
    }

    #[test]
    fn each_endpoint_has_a_token_of_its_own() {
        let Stage { tokens, .. } = Stage::new();
        let all = [Endpoint::Verify, Endpoint::Settle, Endpoint::Supported].map(|endpoint| tokens.current(endpoint));
        assert!(all.iter().all(|bearer| bearer.is_new));
        assert!(all[0].value != all[1].value && all[1].value != all[2].value && all[0].value != all[2].value);
    }

    #[test]
    fn a_kept_token_that_is_refused_is_replaced_once() {
        let Stage { tokens, .. } = Stage::new();
        let first = tokens.current(Endpoint::Settle);
        assert_eq!(tokens.after(Endpoint::Settle, &first), None, "it was new");
        let second = tokens.current(Endpoint::Settle);
        assert!(second.is_new && second.value != first.value);

        let kept = tokens.current(Endpoint::Settle);
        assert!(!kept.is_new && kept.value == second.value);
        let third = tokens.after(Endpoint::Settle, &kept).unwrap();
        assert!(third.is_new && third.value != kept.value);
        // Another call with the old one finds what was signed meanwhile, and goes on no longer either.
        assert_eq!(tokens.after(Endpoint::Settle, &kept), Some(third.clone()));
        assert_eq!(tokens.after(Endpoint::Settle, &third), None);
        assert!(tokens.current(Endpoint::Settle).is_new);
    }

    #[test]
    fn many_at_once_sign_once() {
        let Stage { tokens, .. } = Stage::new();
        let new = std::thread::scope(|scope| {
            let calls: Vec<_> = (0..16).map(|_| scope.spawn(|| tokens.current(Endpoint::Verify))).collect();
            calls.into_iter().map(|call| call.join().unwrap()).filter(|bearer| bearer.is_new).count()
        });
        assert_eq!(new, 1);
    }

    #[test]
    fn nothing_of_key_and_token_is_printed() {
        let Stage { tokens, .. } = Stage::new();
        let pass = Pass(Some(tokens.current(Endpoint::Verify)));
        let token = pass.0.as_ref().unwrap().value.to_str().unwrap().trim_start_matches("Bearer ").to_owned();
        let auth = Auth::new(&[], Some(tokens)).unwrap();
        let printed = format!("{pass:?} {auth:?} {:?}", auth.headers(&pass));
        assert!(!token.is_empty() && !printed.contains(&token) && !printed.contains(SECRET), "{printed}");
    }
}
