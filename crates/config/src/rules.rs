//! What rules and channels say about daemons, gates, pools and each other.
//!
//! Purpose: names that do not exist, statements that mean nothing or cannot both hold.
//! Invariants: names are only looked up when all files could be read, and only where nothing is
//! filled in: what a template gives, nobody knows beforehand.

use std::collections::BTreeMap;

use eud_core::fleet::{Channel, Fleet, Kind, Pool, Rule, daemon_of};
use eud_core::select;

use crate::bus::{self, Pools, Subscriptions};
use crate::check_texts::is_template;
use crate::checked::{Checked, Val};
use crate::diagnostic::Code;
use crate::gauges::Gates;
use crate::model_rule::{Made, tables};
use crate::source::{At, Draft, Report, printable, quoted};

/// Most rules, and channels.
const EACH_MAX: usize = 1_000;
/// Most actions of one rule, those of all rungs together.
const ACTIONS_MAX: usize = 100;
/// Most selectors in all rules together.
const SELECTORS_MAX: usize = 10_000;
/// Actions that name daemons.
const ON_DAEMONS: [&str; 6] = ["restart", "stop", "start", "hold", "release", "trigger"];

/// A rule as declared.
pub(crate) struct DeclaredRule {
    pub(crate) at: At,
    pub(crate) table: Checked,
    /// `None` when it was wrong.
    pub(crate) rule: Option<(Rule, Made)>,
}

/// A channel as declared.
pub(crate) struct DeclaredChannel {
    pub(crate) at: At,
    pub(crate) table: Checked,
    /// `None` when it was wrong.
    pub(crate) channel: Option<Channel>,
    /// Made for it when it is a command.
    pub(crate) pool: Option<Pool>,
}

pub(crate) type Rules = Vec<DeclaredRule>;
pub(crate) type Channels = BTreeMap<String, DeclaredChannel>;

/// What can be named.
pub(crate) struct Known<'a> {
    pub(crate) fleet: &'a Fleet,
    pub(crate) gates: &'a Gates,
    pub(crate) pools: &'a Pools,
    pub(crate) channels: &'a Channels,
}

/// Puts what was declared into the fleet.
pub(crate) fn declare(rules: &Rules, channels: &Channels, fleet: &mut Fleet) {
    for (rule, made) in rules.iter().filter_map(|declared| declared.rule.as_ref()) {
        fleet.rules.push(rule.clone());
        let outlets = made.outlets.iter();
        fleet
            .outlets
            .extend(outlets.map(|outlet| (outlet.name.clone(), outlet.clone())));
        let pools = made.pools.iter();
        fleet
            .pools
            .extend(pools.map(|pool| (pool.name.clone(), pool.clone())));
    }
    for declared in channels.values() {
        if let Some(channel) = &declared.channel {
            fleet.channels.insert(channel.name.clone(), channel.clone());
        }
        if let Some(pool) = &declared.pool {
            fleet.pools.insert(pool.name.clone(), pool.clone());
        }
    }
}

/// Checks that need no other file. Answers whether there are few enough to look further.
pub(crate) fn check_alone(rules: &Rules, channels: &Channels, report: &mut Report) -> bool {
    let mut bounded = true;
    let mut selectors = 0;
    for declared in rules {
        rule_alone(declared, report);
        let actions = actions(&declared.table);
        let names = |action: &&Checked| -> usize {
            let lists = ON_DAEMONS.iter().filter_map(|key| action.list(key));
            lists.map(<[_]>::len).sum()
        };
        selectors += actions.iter().map(names).sum::<usize>();
        if actions.len() > ACTIONS_MAX {
            let message = format!("the rule has more than {ACTIONS_MAX} actions");
            report.push(Draft::error(Code::TooMany, declared.at, message));
            bounded = false;
        }
        if selectors > SELECTORS_MAX && bounded {
            let message = format!("the rules have more than {SELECTORS_MAX} selectors");
            report.push(Draft::error(Code::TooMany, declared.at, message));
            bounded = false;
        }
    }
    for declared in channels.values() {
        channel_alone(declared, report);
    }
    let mut few = |count: usize, what: &str, last: Option<At>| {
        if let (Some(at), true) = (last, count > EACH_MAX) {
            let message = format!("there are more than {EACH_MAX} {what}");
            report.push(Draft::error(Code::TooMany, at, message));
            bounded = false;
        }
    };
    few(rules.len(), "rules", rules.last().map(|rule| rule.at));
    let last = channels.values().map(|channel| channel.at).max();
    few(channels.len(), "channels", last);
    bounded
}

/// All actions of a rule.
fn actions(table: &Checked) -> Vec<&Checked> {
    let rungs = table.table("ladder").into_iter();
    let rungs = rungs.flat_map(|ladder| tables(ladder, "rungs"));
    let lists = std::iter::once(table).chain(rungs);
    lists.flat_map(|list| tables(list, "then")).collect()
}

