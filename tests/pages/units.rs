//! What cargo would compile for a command, without compiling it.

use crate::page::root;
use serde_json::Value;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::process::Command;

/// One thing that cargo compiles: a library, a build script, a program.
pub struct Unit {
    /// The name and version of its package.
    pub package: String,
    pub is_of_the_workspace: bool,
    pub opt_level: String,
    /// A hash of all that decides whether cargo can use it again: features, profile and dependencies.
    pub identity: u64,
}

impl Unit {
    /// What it is, whatever its features: a package for the build itself, without optimization, is another
    /// one than the same package for the programs.
    pub fn kind(&self) -> (&str, &str) {
        (&self.package, &self.opt_level)
    }
}

/// The units of a command, such as `build -p gpt-pretrain`.
pub fn units(arguments: &str) -> Vec<Unit> {
    let output = Command::new(env!("CARGO"))
        .args(arguments.split_whitespace())
        .args(["--offline", "--unit-graph", "-Z", "unstable-options"])
        .current_dir(root())
        // The list of units is not stable. Its form is that of the toolchain in rust-toolchain.toml.
        .env("RUSTC_BOOTSTRAP", "1")
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {arguments}: {errors}");
    let graph: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(graph["version"], 1, "another form of cargo's list of units");
    let units = graph["units"].as_array().unwrap();
    let mut identities = BTreeMap::new();
    (0..units.len())
        .map(|index| {
            let unit = &units[index];
            let id = unit["pkg_id"].as_str().unwrap();
            Unit {
                package: id.rsplit(['#', '/']).next().unwrap().to_string(),
                is_of_the_workspace: id.starts_with("path+"),
                opt_level: unit["profile"]["opt_level"].as_str().unwrap().to_string(),
                identity: identity(index, units, &mut identities),
            }
        })
        .collect()
}

fn identity(index: usize, units: &[Value], known: &mut BTreeMap<usize, u64>) -> u64 {
    if let Some(identity) = known.get(&index) {
        return *identity;
    }
    let mut unit = units[index].clone();
    // A dependency is the same in `cargo test`, whose profile has another name and the same settings.
    unit["profile"]["name"] = Value::Null;
    let mut hasher = DefaultHasher::new();
    let mut dependencies: Vec<(String, u64)> = unit["dependencies"]
        .as_array()
        .unwrap()
        .iter()
        .map(|dependency| {
            let index = dependency["index"].as_u64().unwrap() as usize;
            let name = dependency["extern_crate_name"].to_string();
            (name, identity(index, units, known))
        })
        .collect();
    dependencies.sort();
    unit["dependencies"] = Value::Null;
    (unit.to_string(), dependencies).hash(&mut hasher);
    let identity = hasher.finish();
    known.insert(index, identity);
    identity
}
