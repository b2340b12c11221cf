//! The uses between the modules of a crate, from the paths in its files. (Method calls and macros are invisible.)

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use walkdir::WalkDir;

const MOST_STEPS: usize = 8;

/// A path from the crate's root: `plot::Axis` is `["plot", "Axis"]`.
type Segments = Vec<String>;

/// The children of a module, each with the siblings that it uses.
pub type Graph = BTreeMap<String, BTreeSet<String>>;

#[derive(Default)]
pub struct Sources {
    modules: BTreeSet<Segments>,
    /// The path behind each re-exported name of a module.
    exports: BTreeMap<(Segments, String), Segments>,
    uses: Vec<(Segments, Segments)>,
}

impl Sources {
    pub fn read(folder: &Path) -> Self {
        let mut sources = Self::default();
        for entry in WalkDir::new(folder) {
            let path = entry.unwrap().into_path();
            if path.extension().is_some_and(|ending| ending == "rs") {
                let module = path.strip_prefix(folder).unwrap().with_extension("");
                let names = module.iter().map(|name| name.to_str().unwrap().to_owned());
                let is_module = |name: &String| !["lib", "main", "mod"].contains(&name.as_str());
                let module = names.filter(is_module).collect();
                sources.add(module, &fs::read_to_string(&path).unwrap());
            }
        }
        sources
    }

    pub fn add(&mut self, module: Segments, text: &str) {
        let is_code = |line: &&str| !line.starts_with("#[cfg(test)]");
        let lines = text.lines().take_while(is_code);
        let lines = lines.map(|line| line.split("//").next().unwrap_or(line));
        for statement in lines.collect::<Vec<_>>().join("\n").split(';') {
            let last = statement.lines().next_back().unwrap_or_default();
            let reexport = statement.split_once("use ").filter(|(before, _)| {
                let before = before.lines().next_back().unwrap_or(last).trim();
                before == "pub" || (before.starts_with("pub(") && before.ends_with(')'))
            });
            if let Some((_, tree)) = reexport {
                for (path, name) in paths(tree) {
                    let path = absolute(&module, path);
                    self.exports.insert((module.clone(), name), path);
                }
                continue;
            }
            for start in ["crate::", "super::"] {
                for (place, _) in statement.match_indices(start) {
                    let is_whole = !statement[..place].ends_with([':', '$']);
                    let tree = if is_whole { &statement[place..] } else { "" };
                    let paths = paths(tree).into_iter();
                    let paths = paths.map(|(path, _)| (module.clone(), absolute(&module, path)));
                    self.uses.extend(paths);
                }
            }
        }
        self.modules.insert(module);
    }

    pub fn graphs(&self) -> BTreeMap<String, Graph> {
        let mut graphs: BTreeMap<String, Graph> = BTreeMap::new();
        for module in &self.modules {
            if let Some((child, parent)) = module.split_last() {
                let graph = graphs.entry(parent.join("::")).or_default();
                graph.entry(child.clone()).or_default();
            }
        }
        for (module, path) in &self.uses {
            let used = self.definer(path, MOST_STEPS);
            let pairs = module.iter().zip(&used);
            let common = pairs.take_while(|(one, other)| one == other).count();
            if let (Some(user), Some(used)) = (module.get(common), used.get(common)) {
                let graph = graphs.entry(module[..common].join("::")).or_default();
                let uses = graph.entry(user.clone()).or_default();
                uses.insert(used.clone());
            }
        }
        graphs
    }

    fn definer(&self, path: &[String], steps: usize) -> Segments {
        let mut at = Segments::new();
        for (place, name) in path.iter().enumerate() {
            let child = [&at[..], std::slice::from_ref(name)].concat();
            let exported = self.exports.get(&(at.clone(), name.clone()));
            match exported.filter(|_| steps > 0) {
                _ if self.modules.contains(&child) => at = child,
                Some(exported) => {
                    let path = [exported, &path[place + 1..]].concat();
                    return self.definer(&path, steps - 1);
                }
                None => break,
            }
        }
        at
    }
}

/// The paths at the start of a text such as `crate::{a::A, b::B as C}`, each with its name.
fn paths(text: &str) -> Vec<(Segments, String)> {
    let is_part = |letter: char| letter.is_alphanumeric() || "_:".contains(letter);
    let text = text.trim_start();
    let (path, rest) = text.split_at(text.find(|c| !is_part(c)).unwrap_or(text.len()));
    let segments = path.split(':').filter(|segment| !segment.is_empty());
    let segments: Segments = segments.map(str::to_owned).collect();
    if path.ends_with("::")
        && let Some(group) = rest.strip_prefix('{')
    {
        let members = members(group).into_iter().flat_map(paths);
        let whole = |(path, name): (Segments, _)| ([&segments[..], &path].concat(), name);
        return members.map(whole).collect();
    }
    let alias = rest.trim_start().strip_prefix("as ").map(str::trim);
    let name = alias.or(segments.last().map(String::as_str));
    let name = name.unwrap_or_default().to_owned();
    vec![(segments, name)]
}

