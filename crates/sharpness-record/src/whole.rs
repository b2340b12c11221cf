use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Write};
use std::path::Path;

/// Writes a whole file or nothing: if the disk is full or the process is killed, the old file stays intact.
///
/// A replaced file keeps its permissions; a symbolic link keeps its target. A pipe or a device is written directly.
///
/// # Errors
///
/// Fails if the file cannot be written.
///
/// ```
/// use sharpness_record::write_whole;
///
/// let path = std::env::temp_dir().join("sharpness-record-whole-example");
/// write_whole(&path, b"first")?;
/// write_whole(&path, b"second")?;
/// assert_eq!(std::fs::read(&path)?, b"second");
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    // A rename would replace even a file that this process may not write, so open it first.
    let before = match OpenOptions::new().write(true).open(path) {
        Ok(file) => Some(file),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let permissions = match before {
        None => None,
        Some(mut file) => match file.metadata()? {
            metadata if metadata.is_file() => Some(metadata.permissions()),
            _ => return file.write_all(content),
        },
    };
    let path = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let is_named = |folder: &&Path| !folder.as_os_str().is_empty();
    let folder = path.parent().filter(is_named).unwrap_or(Path::new("."));
    folder.metadata()?;
    // The error's own message would name the temporary file.
    let unfinished = unfinished_in(folder).map_err(|error| io::Error::from(error.kind()))?;
    let mut file = unfinished.as_file();
    file.write_all(content)?;
    if let Some(permissions) = permissions {
        file.set_permissions(permissions)?;
    }
    file.sync_all()?;
    unfinished.persist(&path)?;
    Ok(())
}

/// Creates a file that is removed when dropped.
fn unfinished_in(folder: &Path) -> io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".unfinished-");
    // The umask applies, as to any new file.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name());
        names.map(|name| name.into_string().unwrap()).collect()
    }

    #[test]
    fn a_file_is_made_and_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        for content in ["old", "new and longer", ""] {
            write_whole(&path, content.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
        assert_eq!(names(folder.path()), ["a.json"]);
        assert!(write_whole(folder.path(), b"x").is_err(), "a folder");
        let missing = folder.path().join("none/b");
        let error = write_whole(&missing, b"x").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(!error.to_string().contains("unfinished"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn links_and_permissions_stay() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        symlink(&file, &link).unwrap();
        write_whole(&file, b"old").unwrap();
        let mode = fs::metadata(&file).unwrap().permissions().mode() & 0o777;
        fs::write(folder.path().join("plain"), "").unwrap();
        let plain = fs::metadata(folder.path().join("plain")).unwrap();
        assert_eq!(mode, plain.permissions().mode() & 0o777);

        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        write_whole(&link, b"new").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&file).unwrap(), b"new");
        let mode = fs::metadata(&file).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o640);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_is_no_file_is_written_to() {
        write_whole(Path::new("/dev/null"), b"x").unwrap();
        let error = write_whole(Path::new("/dev/full"), b"x").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
    }
}
