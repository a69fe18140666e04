//! Where the frames of a WebSocket begin and end, and how many of their bytes are data (RFC 6455 §5.2).
//!
//! Pure. A frame is paid for when its header is complete, before any of it passes: so a stream can be ended between two
//! frames, and nothing but an unfinished header is ever held back. The libraries for WebSockets refuse a frame that they
//! do not know; a proxy has to let it pass and to know its length.

use bytes::Bytes;

/// The longest payload of a control frame.
const CONTROL_BYTES_MAX: u64 = 125;

/// The reader of one direction of a connection.
#[derive(Debug, Default)]
pub struct Frames {
    /// The header of the next frame, as far as it has come: at most 14 bytes.
    header: Vec<u8>,
    /// What is still to come of the frame that has begun.
    left: u64,
    /// Whether this frame carries data.
    data: bool,
}

/// What passes of a piece of the stream.
#[derive(Debug, PartialEq, Eq)]
pub struct Passed<E> {
    /// Whole headers, and payload of frames that are paid for.
    pub bytes: Bytes,
    /// How many of the bytes are data.
    pub data: u64,
    /// Why the next frame may not begin. `bytes` end between two frames then.
    pub ended: Option<E>,
}

/// A frame by its header.
struct Header {
    data: bool,
    payload: u64,
}

impl Frames {
    /// Takes the next piece of the stream, however it is cut. For each frame that begins in it, `pay` is asked with the
    /// number of its data bytes: none for a control frame.
    pub fn pass<E>(&mut self, piece: &Bytes, mut pay: impl FnMut(u64) -> Result<(), E>) -> Passed<E> {
        let held = self.header.clone();
        let (mut rest, mut data, mut ended) = (&**piece, 0, None);
        let mut end = 0;
        while !rest.is_empty() && ended.is_none() {
            if self.left == 0 {
                let Some(header) = self.header(&mut rest) else { break };
                ended = pay(if header.data { header.payload } else { 0 }).err();
                (self.left, self.data) = (header.payload, header.data);
            } else {
                let count = rest.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
                rest = rest.split_at(count).1;
                let count = u64::try_from(count).unwrap_or(u64::MAX);
                self.left = self.left.saturating_sub(count);
                data += if self.data { count } else { 0 };
            }
            if ended.is_none() {
                end = piece.len() - rest.len();
            }
        }
        let bytes = match end {
            0 => Bytes::new(),
            _ if held.is_empty() => piece.slice(..end),
            _ => [&*held, &*piece.slice(..end)].concat().into(),
        };
        Passed { bytes, data, ended }
    }

    /// Reads a header to its end. None if there is not enough of it yet.
    fn header(&mut self, rest: &mut &[u8]) -> Option<Header> {
        while let Some((first, others)) = rest.split_first() {
            self.header.push(*first);
            *rest = others;
            if let Some(header) = Header::read(&self.header) {
                self.header.clear();
                return Some(header);
            }
        }
        None
    }
}

impl Header {
    fn read(bytes: &[u8]) -> Option<Self> {
        let (first, second) = (bytes.first()?, bytes.get(1)?);
        let (length, payload) = match second & 0x7f {
            126 => (4, u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?).into()),
            127 => (10, u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)),
            short => (2, short.into()),
        };
        let mask = if second & 0x80 == 0 { 0 } else { 4 };
        bytes.get(length..length + mask)?;
        // A control frame that is longer than one can be is a way to send data.
        let data = first & 0x08 == 0 || payload > CONTROL_BYTES_MAX;
        Some(Self { data, payload })
    }
}

