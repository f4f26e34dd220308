//! The credential vault: hands out tokens while its one credential is valid.
//!
//! Purpose: the root of the example's cascade. When the credential expires, the vault still runs,
//! but is no longer ready, and everything that needs a token stands still.
//! Invariants: expiry is a file, `<data>/vault.expired`, so a restart does not cure it; the
//! credential itself is never logged or handed out.
//! Deliberately absent: cryptography. The seal is a toy that makes a wrong key visible, nothing
//! more.

use std::convert::Infallible;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::json;

use crate::args::Args;
use crate::http::{self, Reply, Request};
use crate::{Failure, say};

/// What an unsealed file begins with; proves the key.
const MAGIC: &str = "credential:";
/// Tokens name the window they were issued in, this long.
const TOKEN_LIFE_S: u64 = 5;

struct Vault {
    name: String,
    expired: PathBuf,
}

/// Runs `factory vault`.
pub(crate) fn run(args: &Args) -> Result<Infallible, Failure> {
    let sealed = args.path("sealed")?;
    let data = args.path("data")?;
    let key = std::env::var("VAULT_KEY").map_err(|_| "VAULT_KEY is not set".to_owned())?;
    let text = fs::read_to_string(&sealed).map_err(|e| format!("{}: {e}", sealed.display()))?;
    let name = unseal(text.trim(), &key).ok_or(format!(
        "cannot unseal {}: VAULT_KEY does not fit",
        sealed.display()
    ))?;
    fs::create_dir_all(&data).map_err(|e| format!("{}: {e}", data.display()))?;
    let vault = Vault {
        name,
        expired: data.join("vault.expired"),
    };
    say::news(&format!("unsealed credential `{}`", vault.name));
    if let Some(words) = vault.expired_words() {
        say::trouble(&words);
    }
    http::serve(&args.text("vault")?, move |request| vault.answer(request))
}

impl Vault {
    fn answer(&self, request: &Request) -> Reply {
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/livez") => Reply::ok("alive\n"),
            ("GET", "/readyz" | "/health") => match self.expired_words() {
                None => Reply::ok("ready\n"),
                Some(words) => Reply::status(503, words + "\n"),
            },
            ("GET", "/token") => self.token(),
            ("POST", "/expire") => self.done(expire(&self.expired), "expired by request"),
            ("POST", "/renew") => self.done(renew(&self.expired), "renewed"),
            _ => Reply::status(404, "no such path\n"),
        }
    }

    fn token(&self) -> Reply {
        if let Some(words) = self.expired_words() {
            say::trouble(&format!("refused a token: {words}"));
            return Reply::status(403, words + "\n");
        }
        let window = now_s() / TOKEN_LIFE_S;
        let token = format!("{}-{window:x}", self.name);
        Reply::ok(json!({ "token": token, "expires_in_s": TOKEN_LIFE_S }).to_string())
    }

    fn done(&self, outcome: std::io::Result<()>, what: &str) -> Reply {
        match outcome {
            Ok(()) => {
                say::news(&format!("credential `{}` {what}", self.name));
                Reply::ok(format!("credential `{}` {what}\n", self.name))
            }
            Err(e) => Reply::status(503, format!("{}: {e}\n", self.expired.display())),
        }
    }

    /// Why no token can be had; `None` while the credential is valid.
    fn expired_words(&self) -> Option<String> {
        let since = fs::metadata(&self.expired)
            .and_then(|m| m.modified())
            .ok()?;
        let ago = SystemTime::now()
            .duration_since(since)
            .unwrap_or(Duration::ZERO)
            .as_secs();
        Some(format!("credential `{}` expired {ago} s ago", self.name))
    }
}

fn expire(marker: &Path) -> std::io::Result<()> {
    fs::write(marker, "")
}

fn renew(marker: &Path) -> std::io::Result<()> {
    match fs::remove_file(marker) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn now_s() -> u64 {
    SystemTime::UNIX_EPOCH
        .elapsed()
        .unwrap_or(Duration::ZERO)
        .as_secs()
}

/// Name of the credential in a sealed text (hexadecimal), if the key fits.
fn unseal(hex: &str, key: &str) -> Option<String> {
    let bytes = hex.as_bytes().chunks(2).map(|pair| {
        let pair = std::str::from_utf8(pair).ok()?;
        u8::from_str_radix(pair, 16).ok()
    });
    let plain: Option<Vec<u8>> = bytes
        .zip(key.as_bytes().iter().cycle())
        .map(|(byte, k)| Some(byte? ^ k))
        .collect();
    let plain = String::from_utf8(plain?).ok()?;
    plain.strip_prefix(MAGIC).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::{expire, renew, unseal};

    const SEALED: &str = include_str!("../vault.sealed");
    const KEY: &str = include_str!("../seal.key");

    #[test]
    fn the_committed_key_fits_the_committed_seal_and_no_other_does() {
        assert_eq!(unseal(SEALED.trim(), KEY.trim()).as_deref(), Some("ingest"));
        assert_eq!(unseal(SEALED.trim(), "wrong"), None);
        assert_eq!(unseal("not hex", KEY.trim()), None);
    }

    #[test]
    fn renewing_what_is_not_expired_is_no_error() {
        let marker = std::env::temp_dir().join(format!("factory-vault-{}", std::process::id()));
        expire(&marker).expect("writable");
        assert!(marker.exists());
        renew(&marker).expect("removable");
        renew(&marker).expect("again");
        assert!(!marker.exists());
    }
}
