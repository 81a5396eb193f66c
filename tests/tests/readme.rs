//! README.md: one page, its top read aloud in a minute, and every command in it one that a test runs.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    process::Command,
};
use weir_tests::{
    document::{Document, exists, root},
    program::weir,
};
use yaml_rust2::{Yaml, YamlLoader};

const MAX_LINES: usize = 120;

/// What is read aloud in a minute.
const MAX_WORDS: usize = 150;

/// How much of the demo's output the page shows.
const LINES_OF_THE_DEMO: usize = 15;

/// The commands of the page, each with the test of this file that runs it.
const COMMANDS: [(&str, &str); 7] = [
    ("make run", "the_demo_ends_as_the_page_shows"),
    ("make test", "make_test_is_what_ci_runs"),
    ("target/debug/weir replay", "the_program_s_commands_work"),
    ("target/debug/weir --help", "the_program_s_commands_work"),
    ("make package", "what_is_packaged_is_what_is_deployed"),
    ("aws s3 cp", "what_is_packaged_is_what_is_deployed"),
    (
        "sam deploy",
        "the_deployment_is_one_that_the_template_takes",
    ),
];

fn readme() -> Document {
    Document::read("README.md")
}

/// The command of the page that begins so.
fn command(beginning: &str) -> String {
    let mut commands = readme().commands().into_iter();
    let command = commands.find(|command| command.starts_with(beginning));
    command.unwrap_or_else(|| panic!("the page has no `{beginning}`"))
}

/// What make would do.
fn dry_run(target: &str) -> String {
    let mut make = Command::new(env::var("MAKE").unwrap_or_else(|_| "make".into()));
    // What a make above passes on.
    for variable in ["MAKEFLAGS", "MAKELEVEL", "MFLAGS"] {
        make.env_remove(variable);
    }
    let ended = make
        .args(["--dry-run", target])
        .current_dir(root())
        .output();
    let ended = ended.expect("make starts");
    assert!(ended.status.success(), "{ended:?}");
    String::from_utf8(ended.stdout).expect("text")
}

// -------------------------------------------------------------------------------------------- the page

#[test]
fn it_is_one_page() {
    let lines = readme().text().lines().count();
    assert!(lines <= MAX_LINES, "{lines} lines");
}

#[test]
fn its_top_is_read_aloud_in_a_minute() {
    let page = readme();
    let (top, _) = page.text().split_once("\n## ").expect("a section");
    // A picture is looked at.
    let read = top.split("```").step_by(2);
    let words: usize = read.map(|text| text.split_whitespace().count()).sum();
    assert!(words <= MAX_WORDS, "{words} words");
}

#[test]
fn every_command_is_run_by_a_test() {
    let this_file = include_str!("readme.rs");
    for (_, test) in COMMANDS {
        assert!(this_file.contains(&format!("fn {test}()")), "{test}");
    }
    let mut unused: BTreeSet<_> = COMMANDS.map(|(beginning, _)| beginning).into();
    for command in readme().commands() {
        let known = COMMANDS
            .iter()
            .find(|(known, _)| command.starts_with(known));
        let (known, _) = known.unwrap_or_else(|| panic!("no test runs `{command}`"));
        unused.remove(known);
    }
    assert!(unused.is_empty(), "no longer on the page: {unused:?}");
}

// ---------------------------------------------------------------------------------------------- run it

/// `make run` builds everything and runs the demo.
#[tokio::test]
async fn the_demo_ends_as_the_page_shows() {
    let made = dry_run(&command("make run")["make ".len()..]);
    let last = made.lines().last().expect("a command").trim();
    let demo = last.strip_prefix("target/debug/weir ").expect("the demo");

    let ended = weir(demo.split(' ')).in_folder(root()).run().await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let lines: Vec<_> = ended.out.lines().collect();
    let printed = lines[lines.len() - LINES_OF_THE_DEMO..].join("\n") + "\n";
    let page = readme();
    let blocks = page.blocks();
    let shown = blocks
        .iter()
        .find(|block| block.text.contains("usage: exact"))
        .expect("the demo's output");
    if fixed(&shown.text) != fixed(&printed) {
        page.hold(&page.text().replacen(&shown.text, &printed, 1));
    }
}

