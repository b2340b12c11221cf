use crate::page::root;
use serde_json::Value;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::process::Command;

pub struct Unit {
    pub package: String,
    pub is_of_the_workspace: bool,
    pub opt_level: String,
    /// A hash of everything that decides about reuse: features, profile and dependencies.
    pub identity: u64,
}

impl Unit {
    /// Cargo compiles a package without optimization for the build itself.
    pub fn kind(&self) -> (&str, &str) {
        (&self.package, &self.opt_level)
    }
}

pub fn units(arguments: &str) -> Vec<Unit> {
    let output = Command::new(env!("CARGO"))
        .args(arguments.split_whitespace())
        .args(["--offline", "--unit-graph", "-Z", "unstable-options"])
        .current_dir(root())
        // The list of units is unstable; rust-toolchain.toml fixes its format.
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
    // `cargo test` reuses dependencies, although its profile has another name.
    unit["profile"]["name"] = Value::Null;
    let mut hasher = DefaultHasher::new();
    let dependencies = unit["dependencies"].as_array().unwrap().iter();
    let dependencies = dependencies.map(|dependency| {
        let index = dependency["index"].as_u64().unwrap() as usize;
        let name = dependency["extern_crate_name"].to_string();
        (name, identity(index, units, known))
    });
    let mut dependencies: Vec<(String, u64)> = dependencies.collect();
    dependencies.sort();
    unit["dependencies"] = Value::Null;
    (unit.to_string(), dependencies).hash(&mut hasher);
    let identity = hasher.finish();
    known.insert(index, identity);
    identity
}
