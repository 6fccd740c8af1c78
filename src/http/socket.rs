//! The Unix socket beside the journal: the admin routes for whoever may write to the file, without a token.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// A bound socket. Its file goes with it.
#[derive(Debug)]
pub(super) struct Socket {
    path: PathBuf,
}

impl Socket {
    /// Call while holding the journal's lock: then a socket that is there already is a dead process's, and is replaced.
    /// Nobody but the owner can connect, at no moment: it is made in a folder that nobody else may enter.
    pub(super) fn bind(path: &Path) -> io::Result<(Self, UnixListener)> {
        let mut folder = path.as_os_str().to_os_string();
        // Short: the system allows a path of about a hundred bytes.
        folder.push("~");
        let folder = PathBuf::from(folder);
        let fresh = folder.join("s");
        if folder.symlink_metadata().is_ok() {
            // A process that died right here.
            let _ = std::fs::remove_file(&fresh);
            std::fs::remove_dir(&folder)?;
        }
        std::fs::DirBuilder::new().mode(0o700).create(&folder)?;
        let bound = UnixListener::bind(&fresh).and_then(|listener| {
            std::fs::set_permissions(&fresh, Permissions::from_mode(0o600))?;
            std::fs::rename(&fresh, path)?;
            Ok(listener)
        });
        std::fs::remove_dir(&folder)?;
        let listener = bound?;
        listener.set_nonblocking(true)?;
        let path = path.to_path_buf();
        Ok((Self { path }, listener))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // What cannot be removed is replaced by the next process.
        let _ = std::fs::remove_file(&self.path);
    }
}
