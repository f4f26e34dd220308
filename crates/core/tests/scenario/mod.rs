//! A scripted world for the core: each step is one input, and what it led to is compared as text.

use std::collections::BTreeMap;
use std::sync::Arc;

use eud_core::Core;
use eud_core::event::Event;
use eud_core::fleet::{Daemon, Fleet, Probe, Ready};
use eud_core::io::{
    BusEffect, BusNews, ChannelEffect, ChannelNews, ChannelPersist, ChannelRecovery, Command,
    Effect, Input, Notify, Now, Persist, Recovery, Reply, RulePersist, RuleRecovery, RunEvent,
    SendRef, TaskEffect, TaskOver, TaskPersist, TaskRecovery, Usage, Which,
};
use eud_core::record::{
    ApprovalRow, Book, EndReason, ExitRecord, GateRow, Intent, Ledger, PoolRow, RuleRow, TaskId,
    TaskRow, TaskState,
};
use eud_core::record::{ChannelRow, MessageRow};

pub(crate) struct Script {
    pub(crate) core: Core,
    pub(crate) now: Now,
    effects: Vec<Effect>,
    pub(crate) intents: Vec<Intent>,
    pub(crate) ledgers: Vec<Ledger>,
    pub(crate) books: Vec<Book>,
    pub(crate) gates: BTreeMap<String, GateRow>,
    /// Every task ever put, until it is forgotten.
    pub(crate) tasks: BTreeMap<TaskId, TaskRow>,
    pub(crate) pools: BTreeMap<String, PoolRow>,
    /// Memory of channels, and messages that are not sent.
    pub(crate) channels: BTreeMap<String, ChannelRow>,
    pub(crate) messages: BTreeMap<u64, MessageRow>,
    /// The last try to send.
    pub(crate) sending: Option<SendRef>,
    /// Number of the last question about each gauge.
    pub(crate) asked: BTreeMap<String, u64>,
    /// Every event; read again by those who are behind.
    pub(crate) events: Vec<Arc<Event>>,
    pub(crate) rules: BTreeMap<String, RuleRow>,
    pub(crate) approvals: BTreeMap<u64, ApprovalRow>,
}

/// A daemon without probes that needs these.
pub(crate) fn daemon(name: &str, needs: &[&str]) -> Daemon {
    let mut daemon = Daemon {
        name: name.into(),
        enabled: true,
        replicas: 1,
        ..Daemon::default()
    };
    daemon.exec.argv = vec![name.into()];
    daemon.needs = needs.iter().map(|need| (*need).to_owned()).collect();
    daemon.restart.backoff_jitter_percent = 0;
    daemon
}

/// A readiness probe over TCP.
pub(crate) fn ready() -> Option<Ready> {
    Some(Ready {
        probe: Probe::Tcp("localhost:1".into()),
        every_ms: 10_000,
        timeout_ms: 1_000,
        failures: 2,
        within_ms: None,
    })
}

pub(crate) fn fleet(daemons: impl IntoIterator<Item = Daemon>) -> Fleet {
    let daemons = daemons
        .into_iter()
        .map(|daemon| (daemon.name.clone(), daemon))
        .collect();
    Fleet {
        name: "test".into(),
        daemons,
        ..Fleet::default()
    }
}

impl Script {
    /// A fresh core with this fleet, brought up.
    pub(crate) fn up(daemons: impl IntoIterator<Item = Daemon>) -> Self {
        Self::up_with(fleet(daemons))
    }

    pub(crate) fn up_with(fleet: Fleet) -> Self {
        let mut script = Self::new();
        script.load(fleet);
        script.give(Input::Recover(Box::new(Recovery {
            boot_id: "this boot".into(),
            ..Recovery::default()
        })));
        script.effects.clear();
        script.command(Command::Up { profile: None });
        script
    }

    pub(crate) fn new() -> Self {
        Self {
            core: Core::new(1),
            now: Now {
                mono_ms: 1_000,
                wall_ms: 1_700_000_000_000,
            },
            effects: Vec::new(),
            intents: Vec::new(),
            ledgers: Vec::new(),
            books: Vec::new(),
            gates: BTreeMap::new(),
            tasks: BTreeMap::new(),
            pools: BTreeMap::new(),
            channels: BTreeMap::new(),
            messages: BTreeMap::new(),
            sending: None,
            asked: BTreeMap::new(),
            events: Vec::new(),
            rules: BTreeMap::new(),
            approvals: BTreeMap::new(),
        }
    }

