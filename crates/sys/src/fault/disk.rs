//! What a power cut leaves of files.
//!
//! The model, which is harsher than file systems are. What was synced is there. Of what was written
//! to a file since, each write may be there, absent, or torn: some of its sectors of 512 bytes are
//! there and others are not. A truncation may be there or not. Changes of names survive in their
//! order, those of each folder up to any point, until the folder is synced; to sync a file does not
//! make its name durable.
//! Deliberately absent: folders, which are taken to be there, and disks that lie.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The smallest part of a write that is there or not, in bytes.
const SECTOR: usize = 512;

/// Something that happened to files. Paths are relative to the folder that is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// A new, empty file.
    Create(PathBuf),
    /// Bytes written.
    Write {
        /// To which file.
        path: PathBuf,
        /// From which byte on.
        offset: u64,
        /// What.
        data: Vec<u8>,
    },
    /// The file was cut, or filled up with zeroes.
    Truncate {
        /// Which.
        path: PathBuf,
        /// To this many bytes.
        len: u64,
    },
    /// A file was waited for, or a folder: its names.
    Sync(PathBuf),
    /// A file got another name, and whoever had that lost it.
    Rename {
        /// Old name.
        from: PathBuf,
        /// New name.
        to: PathBuf,
    },
    /// A file got one more name.
    Link {
        /// Old name.
        from: PathBuf,
        /// New name.
        to: PathBuf,
    },
    /// A name was taken away.
    Unlink(PathBuf),
    /// The program said something, by [`super::mark`].
    Mark(u64),
}

/// Everything that happened to the files of a folder, in its order.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    before: BTreeMap<PathBuf, Vec<u8>>,
    ops: Vec<Op>,
}

/// What is left of what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survives {
    /// Everything, as after the death of the program alone.
    Everything,
    /// Nothing.
    Nothing,
    /// Some, torn; this seed says what.
    Some(u64),
}

/// The files of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image(BTreeMap<PathBuf, Vec<u8>>);

impl Disk {
    /// With what is in a folder and its subfolders, all of it durable.
    pub(super) fn of(folder: &Path) -> io::Result<Self> {
        let mut disk = Self::default();
        let mut left = vec![folder.to_owned()];
        while let Some(next) = left.pop() {
            for entry in fs::read_dir(next)? {
                let entry = entry?;
                let kind = entry.file_type()?;
                if kind.is_dir() {
                    left.push(entry.path());
                } else if kind.is_file() {
                    let path = entry.path();
                    let name = path.strip_prefix(folder).unwrap_or(&path).to_owned();
                    disk.before.insert(name, fs::read(&path)?);
                }
            }
        }
        Ok(disk)
    }

    pub(super) fn push(&mut self, op: Op) {
        self.ops.push(op);
    }

    /// What happened.
    pub fn ops(&self) -> &[Op] {
        &self.ops
    }

    /// As if the syncs that `lost` picks had not been made: a check that is worth something finds
    /// out.
    #[must_use]
    pub fn without_syncs(&self, lost: impl Fn(&Path) -> bool) -> Self {
        let is_lost = |op: &Op| matches!(op, Op::Sync(path) if lost(path));
        Self {
            before: self.before.clone(),
            ops: self.ops.iter().filter(|op| !is_lost(op)).cloned().collect(),
        }
    }

    /// As on a file system that keeps all its names in one journal (ext4, XFS, btrfs): to sync a
    /// file makes durable all that happened to names before.
    #[must_use]
    pub fn with_journal(&self) -> Self {
        let mut folders = BTreeSet::new();
        let mut journaled = Self {
            before: self.before.clone(),
            ops: Vec::new(),
        };
        for op in &self.ops {
            journaled.push(op.clone());
            let folder = |path: &Path| path.parent().unwrap_or(path).to_owned();
            match op {
                Op::Create(path) | Op::Unlink(path) => {
                    folders.insert(folder(path));
                }
                Op::Rename { from, to } | Op::Link { from, to } => {
                    folders.extend([folder(from), folder(to)]);
                }
                Op::Sync(_) => journaled.ops.extend(folders.iter().cloned().map(Op::Sync)),
                Op::Write { .. } | Op::Truncate { .. } | Op::Mark(_) => {}
            }
        }
        journaled
    }

    /// What there is when the power is cut after the first `count` things that happened.
    pub fn cut(&self, count: usize, survives: Survives) -> Image {
        let mut cells = Cells::new(&self.before);
        for op in self.ops.iter().take(count) {
            cells.take(op);
        }
        cells.cut(&mut Chance::new(survives))
    }
}

impl Image {
    /// Contents of a file.
    pub fn get(&self, path: &str) -> Option<&[u8]> {
        self.0.get(Path::new(path)).map(Vec::as_slice)
    }

    /// Its files.
    pub fn files(&self) -> impl Iterator<Item = (&Path, &[u8])> {
        self.0
            .iter()
            .map(|(path, bytes)| (path.as_path(), bytes.as_slice()))
    }

    /// Writes them into a folder.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn write_to(&self, folder: &Path) -> io::Result<()> {
        for (path, bytes) in &self.0 {
            let path = folder.join(path);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::write(path, bytes)?;
        }
        Ok(())
    }
}

