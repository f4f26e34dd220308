//! Random fleets: small, but with every relation and policy.

use std::collections::BTreeMap;

use eud_core::fleet::{
    Anchor, Daemon, Fleet, Job, Kind, LimitAction, Live, Missed, OnNeedLost, Overlap, Probe, Ready,
    Restart, RestartMode, Retry, Stop, When,
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
    let mut fleet = Fleet {
        name: "sim".into(),
        profile: None,
        profiles: BTreeMap::new(),
        daemons,
        ..Fleet::default()
    };
    crate::gauges::declare(dice, &mut fleet);
    crate::publish::declare(dice, &mut fleet);
    crate::tasks::declare(dice, &mut fleet);
    crate::channels::declare(dice, &mut fleet);
    crate::deliver::declare(dice, &mut fleet);
    crate::rules::declare(dice, &mut fleet);
    fleet
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
    if dice.chance(30) {
        make_job(dice, &mut daemon);
    }
    daemon
}

fn make_job(dice: &mut Dice, daemon: &mut Daemon) {
    daemon.kind = Kind::Job;
    daemon.live = None;
    daemon.ready = None;
    daemon.on_need_lost = OnNeedLost::Keep;
    let every_ms = dice.range(3, 20) * 1_000;
    let schedule = match dice.range(0, 9) {
        0..4 => Some(When::Every {
            every_ms,
            from: Anchor::Clock,
        }),
        4 => Some(When::Every {
            every_ms,
            from: Anchor::End,
        }),
        5 => Some(When::Every {
            every_ms,
            from: Anchor::Start,
        }),
        6 => Some(When::Cron {
            expr: format!("*/{} * * * * *", dice.range(3, 20)),
            zone: None,
        }),
        7 => Some(When::AfterUp {
            delay_ms: dice.range(0, 3_000),
        }),
        8 => Some(When::AfterBoot {
            delay_ms: dice.range(0, 9_000),
        }),
        _ => None,
    };
    let overlap = match dice.range(0, 3) {
        0 => Overlap::Skip,
        1 => Overlap::QueueOne,
        2 => Overlap::KillOld,
        _ => Overlap::Allow,
    };
    daemon.replicas = if overlap == Overlap::Allow { 2 } else { 1 };
    daemon.job = Some(Job {
        schedules: schedule.into_iter().collect(),
        jitter_ms: if dice.chance(30) { 2_000 } else { 0 },
        missed: match dice.range(0, 2) {
            0 => Missed::RunOnce,
            1 => Missed::Skip,
            _ => Missed::RunAll { max: 5 },
        },
        overlap,
        start_within_ms: dice.chance(20).then_some(5_000),
        retry: Retry {
            limit: u32::try_from(dice.range(0, 2)).unwrap_or(0),
            backoff_initial_ms: 1_000,
            ..Retry::default()
        },
        ..Job::default()
    });
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
