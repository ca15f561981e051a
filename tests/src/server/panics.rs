//! How a panic shows in what a program says.

/// What the hook that a server sets logs, on a line with the place (`server/src/cli/logging.rs`).
const LOGGED: &str = "a task panicked";
/// What Rust says by itself, where no log has begun.
const UNLOGGED: &str = "panicked at";

/// The first panic that these lines tell, with the line behind it, which may have the reason.
#[must_use]
pub fn panic_in(said: &str) -> Option<String> {
    let mut lines = said.lines();
    let line = lines.find(|line| line.contains(LOGGED) || line.contains(UNLOGGED))?;
    Some(format!("{line}\n{}", lines.next().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_say_it_are_seen() {
        let hook = include_str!("../../../server/src/cli/logging.rs");
        assert!(
            hook.contains(&format!("\"{LOGGED}\"")),
            "the hook says something else"
        );
        let logged =
            "INFO listening\nERROR a task panicked place=\"a.rs:1:2\" reason=\"x\"\nINFO on";
        assert!(panic_in(logged).is_some_and(|it| it.starts_with("ERROR")));
        let unlogged = "thread 'main' panicked at a.rs:1:2:\nindex out of bounds";
        assert!(panic_in(unlogged).is_some_and(|it| it.ends_with("bounds")));
        assert_eq!(panic_in("INFO listening\nINFO stopped"), None);
    }
}
