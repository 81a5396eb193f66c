//! Reads from a crate's source which module uses which, and holds that against a table of layers.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    path::Path,
};

/// The root's name among the modules.
pub const ROOT: &str = "crate";

/// A crate's modules, one for each file, and who uses whom. Tests within the files are left out.
pub struct Crate {
    modules: BTreeSet<String>,
    arrows: Vec<Arrow>,
}

/// A module's use of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrow {
    /// The module that uses the other, such as `rules::refill`.
    pub from: String,
    /// The module that is used.
    pub to: String,
    /// The line of the first such use.
    pub line: usize,
}

impl fmt::Display for Arrow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} uses {} (line {})", self.from, self.to, self.line)
    }
}

impl Crate {
    /// Reads all files of a crate's source folder.
    ///
    /// # Panics
    /// The folder cannot be read.
    pub fn read(folder: &Path) -> Self {
        let mut files = Vec::new();
        collect(folder, &mut Vec::new(), &mut files);
        let files: Vec<_> = files
            .iter()
            .map(|(module, text)| (module.as_str(), text.as_str()))
            .collect();
        Self::of(&files)
    }

    /// A crate of these modules and texts. The root's module is [`ROOT`].
    pub fn of(files: &[(&str, &str)]) -> Self {
        let modules: BTreeSet<String> = files.iter().map(|(module, _)| (*module).into()).collect();
        let mut arrows: Vec<Arrow> = Vec::new();
        for (module, text) in files {
            for (to, line) in used(module, &without_tests(tokens(text)), &modules) {
                let arrow = Arrow {
                    from: (*module).into(),
                    to,
                    line,
                };
                let is_new = |known: &Arrow| known.from != arrow.from || known.to != arrow.to;
                if arrow.from != arrow.to && arrows.iter().all(is_new) {
                    arrows.push(arrow);
                }
            }
        }
        Self { modules, arrows }
    }

    /// Who uses whom.
    pub fn arrows(&self) -> &[Arrow] {
        &self.arrows
    }

    /// What does not keep to the layers, lowest first: a module may use those of lower layers, and none of its own. An
    /// entry stands for a module and those inside it that have no entry of their own.
    pub fn faults(&self, layers: &[&[&str]]) -> Vec<String> {
        let entries: Vec<(usize, &str)> = (0..)
            .zip(layers)
            .flat_map(|(height, layer)| layer.iter().map(move |entry| (height, *entry)))
            .collect();
        let entry_of = |module: &str| {
            let claims = |entry: &&(usize, &str)| {
                let rest = module.strip_prefix(entry.1);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
            };
            entries
                .iter()
                .filter(claims)
                .max_by_key(|(_, entry)| entry.len())
        };
        let mut faults = Vec::new();
        for module in &self.modules {
            if entry_of(module).is_none() {
                faults.push(format!("{module} is in no layer"));
            }
        }
        for entry in &entries {
            if !self
                .modules
                .iter()
                .any(|module| entry_of(module) == Some(entry))
            {
                faults.push(format!("there is no module {}", entry.1));
            }
        }
        for arrow in &self.arrows {
            let (Some(from), Some(to)) = (entry_of(&arrow.from), entry_of(&arrow.to)) else {
                continue;
            };
            if from != to && to.0 >= from.0 {
                let place = if to.0 == from.0 { "beside" } else { "above" };
                faults.push(format!("{arrow}, which is {place} it"));
            }
        }
        faults
    }

    /// The first modules that use each other in a circle, if any do.
    pub fn cycle(&self) -> Option<Vec<String>> {
        let mut done = BTreeSet::new();
        self.modules
            .iter()
            .find_map(|module| self.cycle_from(module, &mut Vec::new(), &mut done))
    }

