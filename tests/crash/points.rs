//! The points in the gateway's code at which it can be ended, with the feature `crash-points`.

use crate::run::Work;

/// A point, by the name that it has in the code.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Point {
    pub(crate) name: &'static str,
    reached_by: &'static [Work],
    /// Whether it is passed by nearly every payment; the others need a facilitator that misbehaves.
    pub(crate) is_usual: bool,
}

impl Point {
    pub(crate) fn is_reached_by(&self, work: Work) -> bool {
        match work {
            Work::Both => !self.reached_by.is_empty(),
            one => self.reached_by.contains(&one),
        }
    }
}

const CALLS: &[Work] = &[Work::Calls];
const SALES: &[Work] = &[Work::Purchases];
const BOTH: &[Work] = &[Work::Calls, Work::Purchases];

const fn usual(name: &'static str, reached_by: &'static [Work]) -> Point {
    Point { name, reached_by, is_usual: true }
}

const fn rare(name: &'static str, reached_by: &'static [Work]) -> Point {
    Point { name, reached_by, is_usual: false }
}

/// A point at which nothing is lost that is not lost at its neighbours, or which is on the way of keys and free calls:
/// `tests/faults` has the gateway panic there.
const fn faults_only(name: &'static str) -> Point {
    Point { name, reached_by: &[], is_usual: false }
}

pub(crate) const POINTS: [Point; 45] = [
    usual("claim.taken", CALLS),
    usual("verify.asking", BOTH),
    usual("verify.answered", BOTH),
    usual("upstream.asking", CALLS),
    usual("settle.called", CALLS),
    usual("settle.placed", BOTH),
    usual("settle.journaled", BOTH),
    usual("settle.answered", BOTH),
    usual("settle.booked", BOTH),
    rare("settle.voided", BOTH),
    rare("resolve.doubted", BOTH),
    rare("resolve.answered", BOTH),
    rare("resolve.written", BOTH),
    rare("reconcile.asking", BOTH),
    rare("reconcile.written", BOTH),
    usual("header.leaving", CALLS),
    usual("body.passing", CALLS),
    usual("body.ended", CALLS),
    usual("delivery.noting", CALLS),
    usual("delivery.written", CALLS),
    usual("sale.claimed", SALES),
    usual("sale.booked", SALES),
    usual("sale.delivered", SALES),
    usual("upfront.settled", CALLS),
    usual("upfront.noted", CALLS),
    faults_only("request.read"),
    faults_only("call.admitted"),
    faults_only("payer.screening"),
    faults_only("payer.screened"),
    faults_only("payer.admitted"),
    faults_only("upstream.choosing"),
    faults_only("answer.heard"),
    faults_only("request.ending"),
    faults_only("repeat.known"),
    faults_only("repeat.paid"),
    faults_only("trial.taken"),
    faults_only("key.reading"),
    faults_only("account.reading"),
    faults_only("units.leasing"),
    faults_only("units.leased"),
    faults_only("units.reserved"),
    faults_only("units.charging"),
    faults_only("units.charged"),
    usual("writer.committing", BOTH),
    usual("writer.committed", BOTH),
];

#[test]
fn every_point_in_the_code_is_listed() {
    let mut folders = vec![std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("gateway")];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let names = text.split("crash_point!(\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned());
            found.extend(names);
        }
    }
    let mut listed = POINTS.map(|point| point.name.to_owned());
    listed.sort();
    found.sort();
    assert_eq!(found, listed);
}
