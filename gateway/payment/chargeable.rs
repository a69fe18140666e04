use http::StatusCode;

/// What an upstream's response header means for the payment of the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chargeable {
    /// Not the final answer: nothing may be settled on it, and nothing released.
    Interim,
    /// A good answer: settle, then release it.
    Yes,
    /// A failure: no charge.
    No,
}

/// Judges a status. 101 is final: what follows it is the thing that was paid for.
pub fn chargeable(status: StatusCode) -> Chargeable {
    match status.as_u16() {
        101 => Chargeable::Yes,
        100..=199 => Chargeable::Interim,
        200..=399 => Chargeable::Yes,
        _ => Chargeable::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_final_good_answers_are_charged() {
        let judge = |code| chargeable(StatusCode::from_u16(code).unwrap());
        for code in [100, 102, 103] {
            assert_eq!(judge(code), Chargeable::Interim, "{code}");
        }
        for code in [101, 200, 204, 206, 301, 304, 399] {
            assert_eq!(judge(code), Chargeable::Yes, "{code}");
        }
        for code in [400, 402, 404, 499, 500, 503, 599, 999] {
            assert_eq!(judge(code), Chargeable::No, "{code}");
        }
    }
}
