use std::hash::BuildHasher as _;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::node::{At, Node, Spelling};
use super::pattern::Segment;
use super::{Pattern, Route};

/// Routes by their patterns, a level for each segment of the path.
///
/// At each segment what is written out wins over `{name}`, and `{name}` over `{name...}`, from left to right. Every
/// level is met once at most, so a look-up takes as long as the path has segments, times the patterns that agree with
/// its beginning: not as long as there are routes.
///
/// Both spellings of a pattern are in one tree. Most patterns are written in the folded one already, and a path that is
/// looked up twice then finds the nodes in the processor's cache the second time.
#[derive(Debug)]
pub(super) struct Tree {
    /// The root, then each node before those below it: `{name}` stands next to what it follows, mostly.
    nodes: Vec<Node>,
    /// Where a segment that is written out leads to, by what it hangs on and its text: the nodes themselves hold both.
    ///
    /// One table of small numbers for all levels, since it fits into a cache where a table at each node does not. Its
    /// hashes are quick and no secret kept from anybody who can time them: strangers put nothing in, so that all they can
    /// make of it is what the operator's own paths make of it.
    literals: HashTable<At>,
    hashes: DefaultHashBuilder,
}

/// A route found.
#[derive(Debug)]
pub(super) struct Match<'t> {
    /// The route.
    pub(super) route: &'t Arc<Route>,
    /// Whether the path is the pattern, letter by letter.
    pub(super) literal: bool,
}

impl Default for Tree {
    fn default() -> Self {
        let nodes = vec![Node::new(At::ROOT, "")];
        Self { nodes, literals: HashTable::new(), hashes: DefaultHashBuilder::default() }
    }
}

impl Tree {
    /// Puts a route at its pattern's place.
    ///
    /// # Errors
    /// The route that has the place already.
    pub(super) fn insert(
        &mut self,
        spelling: Spelling,
        pattern: &Pattern,
        route: &Arc<Route>,
    ) -> Result<(), Arc<Route>> {
        let mut at = At::ROOT;
        for segment in pattern.segments() {
            at = match segment {
                Segment::Literal(text) => self.literal_mut(at, text),
                Segment::One => self.one_mut(at),
                Segment::Rest => return place(&mut self.node_mut(at).ends_mut(spelling).rest, route),
            };
        }
        place(&mut self.node_mut(at).ends_mut(spelling).here, route)
    }

    /// Gives back what was set aside for more routes.
    pub(super) fn shrink(&mut self) {
        self.nodes.shrink_to_fit();
    }

    /// The route whose pattern fits a canonical path best.
    pub(super) fn find(&self, spelling: Spelling, path: &str) -> Option<Match<'_>> {
        self.descend(spelling, At::ROOT, path.strip_prefix('/'), true)
    }

    /// `left` is what follows the slash behind this level; none at the path's end.
    fn descend(&self, spelling: Spelling, at: At, left: Option<&str>, literal: bool) -> Option<Match<'_>> {
        let node = self.nodes.get(at.index())?;
        let ends = node.ends(spelling);
        let rest = || ends.rest.as_ref().map(|route| Match { route, literal: false });
        let Some(left) = left else {
            return ends.here.as_ref().map(|route| Match { route, literal }).or_else(rest);
        };
        let (segment, left) = left.split_once('/').map_or((left, None), |(segment, left)| (segment, Some(left)));
        let one = || self.descend(spelling, node.below.one().filter(|_| !segment.is_empty())?, left, false);
        let written = || self.descend(spelling, self.literal(at, segment)?, left, literal);
        let written = node.below.is_written().then(written).flatten();
        written.or_else(one).or_else(rest)
    }

    /// Where a segment that is written out leads to.
    fn literal(&self, parent: At, text: &str) -> Option<At> {
        let is_it = |at: &At| {
            let node = self.nodes.get(at.index());
            node.is_some_and(|node| node.parent == parent && node.text.as_bytes() == text.as_bytes())
        };
        self.literals.find(self.hash(parent, text.as_bytes()), is_it).copied()
    }

    fn literal_mut(&mut self, parent: At, text: &str) -> At {
        if let Some(at) = self.literal(parent, text) {
            return at;
        }
        let at = self.push(parent, text);
        self.node_mut(parent).below.set_written();
        let (nodes, hashes) = (&self.nodes, &self.hashes);
        let hash =
            |at: &At| nodes.get(at.index()).map_or(0, |node| hashes.hash_one((node.parent, node.text.as_bytes())));
        self.literals.insert_unique(hash(&at), at, hash);
        at
    }

    fn one_mut(&mut self, parent: At) -> At {
        if let Some(at) = self.node_mut(parent).below.one() {
            return at;
        }
        let at = self.push(parent, "");
        self.node_mut(parent).below.set_one(at);
        at
    }

    fn push(&mut self, parent: At, text: &str) -> At {
        let at = At::new(self.nodes.len()).expect("a file of 64 MiB has fewer segments than that");
        self.nodes.push(Node::new(parent, text));
        at
    }

    fn node_mut(&mut self, at: At) -> &mut Node {
        self.nodes.get_mut(at.index()).expect("places are given out for nodes only, which stay")
    }

    fn hash(&self, parent: At, text: &[u8]) -> u64 {
        self.hashes.hash_one((parent, text))
    }
}

fn place(place: &mut Option<Arc<Route>>, route: &Arc<Route>) -> Result<(), Arc<Route>> {
    match place {
        Some(taken) => Err(Arc::clone(taken)),
        None => {
            *place = Some(Arc::clone(route));
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pricing::{Access, Methods, SettleTiming};

    fn tree(patterns: &[&str]) -> Tree {
        let mut tree = Tree::default();
        for pattern in patterns {
            let pattern = Pattern::parse(pattern).unwrap();
            let (methods, settle, upstream) = (Methods::All, SettleTiming::After, Arc::default());
            let route = Arc::new(Route {
                pattern: pattern.clone(),
                methods,
                access: Access::Free,
                settle,
                upstream,
                free_calls: None,
            });
            let _ = tree.insert(Spelling::Exact, &pattern, &route);
        }
        tree
    }

    fn found<'t>(tree: &'t Tree, path: &str) -> Option<&'t str> {
        tree.find(Spelling::Exact, path).map(|found| found.route.pattern.as_str())
    }

    #[test]
    fn the_most_specific_pattern_wins() {
        let tree = tree(&["/{all...}", "/a/{x}", "/a/{rest...}", "/a/b", "/a/{x}/c", "/a/b/{rest...}", "/d/"]);
        for (path, pattern) in [
            ("/", "/{all...}"),
            ("/z/y", "/{all...}"),
            ("/a", "/a/{rest...}"),
            ("/a/", "/a/{rest...}"),
            ("/a/b", "/a/b"),
            ("/a/z", "/a/{x}"),
            ("/a/z/c", "/a/{x}/c"),
            ("/a/z/d", "/a/{rest...}"),
            ("/a/b/c", "/a/b/{rest...}"),
            ("/d", "/{all...}"),
            ("/d/", "/d/"),
        ] {
            assert_eq!(found(&tree, path), Some(pattern), "{path}");
        }
        let is_literal = |path| tree.find(Spelling::Exact, path).unwrap().literal;
        assert!(is_literal("/a/b") && !is_literal("/a/z"));
        assert_eq!(found(&super::Tree::default(), "/"), None);
    }
}
