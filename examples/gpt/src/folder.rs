use anyhow::{Context, Error, Result, anyhow, bail, ensure};
use sharpness_record::{FolderLock, LockError};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Locked while a process owns the folder.
const OWNER_FILE: &str = "run.lock";

/// A folder that belongs to this process until the value is dropped.
#[derive(Debug)]
pub struct OwnedFolder {
    path: PathBuf,
    is_new: bool,
    _lock: FolderLock,
}

impl OwnedFolder {
    /// Opens the given folder unless it contains the file `mark`, or creates the first free `runs/NAME-N`.
    pub fn for_results(out: Option<&Path>, name: &str, mark: &str) -> Result<Self> {
        let Some(out) = out else {
            return Self::first_free(name);
        };
        if let Some(parent) = out.parent() {
            fs::create_dir_all(parent).with_context(|| unmakeable(parent))?;
        }
        let is_new = make(out)?;
        let folder = Self::lock(out, is_new)?;
        ensure!(
            !out.join(mark).exists(),
            "{} already holds a run: choose another --out",
            out.display()
        );
        Ok(folder)
    }

    pub fn of_results(path: &Path) -> Result<Self> {
        Self::lock(path, false)
    }

    fn first_free(name: &str) -> Result<Self> {
        let runs = Path::new("runs");
        fs::create_dir_all(runs).with_context(|| unmakeable(runs))?;
        for number in 1_u64.. {
            let path = runs.join(format!("{name}-{number}"));
            // The process that creates the folder owns it.
            if make(&path)? {
                return Self::lock(&path, true);
            }
        }
        bail!("no free folder below runs")
    }

    fn lock(path: &Path, is_new: bool) -> Result<Self> {
        let lock = FolderLock::claim(&path.join(OWNER_FILE)).map_err(|error| match error {
            LockError::Held { holder, .. } => {
                let owner = holder.map_or("of unknown number".to_string(), |id| id.to_string());
                anyhow!(
                    "the run in {} is under way (process {owner}): end it first, or choose another folder",
                    path.display()
                )
            }
            error => Error::new(error)
                .context(format!("the folder {} cannot be written", path.display())),
        })?;
        Ok(Self {
            path: path.to_path_buf(),
            is_new,
            _lock: lock,
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for OwnedFolder {
    fn drop(&mut self) {
        let entries = fs::read_dir(&self.path).map_or(0, |entries| entries.take(2).count());
        if self.is_new && entries == 1 {
            let _ = fs::remove_file(self.path.join(OWNER_FILE));
            let _ = fs::remove_dir(&self.path);
        }
    }
}

/// Returns false if the folder exists.
fn make(path: &Path) -> Result<bool> {
    match fs::create_dir(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error).with_context(|| unmakeable(path)),
    }
}

fn unmakeable(path: &Path) -> String {
    format!("the folder {} cannot be made", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_owner_at_a_time() {
        let parent = tempfile::tempdir().unwrap();
        let out = parent.path().join("deep/run");
        let claim = || OwnedFolder::for_results(Some(&out), "test", "mark");
        let owned = claim().unwrap();
        let error = claim().unwrap_err().to_string();
        let id = std::process::id().to_string();
        let is_told = error.contains("under way") && error.contains(&id);
        assert!(is_told, "{error}");
        assert!(OwnedFolder::of_results(&out).is_err());
        fs::write(out.join("mark"), "").unwrap();
        drop(owned);
        let error = claim().unwrap_err().to_string();
        assert!(error.contains("already holds a run"), "{error}");
        OwnedFolder::of_results(&out).unwrap();
    }

    #[test]
    fn a_new_folder_in_which_nothing_was_written_goes() {
        let parent = tempfile::tempdir().unwrap();
        let out = parent.path().join("run");
        for is_written in [false, true] {
            let owned = OwnedFolder::for_results(Some(&out), "test", "mark").unwrap();
            if is_written {
                fs::write(out.join("result"), "").unwrap();
            }
            drop(owned);
            assert_eq!(out.exists(), is_written);
        }
    }

    #[test]
    fn of_many_that_claim_a_folder_at_once_one_gets_it() {
        let parent = tempfile::tempdir().unwrap();
        let out = parent.path().join("run");
        let barrier = std::sync::Barrier::new(8);
        let owned = std::thread::scope(|scope| {
            let claim = || {
                barrier.wait();
                OwnedFolder::for_results(Some(&out), "test", "mark").ok()
            };
            let claims: Vec<_> = (0..8).map(|_| scope.spawn(claim)).collect();
            let claims = claims.into_iter().map(|claim| claim.join().unwrap());
            claims.flatten().collect::<Vec<_>>()
        });
        assert_eq!(owned.len(), 1);
    }
}
