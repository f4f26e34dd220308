//! Values written as text: durations, sizes, signals, addresses, names.
//!
//! Purpose: the grammar of each, in one place, without any knowledge of keys or files.
//! Invariants: nothing is guessed; a [`Fault`] never repeats the text it was given, which may come
//! from a variable.

/// Why a text is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// What is wrong, fit to follow `invalid duration: `.
    pub(crate) why: String,
    /// What to write instead.
    pub(crate) hint: String,
}

pub(crate) type Parsed<T> = Result<T, Fault>;

fn fault<T>(why: impl Into<String>, hint: impl Into<String>) -> Parsed<T> {
    Err(Fault {
        why: why.into(),
        hint: hint.into(),
    })
}

/// Units of durations in milliseconds, largest first.
const DURATION_UNITS: [(&str, u64); 6] = [
    ("w", 604_800_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Units of sizes in bytes.
pub(crate) const SIZE_UNITS: [(&str, u64); 10] = [
    ("B", 1),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// A duration in milliseconds: `30s`, `1h30m`, `500ms`, `1.5h`.
pub(crate) fn duration(text: &str) -> Parsed<u64> {
    const HINT: &str = "write a number and a unit, such as \"30s\", \"1h30m\" or \"500ms\"";
    let mut rest = text.trim();
    if rest.is_empty() {
        return fault("it is empty", HINT);
    }
    let mut total: u64 = 0;
    let mut smallest = u64::MAX;
    while !rest.is_empty() {
        let (number, after) = split_at_first(rest, |c| !c.is_ascii_digit() && c != '.');
        let (unit, after) = split_at_first(after.trim_start(), |c| !c.is_alphabetic());
        if number.is_empty() {
            return fault("a number is expected", HINT);
        }
        if unit.is_empty() {
            let hint = format!("add a unit: ms, s, m, h, d or w, such as \"{number}s\"");
            return fault(
                "it has no unit",
                if total == 0 { hint } else { HINT.into() },
            );
        }
        let Some((_, factor)) = DURATION_UNITS.iter().find(|(name, _)| *name == unit) else {
            return fault("its unit is not known", "units are ms, s, m, h, d and w");
        };
        if *factor >= smallest {
            return fault(
                "its units are not in order",
                "write the largest unit first: \"1h30m\"",
            );
        }
        smallest = *factor;
        let Some(part) = scaled(number, *factor) else {
            return fault(
                "its number cannot be used",
                "a whole number of milliseconds, please",
            );
        };
        let Some(sum) = total.checked_add(part) else {
            return fault("it is too long", HINT);
        };
        total = sum;
        rest = after.trim_start();
    }
    Ok(total)
}

/// A size in bytes: `50MB` is 10⁶, `64KiB` 2¹⁰.
pub(crate) fn size(text: &str) -> Parsed<u64> {
    const HINT: &str = "write a number and a unit, such as \"50MB\" or \"64KiB\"";
    let (number, unit) = split_at_first(text.trim(), |c| !c.is_ascii_digit() && c != '.');
    let unit = unit.trim();
    if number.is_empty() {
        return fault("a number is expected", HINT);
    }
    if unit.is_empty() {
        return fault(
            "it has no unit",
            format!("add a unit, such as \"{number}MB\" or \"{number}B\""),
        );
    }
    let Some((_, factor)) = SIZE_UNITS.iter().find(|(name, _)| *name == unit) else {
        let near = SIZE_UNITS.iter().filter(|(name, _)| {
            let short = unit.to_ascii_uppercase();
            name.to_ascii_uppercase().starts_with(&short) && short != "B"
        });
        let near: Vec<String> = near
            .map(|(name, _)| format!("\"{number}{name}\""))
            .collect();
        let hint = match near.as_slice() {
            [] => {
                "units are B, kB, MB, GB, TB (powers of 1000), KiB, MiB, GiB, TiB (of 1024)".into()
            }
            near => format!("write {}", near.join(" or ")),
        };
        return fault("its unit is not known", hint);
    };
    match scaled(number, *factor) {
        Some(bytes) => Ok(bytes),
        None => fault(
            "its number cannot be used",
            "a whole number of bytes, please",
        ),
    }
}

fn split_at_first(text: &str, end: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(end).unwrap_or(text.len()))
}

/// `number` (digits with at most one point) times `factor`, when that is a whole number that fits.
fn scaled(number: &str, factor: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if whole.is_empty() || fraction.is_empty() || fraction.len() > 9 {
        return None;
    }
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let digits = whole.parse::<u64>().ok()?;
    let digits = u128::from(digits) * scale + u128::from(fraction.parse::<u64>().ok()?);
    let product = digits.checked_mul(u128::from(factor))?;
    if product % scale == 0 {
        u64::try_from(product / scale).ok()
    } else {
        None
    }
}

/// A number, or what a size, a duration or a percentage stands for: bytes, seconds, percent.
pub(crate) fn threshold(text: &str) -> Option<f64> {
    let text = text.trim();
    let plain = text.strip_suffix('%').unwrap_or(text).trim();
    if let Ok(number) = plain.parse::<f64>() {
        return Some(number).filter(|number| number.is_finite());
    }
    if let Ok(ms) = duration(text) {
        return Some(ms as f64 / 1_000.0);
    }
    size(text).ok().map(|bytes| bytes as f64)
}

/// Signals that can ask a process to stop.
pub(crate) const SIGNALS: [&str; 12] = [
    "TERM", "INT", "QUIT", "HUP", "KILL", "USR1", "USR2", "ABRT", "ALRM", "PIPE", "CONT", "WINCH",
];

/// A signal, with or without `SIG`, without it in the answer.
pub(crate) fn signal(text: &str) -> Parsed<String> {
    let upper = text.trim().to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if SIGNALS.contains(&name) {
        return Ok(name.to_owned());
    }
    if name.parse::<u32>().is_ok() {
        return fault(
            "numbers of signals differ between systems",
            "write its name, such as \"TERM\"",
        );
    }
    if matches!(name, "STOP" | "TSTP" | "TTIN" | "TTOU") {
        return fault(
            "it suspends a process and cannot stop it",
            "write \"TERM\" or \"INT\"",
        );
    }
    let near = eud_core::select::nearest(name.get(..16).unwrap_or(name), SIGNALS.into_iter());
    let hint = match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("one of {}", SIGNALS.join(", ")),
    };
    fault("there is no such signal", hint)
}

/// A URL that the HTTP probe can ask: `http://host[:port][/path]`.
pub(crate) fn http_url(text: &str) -> Parsed<String> {
    const HINT: &str = "write it like \"http://127.0.0.1:8080/health\"";
    if text.starts_with("https://") {
        return fault(
            "TLS is not spoken here",
            "ask the plain port, or run curl by `exec` or `command`",
        );
    }
    let Some(rest) = text.strip_prefix("http://") else {
        return fault("it does not begin with `http://`", HINT);
    };
    let found = located(text, rest, HINT);
    found.map_err(|fault| match fault.why.as_str() {
        "it contains a user name" => Fault {
            hint: "use `exec` with curl where a login is needed".into(),
            ..fault
        },
        _ => fault,
    })
}

/// A URL that an event can be sent to: `https://host[:port][/path]`, or `http://`.
pub(crate) fn web_url(text: &str) -> Parsed<String> {
    const HINT: &str = "write it like \"https://example.org/hook\"";
    let rest = text.strip_prefix("https://");
    let Some(rest) = rest.or_else(|| text.strip_prefix("http://")) else {
        return fault("it does not begin with `https://` or `http://`", HINT);
    };
    let found = located(text, rest, HINT);
    found.map_err(|fault| match fault.why.as_str() {
        "it contains a user name" => Fault {
            hint: "write `headers = { Authorization = { env = … } }`".into(),
            ..fault
        },
        _ => fault,
    })
}

/// A URL whose `rest` follows its scheme.
fn located(text: &str, rest: &str, hint: &str) -> Parsed<String> {
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return fault("it contains white space", "write %20 for a space");
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return fault("it contains a user name", hint);
    }
    let has_port = !authority.ends_with(']') && authority.contains(':');
    let with_port = if has_port {
        authority.to_owned()
    } else {
        format!("{authority}:80")
    };
    match host_port(&with_port) {
        Ok(_) => Ok(text.to_owned()),
        Err(fault) => Err(Fault {
            hint: hint.into(),
            ..fault
        }),
    }
}

