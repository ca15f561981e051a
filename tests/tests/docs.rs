//! What the documentation says of tests.

use std::{fs, path::Path};

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
