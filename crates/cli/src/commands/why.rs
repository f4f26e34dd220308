//! `eud why`

use eud_core::view::Explanation;
use serde_json::json;

use crate::args::NameArgs;
use crate::context::{self, Context};
use crate::error::Error;
use crate::logs;
use crate::render::layout::one_line;
use crate::render::why;

/// Log lines shown of each unit of the chain that has something to say.
const LOG_LINES: usize = 5;

/// `eud why`
///
/// # Errors
/// As the client's.
pub(crate) fn run(context: &Context, args: &NameArgs) -> Result<(), Error> {
    let mut client = context.client()?;
    let explanation: Explanation = client.call("daemon.why", &json!({ "name": args.name }))?;
    let layout = context.layout()?;
    let screen = context.screen();
    let said = explanation.show_log_of.iter().map(|unit| {
        let lines = logs::last_lines(&layout.logs(unit), LOG_LINES);
        let shown = lines.iter().map(|line| {
            let at = jiff::Timestamp::from_nanosecond(i128::from(line.at_ns)).unwrap_or_default();
            let text = String::from_utf8_lossy(&line.text);
            let at = screen.clock.time_of_day(at);
            format!("{at} {} {}", line.stream.as_str(), one_line(&text))
        });
        (unit.clone(), shown.collect::<Vec<_>>())
    });
    let said: Vec<_> = said.collect();
    if context.common.json {
        let mut value = json!(explanation);
        value["logs"] = said
            .iter()
            .map(|(unit, lines)| json!({ "unit": unit, "lines": lines }))
            .collect();
        return context::print_json(&value);
    }
    context::print(&why::render(&explanation, &said, &screen))
}