/// `host:port`, `[::1]:port`.
pub(crate) fn host_port(text: &str) -> Parsed<String> {
    const HINT: &str = "write it like \"127.0.0.1:6379\"";
    if text.parse::<u16>().is_ok() {
        return fault("it has no host", format!("write \"127.0.0.1:{text}\""));
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return fault("it has no port", HINT);
    };
    if !matches!(port.parse::<u16>(), Ok(1..)) || port.starts_with('+') {
        return fault("its port is not a number from 1 to 65535", HINT);
    }
    let valid = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            let allowed = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
            !host.is_empty() && host.len() <= 253 && host.chars().all(allowed)
        }
    };
    match (valid, host.is_empty(), host.contains(':')) {
        (true, ..) => Ok(text.to_owned()),
        (_, true, _) => fault("it has no host", HINT),
        (_, _, true) => fault(
            "its host is not valid",
            "write an IPv6 address in brackets: \"[::1]:80\"",
        ),
        _ => fault("its host is not valid", HINT),
    }
}

/// Octal digits of a umask.
pub(crate) fn umask(text: &str) -> Parsed<u32> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    match u32::from_str_radix(digits, 8) {
        Ok(mask) if mask <= 0o777 && !digits.starts_with('+') => Ok(mask),
        _ => fault("it is not octal digits up to 777", "write it like \"027\""),
    }
}

