//! The fuzzer's targets without the fuzzer: over their seeds, and over small changes of those. `fuzz/run.sh` looks for
//! what this cannot find.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "this is a test")]

use std::fs;
use std::path::{Path, PathBuf};

#[path = "../fuzz/targets/mod.rs"]
#[allow(unreachable_pub, reason = "the fuzzer reaches it")]
mod targets;

use targets::{ALL, Target, read};
use tollgate::x402::codec;

/// How many changed inputs a target gets.
const CHANGED: usize = 2_000;
/// The largest seed, and how many of them a target has at most: whoever clones the repository gets them all.
const SEED_BYTES_MAX: usize = 4 * 1024;
const SEEDS_MAX: usize = 60;
/// Bytes that mean something to one reader or another.
const TELLING: &[u8] = b"\0\n%./\\;\"{}[]:,09aZ\x7f\xff";

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name)
}

/// A target's seeds, in the order of their names.
fn seeds(name: &str) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(folder(name)).unwrap_or_else(|error| panic!("the seeds of {name}: {error}"));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

/// Random enough, and the same each time (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % u64::try_from(bound.max(1)).unwrap()).unwrap()
    }

    /// A seed with a few bytes changed, left out, doubled, or taken from another one.
    fn change(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = seeds[self.below(seeds.len())].clone();
        for _ in 0..=self.below(3) {
            let (from, to) = (self.below(bytes.len() + 1), self.below(bytes.len() + 1));
            let (from, to) = (from.min(to), from.max(to).min(from.min(to) + 16));
            match self.below(5) {
                0 => drop(bytes.drain(from..to)),
                1 => bytes.splice(to..to, bytes[from..to].to_vec()).for_each(drop),
                2 if from < bytes.len() => bytes[from] ^= 1 << self.below(8),
                3 => bytes.insert(from, TELLING[self.below(TELLING.len())]),
                _ => {
                    let other = &seeds[self.below(seeds.len())];
                    let at = self.below(other.len() + 1);
                    let end = (at + self.below(32)).min(other.len());
                    bytes.splice(from..to, other[at..end].to_vec()).for_each(drop);
                }
            }
        }
        bytes
    }
}

fn hold(name: &str, target: Target) {
    let seeds = seeds(name);
    seeds.iter().for_each(|seed| target(seed));
    let mut dice = Dice(1);
    for _ in 0..CHANGED {
        let changed = dice.change(&seeds);
        let held = std::panic::catch_unwind(|| target(&changed));
        assert!(held.is_ok(), "{name} does not hold for {:?}", String::from_utf8_lossy(&changed));
    }
}

#[test]
fn every_decoder_holds_over_its_seeds_and_their_changes() {
    let broken = ALL.into_iter().filter(|(name, target)| std::panic::catch_unwind(|| hold(name, *target)).is_err());
    assert_eq!(broken.map(|(name, _)| name).collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn seeds_are_few_and_small() {
    for (name, _) in ALL {
        let seeds = seeds(name);
        assert!((1..=SEEDS_MAX).contains(&seeds.len()), "{} seeds of {name}", seeds.len());
        assert!(seeds.iter().all(|seed| seed.len() <= SEED_BYTES_MAX), "a seed of {name} is too large");
    }
}

/// Seeds that nothing takes any more would lead nowhere.
#[test]
fn a_payment_of_each_kind_is_among_the_seeds() {
    let kinds = ["eip3009", "eip3009-quoted", "eip3009-late-quoted", "eip3009-v1", "earlier-terms"];
    let others = ["identifier", "permit2", "solana", "solana-more-members", "solana-hinted", "solana-v1", "elsewhere"];
    for kind in kinds.into_iter().chain(others) {
        let message = fs::read(folder("payment").join(format!("{kind}.json"))).unwrap();
        let presented = read(codec::encode_bytes(&message).as_bytes());
        assert!(presented.is_ok(), "{kind}: {presented:?}");
    }
}

/// A target that only one of the two runs would be forgotten by the other.
#[test]
fn the_fuzzer_has_every_target() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let manifest: toml::Table = fs::read_to_string(package.join("Cargo.toml")).unwrap().parse().unwrap();
    let programs = manifest["bin"].as_array().unwrap().iter().map(|bin| bin["name"].as_str().unwrap().to_owned());
    assert!(programs.eq(ALL.map(|(name, _)| name.to_owned())));
    for (name, _) in ALL {
        let program = fs::read_to_string(package.join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(program.contains(&format!("tollgate_fuzz::{name}(data)")), "{program}");
    }
}
