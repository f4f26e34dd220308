//! Loading: from the path of a fleet file to a checked [`Fleet`].
//!
//! Purpose: read the files, lay defaults under daemons, check every table, then what tables say
//! about each other.
//! Invariants: either a fleet that satisfies all that [`eud_core::fleet`] promises, or every error
//! found; never both, never neither.

mod bus;
mod gauges;
mod rules;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use eud_core::fleet::{Fleet, Kind};

use crate::bus::{self as bus_relations, EventTypes, Pools, Subscriptions};
use crate::check::{Checker, value_type};
use crate::checked::{Checked, Item, Val, texts};
use crate::diagnostic::{Code, Diagnostic, Invalid};
use crate::document::{self, Entry, Table, Value};
use crate::expand::Env;
use crate::gauges::{Gates, Gauges};
use crate::include::{self, BYTES_MAX, Contents, DEPTH_MAX, FILES_MAX};
use crate::keys::Type;
use crate::kinds;
use crate::merge;
use crate::model::{self, Place};
use crate::profiles::{Profile, Profiles};
use crate::relations::{self, Declarations, Declared};
use crate::rules::{self as rule_relations, Channels, Known, Rules};
use crate::source::{At, Draft, Report, Sources, quoted};
use crate::tables::{DAEMON, ROOT};
use crate::zone::MachineZone;
use crate::{gauges as gauge_relations, triggers};

/// A fleet that may be run.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The fleet.
    pub fleet: Fleet,
    /// What is allowed but probably not meant, by file and line.
    pub warnings: Vec<Diagnostic>,
    /// All files read, the main file first. Absolute.
    pub files: Vec<PathBuf>,
    /// Members of each profile with all they need and want.
    pub profiles: BTreeMap<String, BTreeSet<String>>,
    /// Texts of the files, for [`crate::render`].
    pub sources: Sources,
}

/// Reads a fleet file and all it includes. `env` looks up variables of the environment, `HOME`
/// among them.
///
/// # Errors
/// Every problem of every file at once. A file that is not TOML, or cannot be read, hides only its
/// own.
pub fn load(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Loaded, Invalid> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let folder = path.parent().unwrap_or(Path::new("/"));
    let mut loader = Loader {
        env,
        sources: Sources::new(folder),
        report: Report::default(),
        seen: HashMap::new(),
        stack: Vec::new(),
        documents: Vec::new(),
        broken: false,
        state: state_folder(folder, env),
        zone: MachineZone::new(env),
    };
    loader.main_file(&path);
    let fleet_folder = folder.to_string_lossy().into_owned();
    let mut fleet = Fleet {
        name: folder_name(folder),
        ..Fleet::default()
    };
    let mut parts = Parts::default();
    loader.check_documents(&mut fleet, &mut parts, &fleet_folder);
    let members = loader.check_relations(&mut fleet, &parts);
    let refused = loader.report.has_errors();
    if !refused {
        triggers::zone(&parts.daemons, &loader.zone, &mut loader.report);
    }
    let diagnostics = loader.report.finish(&loader.sources);
    if refused {
        return Err(Invalid {
            diagnostics,
            sources: loader.sources,
        });
    }
    Ok(Loaded {
        fleet,
        warnings: diagnostics,
        files: loader
            .documents
            .into_iter()
            .map(|document| document.path)
            .collect(),
        profiles: members,
        sources: loader.sources,
    })
}

/// Where the manager keeps its files, unless the command line says otherwise.
fn state_folder(folder: &Path, env: Env<'_>) -> Option<String> {
    let state = env("EUD_STATE").filter(|state| !state.is_empty());
    let state = state.map_or_else(|| folder.join(".eud"), PathBuf::from);
    Some(std::path::absolute(state).ok()?.to_str()?.to_owned())
}

/// The fleet file that counts in a folder: `eud.toml` there, or in the nearest folder above.
pub fn find(start: &Path) -> Option<PathBuf> {
    let start = std::path::absolute(start).ok()?;
    start
        .ancestors()
        .map(|folder| folder.join(FILE_NAME))
        .find(|path| path.is_file())
}

/// Name of a fleet file.
pub const FILE_NAME: &str = "eud.toml";

fn folder_name(folder: &Path) -> String {
    let name = folder
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    name.filter(|name| !name.chars().any(char::is_control))
        .unwrap_or_else(|| "fleet".to_owned())
}

/// Most bytes that the daemons of a file inherit together, roughly.
const INHERITED_BYTES_MAX: usize = 256_000_000;

