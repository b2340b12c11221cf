//! Which module uses which. A name that a module re-exports counts for the module that defines it.

use crate::source::{CrateSource, Module, Segments};
use std::collections::{BTreeMap, BTreeSet};

/// How many re-exports a name may pass through before the search for its definition ends.
const MOST_STEPS: usize = 32;

/// The arrows between things with these names: who uses whom.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph(pub BTreeMap<String, BTreeSet<String>>);

impl Graph {
    /// The modules of a crate and what each uses. A module is named by its path, `plot::axis`, the root `crate`.
    pub fn of_modules(source: &CrateSource) -> Self {
        Self::between(source, |path| path.join("::"))
    }

    /// The rooms of a crate, its modules just below the root, each with all that is below it. What the root file
    /// itself defines is the room `crate`.
    pub fn of_rooms(source: &CrateSource) -> Self {
        Self::between(source, |path| path.first().cloned().unwrap_or_default())
    }

    /// The children of one module, each with all that is below it. The module's own items are no part of it.
    fn of_children(source: &CrateSource, parent: &[String]) -> Self {
        Self::between(source, |path| match path.strip_prefix(parent) {
            Some([child, ..]) => child.clone(),
            _ => String::new(),
        })
        .without("crate")
    }

    fn between(source: &CrateSource, name: impl Fn(&[String]) -> String) -> Self {
        let name = |module: usize| match name(&source.modules[module].path) {
            name if name.is_empty() => "crate".to_owned(),
            name => name,
        };
        let mut graph = Self::default();
        for from in 0..source.modules.len() {
            let used = uses(source, from).into_iter().map(name);
            let arrows = graph.0.entry(name(from)).or_default();
            arrows.extend(used.filter(|used| *used != name(from)));
        }
        graph
    }

    /// The same graph without one of its things.
    pub fn without(mut self, name: &str) -> Self {
        self.0.remove(name);
        for used in self.0.values_mut() {
            used.remove(name);
        }
        self
    }

    /// A circle, as the names along it, the first one repeated at the end. `None` where there is none.
    pub fn circle(&self) -> Option<Vec<&str>> {
        self.0.iter().find_map(|(start, used)| {
            let mut way = used
                .iter()
                .filter_map(|next| self.way(next, start))
                .min_by_key(Vec::len)?;
            way.insert(0, start);
            Some(way)
        })
    }

    /// The shortest way along the arrows between two names, both included.
    fn way(&self, from: &str, to: &str) -> Option<Vec<&str>> {
        let (from, _) = self.0.get_key_value(from)?;
        let mut came_from = BTreeMap::from([(from.as_str(), None)]);
        let mut reached = std::collections::VecDeque::from([from.as_str()]);
        while let Some(name) = reached.pop_front() {
            if name == to {
                let mut way: Vec<_> =
                    std::iter::successors(Some(name), |name| came_from[name]).collect();
                way.reverse();
                return Some(way);
            }
            for next in self.0.get(name).into_iter().flatten() {
                if !came_from.contains_key(next.as_str()) {
                    came_from.insert(next, Some(name));
                    reached.push_back(next);
                }
            }
        }
        None
    }

    /// The same things with only those arrows that no longer way replaces. The graph must have no circle.
    pub fn shortest(&self) -> Self {
        let is_replaced = |used: &BTreeSet<String>, name: &String| {
            used.iter()
                .any(|other| other != name && self.way(other, name).is_some())
        };
        let thin = |used: &BTreeSet<String>| {
            used.iter()
                .filter(|name| !is_replaced(used, name))
                .cloned()
                .collect()
        };
        Self(
            self.0
                .iter()
                .map(|(name, used)| (name.clone(), thin(used)))
                .collect(),
        )
    }
}

/// A circle between modules of the crate, or between folders of them: the same names again, as one line.
pub fn circle(source: &CrateSource) -> Option<String> {
    let parents: BTreeSet<_> = source
        .modules
        .iter()
        .map(|module| source.modules[module.parent].path.as_slice())
        .collect();
    let of_children = parents
        .into_iter()
        .map(|parent| Graph::of_children(source, parent));
    [Graph::of_modules(source)]
        .into_iter()
        .chain(of_children)
        .find_map(|graph| Some(graph.circle()?.join(" → ")))
}

/// The modules that define what this one uses.
fn uses(source: &CrateSource, from: usize) -> BTreeSet<usize> {
    let module = &source.modules[from];
    let imports = module.imports.iter().filter(|import| !import.is_reexport);
    imports
        .map(|import| &import.path)
        .chain(&module.mentions)
        .filter_map(|path| match resolve(source, from, path, MOST_STEPS)? {
            Found::ItemOf(definer) => Some(definer),
            // A module that is only named is used where a path goes through it.
            Found::Module(_) => None,
        })
        .filter(|definer| *definer != from)
        .collect()
}

/// What a path leads to.
#[derive(Clone, Copy)]
enum Found {
    /// A module.
    Module(usize),
    /// Something that this module defines.
    ItemOf(usize),
}

