//! The binary's own selftest, in small: kills at random, and every promise held against what is left.

use crate::support::World;

#[test]
fn killed_runs_keep_every_promise() {
    // The world lends its folder and its clean environment; the selftest has an emulator of its own.
    let world = World::with_recordings(0);
    let ended =
        world.voxbatch(&["selftest", "--chaos", "--rounds", "3", "--seed", "3", "--files", "16", "--json"]);
    let figures = ended.expect(0).json();
    assert_eq!((&figures["ok"], &figures["rounds"]), (&true.into(), &3.into()), "{figures}");
    assert!(figures["kills"].as_u64() >= Some(3), "{figures}");
    // Where there is a clock that can jump, it does in the rounds of this seed.
    assert_ne!(figures["clock_jumps"], 0, "{figures}");
    assert_eq!(
        (&figures["lost"], &figures["doubled"], &figures["over_limit"]),
        (&0.into(), &0.into(), &0.into())
    );
}

#[test]
fn a_selftest_without_its_kind_is_refused() {
    World::with_recordings(0).voxbatch(&["selftest"]).expect(2).told("--chaos");
}
