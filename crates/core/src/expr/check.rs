//! What can be told of an expression without its variables.
//!
//! Invariants: nothing is evaluated; the places are those of the text as it was written.

use cel::ParseErrors;
use cel::common::ast::{EntryExpr, Expr, IdedExpr, operators};

use super::value::Measure;
use super::{DEPTH_MAX, Fault, fault};

/// Loops within loops.
const LOOPS_MAX: u32 = 3;

/// What an evaluation costs, apart from the size of its variables.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Shape {
    /// Parts of the expression.
    nodes: u64,
    /// `+` in it, which may join what is long.
    sums: u64,
    /// Loops within loops, the most.
    loops: u32,
}

impl Shape {
    /// An upper bound of its work, in steps of about 100 ns.
    pub(super) fn steps(&self, measure: &Measure) -> u64 {
        let sums = self.sums + 1;
        let round = measure.elements.saturating_mul(sums) + self.nodes;
        // The outermost part is evaluated once, each loop as often as there are elements.
        let rounds = round.saturating_pow(self.loops).max(1);
        // A text is gone through at some 10 bytes a nanosecond, and copied by each `+`.
        let texts = measure.bytes.saturating_mul(sums) / 1_024;
        rounds.saturating_mul(1 + texts.saturating_mul(sums))
    }
}

/// Functions of the standard library.
pub(super) const FUNCTIONS: [&str; 9] = [
    "bool", "bytes", "double", "dyn", "int", "size", "string", "type", "uint",
];

/// What is called on a value: `a.contains(b)`.
pub(super) const METHODS: [&str; 4] = ["contains", "endsWith", "size", "startsWith"];

/// Words that the parser resolves.
const MACROS: [&str; 6] = ["has", "all", "exists", "exists_one", "map", "filter"];

/// Words that are no variables: types.
const TYPES: [&str; 10] = [
    "bool",
    "bytes",
    "double",
    "dyn",
    "int",
    "list",
    "map",
    "null_type",
    "string",
    "uint",
];

/// The first error of the parser.
pub(super) fn first(source: &str, errors: &ParseErrors) -> Fault {
    let Some(error) = errors.errors.first() else {
        return fault(0, "it cannot be parsed");
    };
    let offset = offset_of(source, error.pos);
    let words = super::shortened(&error.msg);
    let words = words.strip_prefix("Syntax error: ").unwrap_or(&words);
    let ends = words.strip_prefix("mismatched input '<EOF>' expecting ");
    match ends {
        Some(expected) => fault(offset, format!("it ends where `{expected}` is expected")),
        None => fault(offset, words),
    }
}

/// Line and column, both from 1, as an offset.
fn offset_of(source: &str, (line, column): (isize, isize)) -> usize {
    let (line, column) = (usize::try_from(line), usize::try_from(column));
    let line = line.unwrap_or(1).saturating_sub(1);
    let column = column.unwrap_or(1).saturating_sub(1);
    let start: usize = source.split_inclusive('\n').take(line).map(str::len).sum();
    let rest = source.get(start..).unwrap_or_default();
    let within = rest.char_indices().nth(column).map(|(at, _)| at);
    start + within.unwrap_or(rest.len())
}

/// Measures an expression, and refuses names that nothing stands for.
pub(super) fn shape(expr: &IdedExpr, source: &str, variables: &[&str]) -> Result<Shape, Fault> {
    let mut walk = Walk {
        source,
        bound: variables.iter().map(|name| (*name).to_owned()).collect(),
        shape: Shape::default(),
        loops: 0,
        has_map: false,
    };
    walk.expr(expr, 0)?;
    // The order of a map literal's keys is not the same twice.
    if walk.has_map && walk.shape.loops > 0 {
        let why = "an expression with a map in braces may not loop (all, exists, map, filter)";
        return Err(fault(word_at(source, "{"), why));
    }
    Ok(walk.shape)
}

struct Walk<'p> {
    source: &'p str,
    bound: Vec<String>,
    shape: Shape,
    loops: u32,
    has_map: bool,
}

