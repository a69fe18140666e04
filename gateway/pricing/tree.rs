use std::collections::HashMap;
use std::sync::Arc;

use super::pattern::Segment;
use super::{Pattern, Route};

/// Routes by their patterns, a level for each segment of the path.
///
/// At each segment what is written out wins over `{name}`, and `{name}` over `{name...}`, from left to right. Every
/// level is met once at most, so a look-up takes as long as the path has segments, times the patterns that agree with
/// its beginning: not as long as there are routes.
#[derive(Debug, Default)]
pub(super) struct Tree {
    literals: HashMap<Box<str>, Tree>,
    one: Option<Box<Tree>>,
    /// The route whose pattern ends here.
    here: Option<Arc<Route>>,
    /// The route whose `{name...}` begins here.
    rest: Option<Arc<Route>>,
}

/// A route found.
#[derive(Debug)]
pub(super) struct Match<'t> {
    /// The route.
    pub(super) route: &'t Arc<Route>,
    /// Whether the path is the pattern, letter by letter.
    pub(super) literal: bool,
}

impl Tree {
    /// Puts a route at its pattern's place.
    ///
    /// # Errors
    /// The route that has the place already.
    pub(super) fn insert(&mut self, pattern: &Pattern, route: &Arc<Route>) -> Result<(), Arc<Route>> {
        let mut node = self;
        for segment in pattern.segments() {
            node = match segment {
                Segment::Literal(text) => node.literals.entry(text.clone()).or_default(),
                Segment::One => node.one.get_or_insert_default(),
                Segment::Rest => return place(&mut node.rest, route),
            };
        }
        place(&mut node.here, route)
    }

    /// The route whose pattern fits a canonical path best.
    pub(super) fn find(&self, path: &str) -> Option<Match<'_>> {
        self.descend(path.strip_prefix('/'), true)
    }

    /// `left` is what follows the slash behind this level; none at the path's end.
    fn descend(&self, left: Option<&str>, literal: bool) -> Option<Match<'_>> {
        let rest = || self.rest.as_ref().map(|route| Match { route, literal: false });
        let Some(left) = left else {
            return self.here.as_ref().map(|route| Match { route, literal }).or_else(rest);
        };
        let (segment, left) = left.split_once('/').map_or((left, None), |(segment, left)| (segment, Some(left)));
        let one = || self.one.as_ref().filter(|_| !segment.is_empty())?.descend(left, false);
        self.literals.get(segment).and_then(|tree| tree.descend(left, literal)).or_else(one).or_else(rest)
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
    use proptest::prelude::*;

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
            let _ = tree.insert(&pattern, &route);
        }
        tree
    }

    fn found<'t>(tree: &'t Tree, path: &str) -> Option<&'t str> {
        tree.find(path).map(|found| found.route.pattern.as_str())
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
        assert!(tree.find("/a/b").unwrap().literal && !tree.find("/a/z").unwrap().literal);
        assert_eq!(found(&super::Tree::default(), "/"), None);
    }

    /// How a pattern fits a path by the words of the documentation: for each segment how specific it is, the smallest
    /// list being the best; none if it does not fit.
    fn rank(pattern: &Pattern, path: &str) -> Option<Vec<u8>> {
        let mut left = path.strip_prefix('/').unwrap().split('/');
        let mut rank = Vec::new();
        for segment in pattern.segments() {
            match (segment, left.next()) {
                (Segment::Rest, _) => return Some([rank, vec![3]].concat()),
                (Segment::Literal(text), Some(segment)) if **text == *segment => rank.push(1),
                (Segment::One, Some(segment)) if !segment.is_empty() => rank.push(2),
                _ => return None,
            }
        }
        left.next().is_none().then_some(rank)
    }

    proptest! {
        #[test]
        fn the_tree_finds_what_comparing_all_patterns_finds(
            patterns in proptest::collection::vec("(/[ab]|/\\{x\\}){0,3}(/|/\\{r\\.\\.\\.\\})?", 1..8),
            path in "(/[abc]){0,4}/?",
        ) {
            let patterns: Vec<_> = patterns.iter().filter(|text| !text.is_empty()).map(String::as_str).collect();
            let path = if path.is_empty() { "/" } else { &path };
            let ranked = patterns.iter().map(|&text| (rank(&Pattern::parse(text).unwrap(), path), text));
            let best = ranked.filter(|(rank, _)| rank.is_some()).min_by_key(|(rank, _)| rank.clone());
            let tree = tree(&patterns);
            prop_assert_eq!(found(&tree, path), best.map(|(_, text)| text));
        }
    }
}
