//! The thread that watches for one daemon.
//!
//! Purpose: wait for events, orders and deadlines, and do what is due.
//! Invariants: it waits in one place; it ends only when ordered to, or by a fault that it tells.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc as sync_mpsc;

use eud_core::fleet::Watch;
use eud_core::io::Input;
use eud_sys::fd::{Interest, PollSet};
use tokio::sync::mpsc;

use super::folder::{Folder, next_id};
use super::known::{Known, Loaded};
use super::pending::{Moment, Pending};
use super::records::Record;
use super::registry::Registry;
use super::roots::Root;
use super::scan::How;
use super::tell::Outstanding;
use super::tree::FolderId;
use crate::diary::Diary;

/// Events are read at most this often: what writes without a pause wakes nobody more often.
const REST_MS: u64 = 10;

/// How often inotify is tried again where it could not be had.
const RETRY_MS: u64 = if cfg!(test) { 200 } else { 60_000 };

/// Looking takes at most one part in so many of the time, where it is all that can be done.
const POLL_SHARE: u64 = 20;

/// What the thread is told.
#[derive(Debug)]
pub(super) enum Order {
    /// Batches that are no longer wanted.
    Drop(Vec<String>),
    /// Its end.
    End(Ending),
}

/// How it shall end.
#[derive(Debug)]
pub(super) enum Ending {
    /// What was not told yet is written down for whoever comes next.
    Flush,
    /// Nothing stays but these batches.
    Forget(BTreeSet<String>),
}

/// What the thread is started with.
pub(super) struct Setup {
    pub(super) daemon: String,
    pub(super) watch: Watch,
    pub(super) keep: BTreeSet<String>,
    pub(super) folder: Folder,
    /// The state directory.
    pub(super) state: PathBuf,
    pub(super) inputs: mpsc::Sender<Input>,
    pub(super) diary: Arc<Diary>,
    pub(super) orders: sync_mpsc::Receiver<Order>,
    pub(super) woken: UnixStream,
    pub(super) is_over: Arc<AtomicBool>,
}

/// All that the thread knows.
pub(super) struct Watcher {
    pub(super) setup: Setup,
    pub(super) roots: Vec<Root>,
    pub(super) pending: Pending,
    pub(super) known: Known,
    pub(super) last_id: String,
    pub(super) outstanding: Outstanding,
    /// `None`: the disk is looked at again and again instead.
    pub(super) registry: Option<Registry>,
    pub(super) scans: u32,
    pub(super) troubles: Troubles,
    /// Folders whose `.gitignore` changed.
    pub(super) new_rules: BTreeSet<(usize, FolderId)>,
    /// Roots that may lead elsewhere by now.
    pub(super) to_attend: BTreeSet<usize>,
    pub(super) rescan_at_ms: Option<u64>,
    pub(super) scan_took_ms: u64,
    poll_at_ms: u64,
    retry_at_ms: u64,
    mounts: Option<File>,
    /// The table of mounts changed. The system says so once.
    is_remounted: bool,
    mounted: BTreeSet<Vec<u8>>,
    told_problem: Option<Option<String>>,
}

/// What is not as it should be.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    /// Why inotify is not used.
    pub(super) polling: Option<String>,
    /// Folders that cannot be read, and why.
    pub(super) unreadable: BTreeMap<PathBuf, String>,
    /// There are more paths than are remembered.
    pub(super) is_full: bool,
    /// Batches or what is known could not be written.
    pub(super) disk: Option<String>,
}

/// Tells that the thread died by a fault of ours.
struct Alarm {
    daemon: String,
    inputs: mpsc::Sender<Input>,
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let problem = "nothing is watched: a fault of ours, please report it; \
                           `eud reload` after a change of `watch` starts it anew";
            // The engine is gone only when the manager is ending.
            let _ = self.inputs.blocking_send(Input::Watching {
                daemon: self.daemon.clone(),
                problem: Some(problem.to_owned()),
            });
        }
    }
}

/// Watches until it is ordered to end.
pub(super) fn run(setup: Setup) {
    let _alarm = Alarm {
        daemon: setup.daemon.clone(),
        inputs: setup.inputs.clone(),
    };
    let mut watcher = Watcher::new(setup);
    watcher.begin();
    loop {
        while let Ok(order) = watcher.setup.orders.try_recv() {
            match order {
                Order::Drop(batches) => watcher.drop_batches(&batches),
                Order::End(ending) => return watcher.end(ending),
            }
        }
        watcher.work();
        watcher.report();
        watcher.wait();
    }
}