/// A frame from a server that closes the connection; `reason` is short (RFC 6455 §5.5.1).
pub(super) fn close(code: u16, reason: &str) -> Bytes {
    let payload = [&code.to_be_bytes(), reason.as_bytes()].concat();
    let length = u8::try_from(payload.len()).unwrap_or_default();
    [&[0x88, length], &*payload].concat().into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(opcode: u8, payload: usize, masked: bool) -> Vec<u8> {
        let mask = if masked { 0x80 } else { 0 };
        let mut frame = vec![0x80 | opcode];
        match payload {
            0..126 => frame.push(mask | u8::try_from(payload).unwrap()),
            126..=0xffff => {
                frame.push(mask | 126);
                frame.extend(u16::try_from(payload).unwrap().to_be_bytes());
            }
            _ => {
                frame.push(mask | 127);
                frame.extend(u64::try_from(payload).unwrap().to_be_bytes());
            }
        }
        frame.extend(std::iter::repeat_n(7, if masked { 4 } else { 0 }));
        // Payload that would be a close frame, were it read as a header.
        frame.extend(std::iter::repeat_n(0x88, payload));
        frame
    }

    fn is_data(opcode: u8, payload: usize) -> bool {
        opcode < 8 || payload > 125
    }

    fn free(_: u64) -> Result<(), ()> {
        Ok(())
    }

    #[test]
    fn only_the_payload_of_data_frames_counts() {
        for (opcode, payload, data) in [
            (0, 10, 10),
            (1, 10, 10),
            (2, 125, 125),
            (2, 126, 126),
            (2, 65_535, 65_535),
            (2, 65_536, 65_536),
            (3, 10, 10),
            (8, 10, 0),
            (9, 125, 0),
            (10, 0, 0),
            (9, 126, 126),
        ] {
            for masked in [false, true] {
                let bytes = Bytes::from(frame(opcode, payload, masked));
                let passed = Frames::default().pass(&bytes, free);
                assert_eq!(passed, Passed { bytes, data, ended: None }, "{opcode} {payload}");
            }
        }
    }

    #[test]
    fn a_header_that_is_not_complete_is_held_back_and_nothing_else() {
        let bytes = Bytes::from([frame(9, 3, false), frame(2, 70_000, true)].concat());
        let mut frames = Frames::default();
        let mut sent = 0;
        for cut in 0..=24 {
            sent += frames.pass(&bytes.slice(cut..=cut), free).bytes.len();
            let held = match cut {
                0 => 1,
                1..=4 => 0,
                5..=17 => cut - 4,
                _ => 0,
            };
            assert_eq!(cut + 1 - sent, held, "{cut}");
        }
    }

    #[test]
    fn a_frame_that_is_not_paid_for_does_not_begin() {
        let paid = [frame(1, 10, false), frame(9, 5, false), frame(2, 300, false)].concat();
        let bytes = Bytes::from([&*paid, &frame(1, 91, false), &frame(1, 1, false)].concat());
        for cut in 0..=bytes.len() {
            let (mut frames, mut budget, mut out, mut ended) = (Frames::default(), 400_u64, Vec::new(), None);
            for piece in [bytes.slice(..cut), bytes.slice(cut..)] {
                if ended.is_none() {
                    let passed = frames.pass(&piece, |bytes| {
                        budget = budget.checked_sub(bytes).ok_or("exhausted")?;
                        Ok(())
                    });
                    out.extend_from_slice(&passed.bytes);
                    ended = passed.ended;
                }
            }
            assert_eq!((out == paid, ended, budget), (true, Some("exhausted"), 90), "{cut}");
        }
    }

    #[test]
    fn a_length_beyond_all_measure_is_only_a_number() {
        let endless = [&[0x82, 127][..], &u64::MAX.to_be_bytes(), b"payload"].concat();
        let passed =
            Frames::default().pass(&endless.clone().into(), |bytes| if bytes == u64::MAX { Err(()) } else { Ok(()) });
        assert_eq!(passed, Passed { bytes: Bytes::new(), data: 0, ended: Some(()) });
        let passed = Frames::default().pass(&endless.into(), free);
        assert_eq!((passed.bytes.len(), passed.data), (17, 7));
    }

    #[test]
    fn the_close_frame_has_a_code_and_a_reason() {
        assert_eq!(&*close(1008, "bye"), [0x88, 5, 0x03, 0xf0, b'b', b'y', b'e']);
    }

    proptest! {
        #[test]
        fn however_the_bytes_are_cut_the_count_is_the_same(
            shapes in prop::collection::vec((0_u8..16, prop_oneof![0_usize..200, 65_000_usize..66_000], any::<bool>()), 0..8),
            cuts in prop::collection::vec(1_usize..5000, 1..200),
        ) {
            let stream: Vec<u8> =
                shapes.iter().flat_map(|(opcode, payload, masked)| frame(*opcode, *payload, *masked)).collect();
            let data: usize =
                shapes.iter().filter(|(opcode, payload, _)| is_data(*opcode, *payload)).map(|(_, payload, _)| payload).sum();
            let (mut rest, mut frames) = (Bytes::from(stream.clone()), Frames::default());
            let (mut out, mut counted, mut paid) = (Vec::new(), 0, 0);
            for cut in cuts.iter().cycle() {
                let piece = rest.split_to((*cut).min(rest.len()));
                let passed = frames.pass(&piece, |bytes| { paid += bytes; Ok::<_, ()>(()) });
                out.extend_from_slice(&passed.bytes);
                counted += passed.data;
                prop_assert!(counted <= paid, "no byte passes before it is paid for");
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(out, stream);
            let data = u64::try_from(data).unwrap();
            prop_assert_eq!((counted, paid), (data, data));
        }

        #[test]
        fn bytes_that_are_no_frames_pass_all_the_same(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..20)) {
            let mut frames = Frames::default();
            let passed: usize = pieces.iter().map(|piece| frames.pass(&piece.clone().into(), free).bytes.len()).sum();
            let sent: usize = pieces.iter().map(Vec::len).sum();
            prop_assert_eq!(sent - passed, frames.header.len());
        }
    }
}
