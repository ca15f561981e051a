//! Answers about items: what is longer than was asked for, what is missing in them, and where a range goes on.

use super::*;

/// An item of a K2V answer with so many octets.
fn item(key: &str, octets: usize) -> String {
    let value = STANDARD.encode(vec![0; octets]);
    format!(r#"{{"sk":"{key}","ct":"t","v":["{value}"]}}"#)
}

/// A list of a K2V answer.
fn list(items: &[String], next: Option<&str>) -> String {
    let next = next.map_or("null".to_owned(), |next| format!("\"{next}\""));
    let (items, more) = (items.join(","), next != "null");
    format!(r#"{{"items":[{items}],"more":{more},"nextStart":{next}}}"#)
}

/// What becomes of a range when Garage gives these lists: its keys, and where it goes on.
fn read_range(range: ItemRange, lists: &[String]) -> (Vec<String>, Option<String>) {
    let text = format!("[{}]", lists.join(","));
    let fake = Fake::new(move |request| match request {
        "POST /b?search" => Reply::Whole(200, text.clone()),
        _ => at_start(request).unwrap_or(Reply::Silence),
    });
    let garage = Arc::new(fake.open(limits()).unwrap());
    match ask(&garage, StorageRequest::ReadRange(range)) {
        StorageResponse::Range { items, next } => {
            let keys = items.into_iter().map(|item| item.key.sort.0);
            (keys.collect(), next.map(|next| next.0))
        }
        other => panic!("{other:?}"),
    }
}

/// A reading that goes on at `next` must find everything behind what was found.
#[test]
fn a_range_of_stretches_goes_on_where_the_first_thing_is_missing() {
    let full = RANGE_BYTES_MAX;
    let of = |keys: &[(&str, usize)]| -> Vec<String> {
        keys.iter()
            .map(|(key, octets)| item(key, *octets))
            .collect()
    };
    // Stretches up to c, from d to m, and from n.
    let all = || range("", &[("c", "d"), ("m", "n")], 2);
    let found = |keys: &[&str], next: Option<&str>| {
        let keys = keys.iter().map(|key| (*key).to_owned());
        (keys.collect::<Vec<_>>(), next.map(str::to_owned))
    };
    let nothing = || list(&[], None);
    // Nothing is full.
    let lists = [
        list(&of(&[("a", 1)]), None),
        nothing(),
        list(&of(&[("n", 1)]), None),
    ];
    assert_eq!(read_range(all(), &lists), found(&["a", "n"], None));
    // Garage cut the first stretch, and the last item of it passes the octets as well.
    for octets in [1, full] {
        let first = list(&of(&[("a", 1), ("aa", octets)]), Some("b"));
        let lists = [first, list(&of(&[("d", 1)]), None), nothing()];
        let (keys, next) = read_range(all(), &lists);
        assert_eq!(keys, ["a", "aa"]);
        let next = next.unwrap();
        assert!(
            "aa" < next.as_str() && next.as_str() <= "b",
            "{octets}: {next:?}"
        );
    }
    // The same, with nothing behind it.
    let first = list(&of(&[("a", 1), ("aa", full)]), Some("b"));
    let lists = [first, nothing(), nothing()];
    assert_eq!(read_range(all(), &lists), found(&["a", "aa"], Some("b")));
    // The first stretch is not cut: it goes on in the second one, by number or by octets.
    for (octets, keys) in [(1, &["a", "d"][..]), (full, &["a"][..])] {
        let second = list(&of(&[("d", 1), ("e", 1)]), Some("f"));
        let lists = [list(&of(&[("a", octets)]), None), second, nothing()];
        let next = if octets == full { "d" } else { "e" };
        assert_eq!(read_range(all(), &lists), found(keys, Some(next)));
    }
    // The second one passes the octets at its first item, and has another one.
    let second = list(&of(&[("d", full), ("e", 1)]), Some("f"));
    let lists = [nothing(), second, list(&of(&[("n", 1)]), None)];
    let (keys, next) = read_range(range("", &[("c", "d"), ("m", "n")], 3), &lists);
    assert_eq!((keys, next), found(&["d"], Some("e")));
    // An empty stretch between one that was cut and the last.
    let lists = [
        list(&of(&[("a", full), ("aa", 1)]), Some("b")),
        nothing(),
        list(&of(&[("n", 1)]), None),
    ];
    assert_eq!(read_range(all(), &lists), found(&["a"], Some("aa")));
}

#[test]
fn what_is_left_out_of_a_stretch_counts_for_garage() {
    // A start that is longer than any key: Garage looks from its beginning on.
    let start = "k".repeat(600);
    let begin = "k".repeat(479);
    for octets in [1, RANGE_BYTES_MAX] {
        let first = list(&[item(&begin, 1), item("l", octets)], Some("m"));
        let second = list(&[item("z", 1)], None);
        let (keys, next) = read_range(range(&start, &[("y", "z")], 2), &[first, second]);
        assert_eq!(keys, ["l"]);
        let next = next.unwrap();
        assert!(
            "l" < next.as_str() && next.as_str() <= "m",
            "{octets}: {next:?}"
        );
    }
}

/// What becomes of reading these keys when Garage gives these lists.
fn read_items(keys: &[&str], lists: &[String]) -> StorageResponse {
    let text = format!("[{}]", lists.join(","));
    let fake = Fake::new(move |request| match request {
        "POST /b?search" => Reply::Whole(200, text.clone()),
        _ => at_start(request).unwrap_or(Reply::Silence),
    });
    let limits = GarageLimits {
        attempts_max: 1,
        ..limits()
    };
    let keys = keys.iter().map(|key| item_key(key)).collect();
    ask(
        &Arc::new(fake.open(limits).unwrap()),
        StorageRequest::ReadItems(keys),
    )
}

#[test]
fn an_answer_about_items_is_no_longer_than_what_was_asked_for() {
    let of = |sk: &str, ct: &str, values: &str| {
        let text = format!(r#"{{"sk":"{sk}","ct":"{ct}","v":[{values}]}}"#);
        list(&[text], None)
    };
    let right = [
        of("a", "t", &vec!["\"\""; SIBLINGS_MAX].join(",")),
        of(&"k".repeat(SORT_KEY_BYTES_MAX), "t", ""),
        of("a", &"t".repeat(TOKEN_BYTES_MAX), "null"),
    ];
    for list in right {
        let answer = read_items(&["a"], &[list]);
        assert!(matches!(answer, StorageResponse::Items(it) if it.len() == 1));
    }
    let large = || item("a", READ_BYTES_MAX / 4);
    let wrong = [
        vec![list(&[item("a", 1), item("a", 1)], None)],
        vec![of("a", "t", &vec!["null"; SIBLINGS_MAX + 1].join(","))],
        vec![of(&"k".repeat(SORT_KEY_BYTES_MAX + 1), "t", "")],
        vec![of("a", &"t".repeat(TOKEN_BYTES_MAX + 1), "")],
        vec![list(&[large()], None); 4],
    ];
    for lists in wrong {
        let keys = vec!["a"; lists.len()];
        let begin: String = lists[0].chars().take(100).collect();
        assert!(is_unavailable(&read_items(&keys, &lists)), "{begin}");
    }
}

#[test]
fn a_page_of_a_range_counts_keys_and_tokens_too() {
    let token = "t".repeat(TOKEN_BYTES_MAX);
    let count = 2 * RANGE_BYTES_MAX / TOKEN_BYTES_MAX;
    let items = (0..count).map(|at| format!(r#"{{"sk":"{at:04}","ct":"{token}","v":[null]}}"#));
    let lists = [list(&items.collect::<Vec<_>>(), None)];
    let (keys, next) = read_range(range("", &[], 1_000), &lists);
    assert!(keys.len() <= count / 2, "{}", keys.len());
    assert_eq!(next, Some(format!("{:04}", keys.len())));
}