    /// A new core that recovers the intents and ledgers the old one persisted.
    pub(crate) fn crash_and_recover(&mut self, fleet: Fleet, recovery: Recovery) {
        let (intents, ledgers) = (self.intents.clone(), self.ledgers.clone());
        let books = self.books.clone();
        self.core = Core::new(2);
        self.load(fleet);
        let recovery = Recovery {
            intents,
            ledgers,
            books,
            boot_id: "this boot".into(),
            gates: self.gates.values().cloned().collect(),
            tasks: self.recovered_tasks(),
            rules: RuleRecovery {
                rules: self.rules.values().cloned().collect(),
                approvals: self.approvals.values().cloned().collect(),
                last_approval: self.approvals.keys().next_back().copied().unwrap_or(0),
            },
            channels: ChannelRecovery {
                channels: self.channels.values().cloned().collect(),
                messages: self.messages.values().cloned().collect(),
            },
            next_generation: 100,
            ..recovery
        };
        self.effects.clear();
        self.give(Input::Recover(Box::new(recovery)));
    }

    fn recovered_tasks(&self) -> TaskRecovery {
        let (over, tasks): (Vec<&TaskRow>, Vec<&TaskRow>) =
            self.tasks.values().partition(|row| row.state.is_over());
        let over = over.into_iter().map(|row| TaskOver {
            id: row.id,
            pool: row.pool.clone(),
            state: row.state,
            token: row.token.clone(),
            ended_ms: row.ended_ms.unwrap_or(0),
            row: (row.state != TaskState::Succeeded).then(|| Box::new(row.clone())),
        });
        TaskRecovery {
            over: over.collect(),
            tasks: tasks.into_iter().cloned().collect(),
            last_task: self.tasks.keys().next_back().copied().unwrap_or(0),
            pools: self.pools.values().cloned().collect(),
        }
    }

    pub(crate) fn give(&mut self, input: Input) {
        let mut effects = Vec::new();
        let mut asked = Vec::new();
        self.core.handle(input, self.now, &mut effects);
        for effect in &effects {
            match effect {
                Effect::Persist(Persist::Intent(intent)) => {
                    self.intents.retain(|old| old.unit != intent.unit);
                    self.intents.push(intent.clone());
                }
                Effect::Persist(Persist::Ledger(ledger)) => {
                    self.ledgers.retain(|old| old.unit != ledger.unit);
                    self.ledgers.push(ledger.clone());
                }
                Effect::Persist(Persist::Book(book)) => {
                    self.books.retain(|old| old.job != book.job);
                    self.books.push(book.clone());
                }
                Effect::Persist(Persist::Gate(row)) => {
                    self.gates.insert(row.gate.clone(), row.clone());
                }
                Effect::Persist(Persist::ForgetGate(gate)) => {
                    self.gates.remove(gate);
                }
                Effect::Persist(Persist::Task(item)) => self.note_task(item),
                Effect::Persist(Persist::Rule(item)) => self.note_rule(item),
                Effect::Stored(event) => self.events.push(Arc::clone(event)),
                Effect::Bus(BusEffect::Fetch { after, .. }) => asked.push(*after),
                Effect::Persist(Persist::Channel(item)) => self.note_channel(item),
                Effect::Channel(ChannelEffect::Send { send, .. }) => {
                    self.sending = Some(send.clone());
                }
                Effect::Sample { gauge, number, .. } => {
                    self.asked.insert(gauge.clone(), *number);
                }
                _ => {}
            }
        }
        self.effects.extend(effects);
        for after in asked {
            let later = self.events.iter().filter(|event| event.seq > after);
            let events: Vec<Arc<Event>> = later.cloned().collect();
            let upto = events.last().map_or(after, |event| event.seq);
            self.give(Input::Bus(BusNews::Fetched {
                after,
                events,
                upto,
            }));
        }
    }

    fn note_task(&mut self, item: &TaskPersist) {
        match item {
            TaskPersist::Put { row, .. } => {
                self.tasks.insert(row.id, (**row).clone());
            }
            TaskPersist::Forget(id) => {
                self.tasks.remove(id);
            }
            TaskPersist::Pool(row) => {
                self.pools.insert(row.name.clone(), row.clone());
            }
            TaskPersist::ForgetPool(name) => {
                self.pools.remove(name);
            }
        }
    }

