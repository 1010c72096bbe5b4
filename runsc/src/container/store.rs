//! State folders: one a container under `--root`, each with a lock.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

use super::state::State;
use crate::cli::{Failure, reason};

const STATE_FILE: &str = "state.json";
const LOCK_FILE: &str = "lock";

/// A container's state folder, locked for as long as the value lives.
#[derive(Debug)]
pub struct Folder {
    dir: PathBuf,
    _lock: Flock<File>,
}

/// Checks the form of a container id.
pub fn check_id(id: &str) -> Result<(), Failure> {
    if id.is_empty() {
        return Err(Failure::new(1, "container id cannot be empty"));
    }
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '_' | '.');
    if !id.chars().all(good) || id == "." || id == ".." || id.len() > 1024 {
        return Err(Failure::new(1, "invalid container ID format"));
    }
    Ok(())
}

fn missing() -> Failure {
    Failure::new(1, "container does not exist")
}

fn lock(dir: &Path) -> Result<Flock<File>, Failure> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(dir.join(LOCK_FILE))
        .map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => missing(),
            _ => Failure::new(1, format!("lock {}: {}", dir.display(), reason(&e))),
        })?;
    Flock::lock(file, FlockArg::LockExclusive)
        .map_err(|(_, e)| Failure::new(1, format!("lock {}: {e}", dir.display())))
}

impl Folder {
    /// Makes a new container's folder. Fails when the id is taken.
    pub fn create(root: &Path, id: &str) -> Result<Folder, Failure> {
        check_id(id)?;
        let mut builder = DirBuilder::new();
        builder.mode(0o711);
        builder
            .recursive(true)
            .create(root)
            .map_err(|e| Failure::new(1, format!("mkdir {}: {}", root.display(), reason(&e))))?;
        let dir = root.join(id);
        builder
            .recursive(false)
            .create(&dir)
            .map_err(|e| match e.kind() {
                std::io::ErrorKind::AlreadyExists => {
                    Failure::new(1, "container with given ID already exists")
                }
                _ => Failure::new(1, format!("mkdir {}: {}", dir.display(), reason(&e))),
            })?;
        let lock = lock(&dir)?;
        Ok(Folder { dir, _lock: lock })
    }

    /// Opens and locks the folder of an existing container.
    pub fn open(root: &Path, id: &str) -> Result<Folder, Failure> {
        check_id(id)?;
        let dir = root.join(id);
        if !dir.is_dir() {
            return Err(missing());
        }
        let lock = lock(&dir)?;
        // It may have been deleted while we waited for the lock.
        if !dir.is_dir() {
            return Err(missing());
        }
        Ok(Folder { dir, _lock: lock })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// Reads the state. A folder without one is a container that never came to be.
    pub fn load(&self) -> Result<State, Failure> {
        read_state(&self.dir)
    }

    /// Writes the state so that a reader sees the old or the new, never a part.
    pub fn save(&self, state: &State) -> Result<(), Failure> {
        let tmp = self.dir.join(".state.json");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&tmp)?;
        file.write_all(serde_json::to_string(state)?.as_bytes())?;
        std::fs::rename(&tmp, self.dir.join(STATE_FILE))?;
        Ok(())
    }

    /// Removes the folder and all in it.
    pub fn remove(self) -> Result<(), Failure> {
        match std::fs::remove_dir_all(&self.dir) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Failure::new(
                1,
                format!("remove {}: {}", self.dir.display(), reason(&e)),
            )),
            _ => Ok(()),
        }
    }
}

/// Reads a container's state without its lock, for those that only look.
pub fn peek(root: &Path, id: &str) -> Result<State, Failure> {
    check_id(id)?;
    read_state(&root.join(id))
}

fn read_state(dir: &Path) -> Result<State, Failure> {
    let text = std::fs::read(dir.join(STATE_FILE)).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => missing(),
        _ => Failure::new(1, format!("read {}: {}", dir.display(), reason(&e))),
    })?;
    serde_json::from_slice(&text)
        .map_err(|e| Failure::new(1, format!("{}: broken state: {e}", dir.display())))
}

/// The ids of all containers under `root`, sorted.
pub fn list(root: &Path) -> Result<Vec<String>, Failure> {
    let entries = match std::fs::read_dir(root) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => {
            return Err(Failure::new(
                1,
                format!("open {}: {}", root.display(), reason(&e)),
            ));
        }
    };
    let mut ids: Vec<String> = entries
        .flatten()
        .filter(|e| e.path().join(STATE_FILE).is_file())
        .filter_map(|e| e.file_name().into_string().ok())
        .collect();
    ids.sort();
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids() {
        for good in ["a", "A-1_2.3+x"] {
            assert!(check_id(good).is_ok());
        }
        for bad in ["", "..", "a/b", "a b", "ä"] {
            assert!(check_id(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_id_is_taken_once() {
        let root = tempfile::tempdir().expect("temporary folder");
        let first = Folder::create(root.path(), "c").unwrap_or_else(|e| panic!("{e:?}"));
        let again = Folder::create(root.path(), "c")
            .map(|_| ())
            .expect_err("taken");
        assert_eq!(again.message, "container with given ID already exists");
        first.remove().unwrap_or_else(|e| panic!("{e:?}"));
        let gone = Folder::open(root.path(), "c")
            .map(|_| ())
            .expect_err("gone");
        assert_eq!(gone.message, "container does not exist");
    }
}
