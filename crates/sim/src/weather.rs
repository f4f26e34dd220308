//! What nobody decides: keepers that die or hang, clocks that are set, a machine that sleeps; and
//! the good weather in which every history ends.

use std::cmp::Reverse;

use eud_core::fleet::{Unit, task_of};
use eud_core::io::{Command, Input, Numbers, TaskCommand};
use eud_core::record::RunId;

use crate::run::{Event, History};

impl History {
    pub(crate) fn jump_clock(&mut self) -> Result<(), String> {
        let hour = 3_600_000;
        let by = *self
            .dice
            .pick(&[-24 * hour, -hour, -5_000, 5_000, hour, 24 * hour]);
        self.wall_offset += by;
        self.checker.forgive_all();
        self.jobs.clock_was_set(&self.world);
        self.rules.clock_was_set();
        // The system tells of it, or the next heartbeat notices.
        if self.dice.chance(70) {
            self.deliver(Input::Tick)
        } else {
            Ok(())
        }
    }

    /// The machine sleeps: time passes, and nothing happens but that timers are due.
    pub(crate) fn sleep(&mut self) -> Result<(), String> {
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
    pub(crate) fn hurt_a_keeper(&mut self) -> Result<(), String> {
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
        self.calm_bus()?;
        let frozen: Vec<RunId> = self.world.locks.values().cloned().collect();
        for id in frozen {
            // Some keepers never come back; a stop must get through all the same.
            let lost = self.dice.chance(50);
            if lost && let Some(run) = self.world.runs.get(&id).filter(|run| run.frozen) {
                let unit = run.unit.clone();
                self.command(called_off(unit))?;
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

/// Ends what a unit does, whatever it is.
fn called_off(unit: Unit) -> Command {
    match task_of(&unit) {
        Some((_, id)) => Command::Task(TaskCommand::Cancel {
            which: Numbers::These(vec![id]),
            by: "the operator".into(),
        }),
        None => Command::Stop(vec![unit]),
    }
}