    fn cycle_from<'c>(
        &'c self,
        module: &'c str,
        path: &mut Vec<&'c str>,
        done: &mut BTreeSet<&'c str>,
    ) -> Option<Vec<String>> {
        if let Some(start) = path.iter().position(|on_path| *on_path == module) {
            return Some(
                path[start..]
                    .iter()
                    .map(|on_path| (*on_path).into())
                    .collect(),
            );
        }
        if done.contains(module) {
            return None;
        }
        path.push(module);
        let used = self.arrows.iter().filter(|arrow| arrow.from == module);
        let found = used
            .map(|arrow| arrow.to.as_str())
            .find_map(|to| self.cycle_from(to, path, done));
        path.pop();
        done.insert(module);
        found
    }
}

/// The modules and texts of a folder's files.
fn collect(folder: &Path, path: &mut Vec<String>, files: &mut Vec<(String, String)>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    for entry in entries {
        let file = entry.expect("an entry of the folder").path();
        let name = file
            .file_stem()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        let is_unnamed = matches!(name.as_str(), "lib" | "main" | "mod");
        path.push(name);
        if file.is_dir() {
            collect(&file, path, files);
        } else if file.extension().is_some_and(|extension| extension == "rs") {
            let named = &path[..path.len() - usize::from(is_unnamed)];
            let module = if named.is_empty() {
                ROOT.into()
            } else {
                named.join("::")
            };
            let text =
                fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file:?}: {error}"));
            files.push((module, text));
        }
        path.pop();
    }
}

// ------------------------------------------------------------------------------------------ paths

/// The modules that the paths in a file lead to, and the lines they stand in.
fn used(module: &str, tokens: &[Token], modules: &BTreeSet<String>) -> Vec<(String, usize)> {
    let own: Vec<&str> = module.split("::").filter(|part| *part != ROOT).collect();
    // Names that stand for modules: the file's own modules, and those that it imports.
    let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for inner in modules {
        let parts: Vec<&str> = inner.split("::").filter(|part| *part != ROOT).collect();
        if let [parent @ .., name] = parts.as_slice()
            && parent == own
        {
            names.insert(
                (*name).into(),
                parts.iter().map(ToString::to_string).collect(),
            );
        }
    }
    let imported = paths(&own, tokens, &names);
    for (name, path, _) in imported {
        if modules.contains(&path.join("::")) {
            names.entry(name).or_insert(path);
        }
    }
    paths(&own, tokens, &names)
        .into_iter()
        .map(|(_, path, line)| (module_of(&path, modules), line))
        .collect()
}

/// The module that a path leads into.
fn module_of(path: &[String], modules: &BTreeSet<String>) -> String {
    (1..=path.len())
        .rev()
        .map(|length| path[..length].join("::"))
        .find(|module| modules.contains(module))
        .unwrap_or_else(|| ROOT.into())
}

/// All paths from the crate's root, the file's module, a module around it or a name: what each is called here, its
/// parts from the root, and its line.
fn paths(
    own: &[&str],
    tokens: &[Token],
    names: &BTreeMap<String, Vec<String>>,
) -> Vec<(String, Vec<String>, usize)> {
    let mut found = Vec::new();
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    for at in 0..tokens.len() {
        let is_inside = at > 0 && matches!(text(at - 1), "::" | "." | "$");
        if is_inside || text(at + 1) != "::" {
            continue;
        }
        let mut base: Vec<String> = match text(at) {
            "crate" => Vec::new(),
            "self" | "super" => own.iter().map(ToString::to_string).collect(),
            name => match names.get(name) {
                Some(path) => path.clone(),
                None => continue,
            },
        };
        let mut next = at;
        while text(next) == "super" {
            base.pop();
            next += if text(next + 2) == "super" { 2 } else { 1 };
        }
        let mut next = if next == at { at + 1 } else { next };
        tree(tokens, &mut next, &base, &mut found);
    }
    found
}