/// A user or group: a name or a number.
pub(crate) fn account(text: &str) -> Parsed<String> {
    if text.contains(':') {
        return fault("it contains `:`", "give the group with the key `group`");
    }
    let first = |c: char| c.is_alphanumeric() || c == '_';
    let rest = |c: char| first(c) || matches!(c, '-' | '.' | '$');
    if text.starts_with(first) && text.chars().all(rest) && text.len() <= 256 {
        return Ok(text.to_owned());
    }
    fault(
        "it is not a name or a number",
        "write a name such as \"www-data\", or a numeric id",
    )
}

/// Kinds of resources for `reads` and `writes`.
pub(crate) const RESOURCES: [&str; 5] = ["queue", "file", "port", "url", "event"];

/// `kind:name` of a known kind.
pub(crate) fn resource(text: &str) -> Parsed<String> {
    let hint = format!(
        "write it like \"queue:ingest\"; kinds are {}",
        RESOURCES.join(", ")
    );
    match text.split_once(':') {
        None => fault("it has no kind", hint),
        Some((kind, _)) if !RESOURCES.contains(&kind) => fault("its kind is not known", hint),
        Some((_, "")) => fault("it has no name", hint),
        Some(_) => Ok(text.to_owned()),
    }
}

/// Names of resource limits, and whether they are counted in bytes.
pub(crate) static RLIMIT_NAMES: [(&str, bool); 16] = [
    ("as", true),
    ("core", true),
    ("cpu", false),
    ("data", true),
    ("fsize", true),
    ("locks", false),
    ("memlock", true),
    ("msgqueue", true),
    ("nice", false),
    ("nofile", false),
    ("nproc", false),
    ("rss", true),
    ("rtprio", false),
    ("rttime", false),
    ("sigpending", false),
    ("stack", true),
];

/// Longest name in bytes.
pub(crate) const NAME_BYTES_MAX: usize = 64;