impl Watcher {
    fn new(setup: Setup) -> Self {
        let roots = super::roots::of(&setup.watch, &setup.state);
        let known = Known::new(setup.folder.known());
        Self {
            roots,
            pending: Pending::default(),
            known,
            last_id: String::new(),
            outstanding: Outstanding::default(),
            registry: None,
            scans: 0,
            troubles: Troubles::default(),
            new_rules: BTreeSet::new(),
            to_attend: BTreeSet::new(),
            rescan_at_ms: None,
            scan_took_ms: 0,
            poll_at_ms: 0,
            retry_at_ms: 0,
            mounts: File::open("/proc/self/mountinfo").ok(),
            is_remounted: false,
            mounted: BTreeSet::new(),
            told_problem: None,
            setup,
        }
    }

    /// Takes up what an earlier one left, and looks at everything for the first time.
    fn begin(&mut self) {
        if let Err(e) = self.setup.folder.create() {
            self.troubles.disk = Some(e.to_string());
        }
        self.setup.folder.clear_temporary();
        self.tell_again();
        let how = self.recall();
        if let Some(last) = self.setup.folder.list().pop() {
            self.last_id = self.last_id.clone().max(last.id);
        }
        if self.last_id.is_empty() {
            self.last_id = next_id(None);
        }
        self.use_inotify();
        for root in 0..self.roots.len() {
            self.attend(root, how);
        }
        self.mounted = self.mount_points();
        self.keep_known();
        self.poll_at_ms = Moment::now().mono_ms + self.poll_pause_ms();
    }

    /// Reads what was told before. Says what a first look means.
    fn recall(&mut self) -> How {
        let what = self.about();
        let roots = &mut self.roots;
        let loaded = self
            .known
            .load(&what, |record| super::roots::recall(roots, record));
        let daemon = &self.setup.daemon;
        match loaded {
            Loaded::Nothing => return How::Baseline,
            Loaded::OfAnother => {
                self.setup.diary.note(&format!(
                    "{daemon}: other paths or patterns are watched than before; what is there now \
                     counts as known"
                ));
                return How::Baseline;
            }
            Loaded::Damaged(why) => {
                self.setup.diary.error(&format!(
                    "{daemon}: what was known of its watched paths cannot be read ({why}); changes \
                     made while no manager ran are not seen this time"
                ));
                return How::Baseline;
            }
            Loaded::UpTo(last) => self.last_id = last,
        }
        // An earlier manager died after it wrote these and before it noted that.
        for found in self.setup.folder.list() {
            if found.id > self.last_id
                && let Ok((_, mut records)) = self.setup.folder.open(&found.id)
            {
                while let Ok(Some(record)) = records.next() {
                    super::roots::recall(&mut self.roots, record);
                }
                self.known.give_up();
            }
        }
        How::Compare
    }

    /// What `known` is about, as one line.
    pub(super) fn about(&self) -> String {
        let watch = &self.setup.watch;
        let about = (
            &watch.paths,
            &watch.ignore,
            watch.gitignore,
            &watch.extensions,
        );
        // Texts in lists can be written; if not, it is always about something else.
        serde_json::to_string(&about).unwrap_or_default()
    }

    /// Does what is due.
    fn work(&mut self) {
        let now = Moment::now();
        self.read_events();
        if std::mem::take(&mut self.is_remounted) {
            self.look_at_mounts();
        }
        let is_poll = self.is_polling() && self.poll_at_ms <= now.mono_ms;
        if is_poll {
            self.to_attend.extend(0..self.roots.len());
        }
        if self.registry.is_none() && self.retry_at_ms <= now.mono_ms {
            self.use_inotify();
            // Where nothing is watched, everything is looked at.
            self.to_attend.extend(0..self.roots.len());
        }
        for root in std::mem::take(&mut self.to_attend) {
            self.attend(root, How::Compare);
        }
        self.heed_new_rules();
        let is_rescan = self.rescan_at_ms.is_some_and(|at| at <= now.mono_ms);
        if is_rescan || (is_poll && self.registry.is_none()) {
            self.rescan_at_ms = None;
            self.scan_all();
        }
        if is_poll {
            self.poll_at_ms = Moment::now().mono_ms + self.poll_pause_ms();
        }
        let now = Moment::now();
        if self.tell_at_ms().is_some_and(|at| at <= now.mono_ms) {
            self.tell(now);
        }
    }

