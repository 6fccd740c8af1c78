//! The Unix socket beside the journal: the admin routes for whoever may write to the file, without a token.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// A bound socket. Its file goes with it.
#[derive(Debug)]
pub(super) struct Socket {
    path: PathBuf,
}

impl Socket {
    /// Call while holding the journal's lock: then a socket that is there already is a dead process's, and is replaced.
    /// Nobody but the owner can connect, at no moment: it takes its name only after its mode.
    pub(super) fn bind(path: &Path) -> io::Result<(Self, UnixListener)> {
        let mut fresh = path.as_os_str().to_os_string();
        // Short: the system allows a path of about a hundred bytes.
        fresh.push("~");
        let fresh = PathBuf::from(fresh);
        match std::fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&fresh)?;
        std::fs::set_permissions(&fresh, Permissions::from_mode(0o600))?;
        std::fs::rename(&fresh, path)?;
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
