//! Random fleets: small, but with every relation and policy.

use std::collections::BTreeMap;

use eud_core::fleet::{
    Daemon, Fleet, LimitAction, Live, OnNeedLost, Probe, Ready, Restart, RestartMode, Stop,
};

use crate::dice::Dice;

/// A fleet of three to seven daemons. Relations point to earlier daemons only, so there is no
/// cycle.
pub(crate) fn random(dice: &mut Dice) -> Fleet {
    let count = dice.range(3, 7);
    let mut daemons = BTreeMap::new();
    let mut names: Vec<String> = Vec::new();
    for number in 0..count {
        let name = format!("d{number}");
        daemons.insert(name.clone(), daemon(dice, &name, &names));
        names.push(name);
    }
    Fleet {
        name: "sim".into(),
        profile: None,
        profiles: BTreeMap::new(),
        daemons,
        ..Fleet::default()
    }
}

fn daemon(dice: &mut Dice, name: &str, earlier: &[String]) -> Daemon {
    let mut daemon = Daemon {
        name: name.to_owned(),
        enabled: true,
        replicas: if dice.chance(15) { 2 } else { 1 },
        restart: restart(dice),
        stop: Stop {
            grace_ms: dice.range(200, 3_000),
            ..Stop::default()
        },
        ..Daemon::default()
    };
    daemon.exec.argv = vec!["sim".into()];
    for other in earlier {
        match dice.range(0, 9) {
            0..3 => daemon.needs.push(other.clone()),
            3 => daemon.wants.push(other.clone()),
            4 => daemon.after.push(other.clone()),
            _ => {}
        }
    }
    // Conflicts only where nothing pulls both in, which the fleet file's check guarantees for
    // profiles.
    if dice.chance(40) {
        daemon.ready = Some(Ready {
            probe: Probe::Tcp("localhost:1".into()),
            every_ms: 10_000,
            timeout_ms: 500,
            failures: 2,
            within_ms: dice.chance(30).then_some(20_000),
        });
    }
    if dice.chance(20) {
        daemon.live = Some(Live {
            probe: Probe::Tcp("localhost:2".into()),
            every_ms: 8_000,
            timeout_ms: 500,
            failures: 2,
        });
    }
    if dice.chance(25) {
        daemon.on_need_lost = OnNeedLost::Restart;
    }
    daemon
}

fn restart(dice: &mut Dice) -> Restart {
    let mode = match dice.range(0, 9) {
        0 => RestartMode::Never,
        1..4 => RestartMode::OnFailure,
        _ => RestartMode::Always,
    };
    Restart {
        mode,
        limit: if dice.chance(50) { 3 } else { 10 },
        limit_action: if dice.chance(15) {
            LimitAction::Hold
        } else {
            LimitAction::CoolDown
        },
        cool_down_ms: 30_000,
        backoff_max_ms: 8_000,
        reset_ms: 10_000,
        ..Restart::default()
    }
}

/// The same fleet with one thing changed, as an editor would.
pub(crate) fn edited(dice: &mut Dice, fleet: &Fleet) -> Fleet {
    let mut fleet = fleet.clone();
    let names: Vec<String> = fleet.daemons.keys().cloned().collect();
    let name = dice.pick(&names).clone();
    if let Some(daemon) = fleet.daemons.get_mut(&name) {
        match dice.range(0, 3) {
            0 => daemon.exec.argv.push(format!("v{}", dice.range(0, 99))),
            1 => daemon.description = Some("edited".into()),
            2 => daemon.restart.limit = 5,
            _ => daemon.live = None,
        }
    }
    fleet
}