fn rule_alone(declared: &DeclaredRule, report: &mut Report) {
    let table = &declared.table;
    events(declared, report);
    windows(table, report);
    let ladder = table.table("ladder");
    let rungs = ladder
        .into_iter()
        .flat_map(|ladder| tables(ladder, "rungs"));
    for (list, key, what) in [table]
        .into_iter()
        .chain(rungs)
        .map(|list| (list, "then", "nothing is done"))
        .chain(ladder.map(|ladder| (ladder, "rungs", "the ladder has no rungs")))
    {
        if let (Some(at), Some([])) = (list.at(key), list.list(key))
            && !report.refuses_within(at)
        {
            report.push(Draft::error(Code::Missing, at, what).label("name one"));
        }
    }
    for action in actions(table) {
        action_alone(action, report);
    }
}

/// Which events a rule is about.
fn events(declared: &DeclaredRule, report: &mut Report) {
    let table = &declared.table;
    match (table.at("on"), table.at("sequence")) {
        (Some(first), Some(second)) => {
            let message = "the rule has both `on` and `sequence`";
            let draft = Draft::error(Code::Exclusive, second, message).label("this");
            report.push(draft.also(first, "and this"));
        }
        (None, None) if declared.rule.is_some() && !report.refuses_within(declared.at) => {
            let message = "the rule has neither `on` nor `sequence`";
            let draft = Draft::error(Code::Missing, declared.at, message);
            report.push(draft.label("say which events it is about"));
        }
        _ => {}
    }
    if let (Some(at), Some([])) = (table.at("on"), table.list("on"))
        && !report.refuses_within(at)
    {
        let draft = Draft::error(Code::Missing, at, "no type of events is meant");
        report.push(draft.label("name one; \"*\" means all"));
    }
    if let (Some(at), Some([] | [_])) = (table.at("sequence"), table.list("sequence"))
        && !report.refuses_within(at)
    {
        let draft = Draft::error(Code::Missing, at, "one event is no sequence");
        report.push(draft.label("name at least two; for one, write `on`"));
    }
}

/// Keys that mean something only together with others.
fn windows(table: &Checked, report: &mut Report) {
    let counts = table.count("count").is_some_and(|count| count > 1);
    let sequence = table.get("sequence").is_some();
    if let (true, true, Some(at)) = (counts, sequence, table.at("count")) {
        let message = "a sequence is not counted";
        let draft = Draft::error(Code::Exclusive, at, message);
        report.push(draft.label("leave out `count` or `sequence`"));
    }
    let window = table.at("within");
    let needs = table.at("sequence").or_else(|| table.at("count"));
    match (counts || sequence, window, needs) {
        (true, None, Some(at)) => {
            let message = "it is not said within which time";
            let draft = Draft::error(Code::Missing, at, message);
            report.push(draft.label("give `within`"));
        }
        (false, Some(at), _) => {
            let message = "`within` is the window of `count` and `sequence`, and there is neither";
            let draft = Draft::warning(Code::Misplaced, at, message);
            report.push(draft.label("give `count`, or leave it out"));
        }
        _ => {}
    }
    let waits = table.get("for").is_some();
    if let (Some(at), false) = (table.at("unless"), waits || counts || sequence) {
        let message = "`unless` calls off `for`, `count` and `sequence`, and there is none of them";
        let draft = Draft::error(Code::Misplaced, at, message);
        report.push(draft.label("give `for`, or leave it out"));
    }
}

/// Keys of an action that mean something only with some actions.
fn action_alone(action: &Checked, report: &mut Report) {
    const COMPANIONS: [(&str, &[&str]); 5] = [
        ("subject", &["emit"]),
        ("data", &["emit"]),
        ("timeout", &["webhook", "exec"]),
        ("retries", &["webhook", "exec"]),
        ("reason", &["hold", "close_gate"]),
    ];
    for (key, with) in COMPANIONS {
        let fits = with.iter().any(|with| action.get(with).is_some());
        if let (Some(at), false) = (action.at(key), fits) {
            let with = with.join("` and `");
            let message = format!("`{key}` means something only with `{with}`");
            report.push(Draft::error(Code::Misplaced, at, message).label("leave it out"));
        }
    }
    for key in ON_DAEMONS {
        if let (Some(at), Some([])) = (action.at(key), action.list(key))
            && !report.refuses_within(at)
        {
            let message = format!("`{key}` names no daemon");
            report.push(Draft::error(Code::Missing, at, message).label("name one"));
        }
    }
    if let Some(task) = action.table("task") {
        bus::once_alone(task, report);
    }
    bus::backoff_of_tries(action, report);
}

