//! Inputs to the core, in any order, with any numbers that files, keepers and people can hold.
//!
//! What is promised: no input stops it; a launch is preceded by its durable intent, has a fresh
//! generation, and never joins a run that has not ended; an effect on a run names one that has not
//! ended; each command has one answer; counts sum; a timer that has fired is gone.
//!
//! Deliberately absent: a world that answers sensibly. That is the simulator's.

use std::collections::{BTreeMap, BTreeSet};

use arbitrary::{Result, Unstructured};
use eud_core::Core;
use eud_core::fleet::{
    Daemon, Fleet, LimitAction, Live, OnNeedLost, Probe, Ready, Restart, RestartMode, Unit,
};
use eud_core::io::{
    Command, Effect, Fate, Input, Notify, Now, Persist, RecoveredRun, Recovery, RunEvent, Which,
};
use eud_core::record::{
    Desired, EndReason, ExitRecord, Generation, Intent, Ledger, RunRow, Settled,
};

const INPUTS_MAX: usize = 60;
/// Timers that may be due at the same time, one after the other.
const TICKS_MAX: usize = 100;
/// Longest duration of a fleet file.
const DURATION_MS_MAX: u64 = 315_360_000_000;
const TIMES_MS: [i64; 7] = [
    i64::MIN,
    -1,
    0,
    1_795_000_000_000,
    1_795_000_060_000,
    1 << 50,
    i64::MAX,
];
const REASONS: [EndReason; 8] = [
    EndReason::Exited,
    EndReason::Stopped,
    EndReason::StopKilled,
    EndReason::Timeout,
    EndReason::SpawnFailed,
    EndReason::KeeperLost,
    EndReason::NeverStarted,
    EndReason::RecordCorrupt,
];

pub(crate) fn run(bytes: &[u8]) {
    let mut u = Unstructured::new(bytes);
    // Input that is used up ends the story, not the test.
    let _ = live(&mut u);
}

fn live(u: &mut Unstructured<'_>) -> Result<()> {
    let mut story = Story {
        core: Core::new(u.arbitrary()?),
        now: Now {
            mono_ms: 1_000,
            wall_ms: 1_795_000_000_000,
        },
        open: BTreeMap::new(),
        used: BTreeSet::new(),
        ticket: 0,
    };
    let load = load(u, None)?;
    story.tell(load);
    let recovery = recovery(u, &mut story)?;
    story.tell(Input::Recover(Box::new(recovery)));
    for _ in 0..INPUTS_MAX {
        // A manager that may exit does, and hears no more.
        if u.is_empty() || story.core.is_over() {
            break;
        }
        story.pass(u)?;
        let input = story.input(u)?;
        story.tell(input);
        // To look is dearer than to act, so it is done now and then.
        if u.ratio(1, 8)? {
            story.shows_itself();
        }
    }
    story.shows_itself();
    Ok(())
}

struct Story {
    core: Core,
    now: Now,
    /// Generation of the run of each unit that has not ended.
    open: BTreeMap<Unit, Generation>,
    used: BTreeSet<Generation>,
    ticket: u64,
}

impl Story {
    /// Time goes on: not at all, to the next timer, or by much; the wall clock may jump.
    fn pass(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let by = match u.int_in_range(0..=3)? {
            0 => 0,
            1 => u64::from(u.arbitrary::<u16>()?),
            2 => u.int_in_range(0..=DURATION_MS_MAX)?,
            _ => {
                let next = self.core.next_timeout().unwrap_or(0);
                next.saturating_sub(self.now.mono_ms)
            }
        };
        self.now.mono_ms = self.now.mono_ms.saturating_add(by).min(1 << 50);
        self.now.wall_ms += by.min(1 << 40).cast_signed();
        if u.ratio(1, 16)? {
            self.now.wall_ms = 1_795_000_000_000 + i64::from(u.arbitrary::<i32>()?);
        }
        Ok(())
    }

    fn unit(&self, u: &mut Unstructured<'_>) -> Result<Unit> {
        let units: Vec<&Unit> = self.core.units().collect();
        if units.is_empty() || u.ratio(1, 32)? {
            return Ok("nobody".to_owned());
        }
        Ok((*u.choose(&units)?).clone())
    }

    fn units(&self, u: &mut Unstructured<'_>) -> Result<Vec<Unit>> {
        (0..u.int_in_range(1..=2)?).map(|_| self.unit(u)).collect()
    }