/// Name of a daemon or profile. It becomes the name of a folder and a word on command lines.
pub(crate) fn name(text: &str) -> Parsed<String> {
    const HINT: &str = "use letters, digits, `.`, `_` and `-`";
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if text.is_empty() {
        return fault("it is empty", HINT);
    }
    if text.len() > NAME_BYTES_MAX {
        return fault(format!("it is longer than {NAME_BYTES_MAX} bytes"), HINT);
    }
    if text.contains('@') {
        return fault(
            "it contains `@`, which separates a daemon from the number of its replica",
            HINT,
        );
    }
    if let Some(c) = text.chars().find(|c| !allowed(*c)) {
        let c = crate::source::printable(c);
        return fault(format!("it contains `{c}`"), HINT);
    }
    if text.starts_with(['.', '-']) {
        return fault(
            "it begins with `.` or `-`",
            "begin it with a letter, a digit or `_`",
        );
    }
    if matches!(text, "all" | "deprecated") {
        return fault("this word is a selector", "choose another name");
    }
    Ok(text.to_owned())
}

/// Beginnings of the names of pools and outlets that are made for something else.
pub(crate) const IMPLICIT: [&str; 3] = ["subscription.", "rule.", "channel."];

/// Name of a pool or subscription.
pub(crate) fn outlet_name(text: &str) -> Parsed<String> {
    if let Some(own) = IMPLICIT.iter().find(|own| text.starts_with(**own)) {
        return fault(
            format!("names that begin with `{own}` are made by eud itself"),
            "choose another beginning",
        );
    }
    name(text)
}

/// A type of events that a fleet may declare.
pub(crate) fn event_type(text: &str) -> Parsed<String> {
    match eud_core::event::check_type(text) {
        Ok(()) => Ok(text.to_owned()),
        Err(why) => {
            let why = why.split_once("`: ").map_or(why.as_str(), |(_, why)| why);
            fault(why, "write it like \"model.promoted\"")
        }
    }
}

/// `HH:MM`, in minutes after midnight.
pub(crate) fn time_of_day(text: &str) -> Parsed<u32> {
    const HINT: &str = "write it like \"22:00\"";
    let digits = |part: &str, max: u32| {
        let whole = (1..=2).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        let number = whole.then(|| part.parse().ok()).flatten();
        number.filter(|number: &u32| *number <= max)
    };
    let Some((hours, minutes)) = text.split_once(':') else {
        return fault("it has no `:`", HINT);
    };
    match (digits(hours, 23), digits(minutes, 59)) {
        (Some(hours), Some(rest)) if minutes.len() == 2 => Ok(hours * 60 + rest),
        _ => fault("there is no such time", HINT),
    }
}

/// Name or address of a host.
pub(crate) fn host(text: &str) -> Parsed<String> {
    const HINT: &str = "write it like \"mail.example.org\"";
    let fits = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    if text.is_empty() || text.len() > 253 {
        return fault("it is empty or too long", HINT);
    }
    if let Some(c) = text.chars().find(|c| !fits(*c)) {
        let c = crate::source::printable(c);
        return fault(format!("it contains `{c}`"), HINT);
    }
    if text.matches(':').count() == 1 {
        return fault("it contains a port", "write the port as `port`");
    }
    Ok(text.to_owned())
}

/// An address of mail.
pub(crate) fn mail_address(text: &str) -> Parsed<String> {
    const HINT: &str = "write it like \"ada@example.org\"";
    let Some((user, domain)) = text.rsplit_once('@') else {
        return fault("it has no `@`", HINT);
    };
    let bad = |c: char| c.is_whitespace() || c.is_control() || "<>()[],;:\\\"@".contains(c);
    if user.is_empty() || domain.is_empty() || text.len() > 254 {
        return fault("a part of it is empty, or it is too long", HINT);
    }
    if let Some(c) = user.chars().chain(domain.chars()).find(|c| bad(*c)) {
        let c = crate::source::printable(c);
        return fault(format!("it contains `{c}`"), HINT);
    }
    Ok(text.to_owned())
}

