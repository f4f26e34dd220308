//! Taking control back: what became of the runs while no manager looked.
//!
//! Purpose: from the journal, the run folders and the keepers that answer, the one fate of each
//! run.
//! Invariants: a run is live only if its own keeper says so now; ended only if there is a record,
//! which is written here, under the unit's lock, only when no keeper holds it; everything else is
//! unknown. No generation found anywhere is ever used again.
//! Deliberately absent: starting or stopping anything. That is the core's, once it knows.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use eud_core::fleet::{Daemon, Fleet, Unit, daemon_of, task_of};
use eud_core::io::{Fate, Persist, RecoveredRun, Recovery, TaskRecovery};
use eud_core::record::{Desired, ExitRecord, Generation, Intent, TaskId, WallMs};
use eud_store::{Journal, Store};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::error::ManagerError;
use crate::exit_file::{self, BuryError, ExitFile, RunKey};
use crate::keeper_line::KeeperLine;
use crate::layout::{Layout, run_file};
use crate::progress;
use crate::spec_file::SpecFile;
use crate::wire::Hello;

/// How long a keeper that holds its lock may take to answer before it counts as unreachable.
const ANSWER_LIMIT: Duration = Duration::from_millis(600);

/// Pause between two tries to reach such a keeper.
const RETRY: Duration = Duration::from_millis(20);

/// What is known of a run whose end is not recorded in the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Candidate {
    key: RunKey,
    /// The definition it was started with, if `spec.json` can be read.
    spec: Option<Box<SpecFile>>,
    /// The command, if the journal knows that it was started.
    pid: Option<u32>,
}

/// What a look at a run shows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Evidence {
    /// The record on disk.
    pub(crate) exit: ExitFile,
    /// Answer of the run's own keeper.
    pub(crate) hello: Option<Hello>,
    /// Whether the unit's lock is free.
    pub(crate) lock_free: bool,
}

/// What that means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Its keeper answers.
    Live,
    /// It has a record.
    Ended,
    /// Nobody keeps it: a record must be written under the lock.
    Bury,
    /// Somebody holds the lock and does not answer.
    Unreachable,
}

/// Decides. A record comes last in a keeper's life, so it outweighs an answer.
pub(crate) fn classify(evidence: &Evidence) -> Verdict {
    match evidence {
        Evidence {
            exit: ExitFile::Record(_),
            ..
        } => Verdict::Ended,
        Evidence { hello: Some(_), .. } => Verdict::Live,
        Evidence {
            lock_free: true, ..
        } => Verdict::Bury,
        Evidence { .. } => Verdict::Unreachable,
    }
}

/// A run and its connection, when its keeper answered or may yet.
#[derive(Debug)]
pub(crate) struct Adopted {
    pub(crate) key: RunKey,
    pub(crate) line: Option<KeeperLine>,
    pub(crate) hello: Option<Hello>,
    /// What it was started with.
    pub(crate) daemon: Option<Daemon>,
}

/// Everything found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// For the core.
    pub(crate) recovery: Recovery,
    /// Runs to go on with.
    pub(crate) adopted: Vec<Adopted>,
    /// Things worth a line in the manager's log.
    pub(crate) notes: Vec<String>,
    /// Tasks' units of which there is a folder and nothing else.
    pub(crate) forgotten: Vec<Unit>,
}

impl Findings {
    /// Whether a command may be running.
    pub(crate) fn any_alive(&self) -> bool {
        !self.adopted.is_empty()
    }
}

/// Looks at everything. Takes well under a second with 1,000 live keepers.
///
/// # Errors
/// When the journal or the folder of daemons cannot be read.
pub(crate) async fn look(layout: &Layout, store: &Store) -> Result<Findings, ManagerError> {
    let mut journal = store.recovery()?;
    let Inventory {
        candidates,
        highest,
        highest_task,
        forgotten,
    } = inventory(layout, store, &journal)?;
    journal.tasks.last_task = journal.tasks.last_task.max(highest_task);
    let mut findings = Findings {
        recovery: Recovery {
            intents: journal.intents,
            ledgers: journal.ledgers,
            profile: journal.profile,
            next_generation: journal.next_generation.max(highest + 1),
            last_runs: journal.last_runs,
            runs: Vec::new(),
            books: journal.books,
            gates: journal.gates,
            // Without it, a job that runs after each boot does not run after this one.
            boot_id: eud_sys::process::boot_id().unwrap_or_default(),
            bus: journal.bus,
            channels: journal.channels,
            rules: journal.rules,
            tasks: journal.tasks,
        },
        forgotten,
        ..Findings::default()
    };
    let layout = Arc::new(layout.clone());
    let mut looks = JoinSet::new();
    for candidate in candidates {
        let layout = Arc::clone(&layout);
        looks.spawn(async move { examine(&layout, candidate).await });
    }
    let mut examined: Vec<Examined> = looks.join_all().await;
    examined.sort_by_key(|e| e.candidate.key.generation);
    settle_shadowed(&layout, &mut examined);
    for one in examined {
        findings.take(one);
    }
    Ok(findings)
}