    fn input(&mut self, u: &mut Unstructured<'_>) -> Result<Input> {
        let kind = u.int_in_range(0..=15)?;
        if kind == 0 {
            self.ticket += 1;
            return load(u, Some(self.ticket));
        }
        if kind <= 5 {
            self.ticket += 1;
            let command = self.command(u)?;
            return Ok(Input::Command {
                ticket: self.ticket,
                command,
            });
        }
        if kind == 6 {
            return Ok(Input::Tick);
        }
        let unit = self.unit(u)?;
        let open = self.open.get(&unit).copied();
        let generation = match open {
            Some(open) if u.ratio(15, 16)? => open,
            _ => u.arbitrary::<u8>()?.into(),
        };
        if kind <= 8 {
            let passed = u.arbitrary()?;
            return Ok(Input::Probed {
                unit,
                generation,
                which: *u.choose(&[Which::Ready, Which::Live])?,
                outcome: if passed {
                    Ok(())
                } else {
                    Err("refused".into())
                },
            });
        }
        let event = event(u, &unit, generation)?;
        Ok(Input::Run {
            unit,
            generation,
            event,
        })
    }

    fn command(&self, u: &mut Unstructured<'_>) -> Result<Command> {
        Ok(match u.int_in_range(0..=9)? {
            0 => Command::Up { profile: None },
            1 => Command::Up {
                profile: Some((*u.choose(&["p", "nothing"])?).to_owned()),
            },
            2 | 3 => Command::Start(self.units(u)?),
            4 => Command::Stop(self.units(u)?),
            5 => Command::Restart(self.units(u)?),
            6 => Command::Signal(self.units(u)?, "HUP".into()),
            7 => Command::Hold(self.units(u)?, "by hand".into()),
            8 => Command::Release(self.units(u)?),
            _ if u.ratio(1, 8)? => Command::Shutdown {
                keep_daemons: u.arbitrary()?,
            },
            _ => Command::Up { profile: None },
        })
    }

    fn tell(&mut self, input: Input) {
        let ticket = match &input {
            Input::Command { ticket, .. } => Some(*ticket),
            Input::Load { ticket, .. } => *ticket,
            _ => None,
        };
        if let Input::Run {
            unit,
            generation,
            event: RunEvent::Ended(_),
        } = &input
            && self.open.get(unit) == Some(generation)
        {
            self.open.remove(unit);
        }
        let mut effects = Vec::new();
        self.core.handle(input, self.now, &mut effects);
        self.look_at(&effects);
        let replies = effects.iter().filter_map(|effect| match effect {
            Effect::Reply { ticket, .. } => Some(*ticket),
            _ => None,
        });
        assert!(replies.eq(ticket), "{ticket:?}: {effects:?}");
        self.come_to_rest();
    }

    /// What is due at once is done at once; then time must pass.
    fn come_to_rest(&mut self) {
        for _ in 0..TICKS_MAX {
            let due = self.core.next_timeout();
            if due.is_none_or(|due| due > self.now.mono_ms) {
                return;
            }
            let mut effects = Vec::new();
            self.core.handle(Input::Tick, self.now, &mut effects);
            self.look_at(&effects);
        }
        panic!("a timer fires for ever");
    }

    fn look_at(&mut self, effects: &[Effect]) {
        let mut intents = BTreeSet::new();
        // What follows the exit is not carried out.
        for effect in effects.iter().take_while(|effect| **effect != Effect::Exit) {
            match effect {
                Effect::Persist(Persist::RunIntent(row)) => {
                    intents.insert((row.unit.clone(), row.generation, row.run.clone()));
                }
                Effect::Launch {
                    unit,
                    generation,
                    run,
                    ..
                } => {
                    assert!(intents.contains(&(unit.clone(), *generation, run.clone())));
                    assert!(self.used.insert(*generation), "{generation} is used twice");
                    let other = self.open.insert(unit.clone(), *generation);
                    assert_eq!(other, None, "{unit} has a run already");
                }
                Effect::Stop { unit, generation }
                | Effect::KillKeeper { unit, generation }
                | Effect::Signal {
                    unit, generation, ..
                }
                | Effect::Probe {
                    unit, generation, ..
                }
                | Effect::WatchLog {
                    unit, generation, ..
                } => assert_eq!(self.open.get(unit), Some(generation), "{effect:?}"),
                _ => {}
            }
        }
    }

    fn shows_itself(&self) {
        let status = self.core.status(self.now);
        assert_eq!(
            status.summary.counts.values().sum::<usize>(),
            status.summary.total
        );
        assert_eq!(status.summary.total, status.daemons.len());
        for daemon in &status.daemons {
            assert!(self.core.explain(&daemon.name, self.now).is_some());
            assert_eq!(
                self.core.view(&daemon.name, self.now).as_ref(),
                Some(daemon)
            );
        }
    }
}

