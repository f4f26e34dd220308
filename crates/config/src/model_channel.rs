//! From checked tables to channels and messages.
//!
//! Invariants: as in [`crate::model`].

use eud_core::fleet::{
    Channel, Email, Notice, Origin, Quiet, Retry, Severity, Subscription, Tls, Via,
};

use crate::checked::{Checked, Item, Val};
use crate::model;
use crate::model_bus::{self, retry};
use crate::zone::MachineZone;

/// Name of the pool of a channel that is a command.
pub(crate) fn implicit(channel: &str) -> String {
    format!("channel.{channel}")
}

/// Tries of a delivery when nothing else is said: those of a subscription.
pub(crate) fn tries() -> Retry {
    Subscription::default().retry
}

/// Time of one try when nothing else is said.
pub(crate) fn timeout_ms() -> u64 {
    Subscription::default().timeout_ms
}

/// A channel; `None` when its way is absent or wrong, which has been reported.
pub(crate) fn channel(
    name: &str,
    table: &Checked,
    zone: &MachineZone<'_>,
    origin: Origin,
) -> Option<Channel> {
    Some(Channel {
        name: name.to_owned(),
        via: via(name, table)?,
        min_severity: severity(table.text("min_severity")).unwrap_or(Severity::Info),
        group_ms: table.amount("group").unwrap_or(0),
        dedup_ms: table.amount("dedup").unwrap_or(0),
        quiet: table.table("quiet").and_then(|table| quiet(table, zone)),
        timeout_ms: table.amount("timeout").unwrap_or_else(timeout_ms),
        retry: retry(table, tries()),
        origin,
    })
}

fn via(name: &str, table: &Checked) -> Option<Via> {
    if table.text("via").is_some() {
        return Some(Via::Desktop);
    }
    if table.words("exec").is_some() {
        let pool = implicit(name);
        return Some(Via::Exec { pool });
    }
    if let Some(item) = table.get("webhook") {
        return model_bus::webhook(item).map(Via::Webhook);
    }
    table.table("email").and_then(email).map(Via::Email)
}

fn email(table: &Checked) -> Option<Email> {
    let tls = match table.text("tls") {
        Some("always") => Tls::Always,
        Some("never") => Tls::Never,
        _ => Tls::Starttls,
    };
    let usual = match tls {
        Tls::Starttls => 587,
        Tls::Always => 465,
        Tls::Never => 25,
    };
    let port = table.int("port").and_then(|port| u16::try_from(port).ok());
    Some(Email {
        host: table.text("host")?.to_owned(),
        port: port.unwrap_or(usual),
        tls,
        user: table.text("user").map(str::to_owned),
        password: table.table("password").and_then(model::secret_value),
        from: table.text("from")?.to_owned(),
        to: table.texts("to").into_iter().map(|(to, _)| to).collect(),
    })
}

fn quiet(table: &Checked, zone: &MachineZone<'_>) -> Option<Quiet> {
    let zone = || table.text("tz").map(str::to_owned).or_else(|| zone.name());
    Some(Quiet {
        from_min: table.count("from")?,
        to_min: table.count("to")?,
        zone: zone(),
    })
}

/// A message: the name of a channel, or a table.
pub(crate) fn notice(item: &Item) -> Option<Notice> {
    let table = match &item.val {
        Val::Text(channel) => {
            return Some(Notice {
                channel: channel.clone(),
                ..Notice::default()
            });
        }
        Val::Table(table) => table,
        _ => return None,
    };
    let text = |key: &str| table.text(key).map(str::to_owned);
    Some(Notice {
        channel: text("channel")?,
        title: text("title"),
        body: text("body"),
        severity: severity(table.text("severity")).unwrap_or_default(),
        key: text("key"),
    })
}

fn severity(word: Option<&str>) -> Option<Severity> {
    let all = [
        Severity::Info,
        Severity::Warning,
        Severity::Error,
        Severity::Critical,
    ];
    all.into_iter()
        .find(|severity| Some(severity.as_str()) == word)
}
