//! The project's documents as tests read them: blocks of code, links, headings and tables of Markdown.

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
};

/// A page of the project.
#[derive(Clone, Debug)]
pub struct Document {
    path: String,
    text: String,
}

/// A fenced block of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// What stands behind its fence, up to the first space.
    pub language: String,
    /// The file that the block is a part of, where it names one.
    pub file: Option<String>,
    /// Its lines, each with its end.
    pub text: String,
}

/// The folder that the project is in.
pub fn root() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), ".."].iter().collect()
}

/// Every page: the README, and all in `docs`.
pub fn all() -> Vec<Document> {
    let folder = fs::read_dir(root().join("docs")).expect("the folder of documents");
    let names = folder.map(|entry| entry.expect("a file").file_name());
    let pages = names
        .map(|name| format!("docs/{}", name.display()))
        .filter(|path| path.ends_with(".md"));
    let mut paths: Vec<_> = pages.chain(["README.md".into()]).collect();
    paths.sort();
    paths.iter().map(|path| Document::read(path)).collect()
}

impl Document {
    /// The page at that path from the project's folder.
    pub fn read(path: &str) -> Self {
        let text = fs::read_to_string(root().join(path));
        Self {
            path: path.into(),
            text: text.unwrap_or_else(|error| panic!("{path}: {error}")),
        }
    }

    /// Its path from the project's folder.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// All of it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its fenced blocks, in order.
    pub fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut open: Option<Block> = None;
        for line in self.text.lines() {
            match (line.strip_prefix("```"), &mut open) {
                (Some(title), None) => {
                    let (language, file) = title.split_once(' ').unwrap_or((title, ""));
                    open = Some(Block {
                        language: language.into(),
                        file: (!file.is_empty()).then(|| file.into()),
                        text: String::new(),
                    });
                }
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (None, Some(block)) => {
                    block.text.push_str(line);
                    block.text.push('\n');
                }
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{}: a block has no end", self.path);
        blocks
    }

    /// The commands in its blocks for a shell, without comments, each on one line.
    pub fn commands(&self) -> Vec<String> {
        let blocks = self.blocks().into_iter();
        let shell = blocks.filter(|block| block.language == "sh");
        shell.flat_map(|block| commands(&block.text)).collect()
    }

    /// Its lines outside of fenced and indented blocks.
    fn prose(&self) -> impl Iterator<Item = &str> {
        let mut is_fenced = false;
        self.text.lines().filter(move |line| {
            let is_fence = line.starts_with("```");
            is_fenced ^= is_fence;
            !is_fenced && !is_fence && !line.starts_with("    ")
        })
    }

    /// Its paragraphs, lists and tables. What is set as code may go over a line's end, but not over a paragraph's.
    fn paragraphs(&self) -> Vec<String> {
        let prose = self.prose().collect::<Vec<_>>().join("\n");
        prose.split("\n\n").map(str::to_owned).collect()
    }

    /// Where its links lead, as they are written.
    pub fn links(&self) -> Vec<String> {
        let paragraphs = self.paragraphs();
        paragraphs.iter().flat_map(|text| links(text)).collect()
    }

    /// The texts in its prose that are set as code.
    pub fn code(&self) -> Vec<String> {
        let paragraphs = self.paragraphs();
        let spans = paragraphs
            .iter()
            .flat_map(|text| text.split('`').skip(1).step_by(2));
        spans.map(str::to_owned).collect()
    }

    /// What links to its headings are made of.
    pub fn anchors(&self) -> BTreeSet<String> {
        let headings = self.prose().filter_map(|line| {
            let title = line.trim_start_matches('#');
            (title.len() < line.len()).then(|| anchor(title.trim()))
        });
        headings.collect()
    }

    /// The rows of its tables, cell by cell, without those that name and part the columns.
    pub fn rows(&self) -> Vec<Vec<String>> {
        let mut rows: Vec<Vec<String>> = Vec::new();
        for line in self.prose() {
            let Some(row) = line.strip_prefix('|') else {
                continue;
            };
            if row.starts_with("---") {
                rows.pop();
                continue;
            }
            let cells = row.trim_end_matches('|').split('|');
            rows.push(cells.map(|cell| cell.trim().to_owned()).collect());
        }
        rows
    }

    /// Compares it with the text that it ought to be, and with `BLESS=1` writes that text.
    pub fn hold(&self, text: &str) {
        if self.text == text {
            return;
        }
        let is_blessed = env::var("BLESS").is_ok_and(|bless| bless == "1");
        let mut pairs = self.text.lines().zip(text.lines());
        let first = pairs.find(|(shown, real)| shown != real);
        assert!(
            is_blessed,
            "{} no longer shows what the program does, first at {first:?}; run this test with BLESS=1 to write it anew, and read the difference",
            self.path
        );
        fs::write(root().join(&self.path), text).expect("the document can be written");
    }
}

/// The commands of a shell's text, without comments, each on one line.
fn commands(text: &str) -> Vec<String> {
    let joined = text.replace("\\\n", " ");
    let lines = joined.lines().map(|line| {
        let command = line.split(" #").next().unwrap_or_default();
        command.split_whitespace().collect::<Vec<_>>().join(" ")
    });
    lines
        .filter(|command| !command.is_empty() && !command.starts_with('#'))
        .collect()
}

/// Where the links of a paragraph lead.
fn links(paragraph: &str) -> Vec<String> {
    // What is set as code is no link; the text of a link may be code.
    let plain: String = paragraph.split('`').step_by(2).collect();
    let targets = plain.split("](").skip(1);
    targets
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target.to_owned())
        .collect()
}