/// What the demo's end has in every run: the verdicts, and of other lines what stands before the first figure.
fn fixed(output: &str) -> Vec<&str> {
    const VERDICTS: [&str; 3] = ["usage: ", "shards: ", "archive: "];
    let lines = output.lines().map(|line| {
        let is_verdict = VERDICTS.iter().any(|verdict| line.starts_with(verdict));
        let figure = line.find(|c: char| c.is_ascii_digit());
        let figure = figure.filter(|_| !is_verdict);
        &line[..figure.unwrap_or(line.len())]
    });
    lines.collect()
}

#[test]
fn make_test_is_what_ci_runs() {
    let target = &command("make test")["make ".len()..];
    assert!(dry_run(target).contains("test --workspace"));
    let ci = fs::read_to_string(root().join(".ci/run")).expect("what CI runs");
    assert!(ci.lines().any(|line| line == format!("make {target}")));
}

#[tokio::test]
async fn the_program_s_commands_work() {
    let page = readme().commands();
    let commands = page
        .iter()
        .filter_map(|command| command.strip_prefix("target/debug/weir "));
    let mut count = 0;
    for command in commands {
        let ended = weir(command.split(' ')).in_folder(root()).run().await;
        assert_eq!(ended.code, 0, "{command}: {ended:?}");
        let expected = if command.starts_with("replay") {
            "\n  add     total_events +"
        } else {
            "Usage: weir <COMMAND>"
        };
        assert!(ended.out.contains(expected), "{command}: {ended:?}");
        count += 1;
    }
    assert_eq!(count, 2);
}

// ---------------------------------------------------------------------------------------------- deploy

/// The template; its tags are dropped in reading.
fn template() -> Yaml {
    let text = fs::read_to_string(root().join("deploy/template.yaml")).expect("the template");
    let mut documents = YamlLoader::load_from_str(&text).expect("the template is YAML");
    documents.remove(0)
}

/// The parameters that the page's deployment sets.
fn parameters() -> BTreeMap<String, String> {
    let command = command("sam deploy");
    let (_, parameters) = command
        .split_once(" --parameter-overrides ")
        .expect("parameters");
    let pairs = parameters.split(' ').map(|pair| {
        let (name, value) = pair.split_once('=').expect("a parameter and its value");
        (name.to_owned(), value.to_owned())
    });
    pairs.collect()
}

#[test]
fn the_deployment_is_one_that_the_template_takes() {
    let command = command("sam deploy");
    let mut words = command.split(' ');
    let file = words.find(|word| *word == "--template-file");
    let file = file.and_then(|_| words.next()).expect("a file");
    assert!(exists(file), "{file}");

    let template = template();
    let known = template["Parameters"].as_hash().expect("parameters");
    let given = parameters();
    for name in given.keys() {
        assert!(known.contains_key(&Yaml::String(name.clone())), "{name}");
    }
    for (name, parameter) in known {
        let name = name.as_str().expect("a name");
        let is_optional = !parameter["Default"].is_badvalue();
        assert!(is_optional || given.contains_key(name), "{name} is not set");
    }
}

/// `make package` makes the file that is copied, and the function takes its code from where that goes to.
/// `tests/tests/lambda.rs` runs what is in it.
#[test]
fn what_is_packaged_is_what_is_deployed() {
    let copy = command("aws s3 cp");
    let ["aws", "s3", "cp", file, to] = copy.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{copy}")
    };
    assert!(
        dry_run(&command("make package")["make ".len()..])
            .contains(file.rsplit('/').next().expect("a name"))
    );
    let parameters = parameters();
    let place = format!(
        "s3://{}/{}",
        parameters["CodeBucket"], parameters["CodePrefix"]
    );
    assert_eq!(to, place);
    let code = &template()["Resources"]["Function"]["Properties"]["CodeUri"];
    assert_eq!(code["Bucket"].as_str(), Some("CodeBucket"));
    let key = code["Key"].as_str().expect("a key");
    let (prefix, name) = key.split_once('}').expect("a prefix");
    assert_eq!(prefix, "${CodePrefix");
    let architecture = template()["Parameters"]["Architecture"]["Default"].clone();
    let architecture = architecture.as_str().expect("an architecture");
    let expected = name.replace("${Architecture}", architecture);
    assert!(
        file.ends_with(&format!("/{expected}")),
        "{file}: {expected}"
    );
}
