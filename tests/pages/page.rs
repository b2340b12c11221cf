use std::path::{Path, PathBuf};

pub struct Page {
    pub path: PathBuf,
    pub text: String,
}

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

pub fn pages() -> Vec<Page> {
    let mut found = Vec::new();
    let crates = std::fs::read_dir(root().join("crates")).unwrap();
    let crates = crates.map(|entry| Path::new("crates").join(entry.unwrap().file_name()));
    let folders = ["", "docs"].into_iter().map(PathBuf::from).chain(crates);
    for folder in folders {
        for entry in std::fs::read_dir(root().join(&folder)).unwrap() {
            let path = folder.join(entry.unwrap().file_name());
            if path.extension().is_some_and(|extension| extension == "md") {
                let text = std::fs::read_to_string(root().join(&path)).unwrap();
                found.push(Page { path, text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(found.len() > 10, "{} pages", found.len());
    found
}

impl Page {
    pub fn blocks(&self) -> Vec<String> {
        self.parts().0
    }

    pub fn prose(&self) -> String {
        self.parts().1
    }

    /// Returns the blocks, and the text between them.
    fn parts(&self) -> (Vec<String>, String) {
        let (mut blocks, mut prose) = (Vec::<String>::new(), String::new());
        let mut is_inside = false;
        for line in self.text.lines() {
            if line.trim_start().starts_with("```") {
                is_inside = !is_inside;
                blocks.extend(is_inside.then(String::new));
                continue;
            }
            let part = blocks.last_mut().filter(|_| is_inside);
            let part = part.unwrap_or(&mut prose);
            *part += line;
            part.push('\n');
        }
        assert!(!is_inside, "{}: a block has no end", self.path.display());
        (blocks, prose)
    }
}