/// Reads what follows a path's first part: parts, groups, `*`, `as`.
fn tree(
    tokens: &[Token],
    at: &mut usize,
    base: &[String],
    found: &mut Vec<(String, Vec<String>, usize)>,
) {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let line = tokens.get(*at).map_or(0, |token| token.line);
    let mut path = base.to_vec();
    while text(*at) == "::" {
        match text(*at + 1) {
            "{" => {
                *at += 2;
                while !matches!(text(*at), "}" | "") {
                    match text(*at) {
                        "," => *at += 1,
                        "self" | "*" => {
                            found.push((
                                path.last().cloned().unwrap_or_default(),
                                path.clone(),
                                line,
                            ));
                            *at += 1;
                        }
                        part => {
                            let inner: Vec<_> = path.iter().cloned().chain([part.into()]).collect();
                            *at += 1;
                            tree(tokens, at, &inner, found);
                        }
                    }
                }
                *at += 1;
                return;
            }
            part if part.starts_with(|c: char| c.is_alphabetic() || c == '_') => {
                path.push(part.into());
                *at += 2;
            }
            _ => {
                *at += 1;
                break;
            }
        }
    }
    let mut name = path.last().cloned().unwrap_or_default();
    if text(*at) == "as" {
        name = text(*at + 1).into();
        *at += 2;
    }
    found.push((name, path, line));
}

// ----------------------------------------------------------------------------------------- tokens

/// A word, `::`, or a character of its own.
#[derive(Clone)]
struct Token {
    text: String,
    line: usize,
}

/// The tokens of a text, without comments, strings and characters.
fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let (mut rest, mut line) = (text, 1);
    while let Some(first) = rest.chars().next() {
        let length = skipped(rest).unwrap_or_else(|| {
            let word = rest
                .find(|c: char| !c.is_alphanumeric() && c != '_')
                .unwrap_or(rest.len());
            let length = match word {
                0 if rest.starts_with("::") => 2,
                0 => first.len_utf8(),
                word => word,
            };
            if !first.is_whitespace() {
                tokens.push(Token {
                    text: rest[..length].into(),
                    line,
                });
            }
            length
        });
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    tokens
}

/// How long the comment, string or character is that the text begins with; none where it begins with none.
fn skipped(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if text.starts_with("/*") {
        return Some(text.find("*/").map_or(text.len(), |end| end + 2));
    }
    let unprefixed = text.strip_prefix('b').unwrap_or(text);
    if let Some(raw) = unprefixed.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let start = text.len() - raw.len() + hashes + 1;
            return Some(
                text[start..]
                    .find(&end)
                    .map_or(text.len(), |at| start + at + end.len()),
            );
        }
    }
    let start = text.len() - unprefixed.len() + 1;
    let quote = unprefixed
        .chars()
        .next()
        .filter(|c| matches!(c, '"' | '\''))?;
    let inside = text.get(start..)?;
    // A lifetime has no end quote behind its first character.
    let mut characters = inside.chars();
    let is_lifetime = quote == '\'' && characters.next()? != '\\' && characters.next()? != '\'';
    if is_lifetime {
        return None;
    }
    let mut is_escaped = false;
    for (at, c) in inside.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            c if c == quote => return Some(start + at + 1),
            _ => {}
        }
    }
    Some(text.len())
}

/// Leaves out the modules that are compiled for tests only.
fn without_tests(tokens: Vec<Token>) -> Vec<Token> {
    const TESTS: [&str; 8] = ["#", "[", "cfg", "(", "test", ")", "]", "mod"];
    let mut kept = Vec::new();
    let mut rest = tokens.as_slice();
    while let Some(token) = rest.first() {
        let is_test = TESTS.len() < rest.len()
            && TESTS
                .iter()
                .zip(rest)
                .all(|(expected, token)| token.text == *expected);
        if !is_test {
            kept.push(token.clone());
            rest = &rest[1..];
            continue;
        }
        let mut depth = 0_usize;
        let ends = |token: &Token| {
            match token.text.as_str() {
                "{" => depth += 1,
                "}" => depth -= 1,
                _ => {}
            }
            depth == 0 && matches!(token.text.as_str(), "}" | ";")
        };
        let end = rest.iter().position(ends).expect("a module ends");
        rest = &rest[end + 1..];
    }
    kept
}
