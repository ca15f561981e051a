//! Clients that are up to something, and slow ones.

use restante_tests::{
    Server, Test,
    http::{Http, socket},
    process::wait_for,
    tests, tls,
    trials::Need,
};
use std::{
    io::{Read, Write},
    time::{Duration, Instant},
};

pub(crate) const TESTS: &[Test] = tests![
    bodies_that_are_too_big => needs(&[Need::OwnProcess]),
    path_tricks => needs(&[Need::OwnProcess]),
    heads_that_are_too_big_or_no_heads => needs(&[Need::OwnProcess]),
    hostile_addresses => needs(&[Need::OwnProcess]),
    addresses_are_not_logged => limits("[log]\nlevel = 'trace'"),
    whoever_is_slow_is_left => limits("http_timeout_s = 1"),
    too_many_connections => limits("http_connections_max = 3"),
    tls_that_does_not_begin => limits("http_timeout_s = 1"),
];

const BODY_BYTES_MAX: usize = 64 * 1024;

fn post(target: &str, fields: &str) -> Vec<u8> {
    format!("POST {target} HTTP/1.1\r\nHost: x\r\n{fields}\r\n\r\n").into_bytes()
}

fn bodies_that_are_too_big(server: &Server) {
    let xml = "/autodiscover/autodiscover.xml";
    // As big as it may be.
    let mut client = Http::connect(server.http_address());
    let fits = [
        &post(xml, &format!("Content-Length: {BODY_BYTES_MAX}"))[..],
        b"<EMailAddress>alice@example.org</EMailAddress>",
    ]
    .concat();
    let head = post(xml, &format!("Content-Length: {BODY_BYTES_MAX}")).len();
    let padding = b" ".repeat(BODY_BYTES_MAX + head - fits.len());
    client
        .send(&[&fits[..], &padding].concat())
        .expect("the server is there");
    let answer = client.answer(false).expect("an answer");
    assert_eq!(answer.status, 200);
    assert!(
        answer.text().contains("<Type>IMAP</Type>"),
        "{}",
        answer.text()
    );
    // One octet more, announced, on every path; what is sent all the same is not read as a
    // request.
    for target in [xml, "/", "/mail/config-v1.1.xml", "/nothing"] {
        let mut client = Http::connect(server.http_address());
        let announced = format!("Content-Length: {}", BODY_BYTES_MAX + 1);
        let smuggled = "GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100);
        client
            .send(&[&post(target, &announced)[..], smuggled.as_bytes()].concat())
            .expect("the server is there");
        let answer = client.answer(false).expect("an answer");
        assert_eq!(answer.status, 413, "{target}");
        assert_eq!(answer.field("connection"), Some("close"));
        client.closed();
    }
    // The same in chunks, and of no announced size. The client sends all before it listens.
    let mut client = Http::connect(server.http_address());
    let chunk = [&b"1000\r\n"[..], &b"x".repeat(0x1000), b"\r\n"].concat();
    let chunked = [
        &post(xml, "Transfer-Encoding: chunked")[..],
        &chunk.repeat(64),
    ]
    .concat();
    client.send(&chunked).expect("the server reads all of it");
    let answer = client.answer(false).expect("an answer");
    assert_eq!(answer.status, 413);
    client.closed();
}

