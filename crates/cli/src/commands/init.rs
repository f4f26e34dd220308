//! `eud init`: a first fleet file.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};

use crate::args::InitArgs;
use crate::context::{self, Context};
use crate::error::Error;

/// `eud init`
///
/// # Errors
/// When there is a file already, or it cannot be written.
pub(crate) fn run(context: &Context, args: &InitArgs) -> Result<(), Error> {
    let path = context
        .common
        .file
        .clone()
        .unwrap_or_else(|| eud_config::FILE_NAME.into());
    let path = std::path::absolute(&path).map_err(|e| Error::file("write", &path, e))?;
    let folder = path.parent().and_then(|p| p.file_name());
    let name = folder.map_or("fleet".into(), |name| name.to_string_lossy().into_owned());
    let mut options = OpenOptions::new();
    options.write(true);
    if args.force {
        options.create(true).truncate(true)
    } else {
        options.create_new(true)
    };
    let mut file = options.open(&path).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Error::Usage {
            what: format!("{} is there already", path.display()),
            help: "`eud check` checks it, `eud init --force` replaces it".into(),
        },
        _ => Error::file("write", &path, error),
    })?;
    let text = eud_config::starter(&name);
    file.write_all(text.as_bytes())
        .map_err(|e| Error::file("write", &path, e))?;
    if context.common.json {
        return context::print_json(&serde_json::json!({ "file": path }));
    }
    context::print(&format!(
        "wrote {}\n  next: edit it, then `eud check` and `eud up`\n",
        path.display()
    ))
}