impl Walk<'_> {
    fn expr(&mut self, expr: &IdedExpr, depth: usize) -> Result<(), Fault> {
        self.shape.nodes += 1;
        let depth = depth + 1;
        if depth > DEPTH_MAX {
            let why = format!("it is deeper than {DEPTH_MAX}: a chain of operators is, too");
            return Err(fault(0, why));
        }
        match &expr.expr {
            Expr::Ident(name) => self.variable(name),
            Expr::Call(call) => {
                let known: &[&str] = match call.target {
                    Some(_) => &METHODS,
                    None => &FUNCTIONS,
                };
                self.function(&call.func_name, known)?;
                let target = call.target.as_deref();
                let mut parts = target.into_iter().chain(&call.args);
                parts.try_for_each(|part| self.expr(part, depth))
            }
            Expr::List(list) => list.elements.iter().try_for_each(|e| self.expr(e, depth)),
            Expr::Select(select) => self.expr(&select.operand, depth),
            Expr::Map(map) => {
                self.has_map = true;
                let entries = map.entries.iter().map(|entry| &entry.expr);
                entries.into_iter().try_for_each(|entry| match entry {
                    EntryExpr::MapEntry(entry) => {
                        self.expr(&entry.key, depth)?;
                        self.expr(&entry.value, depth)
                    }
                    EntryExpr::StructField(field) => self.expr(&field.value, depth),
                })
            }
            Expr::Struct(_) => {
                let why = "there are no messages here; a map is written `{'key': value}`";
                Err(fault(word_at(self.source, "{"), why))
            }
            Expr::Comprehension(each) => {
                self.expr(&each.iter_range, depth)?;
                self.expr(&each.accu_init, depth)?;
                let bound = self.bound.len();
                self.bound.push(each.iter_var.clone());
                self.bound.extend(each.iter_var2.clone());
                self.bound.push(each.accu_var.clone());
                self.loops += 1;
                if self.loops > LOOPS_MAX {
                    let why = format!("more than {LOOPS_MAX} loops within each other");
                    return Err(fault(0, why));
                }
                self.shape.loops = self.shape.loops.max(self.loops);
                self.expr(&each.loop_cond, depth)?;
                self.expr(&each.loop_step, depth)?;
                self.loops -= 1;
                self.expr(&each.result, depth)?;
                self.bound.truncate(bound);
                Ok(())
            }
            Expr::Literal(_) | Expr::Unspecified => Ok(()),
        }
    }

    fn variable(&self, name: &str) -> Result<(), Fault> {
        let known = self.bound.iter().any(|bound| bound == name) || TYPES.contains(&name);
        if known {
            return Ok(());
        }
        let near = crate::select::nearest(name, self.bound.iter().map(String::as_str));
        let why = format!("there is no variable `{}`", super::shortened(name));
        Err(fault(
            word_at(self.source, name),
            suggest(why, near.as_deref()),
        ))
    }

    fn function(&mut self, name: &str, known: &[&str]) -> Result<(), Fault> {
        if name == operators::ADD {
            self.shape.sums += 1;
        }
        // Operators are functions whose names are no words.
        let word = name.chars().all(|c| c.is_ascii_alphanumeric());
        if !word || known.contains(&name) {
            return Ok(());
        }
        if MACROS.contains(&name) {
            let why = format!("`{name}` is not called like this");
            return Err(fault(word_at(self.source, name), why));
        }
        let near = crate::select::nearest(name, known.iter().copied().chain(MACROS));
        let why = format!("there is no function `{}`", super::shortened(name));
        Err(fault(
            word_at(self.source, name),
            suggest(why, near.as_deref()),
        ))
    }
}

/// Where a word stands outside quotes; 0 when it does not.
fn word_at(source: &str, word: &str) -> usize {
    let is_part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let (mut quote, mut escaped, mut before) = (None, false, None);
    for (at, c) in source.char_indices() {
        match quote {
            Some(open) if c == open && !escaped => quote = None,
            Some(_) => {}
            None if c == '"' || c == '\'' => quote = Some(c),
            None => {
                let rest = source.get(at..).unwrap_or_default();
                let after = rest.strip_prefix(word).map(|rest| rest.chars().next());
                let alone = !is_part(before) && !after.is_some_and(is_part);
                if after.is_some() && (alone || word == "{") {
                    return at;
                }
            }
        }
        escaped = quote.is_some() && !escaped && c == '\\';
        before = Some(c);
    }
    0
}

fn suggest(why: String, near: Option<&str>) -> String {
    match near {
        Some(near) => format!("{why}; did you mean `{near}`?"),
        None => why,
    }
}
