use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Locks a folder for one writer, across processes, until the value is dropped or its process ends.
///
/// On a file system without locks, every claim succeeds.
///
/// ```
/// use sharpness_record::{FolderLock, LockError};
///
/// let file = std::env::temp_dir().join("sharpness-record-lock-example");
/// let lock = FolderLock::claim(&file)?;
/// let refused = FolderLock::claim(&file);
/// assert!(matches!(refused, Err(LockError::Held { holder: Some(id), .. }) if id == std::process::id()));
/// drop(lock);
/// FolderLock::claim(&file)?;
/// # std::fs::remove_file(&file)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "the folder is free again once the lock is dropped"]
pub struct FolderLock {
    _file: File,
}

/// Why a folder is not locked.
#[derive(Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another writer holds the lock.
    #[error("{} holds {} already", holder_text(*holder), file.display())]
    Held {
        /// The locked file.
        file: PathBuf,
        /// The holder's process number, if readable. It may be this process.
        holder: Option<u32>,
    },
    /// The file cannot be written.
    #[error("{} cannot be written: {source}", file.display())]
    Unwritable {
        /// The file to lock.
        file: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

debug_is_the_sentence!(LockError);

pub(crate) fn holder_text(holder: Option<u32>) -> String {
    match holder {
        Some(id) if id == std::process::id() => "another writer of this process".to_string(),
        Some(id) => format!("process {id}"),
        None => "another process".to_string(),
    }
}

impl FolderLock {
    /// Locks this file, which it creates with its folder if necessary.
    ///
    /// # Errors
    ///
    /// Fails if another writer holds the lock, or if the file cannot be written.
    pub fn claim(file: &Path) -> Result<Self, LockError> {
        let unwritable = |source| LockError::Unwritable {
            file: file.to_path_buf(),
            source,
        };
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder).map_err(unwritable)?;
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut locked = options.open(file).map_err(unwritable)?;
        match locked.try_lock() {
            Ok(()) => {
                // Only the message to a refused writer needs the number.
                let number = std::process::id().to_string();
                let _ = locked
                    .set_len(0)
                    .and_then(|()| locked.write_all(number.as_bytes()));
            }
            Err(TryLockError::WouldBlock) => {
                let mut number = String::new();
                let read = locked.read_to_string(&mut number).ok();
                return Err(LockError::Held {
                    file: file.to_path_buf(),
                    holder: read.and_then(|_| number.trim().parse().ok()),
                });
            }
            Err(TryLockError::Error(_)) => {}
        }
        Ok(Self { _file: locked })
    }
}