fn path_tricks(server: &Server) {
    for target in [
        "//",
        "//etc/passwd",
        "/mail//config-v1.1.xml",
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/mail/%2E%2E/style.css",
        "/.%2e/",
        "/%00",
        "/style.css%00.html",
        "/mail%2f%2fconfig-v1.1.xml",
        "/..%5c..%5cwindows",
        "http://mx.example.org/../",
        "ftp://mx.example.org/style.css",
    ] {
        let answer = Http::connect(server.http_address()).get(target);
        assert_eq!(answer.status, 400, "{target}");
        assert_eq!(answer.text(), "Bad Request\n", "{target}");
    }
    for target in [
        "/etc/passwd",
        "/style.css/",
        "/mail%2fconfig-v1.1.xml",
        "/.git/config",
    ] {
        let answer = Http::connect(server.http_address()).get(target);
        assert_eq!(answer.status, 404, "{target}");
    }
    for (method, target, status) in [("CONNECT", "mx.example.org:25", 400), ("OPTIONS", "*", 404)] {
        let mut client = Http::connect(server.http_address());
        client
            .send(format!("{method} {target} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())
            .expect("the server is there");
        assert_eq!(client.answer(false).expect("an answer").status, status);
    }
}

fn heads_that_are_too_big_or_no_heads(server: &Server) {
    let long = "x".repeat(20_000);
    let fields = "A: b\r\n".repeat(100);
    for (head, statuses) in [
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), &[400][..]),
        (
            format!("GET / HTTP/1.1\r\nHost: x\r\nA: {long}\r\n\r\n"),
            &[431],
        ),
        (format!("GET / HTTP/1.1\r\nHost: x\r\n{fields}\r\n"), &[431]),
        (
            format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n"),
            &[414, 431],
        ),
        (
            "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n".to_owned(),
            &[400],
        ),
        ("GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), &[400]),
        (
            "GET / HTTP/1.1\r\nHost: x\r\nA\0: b\r\n\r\n".to_owned(),
            &[400],
        ),
        (
            "GET / HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n".to_owned(),
            &[400],
        ),
        (
            "\x16\x03\x01\x02\0\x01\0\x01\u{fc}\x03\x03".to_owned(),
            &[400],
        ),
        ("EHLO client.example.org\r\n\r\n".to_owned(), &[400]),
        (
            "POST /autodiscover/autodiscover.xml HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n"
                .to_owned(),
            &[400],
        ),
        (
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"
                .to_owned(),
            &[400],
        ),
    ] {
        let mut client = Http::connect(server.http_address());
        client.send(head.as_bytes()).expect("the server is there");
        let answer = client.answer(false).expect("an answer");
        assert!(statuses.contains(&answer.status), "{head:.60?}: {answer:?}");
        client.closed();
    }
    assert_eq!(Http::connect(server.http_address()).get("/").status, 200);
}

fn hostile_addresses(server: &Server) {
    let mut client = Http::connect(server.http_address());
    let long = format!("{}@example.org", "a".repeat(1000));
    for address in [
        "%22%3E%3Cscript%3Ealert(1)%3C/script%3E@example.org",
        "%3C!%5BCDATA%5B@example.org",
        "a%00@example.org",
        "a%0d%0aSet-Cookie:%20b@example.org",
        "a@example.org%0d%0aX:y",
        "a%E2%80%AEb@example.org",
        "a%FF@example.org",
        &long,
    ] {
        for path in ["/", "/mail/config-v1.1.xml", "/apple.mobileconfig"] {
            let answer = client.get(&format!("{path}?emailaddress={address}"));
            assert_eq!(answer.status, 400, "{path} {address}");
            assert!(!answer.text().contains("<script"), "{}", answer.text());
            assert!(answer.field("set-cookie").is_none() && answer.field("x").is_none());
        }
    }
    // One that is what it looks like, and not in a domain of this server.
    let answer = client.get("/mail/config-v1.1.xml?emailaddress=alice@example.com");
    assert_eq!(answer.status, 404);
}

fn addresses_are_not_logged(server: &Server) {
    let mut client = Http::connect(server.http_address());
    for (name, domain) in [
        ("mozart", "example.org"),
        ("mozart", "example.com"),
        ("mo%3Czart", "x"),
    ] {
        for path in [
            "/",
            "/mail/config-v1.1.xml",
            "/apple.mobileconfig",
            "//",
            "/nothing",
        ] {
            client.get(&format!("{path}?emailaddress={name}@{domain}"));
        }
        client.get(&format!(
            "/autodiscover/autodiscover.json/v1.0/{name}@{domain}"
        ));
        let xml = format!("<EMailAddress>{name}@{domain}</EMailAddress>");
        let length = format!("Content-Length: {}", xml.len());
        let head = post("/autodiscover/autodiscover.xml", &length);
        client
            .send(&[&head[..], xml.as_bytes()].concat())
            .expect("the server is there");
        assert_eq!(client.answer(false).expect("an answer").status, 200);
    }
    client
        .send(b"GET /?emailaddress=mo<zart@example.org HTTP/1.1\r\nHost: x\r\n\r\n")
        .expect("the server is there");
    assert_eq!(client.answer(false).expect("an answer").status, 400);
    let log = server.log();
    assert!(log.contains("answered") && log.contains("refused"), "{log}");
    assert!(!log.contains("zart"), "{log}");
}

fn whoever_is_slow_is_left(server: &Server) {
    let head = &b"GET / HTTP/1.1\r\nHost: x\r\nA: b"[..];
    for beginning in [&b""[..], b"GET", head] {
        let begin = Instant::now();
        let mut client = Http::connect(server.http_address());
        client.send(beginning).expect("the server is there");
        expect_closed(&mut client, begin);
    }
    // An octet now and then does not help.
    let mut client = Http::connect(server.http_address());
    let begin = Instant::now();
    let dripped = head.iter().chain(std::iter::repeat(&b'b')).any(|octet| {
        std::thread::sleep(Duration::from_millis(100));
        client.send(&[*octet]).is_err() || begin.elapsed() > LEFT_AFTER
    });
    assert!(
        dripped && begin.elapsed() < LEFT_AFTER,
        "{:?}",
        begin.elapsed()
    );
    // Nor does it with a body, which gets an answer.
    let mut client = Http::connect(server.http_address());
    let begin = Instant::now();
    client
        .send(&post(
            "/autodiscover/autodiscover.xml",
            "Content-Length: 100",
        ))
        .expect("the server is there");
    for _ in 0..12 {
        std::thread::sleep(Duration::from_millis(100));
        client
            .send(b"x")
            .expect("it is read until there is an answer, and a while longer");
    }
    let answer = client.answer(false).expect("an answer");
    assert_eq!(answer.status, 408);
    assert!(begin.elapsed() < LEFT_AFTER, "{:?}", begin.elapsed());
    client.closed();
    // A connection that is kept and not used.
    let mut client = Http::connect(server.http_address());
    let begin = Instant::now();
    assert_eq!(client.get("/").status, 200);
    expect_closed(&mut client, begin);
    // Meanwhile and afterwards, mail goes on.
    server.login().ok("NOOP");
}

/// A second, two of listening to what more comes, and a busy machine.
const LEFT_AFTER: Duration = Duration::from_secs(20);

/// The server closes the connection in its own time, which began after `begin`.
fn expect_closed<S: Read + Write>(client: &mut Http<S>, begin: Instant) {
    client.closed();
    let elapsed = begin.elapsed();
    assert!(
        elapsed > Duration::from_millis(500),
        "too early: {elapsed:?}"
    );
    assert!(elapsed < LEFT_AFTER, "{elapsed:?}");
}

fn too_many_connections(server: &Server) {
    let mut open: Vec<_> = (0..3)
        .map(|_| Http::connect(server.http_address()))
        .collect();
    for client in &mut open {
        assert_eq!(client.get("/").status, 200);
    }
    let mut last = Http::connect(server.http_address());
    let answer = last.answer(false).expect("a last word");
    assert_eq!(answer.status, 503);
    last.closed();
    // In TLS there is nothing to be said.
    assert!(tls::handshake(socket(server.https_address())).is_err());
    server.login().ok("NOOP");
    drop(open);
    let free = || {
        let mut client = Http::connect(server.http_address());
        let request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        let answer = client.send(request).and_then(|()| client.answer(false));
        answer.is_ok_and(|answer| answer.status == 200)
    };
    assert!(wait_for(free), "places come back");
}

fn tls_that_does_not_begin(server: &Server) {
    let begin = Instant::now();
    let mut client = Http::connect(server.https_address());
    expect_closed(&mut client, begin);
    // Nor does plain HTTP get an answer there that could be taken for one.
    let mut client = socket(server.https_address());
    client
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .expect("the server is there");
    let mut said = Vec::new();
    // How the connection ends does not matter.
    let _end = client.read_to_end(&mut said);
    assert!(
        !said.starts_with(b"HTTP"),
        "{}",
        String::from_utf8_lossy(&said)
    );
    let begin = Instant::now();
    let stream = tls::handshake(socket(server.https_address())).expect("TLS");
    expect_closed(&mut Http::on(stream), begin);
}
