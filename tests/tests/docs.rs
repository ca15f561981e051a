//! What the documentation says of tests, and where it leads.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Every page below a folder; what is built and what is hidden has none.
fn pages(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder is there").flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            pages(&path, into);
        } else if name.ends_with(".md") {
            into.push(path);
        }
    }
}

/// Where the links of a page lead.
fn links(page: &Path) -> Vec<String> {
    let text = fs::read_to_string(page).expect("a page is text");
    let links = text.split("](").skip(1);
    let links = links.filter_map(|rest| rest.split_once(')'));
    links.map(|(link, _)| link.to_owned()).collect()
}

/// The anchors of the headings of a page, as forges make them.
fn anchors(page: &Path) -> Vec<String> {
    let text = fs::read_to_string(page).unwrap_or_default();
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let letters = heading.trim_start_matches('#').trim().chars();
        let letters = letters.filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        let anchor: String = letters.collect();
        anchor.to_lowercase().replace(' ', "-")
    };
    headings.map(anchor).collect()
}

#[test]
fn every_link_between_files_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut all = Vec::new();
    pages(&root, &mut all);
    let mut followed = 0;
    for page in all {
        for link in links(&page) {
            if link.contains(':') || link.contains(char::is_whitespace) {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let file = match file {
                "" => page.clone(),
                file => page.with_file_name("").join(file),
            };
            assert!(file.exists(), "{}: {link}", page.display());
            assert!(
                anchor.is_empty() || anchors(&file).contains(&anchor.to_owned()),
                "{}: {link}",
                page.display()
            );
            followed += 1;
        }
    }
    assert!(followed > 150, "{followed} links in all pages together");
}

#[test]
fn the_readme_names_each_page_once() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let named = links(&root.join("README.md"));
    let pages = fs::read_dir(root.join("docs")).expect("the folder is there");
    let pages = pages.flatten().filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        name.ends_with(".md").then(|| format!("docs/{name}"))
    });
    let others = ["CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"].map(str::to_owned);
    for page in pages.chain(others) {
        let times = named
            .iter()
            .filter(|link| link.split('#').next() == Some(&page))
            .count();
        assert_eq!(times, 1, "{page}");
    }
}

/// A page that names a test links to its file: ``[`name`](path)``.
#[test]
fn every_test_that_a_page_names_is_where_it_says() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let mut named = 0;
    for entry in fs::read_dir(&docs).expect("the folder is there") {
        let page = entry.expect("its entries can be read").path();
        if page.extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        let text = fs::read_to_string(&page).expect("a page is text");
        for link in text.split("[`").skip(1) {
            let Some((name, rest)) = link.split_once("`](") else {
                continue;
            };
            let (path, _) = rest.split_once(')').expect("a link is closed");
            let Some(stem) = Path::new(path)
                .file_stem()
                .filter(|_| path.ends_with(".rs"))
            else {
                continue;
            };
            let source = fs::read_to_string(docs.join(path)).unwrap_or_default();
            // A whole module is named by the name of its file.
            let there = source.contains(&format!("fn {name}(")) || stem == name;
            assert!(
                there && !source.is_empty(),
                "{}: {name} in {path}",
                page.display()
            );
            named += 1;
        }
    }
    assert!(named > 50, "{named} tests are named by all pages together");
}
