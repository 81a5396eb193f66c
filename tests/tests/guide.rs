//! docs/writing-a-component.md shows what is there: its code is the example's, its commands print what it says.

use std::{collections::BTreeMap, fs};
use weir_tests::{
    built,
    document::{Document, root},
    program::weir,
};

fn guide() -> Document {
    Document::read("docs/writing-a-component.md")
}

#[test]
fn the_code_it_shows_is_the_whole_code_of_the_component() {
    let mut shown: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for block in guide().blocks() {
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
    let guide = guide();
    let consoles: Vec<_> = guide
        .blocks()
        .into_iter()
        .filter(|block| block.language == "console")
        .collect();
    let mut text = guide.text().to_owned();
    for block in &consoles {
        let (command, shown) = block
            .text
            .split_once('\n')
            .expect("a command and its output");
        let words = command
            .strip_prefix("$ weir ")
            .expect("a command of weir")
            .split(' ');
        let ended = weir(words).in_folder(root()).run().await;
        // Behind three dots stands what is not the same with every build.
        let printed = match shown.strip_suffix("...\n") {
            Some(shown) => {
                let kept = ended.out.lines().take(shown.lines().count());
                kept.map(|line| format!("{line}\n")).collect::<String>() + "...\n"
            }
            None => ended.out,
        };
        assert!(!printed.is_empty(), "{command}: {}", ended.err);
        text = text.replacen(&block.text, &format!("{command}\n{printed}"), 1);
    }
    guide.hold(&text);
    assert_eq!(consoles.len(), 2);
}
