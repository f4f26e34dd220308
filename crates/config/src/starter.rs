//! The fleet file that `eud init` writes.

/// A commented fleet file that can be run as it is. `name` becomes the name of the fleet.
pub fn starter(name: &str) -> String {
    let name: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
    let name = if name.trim().is_empty() {
        "fleet".to_owned()
    } else {
        name
    };
    // A TOML string with a double quote or a backslash needs them escaped; JSON writes them alike.
    // `$` before a brace would begin a reference to a variable.
    let quoted = serde_json::Value::from(name.replace("${", "$${")).to_string();
    TEMPLATE.replacen("{name}", &quoted, 1)
}

const TEMPLATE: &str = include_str!("starter.toml");
