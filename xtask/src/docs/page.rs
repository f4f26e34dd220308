//! Reading a page: files to write, commands to run, output to expect.
//!
//! Format, inside a `console` block: a line `$ COMMAND` is run by `sh`; the lines up to the next
//! one are what it prints, in order. `…` in an expected line stands for anything, a line of only
//! `…` for any lines. A command's last line `(exit N)` expects that exit code. Without expected
//! lines, only the exit code counts.

/// One thing a page does.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Write a file.
    File {
        /// Relative to the session's folder.
        name: String,
        /// Contents.
        text: String,
    },
    /// Run a command.
    Command(Command),
}

/// A command with what it should do.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Command {
    /// Line in the page, from 1.
    pub(super) line: usize,
    pub(super) text: String,
    pub(super) output: Vec<String>,
    pub(super) exit: i32,
}

/// Everything a page does, in order.
pub(super) fn steps(page: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut file = None;
    let mut lines = page.lines().zip(1_usize..);
    while let Some((line, _)) = lines.next() {
        if let Some(name) = line
            .strip_prefix("<!-- file: ")
            .and_then(|r| r.strip_suffix(" -->"))
        {
            file = Some(name.to_owned());
            continue;
        }
        let Some(language) = line.strip_prefix("```") else {
            continue;
        };
        let block: Vec<(&str, usize)> = lines.by_ref().take_while(|(l, _)| *l != "```").collect();
        if let Some(name) = file.take() {
            let text = block.iter().map(|(l, _)| format!("{l}\n")).collect();
            steps.push(Step::File { name, text });
        } else if language == "console" {
            steps.extend(commands(&block));
        }
    }
    steps
}

fn commands(block: &[(&str, usize)]) -> Vec<Step> {
    let mut found: Vec<Command> = Vec::new();
    for (line, number) in block {
        if let Some(text) = line.strip_prefix("$ ") {
            let text = text.to_owned();
            found.push(Command {
                line: *number,
                text,
                output: Vec::new(),
                exit: 0,
            });
        } else if let Some(command) = found.last_mut() {
            let code = line
                .strip_prefix("(exit ")
                .and_then(|r| r.strip_suffix(')'));
            match code.and_then(|code| code.parse().ok()) {
                Some(code) => command.exit = code,
                None => command.output.push((*line).to_owned()),
            }
        }
    }
    found.into_iter().map(Step::Command).collect()
}

impl Command {
    /// Whether this is what was to be printed; `Err` is the first line that did not come.
    pub(super) fn matches(&self, printed: &str) -> Result<(), String> {
        let mut lines = printed.lines().map(str::trim_end);
        let mut may_skip = false;
        for expected in self.output.iter().map(|l| l.trim_end()) {
            if expected == "…" {
                may_skip = true;
                continue;
            }
            let is_there = if may_skip {
                lines.any(|line| line_matches(expected, line))
            } else {
                lines
                    .next()
                    .is_some_and(|line| line_matches(expected, line))
            };
            if !is_there {
                return Err(expected.to_owned());
            }
            may_skip = false;
        }
        match lines.next() {
            Some(line) if !may_skip && !self.output.is_empty() => Err(format!("(no `{line}`)")),
            _ => Ok(()),
        }
    }
}

/// Whether a line fits a pattern in which `…` stands for anything.
fn line_matches(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split('…');
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::{Command, Step, line_matches, steps};

    #[test]
    fn a_page_is_read_in_order() {
        let page = "# T\n<!-- file: a.toml -->\n```toml\nx = 1\n```\n```console\n$ eud check\nok …\n\
                    (exit 3)\n$ true\n```\n```sh\n$ not this\n```\n";
        let found = steps(page);
        assert_eq!(
            found[0],
            Step::File {
                name: "a.toml".into(),
                text: "x = 1\n".into()
            }
        );
        let Step::Command(check) = &found[1] else {
            panic!("{found:?}")
        };
        assert_eq!(
            (check.line, check.text.as_str(), check.exit),
            (7, "eud check", 3)
        );
        assert_eq!(check.output, ["ok …"]);
        assert_eq!(found.len(), 3);
    }

    #[test]
    fn dots_stand_for_anything_and_nothing_else_does() {
        assert!(line_matches("pid … is up", "pid 12 is up"));
        assert!(!line_matches("pid … is up", "pid 12 is upset"));
        assert!(line_matches("a…b…c", "a1b2b3c"));
        assert!(!line_matches("same", "same more"));
    }

    #[test]
    fn missing_and_surplus_lines_are_noticed() {
        let expect = |output: &[&str]| {
            let output = output.iter().map(|l| (*l).to_owned()).collect();
            Command {
                line: 1,
                text: String::new(),
                output,
                exit: 0,
            }
        };
        assert_eq!(expect(&["a", "…", "c"]).matches("a\nb\nb\nc\n"), Ok(()));
        assert_eq!(
            expect(&["a", "c"]).matches("a\nb\nc\n"),
            Err("c".to_owned())
        );
        assert_eq!(expect(&["a"]).matches("a\nb\n"), Err("(no `b`)".to_owned()));
        assert_eq!(expect(&["a", "…"]).matches("a\nb\n"), Ok(()));
        assert_eq!(expect(&[]).matches("whatever\n"), Ok(()));
    }
}