fn members(group: &str) -> Vec<&str> {
    let (mut depth, mut start, mut members) = (0, 0, Vec::new());
    for (place, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            ',' | '}' if depth == 0 => {
                members.push(group[start..place].trim());
                start = place + 1;
                if letter == '}' {
                    break;
                }
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    members.retain(|member| !member.is_empty());
    members
}

fn absolute(module: &[String], path: Segments) -> Segments {
    let mut base = module;
    let mut rest = path.as_slice();
    loop {
        match rest.first().map(String::as_str) {
            Some("crate") => base = &[],
            Some("self") => {}
            Some("super") => base = &base[..base.len().saturating_sub(1)],
            _ => return [base, rest].concat(),
        }
        rest = &rest[1..];
    }
}

pub fn circle(graph: &Graph) -> Vec<&str> {
    let mut left: BTreeSet<&String> = graph.keys().collect();
    loop {
        let is_in_a_circle = |name: &&String| {
            let uses = |other: &String| graph[other].iter();
            let is_used = left
                .iter()
                .any(|other| uses(other).any(|used| used == *name));
            is_used && uses(name).any(|used| left.contains(used))
        };
        let kept: BTreeSet<&String> = left.iter().copied().filter(is_in_a_circle).collect();
        if kept.len() == left.len() {
            return kept.into_iter().map(String::as_str).collect();
        }
        left = kept;
    }
}

/// Each layer may only use later layers.
pub fn misplaced(graph: &Graph, layers: &[Vec<String>]) -> Vec<String> {
    let layer = |name: &String| layers.iter().position(|layer| layer.contains(name));
    let mut all = Vec::new();
    for (name, uses) in graph {
        if layer(name).is_none() {
            all.push(format!("{name} has no layer"));
        }
        for used in uses {
            if layer(used).is_some_and(|used| layer(name).is_some_and(|user| user >= used)) {
                let place = "but stands at its side or to its right";
                all.push(format!("{name} uses {used}, {place}"));
            }
        }
    }
    let gone = layers.iter().flatten();
    let gone = gone.filter(|name| !graph.contains_key(*name));
    all.extend(gone.map(|name| format!("there is no {name}")));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rooms(modules: &[(&str, &str)]) -> Graph {
        let mut sources = Sources::default();
        for (path, text) in modules {
            let path = path.split("::").filter(|name| !name.is_empty());
            sources.add(path.map(str::to_owned).collect(), text);
        }
        sources.graphs().remove("").unwrap()
    }

    fn graph(arrows: &[(&str, &[&str])]) -> Graph {
        let named = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        let arrow = |(name, used): &(&str, &[&str])| (name.to_string(), named(used));
        arrows.iter().map(arrow).collect()
    }

    #[test]
    fn a_name_counts_for_the_module_that_defines_it() {
        let root = "mod a; mod b; mod c;\n#[doc(inline)]\npub use a::{A, low::Low as Lowest};\npub use c::C;";
        let c = "use crate::{A,\n    b::{B, self}}; // use crate::d::D;\npub struct C;\n#[cfg(test)]\nmod tests { use crate::e::E; }";
        let modules = [
            ("", root),
            ("a", "mod low; pub(crate) use low::Low; pub struct A;"),
            ("a::low", "use super::super::d::D; pub struct Low;"),
            ("b", "fn f() { crate::Lowest::new(super::d::D) }"),
            ("c", c),
            ("d", "use std::fs::read; pub struct D;"),
            ("e", "pub use crate::C;"),
        ];
        let (b, c): (&[&str], &[&str]) = (&["a", "d"], &["a", "b"]);
        let expected = [
            ("a", &["d"][..]),
            ("b", b),
            ("c", c),
            ("d", &[]),
            ("e", &[]),
        ];
        assert_eq!(rooms(&modules), graph(&expected));
    }

    #[test]
    fn a_circle_is_found_through_a_reexport_and_between_folders_whose_files_have_none() {
        let reexport = [
            ("", "pub use a::A; pub use b::B;"),
            ("a", "use crate::B;"),
            ("b", "use crate::A;"),
            ("c", "use crate::A;"),
            ("d", ""),
        ];
        assert_eq!(circle(&rooms(&reexport)), ["a", "b"]);
        let folders = [
            ("", ""),
            ("a", "pub use low::Low;"),
            ("a::low", ""),
            ("a::high", "use crate::b::B;"),
            ("b", "use crate::a::Low;"),
        ];
        assert_eq!(circle(&rooms(&folders)), ["a", "b"]);
    }

    #[test]
    fn what_does_not_fit_to_the_layers_is_named() {
        let of = |layers: &[&[&str]]| {
            let layers = layers
                .iter()
                .map(|layer| layer.iter().map(ToString::to_string));
            let layers: Vec<Vec<String>> = layers.map(Iterator::collect).collect();
            misplaced(&graph(&[("a", &["b"]), ("b", &["c"]), ("c", &[])]), &layers)
        };
        assert_eq!(of(&[&["a"], &["b"], &["c"]]), Vec::<String>::new());
        let side = "b uses c, but stands at its side or to its right";
        assert_eq!(of(&[&["a"], &["b", "c"]]), [side]);
        let gone = of(&[&["a"], &["b"], &["d"]]);
        assert_eq!(gone, ["c has no layer", "there is no d"]);
    }
}
