/// The known name that was probably meant.
pub(super) fn suggestion<'n>(written: &str, names: &[&'n str]) -> Option<&'n str> {
    // A slip in three letters: more would suggest words that have nothing in common.
    let slips_max = (written.chars().count() / 3).clamp(1, 3);
    let distance = |name: &str| strsim::damerau_levenshtein(&written.to_lowercase(), name);
    let (slips, name) = names.iter().map(|name| (distance(name), *name)).min()?;
    (slips <= slips_max).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_near_names_are_suggested() {
        let names = ["path", "methods", "price", "units"];
        for (written, meant) in [
            ("prise", Some("price")),
            ("Method", Some("methods")),
            ("pirce", Some("price")),
            ("quota", None),
            ("", None),
        ] {
            assert_eq!(suggestion(written, &names), meant, "{written}");
        }
    }
}
