//! What is written down about changes: the records of batch files, and of what is known.
//!
//! Purpose: one form for both, so that what was told can be added to what is known as it is.
//! Invariants: a record is words separated by single spaces and ended by NUL, which no path can
//! contain; the path is the rest of the record and may hold anything else; numbers are hexadecimal,
//! but those of a head; what is read is bounded; bytes that are no record are an error, never a
//! guess.
//! Deliberately absent: escapes.
//!
//! | record | means |
//! |---|---|
//! | `c INODE SIZE MTIME CTIME PATH` | it is new |
//! | `m INODE SIZE MTIME CTIME PATH` | its contents changed |
//! | `d PATH` | it is gone |
//! | `r INODE SIZE MTIME CTIME NEW` NUL `OLD` | it was OLD before |
//! | `g OLD` | it has another name now; its `r` is in the same batch |
//! | `v DEVICE ROOT` | the file system of a root; known only |
//! | `b BATCH` | everything up to here was told, in that batch at the latest; known only |
//! | `o COUNT` | so many changes more, whose paths are not here |
//! | `e` | the end of a batch |

use std::io::{self, BufRead, Read};

use eud_core::fleet::WatchEvent;

/// Longest path, and longest head, in bytes.
const FIELD_BYTES_MAX: u64 = 1 << 20;

/// Bytes of a path, absolute.
pub(crate) type PathBytes = Box<[u8]>;

/// A file as it was seen. Two that are equal in all but `ctime_ns` have the same contents, as far
/// as anybody can tell without reading them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) inode: u64,
    pub(crate) size: u64,
    pub(crate) mtime_ns: i64,
    /// Of its last change of any kind; nobody can set it back.
    pub(crate) ctime_ns: i64,
}

impl Seen {
    /// Whether it is the same file with, as it seems, the same contents.
    pub(crate) fn is_as(&self, other: &Self) -> bool {
        self.key() == other.key()
    }

    /// What makes it recognisable under another name.
    pub(crate) fn key(&self) -> (u64, u64, i64) {
        (self.inode, self.size, self.mtime_ns)
    }
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Record {
    /// A path was created or modified.
    There(WatchEvent, Seen, PathBytes),
    /// A path is gone.
    Gone(PathBytes),
    /// New name, old name.
    Renamed(Seen, PathBytes, PathBytes),
    /// The old name of one that was renamed.
    Left(PathBytes),
    /// Device of a root.
    Device(u64, PathBytes),
    /// Told up to here.
    Told(String),
    /// So many more.
    More(u64),
    /// The end.
    End,
}

impl Record {
    /// Adds its bytes.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::There(event, seen, path) => {
                out.push(if *event == WatchEvent::Create {
                    b'c'
                } else {
                    b'm'
                });
                write_seen(seen, out);
                out.extend_from_slice(path);
            }
            Self::Gone(path) => {
                out.extend_from_slice(b"d ");
                out.extend_from_slice(path);
            }
            Self::Renamed(seen, path, old) => {
                out.push(b'r');
                write_seen(seen, out);
                out.extend_from_slice(path);
                out.push(0);
                out.extend_from_slice(old);
            }
            Self::Left(path) => {
                out.extend_from_slice(b"g ");
                out.extend_from_slice(path);
            }
            Self::Device(device, path) => {
                out.extend_from_slice(format!("v {device:x} ").as_bytes());
                out.extend_from_slice(path);
            }
            Self::Told(batch) => {
                out.extend_from_slice(b"b ");
                out.extend_from_slice(batch.as_bytes());
            }
            Self::More(count) => out.extend_from_slice(format!("o {count:x}").as_bytes()),
            Self::End => out.push(b'e'),
        }
        out.push(0);
    }
}

fn write_seen(seen: &Seen, out: &mut Vec<u8>) {
    let Seen {
        inode,
        size,
        mtime_ns,
        ctime_ns,
    } = seen;
    let text = format!(" {inode:x} {size:x} {mtime_ns:x} {ctime_ns:x} ");
    out.extend_from_slice(text.as_bytes());
}

/// Reads records one after the other.
#[derive(Debug)]
pub(crate) struct Records<R> {
    from: R,
    /// Bytes of whole records and heads so far.
    pub(crate) offset: u64,
}

impl<R: BufRead> Records<R> {
    pub(crate) fn new(from: R) -> Self {
        Self { from, offset: 0 }
    }

    /// The head of a file: its first field.
    ///
    /// # Errors
    /// When there is none, or it does not begin so.
    pub(crate) fn head(&mut self, begins: &str) -> io::Result<String> {
        let field = self.field()?.ok_or_else(|| bad("it is empty"))?;
        let text = String::from_utf8(field).map_err(|_| bad("its head is not UTF-8"))?;
        let rest = text.strip_prefix(begins);
        let rest = rest.ok_or_else(|| bad("its head is not of this form"))?;
        Ok(rest.to_owned())
    }

