//! docs/writing-a-component.md shows what is there: its code is the example's, its commands print what it says.

use std::{collections::BTreeMap, fs, path::PathBuf};
use weir_tests::{built, program::weir};

fn root() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), ".."].iter().collect()
}

/// A fenced block of the guide.
struct Block {
    language: String,
    file: Option<String>,
    text: String,
}

fn blocks() -> Vec<Block> {
    let guide = fs::read_to_string(root().join("docs/writing-a-component.md")).expect("the guide");
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for line in guide.lines() {
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
    assert!(open.is_none(), "a block has no end");
    blocks
}

#[test]
fn the_code_it_shows_is_the_whole_code_of_the_component() {
    let mut shown: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for block in blocks() {
        if let Some(file) = block.file {
            shown.entry(file).or_default().push(block.text);
        }
    }
    for (file, pieces) in &shown {
        let text =
            fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert_eq!(pieces.join("\n"), text, "{file}");
    }
    let example = "tests/components/weekly";
    let mut files = vec![
        format!("{example}/Cargo.toml"),
        format!("{example}/event.json"),
    ];
    let sources = fs::read_dir(root().join(example).join("src")).expect("the component's sources");
    for source in sources {
        let name = source.expect("a file").file_name();
        files.push(format!("{example}/src/{}", name.display()));
    }
    files.sort();
    assert_eq!(shown.into_keys().collect::<Vec<_>>(), files);
}

#[tokio::test]
async fn its_commands_print_what_it_says() {
    // What the commands are run on.
    built::component("weir_weekly");
    let consoles: Vec<_> = blocks()
        .into_iter()
        .filter(|block| block.language == "console")
        .collect();
    for block in &consoles {
        let (command, expected) = block
            .text
            .split_once('\n')
            .expect("a command and its output");
        let words = command
            .strip_prefix("$ weir ")
            .expect("a command of weir")
            .split(' ');
        let ended = weir(words).in_folder(root()).run().await;
        let lines: Vec<_> = expected.lines().collect();
        let printed: Vec<_> = ended.out.lines().collect();
        // Behind three dots stands what is not the same with every build.
        match lines.as_slice() {
            [lines @ .., "..."] => {
                assert_eq!(&printed[..lines.len()], lines, "{command}: {ended:?}")
            }
            lines => assert_eq!(printed, lines, "{command}: {ended:?}"),
        }
    }
    assert_eq!(consoles.len(), 2);
}
