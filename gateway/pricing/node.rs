use std::num::NonZeroU32;
use std::sync::Arc;

use super::Route;

/// A place in a [`Tree`](super::tree::Tree), counted from one, so that none takes no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct At(NonZeroU32);

/// A segment of some patterns, and the routes whose patterns end there.
///
/// A line of the processor's cache holds just one: among very many routes no look-up finds more than a few of its nodes
/// in the cache, and fetching one from memory takes as long as all else that is done with it.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Node {
    /// Where it hangs. The root hangs nowhere, which is not asked.
    pub(super) parent: At,
    /// What is written out; nothing for `{name}`, which is not asked for it.
    pub(super) text: Text,
    /// What hangs on it.
    pub(super) below: Below,
    exact: Ends,
    folded: Ends,
}

/// What hangs on a node: whether there is something written out, which is looked for only if there is, and where `{name}`
/// leads to. In four bytes, so that the node stays a line of the cache.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Below(u32);

/// In which spelling a path is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spelling {
    /// As the operator wrote the pattern.
    Exact,
    /// As careless upstreams read it: see [`folded`](super::twin::folded).
    Folded,
}

/// The routes that are found at a node.
#[derive(Debug, Default)]
pub(super) struct Ends {
    /// The one whose pattern ends here.
    pub(super) here: Option<Arc<Route>>,
    /// The one whose `{name...}` begins here.
    pub(super) rest: Option<Arc<Route>>,
}

/// A segment's text: inside the node if it is as short as most are.
#[derive(Debug)]
pub(super) enum Text {
    Short(u8, [u8; SHORT]),
    Long(Box<str>),
}

/// As much as makes a node 64 bytes.
const SHORT: usize = 22;

impl At {
    pub(super) const ROOT: Self = Self(NonZeroU32::MIN);

    /// The place of that index. None if there are two thousand million before it.
    pub(super) fn new(index: usize) -> Option<Self> {
        let number = NonZeroU32::MIN.checked_add(u32::try_from(index).ok()?)?;
        (number.get() < Below::WRITTEN).then_some(Self(number))
    }

    pub(super) fn index(self) -> usize {
        // There is no machine that a gateway runs on where it does not fit.
        usize::try_from(self.0.get() - 1).unwrap_or(usize::MAX)
    }
}

impl Below {
    /// A bit above all places.
    const WRITTEN: u32 = 1 << 31;

    /// Where `{name}` leads to.
    pub(super) fn one(self) -> Option<At> {
        NonZeroU32::new(self.0 & !Self::WRITTEN).map(At)
    }

    pub(super) fn set_one(&mut self, at: At) {
        self.0 = self.0 & Self::WRITTEN | at.0.get();
    }

    /// Whether something that is written out hangs here.
    pub(super) fn is_written(self) -> bool {
        self.0 & Self::WRITTEN != 0
    }

    pub(super) fn set_written(&mut self) {
        self.0 |= Self::WRITTEN;
    }
}

impl Node {
    pub(super) fn new(parent: At, text: &str) -> Self {
        Self { parent, text: Text::new(text), below: Below::default(), exact: Ends::default(), folded: Ends::default() }
    }

    pub(super) fn ends(&self, spelling: Spelling) -> &Ends {
        match spelling {
            Spelling::Exact => &self.exact,
            Spelling::Folded => &self.folded,
        }
    }

    pub(super) fn ends_mut(&mut self, spelling: Spelling) -> &mut Ends {
        match spelling {
            Spelling::Exact => &mut self.exact,
            Spelling::Folded => &mut self.folded,
        }
    }
}

impl Text {
    fn new(text: &str) -> Self {
        let mut short = [0; SHORT];
        match (short.get_mut(..text.len()), u8::try_from(text.len())) {
            (Some(bytes), Ok(len)) => {
                bytes.copy_from_slice(text.as_bytes());
                Self::Short(len, short)
            }
            _ => Self::Long(text.into()),
        }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Short(len, bytes) => bytes.get(..usize::from(*len)).unwrap_or(bytes),
            Self::Long(text) => text.as_bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_node_is_a_line_of_the_cache() {
        assert_eq!((size_of::<Node>(), align_of::<Node>()), (64, 64));
    }

    #[test]
    fn what_hangs_on_a_node_is_told_apart() {
        let mut below = Below::default();
        assert_eq!((below.one(), below.is_written()), (None, false));
        let last = At::new(usize::try_from(Below::WRITTEN).unwrap() - 2).unwrap();
        below.set_one(last);
        assert_eq!((below.one(), below.is_written()), (Some(last), false));
        below.set_written();
        assert_eq!((below.one(), below.is_written()), (Some(last), true));
        assert_eq!(At::new(last.index() + 1), None);
    }

    proptest! {
        #[test]
        fn a_text_is_what_it_was_made_of(text in ".{0,40}") {
            let made = Text::new(&text);
            prop_assert_eq!(made.as_bytes(), text.as_bytes());
        }
    }
}