/// A file that was read.
struct Document {
    path: PathBuf,
    file: usize,
    table: Table,
}

/// What was declared so far.
#[derive(Default)]
struct Parts {
    daemons: Declarations,
    profiles: BTreeMap<String, Profile>,
    gauges: Gauges,
    gates: Gates,
    event_types: EventTypes,
    subscriptions: Subscriptions,
    pools: Pools,
    rules: Rules,
    channels: Channels,
    default: Option<(String, At)>,
    /// `[defaults]` of the main file.
    defaults: Option<Table>,
}

struct Loader<'a> {
    env: Env<'a>,
    sources: Sources,
    report: Report,
    /// Files read or being read, by their real path.
    seen: HashMap<PathBuf, usize>,
    /// Real paths and names of the files being read, outermost first.
    stack: Vec<PathBuf>,
    documents: Vec<Document>,
    /// Some file could not be read, so that a name which is not defined may be defined there.
    broken: bool,
    /// The state folder, if it is known.
    state: Option<String>,
    zone: MachineZone<'a>,
}

impl Loader<'_> {
    fn main_file(&mut self, path: &Path) {
        let Some(name) = path.to_str() else {
            let file = self
                .sources
                .add(path.to_string_lossy().into_owned(), String::new());
            self.fail(
                At {
                    file,
                    start: 0,
                    end: 0,
                },
                "the path of the fleet file is not UTF-8".into(),
            );
            return;
        };
        match include::read(path) {
            Contents::Failed(why) => {
                let file = self.sources.add(name.to_owned(), String::new());
                let at = At {
                    file,
                    start: 0,
                    end: 0,
                };
                self.fail(at, format!("the fleet file {why}"));
            }
            read => self.file(path, name, read, 0),
        }
    }

    fn fail(&mut self, at: At, message: String) {
        self.broken = true;
        let draft = Draft::error(Code::Unreadable, at, message);
        self.report
            .push(draft.help("`eud init` writes a fleet file to start from"));
    }

    /// Parses a text and reads what it includes.
    fn file(&mut self, path: &Path, name: &str, read: Contents, depth: usize) {
        let (text, invalid) = match read {
            Contents::Text(text) => (text, None),
            Contents::NotUtf8(text, at) => (text, Some(at)),
            Contents::Failed(_) => return,
        };
        let file = self.sources.add(name.to_owned(), text);
        let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        self.seen.insert(real.clone(), file);
        if let Some(start) = invalid {
            self.broken = true;
            let at = At {
                file,
                start,
                end: start + '\u{fffd}'.len_utf8(),
            };
            let draft = Draft::error(Code::Unreadable, at, "the file is not UTF-8");
            self.report.push(draft.label("first byte that is not"));
            return;
        }
        let Some(table) = document::parse(&self.sources, file, &mut self.report) else {
            self.broken = true;
            return;
        };
        let includes = self.include_patterns(&table);
        self.documents.push(Document {
            path: path.to_owned(),
            file,
            table,
        });
        self.stack.push(real);
        for (pattern, at) in includes {
            self.include(path, &pattern, at, depth);
        }
        self.stack.pop();
    }

    fn checker(&mut self, defaults: bool) -> Checker<'_> {
        Checker {
            sources: &self.sources,
            env: self.env,
            report: &mut self.report,
            defaults,
            rule: false,
        }
    }

    fn include_patterns(&mut self, table: &Table) -> Vec<(String, At)> {
        let Some(entry) = table.get("include") else {
            return Vec::new();
        };
        let Some(ty) = value_type(&ROOT, "include") else {
            return Vec::new();
        };
        let mut checker = self.checker(false);
        let patterns = match checker.value("include", &entry.node, ty) {
            Some(Item {
                val: Val::List(items),
                ..
            }) => texts(&items),
            _ => Vec::new(),
        };
        let home = |(pattern, at): (String, At)| {
            if pattern.trim().is_empty() {
                let message = "`include` is empty".to_owned();
                checker.error(Code::BadInclude, at, message, "write a path or a glob");
                return None;
            }
            Some((checker.home(at, &pattern)?, at))
        };
        patterns.into_iter().filter_map(home).collect()
    }

    fn include(&mut self, from: &Path, pattern: &str, at: At, depth: usize) {
        let folder = from.parent().unwrap_or(Path::new("/")).to_owned();
        if !include::is_glob(pattern) {
            let name = crate::check_values::join(&folder, pattern);
            self.included(Path::new(&name), at, depth);
            return;
        }
        let found = match include::find(&folder, pattern) {
            Ok(found) => found,
            Err(why) => {
                let message = format!("{} is not a valid glob: {why}", quoted(pattern));
                self.report
                    .push(Draft::error(Code::BadInclude, at, message));
                return;
            }
        };
        if let Some(missing) = found.missing {
            let missing = missing.to_string_lossy();
            let missing = quoted(self.sources.shown(&missing));
            let draft = Draft::warning(Code::Empty, at, format!("folder {missing} does not exist"));
            self.report.push(draft.label("includes nothing"));
        }
        for path in found.files {
            // `*.toml` beside the including file matches that file too, and does not mean it.
            if std::fs::canonicalize(&path).ok().as_ref() != self.stack.last() {
                self.included(&path, at, depth);
            }
        }
    }

    fn included(&mut self, path: &Path, at: At, depth: usize) {
        let bad = |message: String| Draft::error(Code::BadInclude, at, message);
        let Some(name) = path.to_str() else {
            let shown = quoted(&path.to_string_lossy());
            self.report.push(bad(format!(
                "the path of included file {shown} is not UTF-8"
            )));
            return;
        };
        let shown = quoted(self.sources.shown(name));
        let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if self.stack.contains(&real) {
            let first = self
                .seen
                .get(&real)
                .map_or(name, |file| self.sources.path(*file));
            let shown = quoted(self.sources.shown(first));
            self.report
                .push(bad(format!("{shown} includes itself")).label("leads back to it"));
            return;
        }
        if self.seen.contains_key(&real) {
            return;
        }
        let why = if depth >= DEPTH_MAX {
            Some(format!(
                "{shown} is included through more than {DEPTH_MAX} files"
            ))
        } else if self.documents.len() >= FILES_MAX {
            Some(format!("more than {FILES_MAX} files are included"))
        } else if self.sources.bytes() > BYTES_MAX {
            Some(format!(
                "the files together are larger than {} MiB",
                BYTES_MAX >> 20
            ))
        } else {
            None
        };
        if let Some(why) = why {
            self.broken = true;
            self.report.push(bad(why));
            return;
        }
        match include::read(path) {
            Contents::Failed(why) => {
                self.broken = true;
                self.report
                    .push(bad(format!("included file {shown} {why}")));
            }
            read => self.file(path, name, read, depth + 1),
        }
    }

    /// Checks all that is said about something else. Members of each profile.
    fn check_relations(
        &mut self,
        fleet: &mut Fleet,
        parts: &Parts,
    ) -> BTreeMap<String, BTreeSet<String>> {
        let report = &mut self.report;
        let few = gauge_relations::check_alone(&parts.gauges, &parts.gates, report);
        let (types, subscriptions, pools) =
            (&parts.event_types, &parts.subscriptions, &parts.pools);
        let few = bus_relations::check_alone(types, subscriptions, pools, report) && few;
        let few = rule_relations::check_alone(&parts.rules, &parts.channels, report) && few;
        let bounded = relations::check_alone(&parts.daemons, report) && few;
        let mut members = BTreeMap::new();
        if !self.broken && bounded {
            relations::check(&parts.daemons, &mut self.report);
            let (gauges, gates) = (&parts.gauges, &parts.gates);
            gauge_relations::references(&parts.daemons, gauges, gates, &mut self.report);
            let (daemons, report) = (&parts.daemons, &mut self.report);
            bus_relations::references(daemons, gates, subscriptions, pools, report);
            let known = Known {
                fleet,
                gates,
                pools,
                channels: &parts.channels,
            };
            rule_relations::references(&parts.rules, subscriptions, &known, report);
            let profiles = Profiles {
                fleet,
                daemons: &parts.daemons,
                profiles: &parts.profiles,
                default: parts
                    .default
                    .as_ref()
                    .map(|(name, at)| (name.as_str(), *at)),
            };
            let affordable = profiles.gates_are_affordable(&parts.gates, &mut self.report);
            members = profiles.check(&mut self.report);
            if affordable {
                gauge_relations::members(&parts.gates, fleet, &mut self.report);
            }
        }
        members
    }

    fn check_documents(&mut self, fleet: &mut Fleet, parts: &mut Parts, folder: &str) {
        let documents = std::mem::take(&mut self.documents);
        for document in &documents {
            self.check_document(document, fleet, parts, folder);
        }
        if !self.broken && parts.daemons.is_empty() && !self.report.has_errors() {
            let at = At {
                file: 0,
                start: 0,
                end: 0,
            };
            let draft = Draft::warning(Code::Empty, at, "the fleet has no daemons");
            self.report
                .push(draft.help("declare one with `[daemons.<name>]` and a `command`"));
        }
        fleet.daemons = parts
            .daemons
            .iter()
            .map(|(name, declared)| (name.clone(), declared.daemon.clone()))
            .collect();
        let gauge = |(_, declared): (&String, &gauge_relations::DeclaredGauge)| {
            let gauge = declared.gauge.clone()?;
            Some((gauge.name.clone(), gauge))
        };
        fleet.gauges = parts.gauges.iter().filter_map(gauge).collect();
        fleet.gates = parts
            .gates
            .iter()
            .map(|(name, declared)| (name.clone(), declared.gate.clone()))
            .collect();
        let (types, subscriptions) = (&parts.event_types, &parts.subscriptions);
        bus_relations::declare(types, subscriptions, &parts.pools, fleet);
        rule_relations::declare(&parts.rules, &parts.channels, fleet);
        let terms =
            |profile: &Profile| profile.terms.iter().map(|(term, _)| term.clone()).collect();
        fleet.profiles = parts
            .profiles
            .iter()
            .map(|(name, profile)| (name.clone(), terms(profile)))
            .collect();
        fleet.profile = parts.default.as_ref().map(|(name, _)| name.clone());
        self.documents = documents;
    }

    fn check_document(
        &mut self,
        document: &Document,
        fleet: &mut Fleet,
        parts: &mut Parts,
        folder: &str,
    ) {
        let main = document.file == 0;
        for entry in &document.table.entries {
            if ROOT.key(&entry.key).is_none() {
                self.checker(false)
                    .unknown_key(&entry.key, entry.key_at, &ROOT);
            }
        }
        if let Some(entry) = document.table.get("fleet") {
            if main {
                self.fleet(entry, fleet, parts);
            } else {
                let message = "`[fleet]` is only allowed in the main file";
                let draft = Draft::error(Code::Misplaced, entry.key_at, message);
                self.report.push(draft.label("this file is included"));
            }
        }
        let own = document
            .table
            .get("defaults")
            .and_then(|entry| self.defaults(entry));
        let defaults = match (&parts.defaults, own) {
            (Some(first), Some(own)) => Some(merge::merge(first, &own, &DAEMON)),
            (first, own) => own.or_else(|| first.clone()),
        };
        if main {
            parts.defaults.clone_from(&defaults);
        }
        if let Some(entry) = document.table.get("profiles") {
            self.profiles(entry, parts);
        }
        if let Some(entry) = document.table.get("daemons") {
            self.daemons(entry, defaults.as_ref(), parts, folder);
        }
        if let Some(entry) = document.table.get("gauges") {
            self.gauges(entry, parts, folder);
        }
        if let Some(entry) = document.table.get("gates") {
            self.gates(entry, parts);
        }
        if let Some(entry) = document.table.get("events") {
            self.events(entry, main, &mut fleet.events, parts);
        }
        if let Some(entry) = document.table.get("subscriptions") {
            self.subscriptions(entry, defaults.as_ref(), parts, folder);
        }
        if let Some(entry) = document.table.get("pools") {
            self.pools(entry, defaults.as_ref(), parts, folder);
        }
        if let Some(entry) = document.table.get("rules") {
            self.rules(entry, defaults.as_ref(), parts, folder);
        }
        if let Some(entry) = document.table.get("channels") {
            self.channels(entry, defaults.as_ref(), parts, folder);
        }
    }

    fn fleet(&mut self, entry: &Entry, fleet: &mut Fleet, parts: &mut Parts) {
        let Some(ty) = value_type(&ROOT, "fleet") else {
            return;
        };
        let item = self.checker(false).value("fleet", &entry.node, ty);
        let Some(Item {
            val: Val::Table(table),
            ..
        }) = item
        else {
            return;
        };
        if let Some(name) = table.text("name") {
            name.clone_into(&mut fleet.name);
        }
        if let (Some(name), Some(at)) = (table.text("profile"), table.at("profile")) {
            parts.default = Some((name.to_owned(), at));
        }
    }

    /// `[defaults]` of a file, checked by itself, so that errors show even when no daemon inherits
    /// them.
    fn defaults(&mut self, entry: &Entry) -> Option<Table> {
        let ty = value_type(&ROOT, "defaults")?;
        let mut node = entry.node.clone();
        if let Value::Table(table) = &mut node.value {
            merge::normalise(table, &mut self.report);
        }
        self.checker(true).value("defaults", &node, ty)?;
        match node.value {
            Value::Table(mut table) => {
                table
                    .entries
                    .retain(|entry| DAEMON.key(&entry.key).is_some_and(|k| k.inherited));
                Some(table)
            }
            _ => None,
        }
    }

    fn profiles(&mut self, entry: &Entry, parts: &mut Parts) {
        let Some(Type::Map(spec)) = value_type(&ROOT, "profiles") else {
            return;
        };
        let Value::Table(table) = &entry.node.value else {
            self.checker(false)
                .wrong_type("profiles", &entry.node, &Type::Map(spec));
            return;
        };
        let checked = self.checker(false).map(table, spec);
        for (name, item) in checked {
            let Some(at) = table.get(&name).map(|entry| entry.key_at) else {
                continue;
            };
            if let Some(first) = parts.profiles.get(&name) {
                self.declared_twice("profile", &name, at, first.at);
                continue;
            }
            let terms = match item.val {
                Val::List(items) => texts(&items),
                _ => Vec::new(),
            };
            parts.profiles.insert(name, Profile { at, terms });
        }
    }

    fn declared_twice(&mut self, noun: &str, name: &str, at: At, first: At) {
        let message = format!("{noun} `{name}` is declared twice");
        let draft = Draft::error(Code::DuplicateName, at, message).label("again here");
        self.report.push(draft.also(first, "first here"));
    }

    fn daemons(
        &mut self,
        entry: &Entry,
        defaults: Option<&Table>,
        parts: &mut Parts,
        folder: &str,
    ) {
        let Some(Type::Map(spec)) = value_type(&ROOT, "daemons") else {
            return;
        };
        let Value::Table(table) = &entry.node.value else {
            self.checker(false)
                .wrong_type("daemons", &entry.node, &Type::Map(spec));
            return;
        };
        let defaults = self.affordable(defaults, table.entries.len(), entry.key_at);
        for entry in &table.entries {
            self.checker(false).map_key(&entry.key, entry.key_at, spec);
            if let Some(first) = parts.daemons.get(&entry.key) {
                let first = first.at;
                self.declared_twice("daemon", &entry.key, entry.key_at, first);
                continue;
            }
            let declared = self.daemon(entry, defaults, folder);
            parts.daemons.insert(entry.key.clone(), declared);
        }
    }

    /// The defaults, unless so many copies of them would be too much.
    fn affordable<'t>(
        &mut self,
        defaults: Option<&'t Table>,
        count: usize,
        at: At,
    ) -> Option<&'t Table> {
        let weight = defaults.map_or(0, Table::weight).saturating_mul(count);
        if weight > INHERITED_BYTES_MAX {
            let message = "these would inherit more than 256 MB from `[defaults]`";
            self.report.push(Draft::error(Code::TooMany, at, message));
            return None;
        }
        defaults
    }

    fn daemon(&mut self, entry: &Entry, defaults: Option<&Table>, folder: &str) -> Declared {
        let at = entry.key_at;
        let kind = self.kind(entry);
        let table = self.daemon_table(&entry.key, kind, entry, defaults);
        let daemon = model::daemon(
            &entry.key,
            kind,
            &table,
            &Place {
                folder,
                zone: &self.zone,
            },
            self.origin(at),
        );
        model::contradictions(&daemon, &table, at, &mut self.report);
        triggers::contradictions(&daemon, &table, self.state.as_deref(), &mut self.report);
        Declared { at, table, daemon }
    }

    fn kind(&mut self, entry: &Entry) -> Kind {
        let Value::Table(own) = &entry.node.value else {
            return Kind::Service;
        };
        let kind = kinds::kind_of(own, self.env);
        kinds::refuse_foreign(&entry.key, kind, own, self.env, &mut self.report);
        kind
    }

    fn daemon_table(
        &mut self,
        name: &str,
        kind: Kind,
        entry: &Entry,
        defaults: Option<&Table>,
    ) -> Checked {
        let (at, node) = (entry.key_at, &entry.node);
        let Value::Table(own) = &node.value else {
            self.checker(false)
                .wrong_type(name, node, &Type::Table(&DAEMON));
            return Checked::default();
        };
        let mut own = own.clone();
        merge::normalise(&mut own, &mut self.report);
        let table = match defaults {
            Some(defaults) => merge::merge(&kinds::inherited(kind, defaults), &own, &DAEMON),
            None => own,
        };
        self.checker(false)
            .table(&format!("daemon {}", quoted(name)), at, &table, &DAEMON)
    }
}