/// Follows a path that is written in the module `from`. `None` where it leads out of the crate, or to a local name.
fn resolve(source: &CrateSource, from: usize, path: &Segments, steps: usize) -> Option<Found> {
    let (first, rest) = path.split_first()?;
    let mut found = match first.as_str() {
        "crate" => Found::Module(0),
        "self" => Found::Module(from),
        "super" => Found::Module(source.modules[from].parent),
        name => find(source, from, name, steps)?,
    };
    for name in rest {
        found = match (found, name.as_str()) {
            (Found::ItemOf(_), _) => break,
            (Found::Module(module), "super") => Found::Module(source.modules[module].parent),
            (Found::Module(module), name) => match find(source, module, name, steps) {
                Some(found) => found,
                None if is_from_outside(&source.modules[module], name) => return None,
                None => Found::ItemOf(module),
            },
        };
    }
    Some(found)
}

/// Finds a child module or an import by its name. `None` for what the module defines itself.
fn find(source: &CrateSource, module: usize, name: &str, steps: usize) -> Option<Found> {
    let steps = steps.checked_sub(1)?;
    let here = &source.modules[module];
    let is_child = |(_, child): &(usize, &Module)| {
        child.path.split_last() == Some((&name.to_owned(), &here.path))
    };
    if let Some((child, _)) = source.modules.iter().enumerate().find(is_child) {
        return Some(Found::Module(child));
    }
    here.imports.iter().find_map(|import| match &import.name {
        // `use x;` of another crate names itself.
        Some(imported) if imported == name && import.path != [name] => {
            resolve(source, module, &import.path, steps)
        }
        Some(_) => None,
        None => match resolve(source, module, &import.path, steps)? {
            Found::Module(globbed) if globbed != module => find(source, globbed, name, steps),
            _ => None,
        },
    })
}

/// Whether the module has this name from another crate.
fn is_from_outside(module: &Module, name: &str) -> bool {
    module
        .imports
        .iter()
        .any(|import| import.name.as_deref() == Some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modules(text: &str) -> Graph {
        Graph::of_modules(&CrateSource::parse(text).unwrap())
    }

    fn circle_in(text: &str) -> Option<String> {
        circle(&CrateSource::parse(text).unwrap())
    }

    fn graph(arrows: &[(&str, &[&str])]) -> Graph {
        let named = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        Graph(
            arrows
                .iter()
                .map(|(name, used)| (name.to_string(), named(used)))
                .collect(),
        )
    }

    #[test]
    fn a_circle_is_found_through_a_reexport() {
        let text = "
            mod a { use crate::B; pub struct A(B); }
            mod b { use crate::A; pub struct B(Option<Box<A>>); }
            pub use a::A;
            pub use b::B;";
        assert_eq!(circle_in(text).unwrap(), "a → b → a");
    }

    #[test]
    fn a_circle_is_found_through_a_parent_a_path_in_a_body_and_a_macro() {
        let parent = "mod a { mod b { use super::Error; } pub struct Error; fn f() { b::g() } }";
        assert_eq!(circle_in(parent).unwrap(), "a → a::b → a");
        let body = "
            mod a { pub fn f() { crate::b::g() } }
            mod b { use crate::a; pub fn g() { println!(\"{}\", a::f()) } }";
        assert_eq!(circle_in(body).unwrap(), "a → b → a");
        let root = "mod a { use crate::PAUSE; } const PAUSE: u8 = 1; fn main() { a::f() }";
        assert_eq!(circle_in(root).unwrap(), "a → crate → a");
    }

    #[test]
    fn a_circle_is_found_between_folders_whose_files_have_none() {
        let text = "
            mod a { mod low { pub struct Low; } mod high { use crate::b::B; } pub use low::Low; }
            mod b { use crate::a::Low; pub struct B(Low); }";
        assert_eq!(circle_in(text).unwrap(), "a → b → a");
    }

    #[test]
    fn a_door_that_only_reexports_uses_nothing() {
        let text = "
            mod a { mod b { use super::c::C; pub struct B(C); } mod c { pub struct C; } pub use b::B; }
            pub use a::B;";
        assert_eq!(circle_in(text), None);
        assert_eq!(
            modules(text),
            graph(&[
                ("a", &[]),
                ("a::b", &["a::c"]),
                ("a::c", &[]),
                ("crate", &[])
            ])
        );
    }

    #[test]
    fn tests_fields_methods_and_other_crates_are_no_uses() {
        let text = "
            mod a { use std::fs::read; fn f(x: X) { x.b(read(x.c)) } #[cfg(test)] mod tests { use crate::b::b; } }
            mod b { pub fn b() {} }
            mod c { use crate::b::b as renamed; fn f() { renamed() } }";
        assert_eq!(
            modules(text),
            graph(&[("a", &[]), ("b", &[]), ("c", &["b"]), ("crate", &[])])
        );
    }

    #[test]
    fn globs_are_followed() {
        let text = "mod a { pub use crate::b::inner::*; } mod b { pub mod inner { mod deep { pub struct D; } pub use deep::D; } } mod c { use crate::a::*; struct C(D); }";
        assert_eq!(
            modules(text).0["c"],
            BTreeSet::from(["b::inner::deep".to_owned()])
        );
    }

    #[test]
    fn an_arrow_is_left_out_where_a_longer_way_replaces_it() {
        let all = graph(&[("a", &["b", "c"]), ("b", &["c"]), ("c", &[])]);
        let shortest = graph(&[("a", &["b"]), ("b", &["c"]), ("c", &[])]);
        assert_eq!(all.shortest(), shortest);
    }
}
