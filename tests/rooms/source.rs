//! Reads one crate from its root file: which modules it has, and what each of them names.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use std::fs;
use std::path::{Path, PathBuf};
use syn::{Attribute, Item, UseTree, Visibility};

/// A path as it is written: `crate::plot::Axis` is `["crate", "plot", "Axis"]`.
pub type Segments = Vec<String>;

/// The modules of one crate. The first one is the root.
#[derive(Debug, Default)]
pub struct CrateSource {
    /// Every module after its parent.
    pub modules: Vec<Module>,
}

/// One module, without its tests.
#[derive(Debug, Default)]
pub struct Module {
    /// The names of the modules from the root down to this one. Empty for the root.
    pub path: Segments,
    /// The place of the parent in [`CrateSource::modules`]. The root is its own parent.
    pub parent: usize,
    /// What its `use` lines bring in.
    pub imports: Vec<Import>,
    /// The paths that its other items name. A single name counts, too.
    pub mentions: Vec<Segments>,
}

/// A name that a `use` line brings into a module.
#[derive(Debug)]
pub struct Import {
    /// The name in this module, or `None` for a glob.
    pub name: Option<String>,
    /// What it stands for.
    pub path: Segments,
    /// Whether other modules can take the name from here.
    pub is_reexport: bool,
}

/// A source file that could not be read.
pub type ReadError = Box<dyn std::error::Error>;

impl CrateSource {
    /// Reads the crate with this root file, and the files of its modules.
    ///
    /// # Errors
    ///
    /// A file is missing, or is not Rust.
    pub fn read(root: &Path) -> Result<Self, ReadError> {
        let folder = root.parent().unwrap_or(Path::new(""));
        let mut source = Self::default();
        source.add(Module::default(), parse(root)?, Some(folder))?;
        Ok(source)
    }

    /// Reads a crate whose modules are all written into one text.
    ///
    /// # Errors
    ///
    /// The text is not Rust, or names a module that is not in it.
    pub fn parse(text: &str) -> Result<Self, ReadError> {
        let mut source = Self::default();
        source.add(Module::default(), syn::parse_file(text)?.items, None)?;
        Ok(source)
    }

    /// Adds a module with these items and, below it, its child modules. `folder` is where the files of the
    /// children are.
    fn add(
        &mut self,
        module: Module,
        items: Vec<Item>,
        folder: Option<&Path>,
    ) -> Result<(), ReadError> {
        let here = self.modules.len();
        let path = module.path.clone();
        self.modules.push(module);
        for item in items.into_iter().filter(|item| !is_test(item)) {
            match item {
                Item::Mod(child) => {
                    let name = child.ident.to_string();
                    let folder_of_child = folder.map(|folder| folder.join(&name));
                    let items = match (child.content, folder) {
                        (Some((_, items)), _) => items,
                        (None, Some(folder)) => parse(&file_of(folder, &name))?,
                        (None, None) => return Err(format!("module {name} has no text").into()),
                    };
                    let module = Module {
                        path: path.iter().cloned().chain([name]).collect(),
                        parent: here,
                        ..Module::default()
                    };
                    self.add(module, items, folder_of_child.as_deref())?;
                }
                Item::Use(line) => {
                    let is_reexport = !matches!(line.vis, Visibility::Inherited);
                    let imports = &mut self.modules[here].imports;
                    add_imports(&line.tree, Vec::new(), is_reexport, imports);
                }
                item => add_paths(item.to_token_stream(), &mut self.modules[here].mentions),
            }
        }
        Ok(())
    }
}

fn parse(file: &Path) -> Result<Vec<Item>, ReadError> {
    let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let parsed = syn::parse_file(&text).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(parsed.items)
}

/// The file of the module `name` whose parent keeps its modules in `folder`.
fn file_of(folder: &Path, name: &str) -> PathBuf {
    let file = folder.join(format!("{name}.rs"));
    if file.exists() {
        file
    } else {
        folder.join(name).join("mod.rs")
    }
}

/// Whether the item is compiled for tests only.
fn is_test(item: &Item) -> bool {
    let attributes: &[Attribute] = match item {
        Item::Mod(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        _ => &[],
    };
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.to_token_stream().to_string().contains("(test)")
    })
}

fn add_imports(tree: &UseTree, mut path: Segments, is_reexport: bool, imports: &mut Vec<Import>) {
    let mut import = |name, path| {
        imports.push(Import {
            name,
            path,
            is_reexport,
        });
    };
    match tree {
        UseTree::Path(branch) => {
            path.push(branch.ident.to_string());
            add_imports(&branch.tree, path, is_reexport, imports);
        }
        UseTree::Group(group) => {
            for tree in &group.items {
                add_imports(tree, path.clone(), is_reexport, imports);
            }
        }
        UseTree::Glob(_) => import(None, path),
        UseTree::Name(name) if name.ident == "self" => import(path.last().cloned(), path),
        UseTree::Name(name) => {
            path.push(name.ident.to_string());
            import(path.last().cloned(), path);
        }
        UseTree::Rename(rename) => {
            if rename.ident != "self" {
                path.push(rename.ident.to_string());
            }
            import(Some(rename.rename.to_string()), path);
        }
    }
}

/// Adds every path in the tokens, those in bodies and in the arguments of macros included. A name after a dot is
/// a field or a method, and no path.
fn add_paths(tokens: TokenStream, paths: &mut Vec<Segments>) {
    let mut path = Segments::new();
    // The punctuation since the last name.
    let mut between = String::new();
    for token in tokens {
        match token {
            TokenTree::Ident(name) if between == "::" => path.push(name.to_string()),
            TokenTree::Ident(name) => {
                paths.push(std::mem::take(&mut path));
                if !between.ends_with('.') || between.ends_with("..") {
                    path.push(name.to_string());
                }
            }
            TokenTree::Punct(punctuation) => {
                between.push(punctuation.as_char());
                continue;
            }
            TokenTree::Group(group) => add_paths(group.stream(), paths),
            TokenTree::Literal(_) => {}
        }
        between.clear();
    }
    paths.push(path);
    paths.retain(|path| !path.is_empty());
}