/// One run after the look.
#[derive(Debug)]
struct Examined {
    candidate: Candidate,
    fate: Fate,
    line: Option<KeeperLine>,
    hello: Option<Hello>,
}

impl Findings {
    fn take(&mut self, one: Examined) {
        let key = one.candidate.key;
        let generation = key.generation;
        self.recovery.next_generation = self.recovery.next_generation.max(generation + 1);
        match &one.fate {
            Fate::Live { pid, .. } => self.notes.push(format!(
                "took back {} (run {}, pid {})",
                key.unit,
                key.run,
                pid.map_or_else(|| "none yet".to_owned(), |pid| pid.to_string())
            )),
            Fate::Ended(record) => self.notes.push(format!(
                "{} ended meanwhile (run {}): {:?}",
                key.unit, key.run, record.reason
            )),
            Fate::Unreachable(why) => {
                self.notes.push(format!(
                    "{} is out of reach (run {}): {why}",
                    key.unit, key.run
                ));
            }
        }
        self.recovery.runs.push(RecoveredRun {
            run: key.run.clone(),
            unit: key.unit.clone(),
            generation,
            fate: one.fate.clone(),
        });
        if !matches!(one.fate, Fate::Ended(_)) {
            let daemon = one.candidate.spec.map(|spec| spec.daemon);
            self.adopted.push(Adopted {
                key,
                line: one.line,
                hello: one.hello,
                daemon,
            });
        }
    }

    /// A live run of a declared unit without an intent means that the database was lost: what runs
    /// is taken to be wanted, so that it is not stopped before the profile is applied. Gives what
    /// to make durable.
    pub(crate) fn assume_wanted(&mut self, fleet: &Fleet, at_ms: WallMs) -> Vec<Persist> {
        let mut known: BTreeSet<String> = self
            .recovery
            .intents
            .iter()
            .map(|intent| intent.unit.clone())
            .collect();
        let mut persist = Vec::new();
        for one in &self.adopted {
            let unit = &one.key.unit;
            if fleet.daemons.contains_key(daemon_of(unit)) && known.insert(unit.clone()) {
                let intent = Intent {
                    unit: unit.clone(),
                    desired: Desired::Up,
                    manual: false,
                    hold: None,
                    at_ms,
                };
                self.recovery.intents.push(intent.clone());
                persist.push(Persist::Intent(intent));
                self.notes.push(format!(
                    "{unit} is running and nothing says why: taken as wanted"
                ));
            }
        }
        persist
    }

    /// Reads what the tasks had to say that ended while nobody looked.
    pub(crate) fn catch_up(&mut self, layout: &Layout, fleet: &Fleet) {
        let ended: BTreeMap<&str, (&RecoveredRun, &ExitRecord)> = self
            .recovery
            .runs
            .iter()
            .filter_map(|run| match &run.fate {
                Fate::Ended(record) => Some((run.run.as_str(), (run, record))),
                _ => None,
            })
            .collect();
        for task in &mut self.recovery.tasks.tasks {
            let run = task.run.as_deref().and_then(|run| ended.get(run));
            let (Some((run, record)), Some(pool)) = (run, fleet.pools.get(&task.pool)) else {
                continue;
            };
            let key = RunKey {
                unit: run.unit.clone(),
                run: run.run.clone(),
                generation: run.generation,
            };
            task.progress = progress::of_ended(layout, &key, pool.progress, record);
        }
    }

    /// Says which fields of each live run differ from the fleet now loaded.
    pub(crate) fn compare(&mut self, fleet: &Fleet) {
        let started_with: BTreeMap<&str, &Daemon> = self
            .adopted
            .iter()
            .filter_map(|one| Some((one.key.run.as_str(), one.daemon.as_ref()?)))
            .collect();
        for run in &mut self.recovery.runs {
            let Fate::Live { changed, .. } = &mut run.fate else {
                continue;
            };
            let Some(now) = fleet.daemons.get(daemon_of(&run.unit)) else {
                continue;
            };
            let Some(before) = started_with.get(run.run.as_str()) else {
                continue;
            };
            *changed = before
                .changes_needing_restart(now)
                .into_iter()
                .map(str::to_owned)
                .collect();
        }
    }
}

