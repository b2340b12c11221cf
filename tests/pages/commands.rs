//! Checks that one build of the dependencies serves every command of the pages: with other features, cargo compiles
//! burn again, for minutes.

use crate::page::{Page, pages};
use crate::units::{Unit, units};
use std::collections::BTreeSet;

const FIRST: &str = "cargo run -p gpt-pretrain";

#[test]
fn every_command_of_the_pages_finds_the_dependencies_compiled() {
    let first = dependencies("build -p gpt-pretrain");
    let compiled: BTreeSet<u64> = first.iter().map(|unit| unit.identity).collect();
    let kinds: BTreeSet<_> = first.iter().map(Unit::kind).collect();
    let mut checked = BTreeSet::new();
    let mut faults = Vec::new();
    for page in pages() {
        for command in commands(&page) {
            let Some(build) = build(&command) else {
                continue;
            };
            if !checked.insert(build.clone()) {
                continue;
            }
            let mut again = dependencies(&build);
            again.retain(|unit| !compiled.contains(&unit.identity));
            if build.starts_with("test") {
                again.retain(|unit| kinds.contains(&unit.kind()));
            }
            if !again.is_empty() {
                let some: Vec<&str> = again.iter().map(|unit| unit.package.as_str()).collect();
                faults.push(format!(
                    "{}: `{command}` compiles {} dependencies that `{FIRST}` has not, such as {}",
                    page.path.display(),
                    some.len(),
                    some[..some.len().min(5)].join(", "),
                ));
            }
        }
    }
    assert!(checked.len() > 5, "{checked:?}");
    assert!(
        faults.is_empty(),
        "{}\n(Without `-p`, by `--bin`, `--example` or `--test`, cargo resolves the features of the whole \
         workspace. Or examples/gpt/Cargo.toml may name the dependency that turns a feature on.)",
        faults.join("\n"),
    );
}

#[test]
fn another_selection_of_features_is_noticed() {
    let first = dependencies("build -p gpt-pretrain");
    let compiled: BTreeSet<u64> = first.iter().map(|unit| unit.identity).collect();
    let other = dependencies("build -p sharpness-report");
    assert!(other.iter().any(|unit| !compiled.contains(&unit.identity)));
}

#[test]
fn every_package_of_the_workspace_is_in_the_profile() {
    let units = units("test --workspace");
    let own = units.iter().filter(|unit| unit.is_of_the_workspace);
    let missing = own.filter(|unit| unit.opt_level != "1");
    let missing: BTreeSet<&str> = missing.map(|unit| unit.package.as_str()).collect();
    let profile = "[profile.dev.package] of Cargo.toml";
    assert!(missing.is_empty(), "{profile} lacks {missing:?}");
}

fn dependencies(arguments: &str) -> Vec<Unit> {
    let mut units = units(arguments);
    units.retain(|unit| !unit.is_of_the_workspace);
    assert!(!units.is_empty(), "{arguments}");
    units
}

fn commands(page: &Page) -> Vec<String> {
    let mut commands = Vec::new();
    for block in page.blocks() {
        commands.extend(block.lines().map(|line| line.trim().to_string()));
    }
    let prose = page.prose();
    let quoted = prose.split('`').skip(1).step_by(2);
    commands.extend(quoted.map(|code| code.split_whitespace().collect::<Vec<_>>().join(" ")));
    commands.retain(|command| command.starts_with("cargo "));
    commands
}

/// Returns the arguments of cargo's build, or `None` if the command builds nothing, or builds differently on purpose.
fn build(command: &str) -> Option<String> {
    let words = command.split_whitespace().skip(1);
    let mut words = words.filter(|word| *word != "-q");
    let build = match words.next()? {
        "run" | "build" => "build",
        "test" => "test",
        _ => return None,
    };
    let mut arguments = vec![build];
    for word in words {
        match word {
            "--" | "#" => break,
            "--features" | "--release" | "+nightly" | "--manifest-path" => return None,
            _ => arguments.push(word),
        }
    }
    Some(arguments.join(" "))
}
