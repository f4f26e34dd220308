//! What an operator does, and when something goes wrong.

use eud_core::fleet::Unit;
use eud_core::io::{Command, Input};

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
        if self.dice.chance(35)
            && let Some(command) = self.task_mischief()
        {
            return self.command(command);
        }
        if self.dice.chance(10)
            && let Some(command) = self.bus_mischief()
        {
            return self.command(command);
        }
        if self.dice.chance(10)
            && let Some(command) = self.channel_mischief()
        {
            return self.command(command);
        }
        if self.dice.chance(15)
            && let Some(command) = self.rule_mischief()
        {
            return self.command(command);
        }
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
        self.rules.asked(&command);
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
        self.tasks.edit(&mut self.dice, &mut self.fleet);
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
}