    fn note_rule(&mut self, item: &RulePersist) {
        match item {
            RulePersist::Put(row) => {
                let old = self.rules.insert(row.name.clone(), (**row).clone());
                let keys = old.map(|old| old.keys).unwrap_or_default();
                if let Some(row) = self.rules.get_mut(&row.name) {
                    row.keys = keys;
                }
            }
            RulePersist::Key { rule, key, memory } => {
                let row = self.rules.entry(rule.clone()).or_default();
                row.name.clone_from(rule);
                match memory {
                    Some(memory) => row.keys.insert(key.clone(), (**memory).clone()),
                    None => row.keys.remove(key),
                };
            }
            RulePersist::Forget(name) => {
                self.rules.remove(name);
            }
            RulePersist::Approval(row) => {
                self.approvals.insert(row.id, (**row).clone());
            }
            RulePersist::ForgetApproval(id) => {
                self.approvals.remove(id);
            }
        }
    }

    fn note_channel(&mut self, item: &ChannelPersist) {
        match item {
            ChannelPersist::Channel(row) => {
                self.channels.insert(row.name.clone(), (**row).clone());
            }
            ChannelPersist::ForgetChannel(name) => {
                self.channels.remove(name);
            }
            ChannelPersist::Message(row) => {
                self.messages.insert(row.id, (**row).clone());
            }
            ChannelPersist::ForgetMessage(id) => {
                self.messages.remove(id);
            }
        }
    }

    /// Answers the last try to send.
    pub(crate) fn sent(&mut self, outcome: Result<(), &str>) {
        let send = self.sending.clone().unwrap_or_default();
        let outcome = outcome.map_err(str::to_owned);
        self.give(Input::Channel(ChannelNews::Sent { send, outcome }));
    }

    pub(crate) fn load(&mut self, fleet: Fleet) {
        self.give(Input::Load {
            fleet: Box::new(fleet),
            ticket: Some(9),
        });
    }

    pub(crate) fn command(&mut self, command: Command) {
        self.give(Input::Command { ticket: 1, command });
    }

    pub(crate) fn run(&mut self, unit: &str, event: RunEvent) {
        let generation = self
            .core
            .generation(unit)
            .unwrap_or_else(|| panic!("{unit} has no run"));
        self.give(Input::Run {
            unit: unit.into(),
            generation,
            event,
        });
    }

    pub(crate) fn started(&mut self, unit: &str) {
        self.run(
            unit,
            RunEvent::Started {
                pid: 77,
                at_ms: self.now.wall_ms,
            },
        );
    }

    pub(crate) fn notify(&mut self, unit: &str, item: Notify) {
        self.run(unit, RunEvent::Notify(item));
    }

    pub(crate) fn probed(&mut self, unit: &str, which: Which, outcome: Result<(), &str>) {
        let generation = self
            .core
            .generation(unit)
            .unwrap_or_else(|| panic!("{unit} has no run"));
        let outcome = outcome.map_err(str::to_owned);
        self.give(Input::Probed {
            unit: unit.into(),
            generation,
            which,
            outcome,
        });
    }

    /// Answers the last question about a gauge.
    pub(crate) fn sampled(&mut self, gauge: &str, outcome: Result<f64, &str>) {
        let number = self.asked.get(gauge).copied().unwrap_or(0);
        self.give(Input::Sampled {
            gauge: gauge.into(),
            number,
            outcome: outcome.map_err(str::to_owned),
        });
    }

    pub(crate) fn measured(&mut self, unit: &str, usage: Usage) {
        let generation = self
            .core
            .generation(unit)
            .unwrap_or_else(|| panic!("{unit} has no run"));
        self.give(Input::Measured {
            unit: unit.into(),
            generation,
            usage,
        });
    }

    pub(crate) fn record(&self, unit: &str, reason: EndReason, code: Option<i32>) -> ExitRecord {
        ExitRecord {
            run: "r".into(),
            unit: unit.into(),
            generation: self.core.generation(unit).unwrap_or(1),
            reason,
            code,
            signal: None,
            core: false,
            message: None,
            pid: 77,
            started_at_ms: self.now.wall_ms - 50,
            ended_at_ms: self.now.wall_ms,
            max_rss_kb: 0,
            cpu_user_us: 0,
            cpu_system_us: 0,
        }
    }