fn event(u: &mut Unstructured<'_>, unit: &str, generation: Generation) -> Result<RunEvent> {
    let why = |u: &mut Unstructured<'_>| Ok(u.arbitrary::<bool>()?.then(|| "why".to_owned()));
    Ok(match u.int_in_range(0..=10)? {
        0..=3 => RunEvent::Started {
            pid: u.arbitrary()?,
            at_ms: *u.choose(&TIMES_MS)?,
        },
        4..=6 => RunEvent::Ended(record(u, unit, generation)?),
        7 => RunEvent::Notify(match u.int_in_range(0..=4)? {
            0 => Notify::Ready,
            1 => Notify::Watchdog,
            2 => Notify::Status("busy".into()),
            3 => Notify::Stopping,
            _ => Notify::Reloading,
        }),
        8 => RunEvent::LogMatched,
        9 => RunEvent::LogBlocked(why(u)?),
        _ => RunEvent::Unreachable(why(u)?),
    })
}

fn record(u: &mut Unstructured<'_>, unit: &str, generation: Generation) -> Result<ExitRecord> {
    Ok(ExitRecord {
        run: format!("r{generation}"),
        unit: unit.to_owned(),
        generation,
        reason: *u.choose(&REASONS)?,
        code: *u.choose(&[None, Some(0), Some(1), Some(2), Some(i32::MIN)])?,
        signal: *u.choose(&[None, Some(9), Some(-1), Some(i32::MAX)])?,
        core: u.arbitrary()?,
        message: None,
        pid: u.arbitrary()?,
        started_at_ms: *u.choose(&TIMES_MS)?,
        ended_at_ms: *u.choose(&TIMES_MS)?,
        max_rss_kb: u64::MAX,
        cpu_user_us: u64::MAX,
        cpu_system_us: u64::MAX,
    })
}

fn recovery(u: &mut Unstructured<'_>, story: &mut Story) -> Result<Recovery> {
    let mut found = Recovery {
        next_generation: u.int_in_range(1..=1 << 40)?,
        profile: u.arbitrary::<bool>()?.then(|| "p".to_owned()),
        ..Recovery::default()
    };
    if u.arbitrary()? {
        return Ok(found);
    }
    let mut generation = u64::from(u.arbitrary::<u8>()?);
    let units: BTreeSet<Unit> = story
        .core
        .units()
        .cloned()
        .chain(["gone".to_owned()])
        .collect();
    for unit in units {
        generation += 1;
        match u.int_in_range(0..=5)? {
            0 | 1 => {
                story.open.insert(unit.clone(), generation);
                found.runs.push(RecoveredRun {
                    run: format!("r{generation}"),
                    unit: unit.clone(),
                    generation,
                    fate: alive(u)?,
                });
            }
            2 => found.runs.push(RecoveredRun {
                run: format!("r{generation}"),
                unit: unit.clone(),
                generation,
                fate: Fate::Ended(record(u, &unit, generation)?),
            }),
            3 => found.last_runs.push(RunRow {
                run: format!("r{generation}"),
                unit: unit.clone(),
                generation,
                intent_at_ms: *u.choose(&TIMES_MS)?,
                pid: None,
                cause: "start".into(),
                exit: Some(record(u, &unit, generation)?),
                class: None,
            }),
            _ => {}
        }
        if u.arbitrary()? {
            found.intents.push(intent(u, &unit)?);
        }
        if u.arbitrary()? {
            found.ledgers.push(ledger(u, &unit)?);
        }
    }
    found.next_generation = found.next_generation.max(generation + 1);
    Ok(found)
}

fn alive(u: &mut Unstructured<'_>) -> Result<Fate> {
    if u.ratio(1, 4)? {
        return Ok(Fate::Unreachable("no answer".into()));
    }
    Ok(Fate::Live {
        pid: u.arbitrary()?,
        started_at_ms: *u.choose(&TIMES_MS)?,
        ready_seen: u.arbitrary()?,
        changed: u
            .arbitrary::<bool>()?
            .then(|| "command".to_owned())
            .into_iter()
            .collect(),
    })
}

fn intent(u: &mut Unstructured<'_>, unit: &str) -> Result<Intent> {
    Ok(Intent {
        unit: unit.to_owned(),
        desired: *u.choose(&[Desired::Up, Desired::Down])?,
        manual: u.arbitrary()?,
        hold: u.ratio(1, 4)?.then(|| "held".to_owned()),
        at_ms: *u.choose(&TIMES_MS)?,
    })
}