/// What folders and journal show.
#[derive(Default)]
struct Inventory {
    /// Runs to be looked at: open in the journal, or unknown to it.
    candidates: Vec<Candidate>,
    /// The highest generation of any folder.
    highest: Generation,
    /// The highest id of any folder of a task.
    highest_task: TaskId,
    /// Folders of tasks that are not kept any longer, and of which no run may be alive.
    forgotten: Vec<Unit>,
}

fn inventory(layout: &Layout, store: &Store, journal: &Journal) -> Result<Inventory, ManagerError> {
    let mut found = Inventory::default();
    let mut open = BTreeSet::new();
    for row in &journal.open_runs {
        open.insert(row.run.clone());
        let key = RunKey {
            unit: row.unit.clone(),
            run: row.run.clone(),
            generation: row.generation,
        };
        let spec = SpecFile::read(&layout.run(&key.unit, &key.run)).map(Box::new);
        let pid = row.pid;
        found.candidates.push(Candidate { key, spec, pid });
    }
    for unit in folder_names(&layout.daemons())? {
        let (alive, ended) = unknown_runs(layout, store, &unit, &open)?;
        let seen = alive.iter().chain(&ended);
        found.highest = seen.fold(found.highest, |n, one| n.max(one.key.generation));
        found.candidates.extend(alive);
        found.candidates.extend(ended);
    }
    let (kept, over) = task_ids(&journal.tasks);
    for unit in folder_names(&layout.tasks())? {
        let Some((_, id)) = task_of(&unit) else {
            continue;
        };
        found.highest_task = found.highest_task.max(id);
        if over.contains(&id) {
            // It has no run any more.
            continue;
        }
        let (alive, ended) = unknown_runs(layout, store, &unit, &open)?;
        let seen = alive.iter().chain(&ended);
        found.highest = seen.fold(found.highest, |n, one| n.max(one.key.generation));
        let is_open = found.candidates.iter().any(|one| one.key.unit == unit);
        if kept.contains(&id) {
            found.candidates.extend(ended);
        } else if alive.is_empty() && !is_open {
            found.forgotten.push(unit);
        }
        found.candidates.extend(alive);
    }
    Ok(found)
}

/// Ids of tasks that are not over, and of those that are.
fn task_ids(tasks: &TaskRecovery) -> (BTreeSet<TaskId>, BTreeSet<TaskId>) {
    let kept = tasks.tasks.iter().map(|task| task.id).collect();
    let over = tasks.over.iter().map(|task| task.id).collect();
    (kept, over)
}

/// Runs of a unit that the journal does not know, say because the database was lost: those that may
/// be alive, and the newest of the others.
fn unknown_runs(
    layout: &Layout,
    store: &Store,
    unit: &str,
    open: &BTreeSet<String>,
) -> Result<(Vec<Candidate>, Option<Candidate>), ManagerError> {
    let mut alive = Vec::new();
    let mut newest_ended: Option<Candidate> = None;
    for run in folder_names(&layout.runs(unit))? {
        if open.contains(&run) || store.has_ended(&run)? {
            continue;
        }
        let Some(candidate) = unknown_run(layout, unit, &run) else {
            continue;
        };
        let ended = !matches!(exit_file::read(layout, &candidate.key), ExitFile::Absent);
        if !ended {
            alive.push(candidate);
        } else if newest_ended
            .as_ref()
            .is_none_or(|other| other.key.generation < candidate.key.generation)
        {
            newest_ended = Some(candidate);
        }
    }
    Ok((alive, newest_ended))
}

fn unknown_run(layout: &Layout, unit: &str, run: &str) -> Option<Candidate> {
    let spec = SpecFile::read(&layout.run(unit, run)).map(Box::new);
    let mut key = RunKey {
        unit: unit.into(),
        run: run.into(),
        generation: 0,
    };
    key.generation = match (&spec, exit_file::read(layout, &key)) {
        (Some(spec), _) => spec.generation,
        (None, ExitFile::Record(record)) => record.generation,
        // A folder without anything readable in it was abandoned before its keeper was started.
        (None, _) => return None,
    };
    Some(Candidate {
        key,
        spec,
        pid: None,
    })
}