/// The anchor of a heading, as GitHub makes it.
fn anchor(title: &str) -> String {
    let kept = title
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c })
        .flat_map(char::to_lowercase)
        .collect()
}

/// Whether a path from the project's folder leads to something.
pub fn exists(path: &str) -> bool {
    root().join(path).exists()
}

/// The path that a link from a page leads to, from the project's folder.
pub fn resolved(page: &str, link: &str) -> String {
    let folder = Path::new(page).parent().unwrap_or(Path::new(""));
    let mut parts: Vec<&str> = folder.iter().filter_map(|part| part.to_str()).collect();
    for part in link.split('/') {
        match part {
            ".." => {
                parts.pop();
            }
            "." | "" => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(text: &str) -> Document {
        Document {
            path: "docs/page.md".into(),
            text: text.into(),
        }
    }

    #[test]
    fn a_command_is_one_line_without_its_comment() {
        let page = page(
            "```sh\nmake run    # builds\n# nothing\nsam deploy \\\n  --now\n```\n```text\nno command\n```\n",
        );
        assert_eq!(page.commands(), ["make run", "sam deploy --now"]);
    }

    #[test]
    fn a_link_is_found_in_prose_and_not_in_code() {
        let page =
            page("See [`a`](a.md#b), `[x](y)`, [c](#d).\n```\n[no](link)\n```\n    [no](link)\n");
        assert_eq!(page.links(), ["a.md#b", "#d"]);
        assert_eq!(page.code(), ["a", "[x](y)"]);
    }

    #[test]
    fn an_anchor_is_the_heading_without_punctuation() {
        let page = page("# Where would I add …?\n## `make` & more\n### Lambda's log controls\n");
        let anchors = ["lambdas-log-controls", "make--more", "where-would-i-add-"];
        assert_eq!(page.anchors(), BTreeSet::from(anchors.map(String::from)));
    }

    #[test]
    fn rows_are_cells_without_the_head() {
        let page =
            page("| a | b |\n|---|---|\n| `c` | d |\n\ntext\n\n| | e |\n|---|---|\n| f | |\n");
        assert_eq!(page.rows(), [["`c`", "d"], ["f", ""]]);
    }

    #[test]
    fn a_link_leads_from_the_folder_of_its_page() {
        assert_eq!(resolved("docs/page.md", "../README.md"), "README.md");
        assert_eq!(resolved("docs/page.md", "rules.md"), "docs/rules.md");
        assert_eq!(resolved("README.md", "docs/rules.md"), "docs/rules.md");
    }
}
