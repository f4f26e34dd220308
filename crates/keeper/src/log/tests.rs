//! What becomes of output.

use super::*;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

struct Bench {
    log: Log,
    folder: tempfile::TempDir,
    pipes: [(OwnedFd, OwnedFd); 2],
}

impl Bench {
    fn new(size_max: u64, keep: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::new(folder.path().join("log"), size_max, keep).unwrap();
        let pipe = || eud_sys::fd::capture_pipe().unwrap();
        Self {
            log,
            folder,
            pipes: [pipe(), pipe()],
        }
    }

    fn feed(&mut self, stream: Stream, bytes: &[u8]) {
        let (read, write) = &self.pipes[usize::from(stream == Stream::Stderr)];
        let mut write = File::from(write.try_clone().unwrap());
        for part in bytes.chunks(32 * 1024) {
            write.write_all(part).unwrap();
            let got = self.log.read_from(read.as_fd(), stream, 0).unwrap();
            assert_eq!(got, Got::Bytes(part.len()));
        }
    }

    fn folder(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// Stream, tag and text of each record.
    fn records(&self) -> Vec<(String, Vec<u8>)> {
        records(&self.folder().join("current"))
    }
}

fn records(path: &Path) -> Vec<(String, Vec<u8>)> {
    let bytes = fs::read(path).unwrap();
    let lines = bytes.strip_suffix(b"\n").unwrap().split(|b| *b == b'\n');
    lines
        .map(|line| {
            let head = std::str::from_utf8(&line[31..39]).unwrap();
            (head.to_owned(), line[40..].to_vec())
        })
        .collect()
}

fn record(head: &str, text: &str) -> (String, Vec<u8>) {
    (head.to_owned(), text.as_bytes().to_vec())
}

#[test]
fn lines_are_whole_though_the_streams_alternate() {
    let mut bench = Bench::new(1_000_000, 5);
    bench.feed(Stream::Stdout, b"one\ntw");
    bench.feed(Stream::Stderr, b"err\nhal");
    bench.feed(Stream::Stdout, b"o\n\n");
    bench.feed(Stream::Stderr, b"f");
    bench.log.end(Stream::Stderr, 0);
    assert!(bench.log.is_clear());
    let expected = [
        record("stdout F", "one"),
        record("stderr F", "err"),
        record("stdout F", "two"),
        record("stdout F", ""),
        record("stderr F", "half"),
    ];
    assert_eq!(bench.records(), expected);
}

#[test]
fn a_character_split_by_a_read_is_whole() {
    let mut bench = Bench::new(1_000_000, 5);
    for byte in "blåbær 🫐\n".as_bytes() {
        bench.feed(Stream::Stdout, &[*byte]);
    }
    assert_eq!(bench.records(), [record("stdout F", "blåbær 🫐")]);
}

#[test]
fn long_lines_come_in_parts_and_the_longest_possible_in_one() {
    for (len, parts) in [
        (LINE_MAX - 1, 1),
        (LINE_MAX, 1),
        (LINE_MAX + 1, 2),
        (3 * LINE_MAX, 3),
    ] {
        let mut bench = Bench::new(1_000_000, 5);
        let line: Vec<u8> = (0..len).map(|n| b'a' + (n % 26) as u8).collect();
        bench.feed(Stream::Stdout, &line);
        bench.feed(Stream::Stdout, b"\nnext\n");
        let mut records = bench.records();
        assert_eq!(records.pop(), Some(record("stdout F", "next")), "{len}");
        assert_eq!(records.len(), parts, "{len}");
        let (last, before) = records.split_last().unwrap();
        assert!(before.iter().all(|(head, _)| head == "stdout P") && last.0 == "stdout F");
        assert_eq!(
            records
                .iter()
                .flat_map(|(_, text)| text.clone())
                .collect::<Vec<_>>(),
            line
        );
    }
}

#[test]
fn rotation_keeps_every_line_and_no_more_files_than_asked() {
    let mut bench = Bench::new(500, 3);
    fs::create_dir(bench.folder()).unwrap();
    let old = bench.folder().join("20200101T000000.000000000Z.log.zst");
    fs::write(&old, b"").unwrap();
    fs::write(bench.folder().join("notes.log"), b"").unwrap();
    let mut rotated = Vec::new();
    for n in 0..40 {
        bench.feed(Stream::Stdout, format!("line number {n:03}\n").as_bytes());
        rotated.extend(bench.log.take_news().rotated);
    }
    // 57 bytes a record, so 8 to a file of at most 500.
    assert_eq!(rotated.len(), 4);
    assert!(rotated.is_sorted());
    assert!(!old.exists() && bench.folder().join("notes.log").exists());
    assert!(!bench.folder().join(&rotated[0]).exists());
    let mut kept = Vec::new();
    for name in &rotated[1..] {
        let path = bench.folder().join(name);
        assert!(fs::metadata(&path).unwrap().len() <= 500);
        kept.extend(records(&path));
    }
    kept.extend(bench.records());
    let expected: Vec<_> = (8..40)
        .map(|n| record("stdout F", &format!("line number {n:03}")))
        .collect();
    assert_eq!(kept, expected);
}

#[test]
fn one_read_can_fill_several_files() {
    let mut bench = Bench::new(2_000, 1_000);
    let text: String = (0..500).map(|n| format!("{n}\n")).collect();
    bench.feed(Stream::Stdout, text.as_bytes());
    let rotated = bench.log.take_news().rotated;
    let mut all: Vec<_> = rotated
        .iter()
        .flat_map(|name| records(&bench.folder().join(name)))
        .collect();
    all.extend(bench.records());
    let expected: Vec<_> = (0..500)
        .map(|n| record("stdout F", &n.to_string()))
        .collect();
    assert_eq!(all, expected);
    assert!(rotated.len() >= 10);
}

#[test]
fn many_empty_lines_in_one_read_need_more_than_the_output_holds() {
    let mut bench = Bench::new(100_000_000, 1);
    bench.feed(Stream::Stdout, &[b'\n'; 32 * 1024]);
    assert_eq!(bench.records().len(), 32 * 1024);
    assert!(bench.log.is_clear());
}

#[test]
fn a_torn_line_is_ended_before_the_first_new_one() {
    let mut bench = Bench::new(1_000_000, 5);
    fs::create_dir(bench.folder()).unwrap();
    let path = bench.folder().join("current");
    fs::write(&path, "2026-11-23T12:34:56.000000000Z stdout F tor").unwrap();
    bench.feed(Stream::Stdout, b"new\n");
    assert_eq!(
        bench.records(),
        [record("stdout F", "tor"), record("stdout F", "new")]
    );
}

#[test]
fn a_record_torn_before_its_text_is_taken_away() {
    let whole = "2026-11-23T12:34:56.000000000Z stdout F one\n";
    for before in ["", whole] {
        for len in [1, 20, PREFIX_BYTES - 1, PREFIX_BYTES] {
            let mut bench = Bench::new(1_000_000, 5);
            fs::create_dir(bench.folder()).unwrap();
            let path = bench.folder().join("current");
            fs::write(&path, format!("{before}{}", &whole[..len])).unwrap();
            bench.feed(Stream::Stdout, b"new\n");
            let mut expected = vec![record("stdout F", "new")];
            if !before.is_empty() {
                expected.insert(0, record("stdout F", "one"));
            }
            assert_eq!(bench.records(), expected, "{before}{len}");
        }
    }
}

#[test]
fn a_log_that_cannot_be_written_keeps_its_data_and_says_so() {
    let mut bench = Bench::new(1_000_000, 5);
    // A file where the folder should be.
    fs::write(bench.folder(), b"").unwrap();
    bench.feed(Stream::Stdout, b"one\ntwo\n");
    assert!(bench.log.blocked().is_some() && !bench.log.is_clear());
    let news = bench.log.take_news();
    assert!(matches!(news.blocked, Some(Some(_))) && !news.written);
    let mut pauses = Vec::new();
    let mut now = 0;
    for _ in 0..10 {
        let next = bench.log.next_ms().unwrap();
        pauses.push(next - now);
        now = next;
        bench.log.due(now);
    }
    assert_eq!(
        (pauses[0], pauses[1], pauses[9]),
        (RETRY_FIRST_MS, 20, RETRY_MAX_MS)
    );
    assert!(
        bench.log.take_news().blocked.is_none(),
        "the same trouble is told once"
    );

    fs::remove_file(bench.folder()).unwrap();
    bench.log.due(bench.log.next_ms().unwrap());
    assert_eq!(bench.log.take_news().blocked, Some(None));
    assert_eq!(bench.log.next_ms(), None);
    assert_eq!(
        bench.records(),
        [record("stdout F", "one"), record("stdout F", "two")]
    );
}

#[test]
fn what_is_given_up_is_counted() {
    let mut bench = Bench::new(1_000_000, 5);
    fs::write(bench.folder(), b"").unwrap();
    bench.feed(Stream::Stdout, b"one\n");
    assert_eq!(bench.log.abandon(), 4);
    assert!(bench.log.is_clear() && bench.log.blocked().is_none());
    assert_eq!(bench.log.next_ms(), None);
}

#[test]
fn memory_is_handed_back_when_it_becomes_quiet() {
    let mut bench = Bench::new(1_000_000, 5);
    bench.feed(Stream::Stdout, b"few\n");
    assert_eq!(bench.log.next_ms(), None, "a little output costs no wakeup");
    bench.feed(Stream::Stdout, &[b'x'; 10_000]);
    bench.feed(Stream::Stdout, &[b'y'; 10_000]);
    assert_eq!(bench.log.next_ms(), Some(REST_MS));
    bench.log.due(REST_MS);
    assert_eq!(
        bench.log.next_ms(),
        Some(2 * REST_MS),
        "it was busy meanwhile"
    );
    bench.log.due(2 * REST_MS);
    assert_eq!(bench.log.next_ms(), None);
    bench.log.end(Stream::Stdout, 0);
    let text: Vec<u8> = bench
        .records()
        .into_iter()
        .skip(1)
        .flat_map(|(_, t)| t)
        .collect();
    assert_eq!(
        text,
        [[b'x'; 10_000], [b'y'; 10_000]].concat(),
        "a partial line is kept"
    );
}
