//! Users and groups by name or number.
//!
//! Reads `/etc/passwd` and `/etc/group`; for names that are not there it asks `getent`, which knows
//! LDAP and the like. The C library's own lookup is not used: it cannot be linked statically.

use std::fs;
use std::io;
use std::process::{Command, Stdio};

/// A user as a command needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// All groups it is in, the primary among them, sorted.
    pub groups: Vec<u32>,
    /// Login name; the number's text when it has none.
    pub name: String,
    /// Home directory, when there is an entry for it.
    pub home: Option<String>,
    /// Login shell, when there is an entry for it.
    pub shell: Option<String>,
}

/// Looks up a user by name or number. A number without an entry is a user with the group of that
/// number.
///
/// # Errors
/// [`io::ErrorKind::NotFound`] for a name nobody knows.
pub fn user(name_or_number: &str) -> io::Result<User> {
    let number: Option<u32> = name_or_number.parse().ok();
    let Some(line) = entry("/etc/passwd", "passwd", name_or_number, number) else {
        let uid = number.ok_or_else(|| not_found("user", name_or_number))?;
        let name = name_or_number.to_owned();
        return Ok(User {
            uid,
            gid: uid,
            groups: vec![uid],
            name,
            home: None,
            shell: None,
        });
    };
    let fields: Vec<&str> = line.split(':').collect();
    let (Some(name), Some(uid), Some(gid)) =
        (fields.first(), number_at(&fields, 2), number_at(&fields, 3))
    else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let text = |place: usize| {
        fields
            .get(place)
            .map(|f| (*f).to_owned())
            .filter(|f| !f.is_empty())
    };
    let groups = groups_of(name, gid);
    Ok(User {
        uid,
        gid,
        groups,
        name: (*name).to_owned(),
        home: text(5),
        shell: text(6),
    })
}

/// Number of a group given by name or number.
///
/// # Errors
/// [`io::ErrorKind::NotFound`] for a name nobody knows.
pub fn group(name_or_number: &str) -> io::Result<u32> {
    if let Ok(number) = name_or_number.parse() {
        return Ok(number);
    }
    entry("/etc/group", "group", name_or_number, None)
        .and_then(|line| number_at(&line.split(':').collect::<Vec<_>>(), 2))
        .ok_or_else(|| not_found("group", name_or_number))
}

fn not_found(what: &str, name: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::NotFound,
        format!("there is no {what} `{name}`"),
    )
}

fn number_at(fields: &[&str], place: usize) -> Option<u32> {
    fields.get(place)?.parse().ok()
}

fn entry(file: &str, database: &str, name: &str, number: Option<u32>) -> Option<String> {
    let matches = |line: &&str| {
        let fields: Vec<&str> = line.splitn(4, ':').collect();
        fields.first() == Some(&name) || (number.is_some() && number_at(&fields, 2) == number)
    };
    let text = fs::read_to_string(file).unwrap_or_default();
    text.lines()
        .find(matches)
        .map(str::to_owned)
        .or_else(|| getent(database, name))
}

/// A name that starts with `-` would be an option, one with `:` or a newline cannot exist.
fn getent(database: &str, name: &str) -> Option<String> {
    if name.starts_with('-') || name.contains([':', '\n', '\0']) || name.is_empty() {
        return None;
    }
    let output = Command::new("getent")
        .args([database, name])
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output
        .status
        .success()
        .then(|| text.lines().next().map(str::to_owned))?
}

fn groups_of(name: &str, primary: u32) -> Vec<u32> {
    let mut groups = vec![primary];
    let text = fs::read_to_string("/etc/group").unwrap_or_default();
    for line in text.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let is_member = fields
            .get(3)
            .is_some_and(|members| members.split(',').any(|m| m == name));
        if is_member {
            groups.extend(number_at(&fields, 2));
        }
    }
    // `getent initgroups` prints the name and the numbers of further groups.
    if let Some(line) = getent("initgroups", name) {
        groups.extend(
            line.split_ascii_whitespace()
                .skip(1)
                .filter_map(|n| n.parse::<u32>().ok()),
        );
    }
    groups.sort_unstable();
    groups.dedup();
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_by_name_and_by_number() {
        let root = user("root").unwrap();
        assert_eq!((root.uid, root.gid, root.name.as_str()), (0, 0, "root"));
        assert_eq!(user("0").unwrap(), root);
        assert!(root.groups.contains(&0));
        assert_eq!(group("root").unwrap(), 0);
    }

    #[test]
    fn numbers_need_no_entry_but_names_do() {
        let user_77 = user("4000077").unwrap();
        assert_eq!((user_77.uid, user_77.gid), (4_000_077, 4_000_077));
        for name in ["no-such-user-here", "-h", "", "a:b"] {
            assert_eq!(
                user(name).unwrap_err().kind(),
                io::ErrorKind::NotFound,
                "{name}"
            );
        }
        assert_eq!(
            group("no-such-group").unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
    }
}
