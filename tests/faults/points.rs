//! The points, by what comes past them.

/// What comes past a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// A paid call that is settled after its answer.
    Call,
    /// One that is settled before.
    Upfront,
    /// The purchase of a plan.
    Sale,
    /// A paid call that the facilitator refuses to settle.
    Refused,
    /// A paid call whose settlement breaks off.
    Doubt,
    /// The same, when it is sent again.
    Repeat,
    /// The same, when the gateway asks by itself.
    Reconciler,
    /// A call with a key.
    Key,
    /// A free call.
    Trial,
}

/// Each point with everything that comes past it and is not the same for both. The end of a commit is left out: nothing
/// of ours is done there, so that nothing can panic, and `tests/crash` ends the process there.
pub(crate) const POINTS: &[(&str, &[By])] = &[
    ("request.read", &[By::Call, By::Sale, By::Key, By::Trial]),
    ("claim.taken", &[By::Call, By::Upfront]),
    ("payer.screening", &[By::Call, By::Upfront, By::Sale]),
    ("payer.screened", &[By::Call, By::Sale]),
    ("payer.admitted", &[By::Call, By::Sale]),
    ("verify.asking", &[By::Call, By::Sale]),
    ("verify.answered", &[By::Call, By::Sale]),
    ("call.admitted", &[By::Call, By::Upfront, By::Key, By::Trial]),
    ("upstream.choosing", &[By::Call, By::Upfront, By::Key, By::Trial]),
    ("upstream.asking", &[By::Call, By::Upfront, By::Key, By::Trial]),
    ("answer.heard", &[By::Call, By::Upfront, By::Key, By::Trial]),
    ("settle.called", &[By::Call]),
    ("settle.placed", &[By::Call, By::Upfront, By::Sale]),
    ("settle.journaled", &[By::Call, By::Upfront, By::Sale]),
    ("settle.answered", &[By::Call, By::Upfront, By::Sale]),
    ("settle.booked", &[By::Call, By::Upfront, By::Sale]),
    ("settle.voided", &[By::Refused]),
    ("resolve.doubted", &[By::Doubt]),
    ("resolve.answered", &[By::Repeat]),
    ("resolve.written", &[By::Repeat]),
    ("repeat.known", &[By::Repeat]),
    ("repeat.paid", &[By::Repeat]),
    ("reconcile.asking", &[By::Reconciler]),
    ("reconcile.written", &[By::Reconciler]),
    ("upfront.settled", &[By::Upfront]),
    ("upfront.noted", &[By::Upfront]),
    ("header.leaving", &[By::Call, By::Upfront]),
    ("body.passing", &[By::Call]),
    ("body.ended", &[By::Call]),
    ("request.ending", &[By::Call, By::Upfront, By::Sale, By::Key, By::Trial]),
    ("delivery.noting", &[By::Call, By::Upfront]),
    ("delivery.written", &[By::Call]),
    ("sale.claimed", &[By::Sale]),
    ("sale.booked", &[By::Sale]),
    ("sale.delivered", &[By::Sale]),
    ("writer.committing", &[By::Call, By::Upfront, By::Sale, By::Key]),
    ("trial.taken", &[By::Trial]),
    ("key.reading", &[By::Key]),
    ("account.reading", &[By::Key]),
    ("units.leasing", &[By::Key]),
    ("units.leased", &[By::Key]),
    ("units.reserved", &[By::Key]),
    ("units.charging", &[By::Key]),
    ("units.charged", &[By::Key]),
];

/// The points that this comes past, each with how often it is to strike.
pub(crate) fn on_the_way_of(by: By) -> impl Iterator<Item = (&'static str, u32)> {
    let reached = POINTS.iter().filter(move |(_, all)| all.contains(&by)).map(|(point, _)| *point);
    // The first write of a life is the sweep.
    reached.map(|point| (point, if point == "writer.committing" { 2 } else { 1 }))
}

#[test]
fn every_point_in_the_code_is_struck() {
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
            found.extend(names.filter(|name| name != "writer.committed"));
        }
    }
    let mut listed: Vec<_> = POINTS.iter().map(|(point, _)| (*point).to_owned()).collect();
    listed.sort();
    found.sort();
    assert_eq!(found, listed);
}