/// Number of a file, whatever its names.
type Id = usize;
type Names = BTreeMap<PathBuf, Id>;

/// A change of names within one folder.
#[derive(Debug, Clone)]
struct Renaming {
    folder: PathBuf,
    gone: Option<PathBuf>,
    new: Option<(PathBuf, Id)>,
}

#[derive(Debug, Default)]
struct Cell {
    synced: Vec<u8>,
    /// Writes and truncations since, as `(offset, data)` and `(len, none)`.
    since: Vec<(u64, Option<Vec<u8>>)>,
}

#[derive(Debug, Default)]
struct Cells {
    files: Vec<Cell>,
    names: Names,
    synced_names: Names,
    renamings: Vec<Renaming>,
}

impl Cells {
    fn new(before: &BTreeMap<PathBuf, Vec<u8>>) -> Self {
        let mut cells = Self::default();
        for (path, bytes) in before {
            cells.names.insert(path.clone(), cells.files.len());
            cells.files.push(Cell {
                synced: bytes.clone(),
                since: Vec::new(),
            });
        }
        cells.synced_names = cells.names.clone();
        cells
    }

    fn take(&mut self, op: &Op) {
        match op {
            Op::Create(path) => {
                self.files.push(Cell::default());
                self.rename(None, Some((path, self.files.len() - 1)));
            }
            Op::Write { path, offset, data } => self.write(path, (*offset, Some(data.clone()))),
            Op::Truncate { path, len } => self.write(path, (*len, None)),
            Op::Sync(path) => self.sync(path),
            Op::Rename { from, to } => {
                if let Some(id) = self.names.get(from) {
                    self.rename(Some(from), Some((to, *id)));
                }
            }
            Op::Link { from, to } => {
                if let Some(id) = self.names.get(from) {
                    self.rename(None, Some((to, *id)));
                }
            }
            Op::Unlink(path) => self.rename(Some(path), None),
            Op::Mark(_) => {}
        }
    }

    fn write(&mut self, path: &Path, change: (u64, Option<Vec<u8>>)) {
        if let Some(file) = self.names.get(path).and_then(|id| self.files.get_mut(*id)) {
            file.since.push(change);
        }
    }

    fn rename(&mut self, gone: Option<&PathBuf>, new: Option<(&PathBuf, Id)>) {
        let path = gone.or(new.map(|(path, _)| path));
        let renaming = Renaming {
            folder: path
                .and_then(|path| path.parent())
                .map(Path::to_owned)
                .unwrap_or_default(),
            gone: gone.cloned(),
            new: new.map(|(path, id)| (path.clone(), id)),
        };
        renaming.apply(&mut self.names);
        self.renamings.push(renaming);
    }

    fn sync(&mut self, path: &Path) {
        if let Some(file) = self.names.get(path).and_then(|id| self.files.get_mut(*id)) {
            for change in std::mem::take(&mut file.since) {
                apply(&mut file.synced, &change, |_| true);
            }
            return;
        }
        let synced_names = &mut self.synced_names;
        self.renamings.retain(|renaming| {
            let is_here = renaming.folder == path;
            if is_here {
                renaming.apply(synced_names);
            }
            !is_here
        });
    }

    fn cut(mut self, chance: &mut Chance) -> Image {
        let mut folders: Vec<_> = self
            .renamings
            .iter()
            .map(|one| one.folder.clone())
            .collect();
        folders.sort();
        folders.dedup();
        for folder in folders {
            let here: Vec<_> = self
                .renamings
                .iter()
                .filter(|r| r.folder == folder)
                .collect();
            for renaming in here.iter().take(chance.below_or_at(here.len())) {
                renaming.apply(&mut self.synced_names);
            }
        }
        let mut left = Vec::new();
        for file in self.files {
            let mut bytes = file.synced;
            for change in &file.since {
                let fate = chance.fate();
                apply(&mut bytes, change, |_| match fate {
                    Fate::There => true,
                    Fate::Absent => false,
                    Fate::Torn => chance.below_or_at(1) == 1,
                });
            }
            left.push(bytes);
        }
        let named = |(path, id): (PathBuf, Id)| Some((path, left.get(id)?.clone()));
        Image(self.synced_names.into_iter().filter_map(named).collect())
    }
}

impl Renaming {
    fn apply(&self, names: &mut Names) {
        if let Some(path) = &self.gone {
            names.remove(path);
        }
        if let Some((path, id)) = &self.new {
            names.insert(path.clone(), *id);
        }
    }
}

/// Makes a change, or the sectors of it that `is_there` lets through. A truncation has one.
fn apply(
    bytes: &mut Vec<u8>,
    change: &(u64, Option<Vec<u8>>),
    mut is_there: impl FnMut(usize) -> bool,
) {
    let at = usize::try_from(change.0).unwrap_or(usize::MAX);
    let Some(data) = &change.1 else {
        if is_there(0) {
            bytes.resize(at, 0);
        }
        return;
    };
    let mut start = 0;
    while start < data.len() {
        // Up to the next sector of the file.
        let end = data.len().min(start + SECTOR - (at + start) % SECTOR);
        if is_there(start) {
            if bytes.len() < at + end {
                bytes.resize(at + end, 0);
            }
            bytes[at + start..at + end].copy_from_slice(&data[start..end]);
        }
        start = end;
    }
}