    fn heed_new_rules(&mut self) {
        if self.new_rules.is_empty() {
            return;
        }
        for (root, folder) in std::mem::take(&mut self.new_rules) {
            self.scan(root, folder, How::NewRules);
        }
        // What counts by now is known, though nothing of it was told.
        self.known.give_up();
        self.keep_known();
    }

    /// Whether something must be looked at again and again.
    fn is_polling(&self) -> bool {
        self.registry.is_none() || self.roots.iter().any(Root::needs_polling)
    }

    fn poll_pause_ms(&self) -> u64 {
        let poll_ms = self.setup.watch.poll_ms.max(REST_MS);
        poll_ms.max(self.scan_took_ms.saturating_mul(POLL_SHARE))
    }

    /// When a batch is to be told.
    fn tell_at_ms(&self) -> Option<u64> {
        let due = self.pending.due_ms(&self.setup.watch);
        due.filter(|_| !self.outstanding.is_full())
    }

    fn due_ms(&self) -> Option<u64> {
        let poll = self.is_polling().then_some(self.poll_at_ms);
        let retry = self.registry.is_none().then_some(self.retry_at_ms);
        [self.tell_at_ms(), self.rescan_at_ms, poll, retry]
            .into_iter()
            .flatten()
            .min()
    }

    /// Waits for events, orders and time.
    fn wait(&mut self) {
        let now = Moment::now().mono_ms;
        let limit = self.due_ms().map(|due| due.saturating_sub(now));
        // For a while only orders and time count.
        let rest = limit.map_or(REST_MS, |limit| limit.min(REST_MS));
        if self.registry.is_some() && (rest == 0 || self.is_ordered_within(rest)) {
            return;
        }
        let limit = limit.map(|limit| limit.saturating_sub(rest));
        let mut set = PollSet::new();
        set.add(self.setup.woken.as_fd(), Interest::Read);
        if let Some(registry) = &self.registry {
            set.add(registry.inotify.as_fd(), Interest::Read);
        }
        let mounts = self.mounts.as_ref();
        let mounts = mounts.map(|mounts| set.add(mounts.as_fd(), Interest::Unusual));
        // A failure shows again at the next try.
        if let (Ok(ready), Some(mounts)) = (set.wait(limit), mounts) {
            self.is_remounted = ready.get(mounts).is_some_and(|ready| ready.read);
        }
        self.is_ordered_within(0);
    }

    /// Whether somebody woke it.
    fn is_ordered_within(&self, limit_ms: u64) -> bool {
        let woken = &self.setup.woken;
        let is_woken = eud_sys::fd::wait(woken.as_fd(), Interest::Read, Some(limit_ms));
        if !is_woken.unwrap_or(false) {
            return false;
        }
        let mut bytes = [0; 64];
        (&*woken).read(&mut bytes).is_ok_and(|read| read > 0)
    }

    /// Takes inotify into use, or says why not.
    fn use_inotify(&mut self) {
        match Registry::new() {
            Ok(registry) => {
                self.registry = Some(registry);
                self.troubles.polling = None;
            }
            Err(e) => self.fall_back(&e),
        }
    }

    /// Looks at the disk again and again from now on.
    pub(super) fn fall_back(&mut self, why: &std::io::Error) {
        self.registry = None;
        for root in &mut self.roots {
            root.unwatch();
        }
        let now = Moment::now().mono_ms;
        self.retry_at_ms = now + RETRY_MS;
        self.poll_at_ms = now + self.poll_pause_ms();
        let pause = eud_core::words::duration(self.setup.watch.poll_ms);
        self.troubles.polling = Some(format!("polling every {pause}: {}", limit_words(why)));
    }

    /// Another file system may lie where one of the roots is.
    fn look_at_mounts(&mut self) {
        self.to_attend.extend(0..self.roots.len());
        let mounted = self.mount_points();
        if mounted != self.mounted {
            self.mounted = mounted;
            self.rescan_soon();
        }
    }

