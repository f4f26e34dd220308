//! Options of the factory's commands.
//!
//! Invariants: `--name value` wins over `FACTORY_NAME`, which wins over the default. Words without
//! `--` are kept in order.
//! Deliberately absent: a parser crate. Seven options do not need one.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::Failure;

/// Default addresses, in a range nobody else uses. One variable each, so that two fleets can run at
/// once.
const DEFAULTS: [(&str, &str); 8] = [
    ("vault", "127.0.0.1:47610"),
    ("queue", "127.0.0.1:47611"),
    ("model", "127.0.0.1:47612"),
    ("data", "data"),
    ("inbox", "data/inbox"),
    ("rate", "2"),
    ("load", "3"),
    ("seed", "7"),
];

/// Options and words of one command line.
pub(crate) struct Args {
    options: BTreeMap<String, String>,
    words: Vec<String>,
}

impl Args {
    /// Reads the words after the command.
    pub(crate) fn parse(mut input: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let mut args = Self {
            options: BTreeMap::new(),
            words: Vec::new(),
        };
        while let Some(word) = input.next() {
            match word.strip_prefix("--") {
                Some(name) => {
                    let value = input.next().ok_or(format!("--{name} needs a value"))?;
                    args.options.insert(name.to_owned(), value);
                }
                None => args.words.push(word),
            }
        }
        Ok(args)
    }

    /// Value of an option, from the command line, the environment, or the defaults.
    pub(crate) fn text(&self, name: &str) -> Result<String, Failure> {
        if let Some(value) = self.options.get(name) {
            return Ok(value.clone());
        }
        let variable = format!("FACTORY_{}", name.to_uppercase());
        if let Ok(value) = std::env::var(&variable) {
            return Ok(value);
        }
        let default = DEFAULTS.iter().find(|(known, _)| *known == name);
        let (_, value) = default.ok_or(format!("--{name} (or {variable}) is missing"))?;
        Ok((*value).to_owned())
    }

    /// A path.
    pub(crate) fn path(&self, name: &str) -> Result<PathBuf, Failure> {
        self.text(name).map(PathBuf::from)
    }

    /// A number.
    pub(crate) fn number(&self, name: &str) -> Result<f64, Failure> {
        let text = self.text(name)?;
        let number = text
            .parse::<f64>()
            .ok()
            .filter(|n| n.is_finite() && *n >= 0.0);
        number.ok_or(format!("--{name}: `{text}` is not a number from 0 up"))
    }

    /// Seconds.
    pub(crate) fn seconds(&self, name: &str) -> Result<Duration, Failure> {
        Duration::try_from_secs_f64(self.number(name)?).map_err(|e| format!("--{name}: {e}"))
    }

    /// The `index`th word that is no option.
    pub(crate) fn word(&self, index: usize) -> Option<&str> {
        self.words.get(index).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::Args;

    fn parse(words: &[&str]) -> Args {
        Args::parse(words.iter().map(|w| (*w).to_owned())).expect("valid")
    }

    #[test]
    fn an_option_wins_over_its_default_and_words_stay_in_order() {
        let args = parse(&["queue", "--vault", "127.0.0.1:1", "now"]);
        assert_eq!(args.text("vault").expect("given"), "127.0.0.1:1");
        assert_eq!(args.text("rate").expect("default"), "2");
        assert_eq!(
            (args.word(0), args.word(1), args.word(2)),
            (Some("queue"), Some("now"), None)
        );
    }

    #[test]
    fn a_bad_value_names_its_option() {
        let args = parse(&["--rate", "-3"]);
        assert_eq!(
            args.number("rate"),
            Err("--rate: `-3` is not a number from 0 up".to_owned())
        );
        let missing = Args::parse(["--rate".to_owned()].into_iter());
        assert_eq!(missing.err(), Some("--rate needs a value".to_owned()));
    }
}