enum Fate {
    There,
    Absent,
    Torn,
}

/// What survives, reproducibly (splitmix64).
struct Chance {
    survives: Survives,
    state: u64,
}

impl Chance {
    fn new(survives: Survives) -> Self {
        let state = match survives {
            Survives::Some(seed) => seed,
            Survives::Everything | Survives::Nothing => 0,
        };
        Self { survives, state }
    }

    fn below_or_at(&mut self, limit: usize) -> usize {
        match self.survives {
            Survives::Everything => limit,
            Survives::Nothing => 0,
            Survives::Some(_) => {
                self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mut z = self.state;
                z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                let below = (limit as u64).saturating_add(1);
                usize::try_from((z ^ (z >> 31)) % below).unwrap_or(0)
            }
        }
    }

    fn fate(&mut self) -> Fate {
        match (self.survives, self.below_or_at(2)) {
            (Survives::Everything, _) | (Survives::Some(_), 0) => Fate::There,
            (Survives::Nothing, _) | (Survives::Some(_), 1) => Fate::Absent,
            _ => Fate::Torn,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(ops: Vec<Op>) -> Disk {
        Disk {
            before: BTreeMap::from([("old".into(), vec![b'o'; 4])]),
            ops,
        }
    }

    fn write(path: &str, offset: u64, data: &[u8]) -> Op {
        Op::Write {
            path: path.into(),
            offset,
            data: data.to_vec(),
        }
    }

    fn names(image: &Image) -> Vec<&str> {
        image
            .files()
            .filter_map(|(path, _)| path.to_str())
            .collect()
    }

    #[test]
    fn what_was_synced_is_there_and_the_rest_may_be() {
        let disk = disk(vec![
            write("old", 0, b"new"),
            Op::Sync("old".into()),
            write("old", 4, b"tail"),
        ]);
        let of = |count, survives| disk.cut(count, survives).get("old").unwrap().to_vec();
        assert_eq!(of(1, Survives::Nothing), b"oooo");
        assert_eq!(of(1, Survives::Everything), b"newo");
        assert_eq!(of(2, Survives::Nothing), b"newo");
        assert_eq!(of(3, Survives::Everything), b"newotail");
        let weak = disk.without_syncs(|path| path == Path::new("old"));
        assert_eq!(weak.cut(3, Survives::Nothing).get("old").unwrap(), b"oooo");
    }

    #[test]
    fn names_survive_in_their_order_until_the_folder_is_synced() {
        let rename = Op::Rename {
            from: "a".into(),
            to: "b".into(),
        };
        let all = disk(vec![
            Op::Create("a".into()),
            write("a", 0, b"x"),
            Op::Sync("a".into()),
            rename,
            Op::Sync("".into()),
            Op::Unlink("b".into()),
        ]);
        assert_eq!(names(&all.cut(4, Survives::Nothing)), ["old"]);
        assert_eq!(names(&all.cut(4, Survives::Everything)), ["b", "old"]);
        assert_eq!(names(&all.cut(6, Survives::Nothing)), ["b", "old"]);
        assert_eq!(names(&all.cut(6, Survives::Everything)), ["old"]);
        for seed in 0..100 {
            let image = all.cut(4, Survives::Some(seed));
            let found = names(&image);
            assert!([&["old"][..], &["a", "old"], &["b", "old"]].contains(&&found[..]));
        }
    }

    #[test]
    fn with_a_journal_a_synced_file_has_its_name() {
        let all = disk(vec![
            Op::Create("d/a".into()),
            write("d/a", 0, b"x"),
            Op::Rename {
                from: "d/a".into(),
                to: "d/b".into(),
            },
            Op::Create("c".into()),
            Op::Sync("d/b".into()),
        ]);
        let left = |disk: &Disk| disk.cut(disk.ops().len(), Survives::Nothing);
        assert_eq!(names(&left(&all)), ["old"]);
        let image = left(&all.with_journal());
        assert_eq!(names(&image), ["c", "d/b", "old"]);
        assert_eq!(image.get("d/b").unwrap(), b"x");
        assert_eq!(image.get("c").unwrap(), b"");
    }

    #[test]
    fn a_write_is_torn_at_sectors() {
        let disk = disk(vec![write("old", 0, &[b'n'; 3 * SECTOR])]);
        let torn = (0..100).any(|seed| {
            let image = disk.cut(1, Survives::Some(seed));
            let bytes = image.get("old").unwrap();
            let sectors: Vec<_> = bytes
                .chunks(SECTOR)
                .map(|part| part[part.len() - 1])
                .collect();
            assert!(sectors.iter().all(|byte| [b'n', b'o', 0].contains(byte)));
            sectors.len() > 1 && sectors.contains(&0) && sectors.contains(&b'n')
        });
        assert!(torn);
    }
}
