//! What goes wrong, and what an operator does.

use std::cmp::Reverse;

use eud_core::fleet::Unit;
use eud_core::io::{Command, Input};
use eud_core::record::RunId;

use crate::fleet;
use crate::run::{Event, History};

impl History {
    /// Something goes wrong, or an operator does something.
    pub(crate) fn mischief(&mut self) -> Result<(), String> {
        let delay = self.dice.range(20, 4_000);
        self.after(delay, Event::Mischief);
        let units: Vec<Unit> = self
            .fleet
            .daemons
            .values()
            .flat_map(eud_core::fleet::Daemon::units)
            .collect();
        let unit = self.dice.pick(&units).clone();
        match self.dice.range(0, 26) {
            0..=2 => self.command(Command::Stop(vec![unit])),
            3..=6 => self.command(Command::Start(vec![unit])),
            7..=9 => self.command(Command::Restart(vec![unit])),
            10 => self.command(Command::Hold(vec![unit], "by the operator".into())),
            11 => self.command(Command::Release(vec![unit])),
            12 => self.command(Command::Up { profile: None }),
            13 => self.reload(),
            14 if self.core.is_some() => self.manager_dies(),
            15 => self.power_cut(),
            16 => self.jump_clock(),
            17 | 18 => self.hurt_a_keeper(),
            19 | 20 => self.command(Command::Trigger(vec![unit])),
            21 => self.sleep(),
            22..=25 => self.publish(),
            _ => self.shut_down(),
        }
    }

    pub(crate) fn command(&mut self, command: Command) -> Result<(), String> {
        if self.core.is_none() {
            return Ok(());
        }
        self.pending = Some(command.clone());
        self.deliver(Input::Command { ticket: 1, command })?;
        self.pending = None;
        Ok(())
    }

    fn reload(&mut self) -> Result<(), String> {
        if self.core.is_none() {
            return Ok(());
        }
        self.checker.forgive_all();
        self.jobs.forgive_all();
        self.fleet = fleet::edited(&mut self.dice, &self.fleet);
        self.deliver(Input::Load {
            fleet: Box::new(self.fleet.clone()),
            ticket: None,
        })
    }

    fn shut_down(&mut self) -> Result<(), String> {
        let keep_daemons = self.dice.chance(50);
        if keep_daemons || self.dice.chance(30) {
            self.command(Command::Shutdown { keep_daemons })?;
        }
        Ok(())
    }

    pub(crate) fn power_cut(&mut self) -> Result<(), String> {
        let kept = usize::try_from(self.dice.range(0, 3)).unwrap_or(0);
        if self.world.power_cut(kept, self.mono_ms) {
            // Restarts that were counted may be forgotten with it.
            self.checker.forgive_all();
        }
        self.boots += 1;
        self.manager_dies()
    }

    fn jump_clock(&mut self) -> Result<(), String> {
        let hour = 3_600_000;
        let by = *self
            .dice
            .pick(&[-24 * hour, -hour, -5_000, 5_000, hour, 24 * hour]);
        self.wall_offset += by;
        self.checker.forgive_all();
        self.jobs.clock_was_set(&self.world);
        // The system tells of it, or the next heartbeat notices.
        if self.dice.chance(70) {
            self.deliver(Input::Tick)
        } else {
            Ok(())
        }
    }

    /// The machine sleeps: time passes, and nothing happens but that timers are due.
    fn sleep(&mut self) -> Result<(), String> {
        let slept = self.dice.range(5_000, 4 * 3_600_000);
        self.mono_ms += slept;
        for Reverse((at, number, event)) in std::mem::take(&mut self.queue) {
            let is_timer = matches!(event, Event::Tick { .. });
            let at = if is_timer { at } else { at + slept };
            self.queue.push(Reverse((at, number, event)));
        }
        self.checker.forgive_all();
        Ok(())
    }

    /// A keeper is killed, or stopped for a while.
    fn hurt_a_keeper(&mut self) -> Result<(), String> {
        let locked: Vec<RunId> = self.world.locks.values().cloned().collect();
        if locked.is_empty() {
            return Ok(());
        }
        let id = self.dice.pick(&locked).clone();
        if self.dice.chance(60) {
            self.world.end_keeper(&id, true);
            let (delay, epoch) = (self.latency(200), self.epoch);
            self.after(delay, Event::LossNoticed { run: id, epoch });
            return Ok(());
        }
        if let Some(run) = self.world.runs.get_mut(&id) {
            run.frozen = true;
        }
        let thaw = self.dice.range(100, 20_000);
        self.after(thaw, Event::Thaws { run: id });
        Ok(())
    }

    pub(crate) fn calm(&mut self) -> Result<(), String> {
        self.faults = false;
        self.calm_gauges();
        let frozen: Vec<RunId> = self.world.locks.values().cloned().collect();
        for id in frozen {
            // Some keepers never come back; a stop must get through all the same.
            let lost = self.dice.chance(50);
            if lost && let Some(run) = self.world.runs.get(&id).filter(|run| run.frozen) {
                self.command(Command::Stop(vec![run.unit.clone()]))?;
            } else {
                self.thaw(&id)?;
            }
        }
        if self.core.is_none() {
            self.after(1, Event::ManagerStarts);
        }
        Ok(())
    }
}