/// Name of an HTTP header.
pub(crate) fn header(text: &str) -> Parsed<String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if text.is_empty() || text.len() > 200 || !text.chars().all(fits) {
        return fault(
            "it is no word of letters, digits and `-`",
            "write it like X-Key",
        );
    }
    let lower = text.to_ascii_lowercase();
    let own = [
        "content-type",
        "content-length",
        "host",
        "connection",
        "transfer-encoding",
    ];
    if own.contains(&lower.as_str()) || lower.starts_with("webhook-") {
        return fault("eud sends this header itself", "leave it out");
    }
    Ok(text.to_owned())
}

/// Name of an environment variable.
pub(crate) fn variable(text: &str) -> Parsed<String> {
    let shape = |c: char| c != '=' && c != '\0' && !c.is_whitespace();
    if !text.is_empty() && text.chars().all(shape) {
        return Ok(text.to_owned());
    }
    fault(
        "it is empty or contains `=` or white space",
        "write it like LOG_LEVEL",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, ms) in [
            ("30s", 30_000),
            ("1h30m", 5_400_000),
            ("500ms", 500),
            ("1.5h", 5_400_000),
            ("1h 30m", 5_400_000),
            ("0s", 0),
            ("2w", 1_209_600_000),
            ("0.001s", 1),
        ] {
            assert_eq!(duration(text), Ok(ms), "{text}");
        }
        for text in [
            "",
            "30",
            "s",
            "30 sconds",
            "30m1h",
            "1.5ms",
            "-3s",
            "1..5s",
            "99999999999999w",
            "5s5s",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("50MB", 50_000_000),
            ("64KiB", 65_536),
            ("1.5GB", 1_500_000_000),
            ("0B", 0),
            ("1 kB", 1_000),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "50", "MB", "50mb", "50M", "1.5B", "99999999TiB", "5MB5"] {
            assert!(size(text).is_err(), "{text}");
        }
        assert_eq!(size("50M").unwrap_err().hint, "write \"50MB\" or \"50MiB\"");
    }

    #[test]
    fn signals() {
        assert_eq!(signal("SIGTERM"), Ok("TERM".into()));
        assert_eq!(signal("int"), Ok("INT".into()));
        assert_eq!(signal("TREM").unwrap_err().hint, "did you mean `TERM`?");
        assert!(signal("15").is_err());
        assert!(signal("STOP").is_err());
    }

    #[test]
    fn addresses() {
        for text in [
            "localhost:80",
            "127.0.0.1:6379",
            "[::1]:80",
            "my_host.lan:1",
        ] {
            assert!(host_port(text).is_ok(), "{text}");
            assert!(http_url(&format!("http://{text}/x?y")).is_ok(), "{text}");
        }
        for text in [
            "6379",
            "host",
            "host:0",
            "host:65536",
            "::1:80",
            ":80",
            "a b:80",
            "host:+1",
        ] {
            assert!(host_port(text).is_err(), "{text}");
        }
        assert!(http_url("http://localhost").is_ok());
        assert!(http_url("http://[::1]/").is_ok());
        for text in [
            "https://x/",
            "x",
            "http://",
            "http:///x",
            "http://a b/",
            "http://u:p@h/",
            "ftp://x",
        ] {
            assert!(http_url(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names() {
        for text in ["a", "rag-drain", "a.b_c-1", "0"] {
            assert!(name(text).is_ok(), "{text}");
        }
        let long = "x".repeat(65);
        for text in [
            "",
            ".",
            "..",
            "-x",
            "a@1",
            "a/b",
            "ü",
            "a b",
            "all",
            long.as_str(),
        ] {
            assert!(name(text).is_err(), "{text}");
        }
    }

    #[test]
    fn masks_and_accounts() {
        assert_eq!(umask("027"), Ok(0o27));
        assert_eq!(umask("0o77"), Ok(0o77));
        assert!(umask("8").is_err());
        assert!(umask("1777").is_err());
        assert!(account("www-data").is_ok());
        assert!(account("1000").is_ok());
        assert!(account("a:b").is_err());
        assert!(account("-x").is_err());
    }
}
