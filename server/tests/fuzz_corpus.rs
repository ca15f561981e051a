//! What the fuzzer once found worth keeping of autodiscovery's requests still does no harm
//! (`docs/fuzzing.md`). The other targets are the core's.

#[path = "../../fuzz/src/discovery.rs"]
mod discovery;
#[path = "../../fuzz/src/source.rs"]
#[allow(dead_code, reason = "other targets read more kinds of choices")]
mod source;

use restante_server::autodiscovery;
use std::path::Path;

#[test]
fn requests_do_no_harm() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/discovery");
    let files = std::fs::read_dir(folder).expect("the corpus is there");
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 3, "the corpus is nearly empty");
    for file in files {
        eprintln!("{}", file.display());
        discovery::run(&std::fs::read(&file).unwrap());
    }
}