    /// The next record; `None` at the end of the file.
    ///
    /// # Errors
    /// When what follows is no record, or is cut off.
    pub(crate) fn next(&mut self) -> io::Result<Option<Record>> {
        let Some(field) = self.field()? else {
            return Ok(None);
        };
        let (kind, rest) = field.split_at_checked(2).unwrap_or((&field, &[]));
        let path = || {
            let path = (!rest.is_empty()).then(|| rest.into());
            path.ok_or_else(|| bad("a path is empty"))
        };
        let record = match kind {
            b"c " => there(WatchEvent::Create, rest)?,
            b"m " => there(WatchEvent::Modify, rest)?,
            b"r " => {
                let (seen, path) = seen(rest)?;
                let old = self.field()?.filter(|old| !old.is_empty());
                let old = old.ok_or_else(|| bad("an old name is missing"))?;
                Record::Renamed(seen, path, old.into())
            }
            b"d " => Record::Gone(path()?),
            b"g " => Record::Left(path()?),
            b"v " => {
                let (device, path) = number(rest)?;
                Record::Device(u64::from_str_radix(device, 16).map_err(no_number)?, path)
            }
            b"b " => {
                let name = std::str::from_utf8(rest).map_err(|_| bad("a name is not UTF-8"))?;
                Record::Told(name.to_owned())
            }
            b"o " => {
                let count = std::str::from_utf8(rest).map_err(|_| bad("no number"))?;
                Record::More(u64::from_str_radix(count, 16).map_err(no_number)?)
            }
            b"e" => Record::End,
            _ => return Err(bad("there is no such record")),
        };
        Ok(Some(record))
    }

    /// Bytes up to the next NUL.
    fn field(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut bytes = Vec::new();
        let mut limited = (&mut self.from).take(FIELD_BYTES_MAX);
        if limited.read_until(0, &mut bytes)? == 0 {
            return Ok(None);
        }
        if bytes.last() != Some(&0) {
            return Err(bad("a record is cut off, or too long"));
        }
        self.offset += bytes.len() as u64;
        bytes.pop();
        Ok(Some(bytes))
    }
}

fn there(event: WatchEvent, rest: &[u8]) -> io::Result<Record> {
    let (seen, path) = seen(rest)?;
    Ok(Record::There(event, seen, path))
}

fn seen(rest: &[u8]) -> io::Result<(Seen, PathBytes)> {
    let (inode, rest) = number(rest)?;
    let (size, rest) = number(&rest)?;
    let (mtime, rest) = number(&rest)?;
    let (ctime, path) = number(&rest)?;
    let unsigned = |text| u64::from_str_radix(text, 16).map_err(no_number);
    let seen = Seen {
        inode: unsigned(inode)?,
        size: unsigned(size)?,
        mtime_ns: unsigned(mtime)?.cast_signed(),
        ctime_ns: unsigned(ctime)?.cast_signed(),
    };
    Ok((seen, path))
}

/// A word and what follows it.
fn number(bytes: &[u8]) -> io::Result<(&str, PathBytes)> {
    let place = bytes.iter().position(|byte| *byte == b' ');
    let (word, rest) = place
        .and_then(|place| bytes.split_at_checked(place))
        .ok_or_else(|| bad("a word is missing"))?;
    let rest = rest.get(1..).filter(|rest| !rest.is_empty());
    let rest = rest.ok_or_else(|| bad("a path is empty"))?;
    let word = std::str::from_utf8(word).map_err(|_| bad("no number"))?;
    Ok((word, rest.into()))
}

fn no_number(_: std::num::ParseIntError) -> io::Error {
    bad("no number")
}

pub(crate) fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(n: u64) -> Seen {
        Seen {
            inode: n,
            size: n * 7,
            mtime_ns: -1,
            ctime_ns: i64::MIN,
        }
    }

    fn path(text: &[u8]) -> PathBytes {
        text.into()
    }

    #[test]
    fn every_record_is_read_as_it_was_written() {
        let all = [
            Record::There(WatchEvent::Create, seen(0), path(b"/a b\n\xff/e")),
            Record::There(WatchEvent::Modify, seen(u64::MAX / 7), path(b" ")),
            Record::Gone(path(b"/x")),
            Record::Renamed(seen(3), path(b"/new name"), path(b"/old\nname")),
            Record::Left(path(b"/old\nname")),
            Record::Device(0x803, path(b"/mnt")),
            Record::Told("0001".into()),
            Record::More(100_000),
            Record::End,
        ];
        let mut bytes = b"head 1 x\0".to_vec();
        all.iter().for_each(|record| record.write(&mut bytes));
        let mut records = Records::new(&bytes[..]);
        assert_eq!(records.head("head 1 ").unwrap(), "x");
        for record in all {
            assert_eq!(records.next().unwrap(), Some(record));
        }
        assert_eq!(records.next().unwrap(), None);
        assert_eq!(records.offset, bytes.len() as u64);
    }

    #[test]
    fn what_is_no_record_is_an_error() {
        for bytes in [
            &b"c 1 2 3 /a\0"[..],
            b"c 1 2 3 4 \0",
            b"c 1 2 x 4 /a\0",
            b"c 1 2 3 -4 /a\0",
            b"d \0",
            b"d /a",
            b"x /a\0",
            b"r 1 2 3 4 /a\0",
            b"o\0",
            b"o /\0",
            b"\0",
            b"v /a\0",
        ] {
            assert!(Records::new(bytes).next().is_err(), "{bytes:?}");
        }
    }
}
