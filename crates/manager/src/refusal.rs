//! Refusals in words.

use eud_core::io::Refusal;

/// One sentence that ends in what to do.
pub(crate) fn words(refusal: &Refusal) -> String {
    match refusal {
        Refusal::UnknownUnit { unit } => format!("daemon `{unit}` is not defined"),
        Refusal::UnknownProfile { profile } => format!("the fleet has no profile `{profile}`"),
        Refusal::Held { unit, reason } if reason.is_empty() => {
            format!("`{unit}` is held; release it with `eud release {unit}`")
        }
        Refusal::Held { unit, reason } => {
            format!("`{unit}` is held ({reason}); release it with `eud release {unit}`")
        }
        Refusal::Disabled { unit } => {
            format!("`{unit}` is disabled; remove `enabled = false` from the fleet file")
        }
        Refusal::Conflict { unit, with } => {
            format!("`{unit}` conflicts with `{with}`; stop that first with `eud stop {with}`")
        }
        Refusal::NotRunning { unit, state } => {
            format!("`{unit}` is {state}: it has no process to signal")
        }
        Refusal::NotAJob { unit } => {
            format!("`{unit}` is a service and is not triggered; start it with `eud start {unit}`")
        }
        Refusal::BadEvent { index, why } => format!("event {index}: {why}"),
        Refusal::Unknown { what, name } => format!("there is no {what} `{name}`"),
        Refusal::Invalid { why } | Refusal::Full { why } => why.clone(),
        Refusal::ShuttingDown => "the manager is shutting down".to_owned(),
    }
}