    /// After what was lost or may have changed without a word; not again and again.
    pub(super) fn rescan_soon(&mut self) {
        let pause = (self.scan_took_ms * 4).clamp(REST_MS * 5, 10_000);
        let at = Moment::now().mono_ms + pause;
        self.rescan_at_ms = Some(self.rescan_at_ms.map_or(at, |before| before.min(at)));
    }

    /// Mounts below the roots.
    fn mount_points(&self) -> BTreeSet<Vec<u8>> {
        let text = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
        let lines = text.split(|byte| *byte == b'\n');
        let points = lines.filter_map(|line| line.split(|byte| *byte == b' ').nth(4));
        let is_below = |point: &&[u8]| self.roots.iter().any(|root| root.holds(point));
        points.filter(is_below).map(<[u8]>::to_vec).collect()
    }

    /// Tells how it is watched, if that is new.
    fn report(&mut self) {
        let problem = self.problem();
        if self.told_problem.as_ref() == Some(&problem) {
            return;
        }
        self.told_problem = Some(problem.clone());
        self.send(Input::Watching {
            daemon: self.setup.daemon.clone(),
            problem,
        });
    }

    fn problem(&self) -> Option<String> {
        let troubles = &self.troubles;
        let roots = self.roots.iter().filter_map(Root::problem);
        let unreadable = troubles.unreadable.first_key_value().map(|(path, why)| {
            let path = path.display();
            match troubles.unreadable.len() - 1 {
                0 => format!("`{path}` cannot be read: {why}"),
                more => format!("`{path}` and {more} more cannot be read: {why}"),
            }
        });
        let full = troubles.is_full.then(|| {
            format!(
                "there are more than {} paths, and what is beyond is not watched; narrow \
                 `watch.paths` or add to `watch.ignore`",
                super::scan::PATHS_MAX
            )
        });
        let held = self.outstanding.problem();
        let disk = troubles.disk.as_ref().map(|why| {
            format!(
                "cannot write in {}: {why}",
                self.setup.folder.path().display()
            )
        });
        let all: Vec<String> = troubles
            .polling
            .clone()
            .into_iter()
            .chain(roots)
            .chain([unreadable, full, held, disk].into_iter().flatten())
            .collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    /// Tells the engine, unless nobody wants to hear it any more.
    pub(super) fn send(&self, input: Input) {
        if !self.setup.is_over.load(Ordering::Acquire) {
            // The engine is gone only when the manager is ending.
            let _ = self.setup.inputs.blocking_send(input);
        }
    }

    fn end(mut self, ending: Ending) {
        match ending {
            Ending::Flush => {
                self.read_events();
                if !self.pending.is_empty() {
                    self.tell(Moment::now());
                }
            }
            Ending::Forget(keep) => self.setup.folder.forget(&keep),
        }
    }

    /// Writes down what is known, if what is written is behind.
    pub(super) fn keep_known(&mut self) {
        if !self.known.is_stale() {
            return;
        }
        let about = self.about();
        let roots = &self.roots;
        let written = self.known.write(&about, &self.last_id, |put| {
            for root in roots {
                root.each_record(&mut *put);
            }
        });
        self.troubles.disk = written.err().map(|e| e.to_string());
    }

    /// Notes a record in what is known.
    pub(super) fn note_known(&mut self, record: &Record) {
        self.known.add(record);
    }
}

/// Which limit was met, and how it is raised.
fn limit_words(why: &std::io::Error) -> String {
    let (what, key) = match why.raw_os_error() {
        Some(eud_sys::inotify::TOO_MANY_WATCHES) => ("watches", "max_user_watches"),
        Some(eud_sys::inotify::TOO_MANY_INSTANCES) => ("instances", "max_user_instances"),
        _ => return format!("inotify cannot be used: {why}"),
    };
    let path = format!("/proc/sys/fs/inotify/{key}");
    let value = std::fs::read_to_string(path).unwrap_or_default();
    format!(
        "the system allows no more inotify {what} (fs.inotify.{key} = {}); raise it with \
         `sysctl fs.inotify.{key}=…`",
        value.trim()
    )
}
