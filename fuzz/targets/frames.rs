//! Frames of a WebSocket: how the stream is cut changes nothing, and no data passes before it is paid for.

use bytes::Bytes;
use tollgate::proxy::Frames;

/// The longest header of a frame.
const HEADER_BYTES_MAX: usize = 14;

/// What came of a stream.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    bytes: Vec<u8>,
    data: u64,
    paid: u64,
    ended: bool,
}

/// Reads the bytes behind the third as a stream, with as much money as the first two say, and cut as the third says.
pub fn frames(data: &[u8]) {
    let Some((&[high, low, cut], stream)) = data.split_first_chunk() else { return };
    let money = u64::from(high) * 256 + u64::from(low);
    let whole = passed(stream, stream.len().max(1), money);
    assert_eq!(passed(stream, usize::from(cut).max(1), money), whole, "cut into pieces of {cut}");
    assert!(stream.starts_with(&whole.bytes), "the stream was changed");
    assert!(whole.data <= whole.paid && whole.paid <= money, "{whole:?}");
    let held = stream.len() - whole.bytes.len();
    assert!(whole.ended || held < HEADER_BYTES_MAX, "{held} bytes are held back");
}

fn passed(stream: &[u8], cut: usize, money: u64) -> Outcome {
    let (mut frames, mut out) = (Frames::default(), Outcome { bytes: vec![], data: 0, paid: 0, ended: false });
    for piece in stream.chunks(cut) {
        let passed = frames.pass(&Bytes::copy_from_slice(piece), |bytes| {
            let paid = out.paid.checked_add(bytes).filter(|paid| *paid <= money).ok_or(())?;
            out.paid = paid;
            Ok::<_, ()>(())
        });
        out.bytes.extend_from_slice(&passed.bytes);
        out.data += passed.data;
        if passed.ended.is_some() {
            out.ended = true;
            break;
        }
    }
    out
}
