use std::path::{Path, PathBuf};

/// In bytes; file systems allow 255.
const LONGEST: usize = 200;

/// Returns the folder of this name, numbered if it is taken.
pub(super) fn free(folder: &Path, name: &str, is_taken: impl Fn(&Path) -> bool) -> PathBuf {
    let name = folder_name(name);
    let numbered = (2..).map(|number| folder.join(format!("{name}-{number}")));
    let mut names = std::iter::once(folder.join(&name)).chain(numbered);
    let free = names.find(|folder| !is_taken(folder));
    free.unwrap_or_else(|| folder.join(&name))
}

fn folder_name(name: &str) -> String {
    let is_special = |character: char| r#"/\:*?"<>|"#.contains(character) || character.is_control();
    let mut folder = name.replace(is_special, "_");
    while folder.len() > LONGEST {
        folder.pop();
    }
    match folder.as_str() {
        "" | "." | ".." => format!("_{folder}"),
        _ => folder,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_that_of_a_folder() {
        let names = ["train", "../a\\b", "..", "", "a\n"].map(folder_name);
        assert_eq!(names, ["train", ".._a_b", "_..", "_", "a_"]);
        assert_eq!(folder_name(&"é".repeat(500)).len(), LONGEST);
    }
}
