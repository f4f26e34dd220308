//! Small files and folders of the state directory.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Creates a folder with mode 0700, and those above it. One that exists is left as it is.
pub(crate) fn create_private_dir(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

/// Writes a new file with mode 0600.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?
        .write_all(bytes)
}

/// Deletes a folder with all there is in it, also in folders that may not be written. Links are
/// deleted, never followed. One that is not there is as good as deleted.
pub(crate) fn remove_tree(path: &Path) -> io::Result<()> {
    let remove = || match fs::remove_dir_all(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    };
    match remove() {
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
            open_up(path)?;
            remove()
        }
        removed => removed,
    }
}

/// Makes every folder of a tree one that may be read, entered and written. With a list of its own,
/// not a stack: whoever made the tree chose its depth.
fn open_up(path: &Path) -> io::Result<()> {
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        let found = fs::symlink_metadata(&folder)?;
        if !found.is_dir() {
            continue;
        }
        let mode = found.permissions().mode();
        if mode & 0o700 != 0o700 {
            fs::set_permissions(&folder, fs::Permissions::from_mode(mode | 0o700))?;
        }
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            // Of a link this says that it is a link.
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_goes_and_what_its_links_name_stays() {
        let dir = tempfile::tempdir().unwrap();
        let kept = dir.path().join("kept");
        let tree = dir.path().join("tree");
        fs::create_dir_all(kept.join("inner")).unwrap();
        fs::write(kept.join("inner/file"), "x").unwrap();
        fs::create_dir_all(tree.join("a/b")).unwrap();
        fs::write(tree.join("a/b/file"), "x").unwrap();
        std::os::unix::fs::symlink(&kept, tree.join("a/link")).unwrap();
        std::os::unix::fs::symlink(kept.join("inner/file"), tree.join("link")).unwrap();
        for folder in ["a/b", "a"] {
            let mode = fs::Permissions::from_mode(0o500);
            fs::set_permissions(tree.join(folder), mode).unwrap();
        }
        open_up(&tree).unwrap();
        let mode = fs::metadata(tree.join("a/b")).unwrap().permissions().mode();
        assert_eq!(mode & 0o700, 0o700);
        remove_tree(&tree).unwrap();
        assert!(!tree.exists());
        assert_eq!(fs::read(kept.join("inner/file")).unwrap(), b"x");
        // A folder that was replaced by a link to another one.
        std::os::unix::fs::symlink(&kept, &tree).unwrap();
        remove_tree(&tree).unwrap();
        assert!(!tree.is_symlink() && kept.join("inner/file").exists());
        remove_tree(&tree).unwrap();
    }
}
