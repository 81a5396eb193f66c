//! The documents and the program agree: links lead somewhere, what is listed is what there is, what is named exists.

use clap::{Args as _, FromArgMatches as _};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};
use weir_cli::arguments::{Arguments, BadArgument};
use weir_tests::{
    built,
    document::{self, Document, resolved, root},
};

// ------------------------------------------------------------------------------------------------- links

#[test]
fn every_link_within_the_project_leads_somewhere() {
    let pages = document::all();
    let anchors: BTreeMap<_, _> = pages
        .iter()
        .map(|page| (page.path(), page.anchors()))
        .collect();
    let mut dead = Vec::new();
    let mut links = 0;
    for page in &pages {
        for link in page.links() {
            if link.contains("://") {
                continue;
            }
            links += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = match file {
                "" => page.path().to_owned(),
                file => resolved(page.path(), file),
            };
            let has_anchor = || {
                let anchors = anchors.get(target.as_str());
                anchors.is_some_and(|anchors| anchors.contains(anchor))
            };
            if !document::exists(&target) || !(anchor.is_empty() || has_anchor()) {
                dead.push(format!("{}: {link}", page.path()));
            }
        }
    }
    assert!(dead.is_empty(), "{dead:#?}");
    assert!(links > 100, "{links} links");
}

#[test]
fn every_page_is_reached_from_the_readme() {
    let mut reached = BTreeSet::from(["README.md".to_owned()]);
    let mut next = vec!["README.md".to_owned()];
    while let Some(path) = next.pop() {
        for link in Document::read(&path).links() {
            let (file, _) = link.split_once('#').unwrap_or((&link, ""));
            let target = resolved(&path, file);
            let is_page = !link.contains("://") && target.ends_with(".md");
            if is_page && reached.insert(target.clone()) {
                next.push(target);
            }
        }
    }
    let pages: BTreeSet<_> = document::all()
        .iter()
        .map(|page| page.path().to_owned())
        .collect();
    assert_eq!(reached, pages);
}

/// Names that a page has for make's targets.
fn targets(page: &Document) -> impl Iterator<Item = String> {
    let commands = page.commands().into_iter().chain(page.code());
    commands.filter_map(|command| {
        let target = command.strip_prefix("make ")?.split_whitespace().next()?;
        Some(target.to_owned())
    })
}

#[test]
fn what_the_documents_have_make_do_it_can() {
    let makefile = fs::read_to_string(root().join("Makefile")).expect("the Makefile");
    let phony = makefile
        .lines()
        .skip_while(|line| !line.starts_with(".PHONY:"));
    let end = phony
        .clone()
        .take_while(|line| line.ends_with('\\'))
        .count();
    let declared: BTreeSet<_> = phony
        .take(end + 1)
        .flat_map(|line| line.trim_end_matches('\\').split_whitespace())
        .collect();
    assert!(declared.contains("test"), "{declared:?}");
    for page in document::all() {
        for target in targets(&page) {
            let is_file = target.starts_with("target/");
            let is_known = is_file || declared.contains(target.as_str());
            assert!(is_known, "{}: make {target}", page.path());
        }
    }
}

#[test]
fn the_files_that_the_readme_and_the_evidence_name_exist() {
    let folders = ["deploy/", "docs/", "guest/", "host/", "tests/", "wit/"];
    for path in ["README.md", "docs/evidence.md"] {
        let page = Document::read(path);
        for code in page.code() {
            let is_file = folders.iter().any(|folder| code.starts_with(folder));
            assert!(!is_file || document::exists(&code), "{path}: {code}");
        }
    }
}

// ---------------------------------------------------------------------------------------------- settings

/// A setting as the program has it.
struct Setting {
    variable: String,
    flag: String,
    default: String,
}

/// All settings, but for those that Lambda makes by itself.
fn settings() -> Vec<Setting> {
    let command = Arguments::augment_args(clap::Command::new("weir"));
    let arguments = command
        .get_arguments()
        .filter(|argument| !argument.is_hide_set());
    let read = |argument: &clap::Arg| {
        let help = argument.get_help().expect("a setting is explained");
        let help = help.to_string();
        let (_, default) = help.split_once("[default: ").expect("a default");
        Setting {
            variable: argument
                .get_env()
                .expect("a variable")
                .display()
                .to_string(),
            flag: format!("--{}", argument.get_long().expect("a flag")),
            default: default.trim_end_matches(']').to_owned(),
        }
    };
    arguments.map(read).collect()
}

/// The rows about settings that have a flag, each with its text set as code undone.
fn listed() -> BTreeMap<String, Vec<String>> {
    let page = Document::read("docs/settings.md");
    let rows = page.rows().into_iter().filter(|row| row.len() == 4);
    rows.map(|row| {
        let cells: Vec<_> = row.iter().map(|cell| cell.replace('`', "")).collect();
        (cells[0].clone(), cells)
    })
    .collect()
}

#[test]
fn the_page_of_settings_has_every_setting_and_no_other() {
    let listed = listed();
    let settings = settings();
    let variables: BTreeSet<_> = settings.iter().map(|setting| &setting.variable).collect();
    assert_eq!(listed.keys().collect::<BTreeSet<_>>(), variables);
    for Setting {
        variable,
        flag,
        default,
    } in &settings
    {
        let row = &listed[variable];
        assert_eq!(&row[1], flag, "{variable}");
        let is_same = row[2].split("; ").next() == Some(default);
        assert!(is_same, "{variable}: {} and {default}", row[2]);
    }
}

#[test]
fn the_page_of_settings_has_the_values_that_are_allowed() {
    for (variable, row) in listed() {
        let command = Arguments::augment_args(clap::Command::new("weir"));
        let matches = command.get_matches_from(["weir".into(), format!("{}=!", row[1])]);
        let arguments = Arguments::from_arg_matches(&matches).expect("the settings");
        let Err(BadArgument::NotAllowed { allowed, .. }) = arguments.settings() else {
            // A name or a place, which may be any text.
            continue;
        };
        let said = row.join(" ");
        let values = allowed.trim_start_matches("a list of ").split(", ");
        let is_list = values.clone().all(|value| !value.contains(' '));
        match allowed.strip_prefix("a whole number from ") {
            Some(range) => assert!(said.contains(range), "{variable}: {range}"),
            None if is_list => {
                for value in values {
                    assert!(said.contains(value), "{variable}: {value}");
                }
            }
            // The corrections have a page, a digest has no list.
            None => {}
        }
    }
}

#[test]
fn what_lambda_sets_is_on_the_page_of_settings() {
    let command = Arguments::augment_args(clap::Command::new("weir"));
    let page = Document::read("docs/settings.md");
    let rows = page.rows();
    for argument in command
        .get_arguments()
        .filter(|argument| argument.is_hide_set())
    {
        let variable = format!("`{}`", argument.get_env().expect("a variable").display());
        assert!(rows.iter().any(|row| row[0] == variable), "{variable}");
    }
}

// ------------------------------------------------------------------------------------------- corrections

#[test]
fn the_page_of_corrections_has_every_correction_and_no_other() {
    let page = Document::read("docs/corrections.md");
    let listed: Vec<_> = page
        .rows()
        .iter()
        .map(|row| row[0].trim_matches('`').to_owned())
        .collect();
    let logic = built::logic();
    let corrections = logic.description().corrections.iter();
    let names: Vec<_> = corrections.map(|correction| &correction.name).collect();
    assert_eq!(listed.iter().collect::<Vec<_>>(), names);
}