/// Names of the folders in a folder; none when it does not exist.
fn folder_names(path: &std::path::Path) -> Result<Vec<String>, ManagerError> {
    let wrap = |e| ManagerError::file("read", path, e);
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(wrap(e)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(wrap)?;
        if entry.file_type().is_ok_and(|t| t.is_dir())
            && let Ok(name) = entry.file_name().into_string()
        {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Looks at one run until its fate is clear or time is up.
async fn examine(layout: &Layout, candidate: Candidate) -> Examined {
    let deadline = Instant::now() + ANSWER_LIMIT;
    let key = candidate.key.clone();
    loop {
        let (hello, line) = match KeeperLine::connect(layout, &key, deadline).await {
            Ok((line, hello)) => (Some(hello), Some(line)),
            Err(_) => (None, None),
        };
        let evidence = Evidence {
            exit: exit_file::read(layout, &key),
            // Asked for last: a lock found free proves that the absence of a record was final.
            lock_free: hello.is_none() && exit_file::lock(layout, &key.unit).is_ok(),
            hello,
        };
        let fate = match classify(&evidence) {
            Verdict::Ended => ended(layout, &key),
            Verdict::Live => evidence
                .hello
                .as_ref()
                .map(|hello| live(layout, &key, hello)),
            Verdict::Bury => match bury(layout, &key, candidate.pid).await {
                Ok(record) => Some(Fate::Ended(record)),
                Err(BuryError::Held) => None,
                Err(e) => Some(Fate::Unreachable(e.to_string())),
            },
            Verdict::Unreachable => None,
        };
        if let Some(fate) = fate {
            return Examined {
                candidate,
                fate,
                line,
                hello: evidence.hello,
            };
        }
        if Instant::now() >= deadline {
            let fate = Fate::Unreachable("its keeper holds the lock but does not answer".into());
            return Examined {
                candidate,
                fate,
                line: None,
                hello: None,
            };
        }
        tokio::time::sleep(RETRY).await;
    }
}

async fn bury(layout: &Layout, key: &RunKey, pid: Option<u32>) -> Result<ExitRecord, BuryError> {
    let (layout, key) = (layout.clone(), key.clone());
    match tokio::task::spawn_blocking(move || exit_file::bury(&layout, &key, pid)).await {
        Ok(done) => done,
        Err(e) => Err(BuryError::File(
            "declare a run dead".into(),
            std::io::Error::other(e),
        )),
    }
}

fn ended(layout: &Layout, key: &RunKey) -> Option<Fate> {
    match exit_file::read(layout, key) {
        ExitFile::Record(mut record) => {
            record.generation = key.generation;
            Some(Fate::Ended(*record))
        }
        ExitFile::Absent | ExitFile::Corrupt(_) | ExitFile::Unseen(_) => None,
    }
}

fn live(layout: &Layout, key: &RunKey, hello: &Hello) -> Fate {
    let seen = layout
        .run(&key.unit, &key.run)
        .join(run_file::READY)
        .exists();
    Fate::Live {
        pid: hello.pid,
        started_at_ms: WallMs::max(hello.started_at_ms, 0),
        ready_seen: hello.ready || seen,
        changed: Vec::new(),
    }
}

/// A run without a record whose unit has a later live run is dead, although the lock is held: a
/// keeper holds it as long as it lives, and the later one has it.
fn settle_shadowed(layout: &Layout, examined: &mut [Examined]) {
    let mut live: BTreeMap<String, Generation> = BTreeMap::new();
    for one in examined.iter().filter(|one| one.hello.is_some()) {
        live.insert(one.candidate.key.unit.clone(), one.candidate.key.generation);
    }
    for one in examined.iter_mut() {
        let key = &one.candidate.key;
        let shadowed = live
            .get(&key.unit)
            .is_some_and(|living| *living != key.generation);
        if shadowed
            && matches!(one.fate, Fate::Unreachable(_))
            && let Ok(record) = exit_file::bury_locked(layout, key, one.candidate.pid)
        {
            one.fate = Fate::Ended(record);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use eud_core::record::EndReason;

    fn key(generation: Generation) -> RunKey {
        RunKey {
            unit: "a".into(),
            run: format!("run-{generation}"),
            generation,
        }
    }

    fn hello() -> Hello {
        Hello {
            unit: "a".into(),
            run: "run-1".into(),
            generation: 1,
            keeper_pid: 5,
            pid: Some(6),
            started_at_ms: 7,
            ready: false,
            status: None,
            log_blocked: None,
        }
    }

    #[test]
    fn every_combination_of_evidence_has_one_verdict() {
        let record = ExitFile::Record(Box::new(exit_file::blank(
            &key(1),
            EndReason::Exited,
            String::new(),
        )));
        let corrupt = ExitFile::Corrupt("half a line".into());
        let absent = ExitFile::Absent;
        for (exit, answers, lock_free, expected) in [
            (&record, false, true, Verdict::Ended),
            (&record, false, false, Verdict::Ended),
            (&record, true, false, Verdict::Ended),
            (&absent, true, false, Verdict::Live),
            (&absent, true, true, Verdict::Live),
            (&absent, false, true, Verdict::Bury),
            (&absent, false, false, Verdict::Unreachable),
            (&corrupt, false, true, Verdict::Bury),
            (&corrupt, false, false, Verdict::Unreachable),
            (&corrupt, true, false, Verdict::Live),
        ] {
            let evidence = Evidence {
                exit: exit.clone(),
                hello: answers.then(hello),
                lock_free,
            };
            assert_eq!(classify(&evidence), expected, "{evidence:?}");
        }
    }

    fn adopted(unit: &str) -> Adopted {
        let key = RunKey {
            unit: unit.into(),
            run: "r".into(),
            generation: 1,
        };
        Adopted {
            key,
            line: None,
            hello: None,
            daemon: None,
        }
    }

    #[test]
    fn what_runs_without_an_intent_is_wanted_if_it_is_declared() {
        let mut fleet = Fleet::default();
        for name in ["known", "lost"] {
            fleet.daemons.insert(name.into(), Daemon::default());
        }
        let stopped = Intent {
            unit: "known".into(),
            manual: true,
            ..Intent::default()
        };
        let mut findings = Findings {
            recovery: Recovery {
                intents: vec![stopped.clone()],
                ..Recovery::default()
            },
            adopted: ["known", "lost@2", "undeclared", "known#7"]
                .map(adopted)
                .into(),
            ..Findings::default()
        };
        let wanted = Intent {
            unit: "lost@2".into(),
            desired: Desired::Up,
            manual: false,
            hold: None,
            at_ms: 9,
        };
        assert_eq!(
            findings.assume_wanted(&fleet, 9),
            [Persist::Intent(wanted.clone())]
        );
        assert_eq!(findings.recovery.intents, [stopped, wanted]);
    }

    #[tokio::test]
    async fn runs_are_told_apart_by_what_is_on_disk() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        let mut store = Store::open(&layout.database()).unwrap();
        let row = |generation| {
            let key = key(generation);
            Persist::RunIntent(eud_core::record::RunRow {
                run: key.run,
                unit: key.unit,
                generation,
                intent_at_ms: 1,
                pid: None,
                cause: "start".into(),
                exit: None,
                class: None,
            })
        };
        // 1: recorded and forgotten. 2: ended while nobody looked. 3: intent without a folder. 40:
        // a folder that the journal never saw, with a record.
        let write = |generation, reason| {
            let key = key(generation);
            let folder = layout.run(&key.unit, &key.run);
            fs::create_dir_all(&folder).unwrap();
            let record = exit_file::blank(&key, reason, String::new());
            fs::write(
                folder.join(run_file::EXIT),
                serde_json::to_vec(&record).unwrap(),
            )
            .unwrap();
            record
        };
        let first = write(1, EndReason::Exited);
        store
            .apply(&[
                row(1),
                Persist::RunEnded {
                    record: first,
                    class: None,
                },
            ])
            .unwrap();
        write(2, EndReason::Timeout);
        store.apply(&[row(2), row(3)]).unwrap();
        write(40, EndReason::Exited);
        let findings = look(&layout, &store).await.unwrap();
        let fates: Vec<_> = findings
            .recovery
            .runs
            .iter()
            .map(|run| match &run.fate {
                Fate::Ended(record) => (run.generation, record.reason),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(
            fates,
            [
                (2, EndReason::Timeout),
                (3, EndReason::NeverStarted),
                (40, EndReason::Exited)
            ]
        );
        assert_eq!(findings.recovery.next_generation, 41);
        let third = key(3);
        assert!(
            matches!(exit_file::read(&layout, &third), ExitFile::Record(_)),
            "a fence"
        );
    }
}
