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
    /// What `{name}` leads to from here.
    pub(super) one: Option<At>,
    exact: Ends,
    folded: Ends,
}

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

    /// The place of that index. None if there are as many as no memory holds.
    pub(super) fn new(index: usize) -> Option<Self> {
        NonZeroU32::MIN.checked_add(u32::try_from(index).ok()?).map(Self)
    }

    pub(super) fn index(self) -> usize {
        // There is no machine that a gateway runs on where it does not fit.
        usize::try_from(self.0.get() - 1).unwrap_or(usize::MAX)
    }
}

impl Node {
    pub(super) fn new(parent: At, text: &str) -> Self {
        Self { parent, text: Text::new(text), one: None, exact: Ends::default(), folded: Ends::default() }
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

    proptest! {
        #[test]
        fn a_text_is_what_it_was_made_of(text in ".{0,40}") {
            let made = Text::new(&text);
            prop_assert_eq!(made.as_bytes(), text.as_bytes());
        }
    }
}