    pub(crate) fn exits(&mut self, unit: &str, code: i32) {
        let record = self.record(unit, EndReason::Exited, Some(code));
        self.run(unit, RunEvent::Ended(record));
    }

    pub(crate) fn stopped(&mut self, unit: &str) {
        let record = self.record(unit, EndReason::Stopped, Some(0));
        self.run(unit, RunEvent::Ended(record));
    }

    /// Lets time pass, with every timer on the way.
    pub(crate) fn pass(&mut self, ms: u64) {
        let end = self.now.mono_ms + ms;
        while let Some(due) = self.core.next_timeout().filter(|due| *due <= end) {
            self.advance(due.max(self.now.mono_ms));
            self.give(Input::Tick);
        }
        self.advance(end);
    }

    fn advance(&mut self, mono_ms: u64) {
        self.now.wall_ms += i64::try_from(mono_ms - self.now.mono_ms).unwrap_or(0);
        self.now.mono_ms = mono_ms;
    }

    /// The machine sleeps: no timer on the way.
    pub(crate) fn sleep(&mut self, ms: u64) {
        self.advance(self.now.mono_ms + ms);
        self.give(Input::Tick);
    }

    /// What was asked of the world since the last look, one item a line.
    pub(crate) fn told(&mut self) -> String {
        let lines: Vec<String> = self
            .effects
            .drain(..)
            .filter_map(|effect| line(&effect))
            .collect();
        lines.join("\n")
    }

    #[track_caller]
    pub(crate) fn expect(&mut self, expected: &str) {
        let expected: Vec<&str> = expected
            .lines()
            .map(str::trim)
            .filter(|l| !l.is_empty())
            .collect();
        assert_eq!(self.told(), expected.join("\n"));
    }
}

fn line(effect: &Effect) -> Option<String> {
    match effect {
        Effect::Launch { unit, .. } => Some(format!("launch {unit}")),
        Effect::Stop { unit, .. } => Some(format!("stop {unit}")),
        Effect::KillKeeper { unit, .. } => Some(format!("kill keeper of {unit}")),
        Effect::Signal { unit, signal, .. } => Some(format!("signal {unit} {signal}")),
        Effect::WatchLog { unit, .. } => Some(format!("watch log of {unit}")),
        Effect::Transition(t) => {
            let reason = t
                .reason
                .as_ref()
                .map_or(String::new(), |reason| format!(": {reason}"));
            Some(format!("{} {} → {}{reason}", t.unit, t.from, t.to))
        }
        Effect::Reply {
            reply: Reply::Refused(refusal),
            ..
        } => Some(format!("refused {refusal:?}")),
        Effect::Exit => Some("exit".to_owned()),
        Effect::Happened(happened) => Some(eud_core::happened::words(&happened.what)),
        Effect::Sample { gauge, .. } => Some(format!("sample {gauge}")),
        Effect::Measure { unit, .. } => Some(format!("measure {unit}")),
        Effect::Watch { daemon, watch, .. } => {
            let verb = if watch.is_some() { "watch" } else { "unwatch" };
            Some(format!("{verb} {daemon}"))
        }
        Effect::DropBatches { daemon, batches } => {
            Some(format!("drop {} of {daemon}", batches.join(", ")))
        }
        Effect::Task(TaskEffect::Over {
            unit,
            drop_dir: true,
        }) => Some(format!("drop the folder of {unit}")),
        Effect::Task(TaskEffect::Drop { unit }) => Some(format!("drop {unit}")),
        Effect::Bus(BusEffect::Deliver { delivery, .. }) => Some(format!(
            "deliver event {} to {}",
            delivery.seq, delivery.outlet
        )),
        Effect::Channel(ChannelEffect::Send { send, messages, .. }) => {
            let titles = messages.iter().map(|message| message.title.as_str());
            let titles: Vec<&str> = titles.collect();
            Some(format!("send on {}: {}", send.channel, titles.join(", ")))
        }
        Effect::Stored(event) if event.kind.starts_with("channel.") => {
            let subject = event.subject.as_deref().unwrap_or_default();
            Some(format!("event {} of {subject}", event.kind))
        }
        Effect::Persist(_)
        | Effect::Bus(_)
        | Effect::Task(_)
        | Effect::Stored(_)
        | Effect::Probe { .. }
        | Effect::Reply { .. } => None,
    }
}
