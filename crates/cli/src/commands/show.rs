//! `eud show`

use eud_api::protocol::Shown;
use serde_json::json;

use crate::args::NameArgs;
use crate::context::{self, Context};
use crate::error::Error;
use crate::render::show;

/// `eud show`
///
/// # Errors
/// As the client's.
pub(crate) fn run(context: &Context, args: &NameArgs) -> Result<(), Error> {
    let mut client = context.client()?;
    let params = json!({ "name": args.name });
    if context.common.json {
        let shown: serde_json::Value = client.call("daemon.show", &params)?;
        return context::print_json(&shown);
    }
    let shown: Shown = client.call("daemon.show", &params)?;
    context::print(&show::render(&shown, &context.screen()))
}
