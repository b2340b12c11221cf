//! The code in the README is code that compiles: excerpts of the examples, to the letter.

use std::path::Path;

#[test]
fn the_code_of_the_readme_is_in_the_examples() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    let excerpts: Vec<String> = ["learner", "hand_written_loop"]
        .iter()
        .map(|name| read(&format!("crates/burn-sharpness/examples/{name}.rs")))
        .map(|source| {
            let lines = source.lines();
            lines
                .skip_while(|line| !line.contains("// README: "))
                .skip(1)
                .take_while(|line| !line.contains("// README: end"))
                .map(|line| line.strip_prefix("    ").unwrap_or(line))
                .collect::<Vec<_>>()
                .join("\n")
        })
        .collect();

    let readme = read("README.md");
    let blocks: Vec<&str> = readme
        .split("```rust\n")
        .skip(1)
        .map(|block| block.split("\n```").next().unwrap())
        .collect();
    assert_eq!(blocks, excerpts);
}