fn channel_alone(declared: &DeclaredChannel, report: &mut Report) {
    let table = &declared.table;
    bus::backoff_of_tries(table, report);
    if let Some(quiet) = table.table("quiet")
        && let (Some(from), Some(to), Some(at)) =
            (quiet.int("from"), quiet.int("to"), quiet.at("to"))
        && from == to
    {
        let message = "quiet hours that are over when they begin";
        let draft = Draft::error(Code::Contradiction, at, message);
        report.push(draft.label("another time than `from`"));
    }
    let Some(email) = table.table("email") else {
        return;
    };
    if let (Some(at), Some([])) = (email.at("to"), email.list("to"))
        && !report.refuses_within(at)
    {
        let draft = Draft::error(Code::Missing, at, "the mail goes to nobody");
        report.push(draft.label("name an address"));
    }
    if let (Some(at), None) = (email.at("password"), email.get("user")) {
        let message = "there is a password, and no user";
        report.push(Draft::error(Code::Missing, at, message).label("give `user`"));
    }
    if let (Some(at), Some("never")) = (email.at("password"), email.text("tls")) {
        let message = "the password would go over an open connection";
        let draft = Draft::error(Code::Contradiction, at, message);
        report.push(draft.label("leave out `tls = \"never\"`, or the password"));
    }
}

/// Looks up all names. Profiles must have been checked.
pub(crate) fn references(
    rules: &Rules,
    subscriptions: &Subscriptions,
    known: &Known<'_>,
    report: &mut Report,
) {
    for declared in subscriptions.values() {
        notice(&declared.table, known, report);
    }
    for action in rules.iter().flat_map(|declared| actions(&declared.table)) {
        notice(action, known, report);
        if let Some(task) = action.table("task") {
            bus::pool_of_task(task, known.pools, report);
        }
        for key in ["close_gate", "open_gate"] {
            if let (Some(name), Some(at)) = (action.text(key), action.at(key))
                && !known.gates.contains_key(name)
            {
                let all = known.gates.keys().map(String::as_str).collect();
                bus::unknown("gate", Code::UnknownGate, name, (at, all), report);
            }
        }
        for key in ON_DAEMONS {
            for (term, at) in action.texts(key) {
                if !is_template(&term) {
                    selector(key, &term, at, known, report);
                }
            }
        }
    }
}

/// The channel of a message.
fn notice(table: &Checked, known: &Known<'_>, report: &mut Report) {
    let named = match table.get("notify").map(|item| (&item.val, item.at)) {
        Some((Val::Text(name), at)) => Some((name.as_str(), at)),
        Some((Val::Table(notice), _)) => notice.text("channel").zip(notice.at("channel")),
        _ => None,
    };
    if let Some((name, at)) = named
        && !known.channels.contains_key(name)
    {
        let all = known.channels.keys().map(String::as_str).collect();
        bus::unknown("channel", Code::UnknownChannel, name, (at, all), report);
    }
}

fn selector(action: &str, term: &str, at: At, known: &Known<'_>, report: &mut Report) {
    // A profile is not expanded here: it may be deep, or contain itself, which is reported once.
    let plain = term.strip_prefix('!').unwrap_or(term);
    if let Some(profile) = plain.strip_prefix("profile:") {
        if !known.fleet.profiles.contains_key(profile) {
            let profiles = known.fleet.profiles.keys().map(String::as_str);
            let near = report.nearest(profile, profiles);
            let message = format!("profile {} is not defined", quoted(profile));
            let near = near.map(|name| format!("profile:{name}"));
            report.push(Draft::error(Code::UnknownProfile, at, message).suggest(near));
        }
        return;
    }
    if let Err(error) = select::expand(known.fleet, &[plain.to_owned()]) {
        let named = !plain.contains([':', '*', '?', '[', '{', '@']);
        let code = match named {
            true => Code::UnknownDaemon,
            false => Code::BadSelector,
        };
        let message: String = error.message.chars().map(printable).collect();
        report.push(Draft::error(code, at, message).suggest(error.suggestion));
        return;
    }
    let Some(daemon) = known.fleet.daemons.get(daemon_of(plain)) else {
        return;
    };
    if plain != term {
        return;
    }
    if action == "trigger" && daemon.kind != Kind::Job {
        let message = format!(
            "daemon `{}` is a service, and only a job can fire",
            daemon.name
        );
        let draft = Draft::error(Code::Contradiction, at, message);
        report.push(draft.label("write `start` or `restart`"));
    } else if !daemon.enabled && matches!(action, "trigger" | "start" | "restart") {
        let message = format!("daemon `{}` is disabled, but a rule starts it", daemon.name);
        let draft = Draft::warning(Code::DisabledUse, at, message);
        report.push(draft.label("it will not start"));
    }
}
