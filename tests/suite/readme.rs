use std::path::Path;

#[test]
fn the_code_of_the_readme_is_in_the_examples() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    let excerpts: Vec<String> = ["learner", "hand_written_loop"]
        .iter()
        .map(|name| read(&format!("crates/burn-sharpness/examples/{name}.rs")))
        .map(|source| {
            let excerpts = source.split("// README: end");
            let excerpts = excerpts.filter_map(|part| part.split_once("// README: "));
            let excerpts = excerpts.map(|(_, excerpt)| {
                let lines = excerpt.trim_end().lines().skip(1);
                let lines = lines.map(|line| line.strip_prefix("    ").unwrap_or(line));
                lines.collect::<Vec<_>>().join("\n")
            });
            excerpts.collect::<Vec<_>>().join("\n\n")
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
