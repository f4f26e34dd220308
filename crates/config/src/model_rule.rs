//! From checked tables to rules.
//!
//! Invariants: as in [`crate::model`]; the webhooks and commands of a rule are numbered with its
//! other actions, from 1, the ladder's rung by rung.

use eud_core::fleet::{Action, Handler, Ladder, Origin, Pool, Rule, Rung, Subscription};
use serde_json::Value;

use crate::checked::{Checked, Val};
use crate::model::Place;
use crate::model_bus::{self, retry};
use crate::model_channel;

/// What a rule brings with it.
#[derive(Debug, Default)]
pub(crate) struct Made {
    /// Where its webhooks and commands go.
    pub(crate) outlets: Vec<Subscription>,
    /// What runs its commands.
    pub(crate) pools: Vec<Pool>,
}

/// What actions are made with.
pub(crate) struct Maker<'a> {
    /// What pools inherit.
    pub(crate) inherited: &'a Checked,
    pub(crate) place: &'a Place<'a>,
}

/// A rule; `None` when it has no name, which has been reported.
pub(crate) fn rule(table: &Checked, maker: &Maker<'_>, origin: Origin) -> Option<(Rule, Made)> {
    let default = Rule::default();
    let text = |key: &str| table.text(key).map(str::to_owned);
    let texts = |key: &str| table.texts(key).into_iter().map(|(text, _)| text).collect();
    let mut rule = Rule {
        name: text("name")?,
        description: text("description"),
        on: texts("on"),
        sequence: texts("sequence"),
        when: text("when"),
        key: text("key"),
        count: table.count("count").unwrap_or(default.count),
        within_ms: table.amount("within"),
        for_ms: table.amount("for"),
        unless: texts("unless"),
        then: Vec::new(),
        ladder: None,
        cooldown_ms: table.amount("cooldown").unwrap_or(default.cooldown_ms),
        once_per_key: table.bool("once_per_key").unwrap_or(default.once_per_key),
        limit: table
            .table("limit")
            .and_then(model_bus::rate)
            .unwrap_or(default.limit),
        approve: match table.get("approve").map(|item| &item.val) {
            Some(Val::Bool(approve)) => *approve,
            Some(Val::Table(_)) => true,
            _ => default.approve,
        },
        approve_within_ms: table
            .table("approve")
            .and_then(|approve| approve.amount("within"))
            .unwrap_or(default.approve_within_ms),
        enabled: table.bool("enabled").unwrap_or(default.enabled),
        origin,
    };
    let mut actions = Actions {
        rule: &rule,
        maker,
        count: 0,
        made: Made::default(),
    };
    let then = actions.list(table);
    let ladder = table.table("ladder").map(|table| actions.ladder(table));
    let made = actions.made;
    rule.then = then;
    rule.ladder = ladder;
    Some((rule, made))
}

/// The tables of a list.
pub(crate) fn tables<'t>(table: &'t Checked, key: &str) -> impl Iterator<Item = &'t Checked> {
    let items = table.list(key).unwrap_or_default();
    items.iter().filter_map(|item| match &item.val {
        Val::Table(table) => Some(table),
        _ => None,
    })
}

struct Actions<'a> {
    rule: &'a Rule,
    maker: &'a Maker<'a>,
    /// Actions so far.
    count: usize,
    made: Made,
}

impl Actions<'_> {
    fn list(&mut self, table: &Checked) -> Vec<Action> {
        tables(table, "then")
            .filter_map(|table| self.action(table))
            .collect()
    }

    fn ladder(&mut self, table: &Checked) -> Ladder {
        /// Default of `reset`.
        const RESET_MS: u64 = 3_600_000;
        let rung = |table: &Checked| Rung {
            then: self.list(table),
            cooldown_ms: table.amount("cooldown").unwrap_or(0),
            times: table.count("times").unwrap_or(1),
        };
        let healthy = table.texts("healthy").into_iter();
        Ladder {
            rungs: tables(table, "rungs").map(rung).collect(),
            healthy: healthy.map(|(pattern, _)| pattern).collect(),
            reset_ms: table.amount("reset").unwrap_or(RESET_MS),
        }
    }

    fn action(&mut self, table: &Checked) -> Option<Action> {
        self.count += 1;
        if let Some(action) = self.on_daemons(table) {
            return Some(action);
        }
        let text = |key: &str| table.text(key).map(str::to_owned);
        if let Some(task) = table.table("task") {
            return model_bus::task(task).map(Action::Task);
        }
        if let Some(kind) = text("emit") {
            return Some(Action::Emit {
                kind,
                subject: text("subject"),
                data: match table.get("data").map(|item| &item.val) {
                    Some(Val::Json(data)) => data.clone(),
                    _ => Value::Null,
                },
            });
        }
        if let Some(item) = table.get("notify") {
            return model_channel::notice(item).map(Action::Notify);
        }
        if let Some(gate) = text("close_gate") {
            let reason = self.reason(table);
            return Some(Action::CloseGate { gate, reason });
        }
        if let Some(gate) = text("open_gate") {
            return Some(Action::OpenGate { gate });
        }
        self.outlet(table)
    }

    fn on_daemons(&self, table: &Checked) -> Option<Action> {
        let names = |key: &str| {
            let texts = table.list(key).map(|_| table.texts(key))?;
            Some(texts.into_iter().map(|(name, _)| name).collect())
        };
        if let Some(names) = names("start") {
            return Some(Action::Start { names });
        }
        if let Some(names) = names("stop") {
            return Some(Action::Stop { names });
        }
        if let Some(names) = names("restart") {
            return Some(Action::Restart { names });
        }
        if let Some(names) = names("hold") {
            let reason = self.reason(table);
            return Some(Action::Hold { names, reason });
        }
        if let Some(names) = names("release") {
            return Some(Action::Release { names });
        }
        names("trigger").map(|names| Action::Trigger { names })
    }

    fn reason(&self, table: &Checked) -> String {
        let given = table.text("reason").map(str::to_owned);
        given.unwrap_or_else(|| format!("rule {}", self.rule.name))
    }

    /// A webhook or a command.
    fn outlet(&mut self, table: &Checked) -> Option<Action> {
        let name = format!("rule.{}.{}", self.rule.name, self.count);
        let (handler, action) = match (table.get("webhook"), table.words("exec")) {
            (Some(item), _) => {
                let outlet = name.clone();
                let webhook = model_bus::webhook(item)?;
                (Handler::Webhook(webhook), Action::Webhook { outlet })
            }
            (None, Some(_)) => {
                let pool = name.clone();
                (Handler::Exec { pool: name.clone() }, Action::Exec { pool })
            }
            (None, None) => return None,
        };
        let outlet = Subscription {
            name,
            description: self.rule.description.clone(),
            on: Vec::new(),
            handler,
            timeout_ms: table
                .amount("timeout")
                .unwrap_or_else(model_channel::timeout_ms),
            retry: retry(table, model_channel::tries()),
            origin: self.rule.origin.clone(),
            ..Subscription::default()
        };
        if let Some(argv) = table.words("exec") {
            let (inherited, place) = (self.maker.inherited, self.maker.place);
            let pool = model_bus::handler_pool(&outlet.name, &outlet, argv, inherited, place);
            self.made.pools.push(pool);
        }
        self.made.outlets.push(outlet);
        Some(action)
    }
}