fn ledger(u: &mut Unstructured<'_>, unit: &str) -> Result<Ledger> {
    let times = |u: &mut Unstructured<'_>| -> Result<Vec<i64>> {
        (0..u.int_in_range(0..=4)?)
            .map(|_| Ok(*u.choose(&TIMES_MS)?))
            .collect()
    };
    Ok(Ledger {
        unit: unit.to_owned(),
        attempt: *u.choose(&[0, 1, 5, u32::MAX])?,
        restarts_total: *u.choose(&[0, 1, u64::MAX])?,
        recent_ms: times(u)?,
        next_try_ms: times(u)?.first().copied(),
        cooling: u.arbitrary()?,
        settled: *u.choose(&[None, None, Some(Settled::Done), Some(Settled::Failed)])?,
    })
}

fn load(u: &mut Unstructured<'_>, ticket: Option<u64>) -> Result<Input> {
    let mut fleet = Fleet {
        name: "f".into(),
        ..Fleet::default()
    };
    let mut earlier: Vec<String> = Vec::new();
    for number in 0..u.int_in_range(1..=5)? {
        let name = format!("d{number}");
        let daemon = daemon(u, &name, &earlier)?;
        fleet.daemons.insert(name.clone(), daemon);
        earlier.push(name);
    }
    let first = earlier.first().cloned().unwrap_or_default();
    fleet.profiles.insert("p".into(), vec![first]);
    Ok(Input::Load {
        fleet: Box::new(fleet),
        ticket,
    })
}

fn duration(u: &mut Unstructured<'_>) -> Result<u64> {
    Ok(*u.choose(&[0, 1, 50, 1_000, 10_000, 60_000, DURATION_MS_MAX])?)
}

/// Relations lead to earlier daemons only, so that there is no cycle.
fn daemon(u: &mut Unstructured<'_>, name: &str, earlier: &[String]) -> Result<Daemon> {
    let mut daemon = Daemon {
        name: name.to_owned(),
        enabled: u.ratio(15, 16)?,
        replicas: u.int_in_range(1..=2)?,
        restart: restart(u)?,
        on_need_lost: *u.choose(&[OnNeedLost::Keep, OnNeedLost::Restart])?,
        ..Daemon::default()
    };
    daemon.stop.grace_ms = duration(u)?;
    daemon.exec.argv = vec!["x".into(), u.int_in_range(0..=2)?.to_string()];
    for other in earlier {
        match u.int_in_range(0..=7)? {
            0 | 1 => daemon.needs.push(other.clone()),
            2 => daemon.wants.push(other.clone()),
            3 => daemon.after.push(other.clone()),
            4 => daemon.conflicts.push(other.clone()),
            _ => {}
        }
    }
    if u.arbitrary()? {
        daemon.ready = Some(Ready {
            probe: probe(u)?,
            every_ms: duration(u)?,
            timeout_ms: duration(u)?,
            failures: u.int_in_range(1..=3)?,
            within_ms: if u.arbitrary()? {
                Some(duration(u)?)
            } else {
                None
            },
        });
    }
    if u.ratio(1, 4)? {
        daemon.live = Some(Live {
            probe: probe(u)?,
            every_ms: duration(u)?,
            timeout_ms: duration(u)?,
            failures: u.int_in_range(1..=3)?,
        });
    }
    Ok(daemon)
}

fn probe(u: &mut Unstructured<'_>) -> Result<Probe> {
    Ok(match u.int_in_range(0..=2)? {
        0 => Probe::Tcp("localhost:1".into()),
        1 => Probe::Log("up".into()),
        _ => Probe::Notify {
            watchdog_ms: if u.arbitrary()? {
                Some(duration(u)?)
            } else {
                None
            },
        },
    })
}

fn restart(u: &mut Unstructured<'_>) -> Result<Restart> {
    let (a, b) = (duration(u)?, duration(u)?);
    Ok(Restart {
        mode: *u.choose(&[
            RestartMode::Always,
            RestartMode::OnFailure,
            RestartMode::Never,
        ])?,
        alarm_exits: [2].into(),
        backoff_initial_ms: a.min(b),
        backoff_max_ms: a.max(b),
        backoff_factor_percent: *u.choose(&[100, 200, 10_000])?,
        backoff_jitter_percent: *u.choose(&[0, 10, 100])?,
        reset_ms: duration(u)?,
        limit: u.int_in_range(0..=3)?,
        limit_window_ms: duration(u)?,
        limit_action: *u.choose(&[LimitAction::CoolDown, LimitAction::Hold])?,
        cool_down_ms: duration(u)?,
        ..Restart::default()
    })
}
