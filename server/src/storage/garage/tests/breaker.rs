//! Whether Garage is taken to be there: what opens and closes the circuit breakers.

use super::*;

#[test]
fn a_request_is_under_way_until_its_answer_has_ended() {
    let fake = Fake::new(|request| match request {
        "POST /b?search" => Reply::Stalled(200, "[{".to_owned()),
        _ => at_start(request).unwrap_or(Reply::Silence),
    });
    let garage = fake.open(GarageLimits {
        request_timeout_ms: 2_000,
        attempts_max: 1,
        requests_max: 1,
        ..limits()
    });
    let garage = Arc::new(garage.unwrap());
    let read = || {
        let garage = Arc::clone(&garage);
        let request = StorageRequest::ReadRange(range("", &[], 1));
        std::thread::spawn(move || ask(&garage, request))
    };
    let first = read();
    while fake.asked("POST /b?search") == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    let second = read();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(fake.asked("POST /b?search"), 1, "the second one waits");
    for answer in [first, second] {
        assert!(is_unavailable(&answer.join().unwrap()));
    }
}

#[test]
fn a_garage_whose_bodies_do_not_come_is_not_there() {
    let fake = Fake::new(|request| {
        at_start(request).unwrap_or_else(|| Reply::Stalled(206, String::new()))
    });
    let garage = fake.open(GarageLimits {
        request_timeout_ms: 100,
        attempts_max: 1,
        breaker_failures_max: 2,
        breaker_pause_ms: 60_000,
        ..limits()
    });
    let garage = Arc::new(garage.unwrap());
    // Uploads are looked for at the start, and that is answered: it must not come in between.
    while fake.asked("GET /b/?uploads") == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    std::thread::sleep(Duration::from_millis(50));
    for state in [BreakerState::Closed, BreakerState::Open] {
        assert!(open(&garage, "a/1").0.is_err());
        assert_eq!(garage.breakers().0, state);
    }
}

#[test]
fn what_garage_itself_cannot_do_keeps_nobody_from_what_it_can() {
    // What a proxy says because Garage is gone is another thing.
    let texts = [(error("InternalError"), true), (String::new(), false)];
    for (text, lives) in texts {
        let fake = Fake::new(move |request| {
            at_start(request).unwrap_or_else(|| match request.starts_with("GET /b/o") {
                true => Reply::Part(0, 1, "o".to_owned()),
                false => Reply::Whole(503, text.clone()),
            })
        });
        let garage = Arc::new(fake.open(limits()).unwrap());
        for _ in 0..limits().breaker_failures_max {
            assert!(put(&garage, "text").is_err());
        }
        let (opened, _) = open(&garage, "o");
        assert_eq!(opened.is_ok(), lives, "{opened:?}");
    }
}

#[test]
fn a_poll_does_not_try_whether_garage_is_back() {
    let away = Arc::new(AtomicBool::new(false));
    let is_away = Arc::clone(&away);
    let fake = Fake::new(move |request| match request {
        it if it.contains("?poll_range") => Reply::Silence,
        _ if is_away.load(Ordering::SeqCst) => Reply::Silence,
        "POST /b?search" => Reply::Whole(200, r#"[{"items":[]}]"#.to_owned()),
        _ => at_start(request).unwrap_or(Reply::Silence),
    });
    let garage = fake.open(GarageLimits {
        request_timeout_ms: 200,
        attempts_max: 1,
        breaker_failures_max: 1,
        breaker_pause_ms: 0,
        ..limits()
    });
    let garage = Arc::new(garage.unwrap());
    let read = || StorageRequest::ReadRange(range("", &[], 1));
    // Two connections that wait.
    let both = block_on(zip(garage.execute(read()), garage.execute(read())));
    assert!(!is_unavailable(&both.0) && !is_unavailable(&both.1));
    away.store(true, Ordering::SeqCst);
    assert!(is_unavailable(&ask(&garage, read())));
    let poll = StorageRequest::PollRange {
        partition: PartitionKey("p".to_owned()),
        seen: None,
        timeout_ms: 60_000,
    };
    assert!(is_unavailable(&ask(&garage, poll)));
    assert_eq!(fake.asked("POST /b/p?poll_range"), 0);
    // Whoever asks for something that is answered at once finds out, on a new connection.
    away.store(false, Ordering::SeqCst);
    let before = fake.connections();
    assert!(!is_unavailable(&ask(&garage, read())));
    assert_eq!(fake.connections(), before + 1);
}

#[test]
fn a_poll_that_a_proxy_answers_does_not_say_that_garage_is_there() {
    let fake =
        Fake::new(|request| at_start(request).unwrap_or_else(|| Reply::Whole(502, String::new())));
    let garage = fake.open(GarageLimits {
        attempts_max: 1,
        breaker_failures_max: 3,
        breaker_pause_ms: 60_000,
        ..limits()
    });
    let garage = Arc::new(garage.unwrap());
    for _ in 0..3 {
        assert_eq!(garage.breakers().1, BreakerState::Closed);
        let poll = StorageRequest::PollRange {
            partition: PartitionKey("p".to_owned()),
            seen: None,
            timeout_ms: 1_000,
        };
        let read = StorageRequest::ReadRange(range("", &[], 1));
        assert!(is_unavailable(&ask(&garage, poll)));
        assert!(is_unavailable(&ask(&garage, read)));
    }
    assert_eq!(garage.breakers().1, BreakerState::Open);
    assert_eq!(fake.asked("POST /b/p?poll_range"), 3);
}
