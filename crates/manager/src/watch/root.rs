//! Where a root leads, and what would have to happen for it to lead elsewhere.
//!
//! Purpose: roots that do not exist yet, that are links, that are replaced, removed or unmounted.
//! Invariants: every folder in which a name would have to change for the answer to change is named;
//! links are followed as the system does, and not for ever.
//! Deliberately absent: watching.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use super::filter::{Identity, identity};

/// Links that are followed on the way, as by the system.
const LINKS_MAX: usize = 40;

/// Where a root leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Leads {
    /// Not to anything that can be watched; why, in words.
    Nowhere(String),
    /// To a file.
    File(Identity),
    /// To a folder.
    Folder(Identity),
}

/// What a look at a root finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) leads: Leads,
    /// Folders, and the name in each on which the answer rests.
    pub(crate) rests_on: Vec<(PathBuf, OsString)>,
    /// Without links; where it ends, if it leads nowhere.
    pub(crate) real: PathBuf,
}

/// Follows an absolute path.
pub(crate) fn follow(root: &Path) -> Found {
    let mut rests_on = Vec::new();
    let mut at = PathBuf::from("/");
    let mut left: VecDeque<OsString> = names(root);
    let mut links = Vec::new();
    let leads = loop {
        let Some(name) = left.pop_front() else {
            break end(root, &at);
        };
        if name == ".." {
            at.pop();
            continue;
        }
        let next = at.join(&name);
        rests_on.push((at.clone(), name));
        match fs::symlink_metadata(&next) {
            Err(e) => {
                at = next;
                break Leads::Nowhere(missing(root, &at, &links, &e));
            }
            Ok(meta) if meta.is_symlink() => {
                let Ok(target) = fs::read_link(&next) else {
                    continue;
                };
                if links.len() >= LINKS_MAX {
                    break Leads::Nowhere(format!("`{}` has too many links", root.display()));
                }
                if target.is_absolute() {
                    at = PathBuf::from("/");
                }
                for name in names(&target).into_iter().rev() {
                    left.push_front(name);
                }
                links.push(next);
            }
            Ok(_) => at = next,
        }
    };
    Found {
        leads,
        rests_on,
        real: at,
    }
}

fn names(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            _ => None,
        })
        .collect()
}

fn end(root: &Path, real: &Path) -> Leads {
    match fs::symlink_metadata(real) {
        Ok(meta) if meta.is_dir() => Leads::Folder(identity(&meta)),
        Ok(meta) if meta.is_file() => Leads::File((meta.dev(), meta.ino())),
        Ok(_) => Leads::Nowhere(format!(
            "`{}` is neither a file nor a folder",
            root.display()
        )),
        Err(e) => Leads::Nowhere(format!("`{}`: {e}", root.display())),
    }
}

fn missing(root: &Path, at: &Path, links: &[PathBuf], error: &io::Error) -> String {
    let root = root.display();
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory if links.is_empty() => {
            format!("`{root}` does not exist")
        }
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            format!(
                "`{root}` is a link that leads to `{}`, which does not exist",
                at.display()
            )
        }
        io::ErrorKind::PermissionDenied => format!("`{root}`: no permission to look"),
        _ => format!("`{root}`: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_are_followed_and_every_name_on_the_way_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().canonicalize().unwrap();
        fs::create_dir_all(base.join("v1/src")).unwrap();
        symlink("v1", base.join("current")).unwrap();
        let found = follow(&base.join("current/src"));
        assert_eq!(found.real, base.join("v1/src"));
        assert!(matches!(found.leads, Leads::Folder(_)));
        for name in ["current", "v1"] {
            assert!(found.rests_on.contains(&(base.clone(), name.into())));
        }
        assert!(found.rests_on.contains(&(base.join("v1"), "src".into())));
        fs::write(base.join("f"), b"").unwrap();
        symlink("../f", base.join("v1/up")).unwrap();
        let up = follow(&base.join("v1/up"));
        assert!(matches!(up.leads, Leads::File(_)), "{up:?}");
    }

    #[test]
    fn what_leads_nowhere_says_why() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().canonicalize().unwrap();
        symlink("gone", base.join("dangling")).unwrap();
        symlink("round", base.join("round")).unwrap();
        fs::write(base.join("f"), b"").unwrap();
        for (root, words) in [
            ("no/such", "does not exist"),
            ("dangling", "is a link that leads to"),
            ("round", "too many links"),
            ("f/x", "does not exist"),
        ] {
            let found = follow(&base.join(root));
            let Leads::Nowhere(why) = &found.leads else {
                panic!("{found:?}");
            };
            assert!(why.contains(words), "{why}");
            assert!(!found.rests_on.is_empty());
        }
        let null = follow(Path::new("/dev/null"));
        assert!(matches!(null.leads, Leads::Nowhere(_)));
    }
}
