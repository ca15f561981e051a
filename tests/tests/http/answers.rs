//! Clients that mean well.

use restante_tests::{
    Server, Test,
    binaries::{self, Profile},
    http::{Http, socket},
    neighbours, tests, tls,
    trials::Need,
};
use std::time::{Duration, Instant};

pub(crate) const TESTS: &[Test] = tests![
    a_connection_is_kept_for_many_requests => needs(&[Need::OwnProcess]),
    requests_may_come_all_at_once => needs(&[Need::OwnProcess]),
    head_is_get_without_the_body => needs(&[Need::OwnProcess]),
    https_shows_the_certificate_of_imap => needs(&[Need::OwnProcess]),
    outlook_is_led_from_http_to_https => needs(&[Need::OwnProcess]),
    a_target_may_name_the_server => needs(&[Need::OwnProcess]),
    http_1_0_gets_one_answer => needs(&[Need::OwnProcess]),
    a_server_that_stops_does_not_wait_for_idle_clients => needs(&[Need::OwnProcess]),
    the_dns_records_of_a_domain => needs(&[Need::OwnProcess]),
];

const CONFIG: &str = "/mail/config-v1.1.xml?emailaddress=alice@example.org";

fn a_connection_is_kept_for_many_requests(server: &Server) {
    let mut client = Http::connect(server.http_address());
    for _ in 0..100 {
        for (target, status) in [
            (CONFIG, 200),
            ("/nothing", 404),
            ("//", 400),
            ("/", 200),
            ("/?emailaddress=alice@example.org", 200),
        ] {
            let answer = client.get(target);
            assert_eq!(answer.status, status, "{target}");
            assert_eq!(answer.field("set-cookie"), None);
            assert_eq!(answer.field("connection"), None);
        }
    }
}

fn requests_may_come_all_at_once(server: &Server) {
    let mut client = Http::connect(server.http_address());
    let request = format!("GET {CONFIG} HTTP/1.1\r\nHost: x\r\n\r\n");
    let xml = "<EMailAddress>alice@example.org</EMailAddress>";
    let post = format!(
        "POST /AutoDiscover/AutoDiscover.XML HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{xml}",
        xml.len()
    );
    let all = [request.as_str(), &post, &request].concat();
    client.send(all.as_bytes()).expect("the server is there");
    for within in [
        "<clientConfig",
        "<LoginName>alice@example.org<",
        "<clientConfig",
    ] {
        let answer = client.answer(false).expect("an answer to each");
        assert_eq!(answer.status, 200);
        assert!(answer.text().contains(within), "{}", answer.text());
    }
}

fn head_is_get_without_the_body(server: &Server) {
    let mut client = Http::connect(server.http_address());
    for target in ["/", CONFIG, "/nothing", "/style.css"] {
        let get = client.get(target);
        client
            .send(format!("HEAD {target} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())
            .expect("the server is there");
        let head = client.answer(true).expect("an answer");
        assert_eq!(head.status, get.status);
        let without_date = |answer: &restante_tests::http::Answer| {
            let mut fields = answer.fields.clone();
            fields.retain(|(name, _)| name != "date");
            fields
        };
        assert_eq!(without_date(&head), without_date(&get));
        assert_eq!(
            get.field("content-length"),
            Some(&*get.body.len().to_string())
        );
    }
}

fn https_shows_the_certificate_of_imap(server: &Server) {
    let stream = tls::handshake(socket(server.https_address())).expect("TLS");
    let shown = stream.conn.peer_certificates().map(<[_]>::to_vec);
    let mut client = Http::on(stream);
    assert_eq!(client.get(CONFIG).status, 200);
    assert_eq!(client.get("/").status, 200);
    let imap = tls::handshake(socket(server.tls_address())).expect("TLS");
    assert!(shown.is_some());
    assert_eq!(shown.as_deref(), imap.conn.peer_certificates());
}

/// Step by step as Outlook goes.
fn outlook_is_led_from_http_to_https(server: &Server) {
    let path = "/autodiscover/autodiscover.xml";
    let led = Http::connect(server.http_address()).get(path);
    assert_eq!(led.status, 302);
    let port = server.https_address().port();
    // The server's own name: that of the request is anybody's.
    let expected = format!("https://mx.example.org:{port}{path}");
    assert_eq!(led.field("location"), Some(&*expected));
    let stream = tls::handshake(socket(server.https_address())).expect("TLS");
    let mut client = Http::on(stream);
    // Who is there already is not led in a circle.
    assert_eq!(client.get(path).status, 405);
    let xml = "<EMailAddress>alice@example.org</EMailAddress>";
    let post = format!(
        "POST {path} HTTP/1.1\r\nHost: mx.example.org\r\nContent-Length: {}\r\n\r\n{xml}",
        xml.len()
    );
    client.send(post.as_bytes()).expect("the server is there");
    let answer = client.answer(false).expect("an answer");
    assert_eq!(answer.status, 200);
    assert!(answer.text().contains("<LoginName>alice@example.org<"));
}

/// RFC 9112 §3.2.2: it must be taken, though only clients of proxies write it.
fn a_target_may_name_the_server(server: &Server) {
    let get = |target: &str| Http::connect(server.http_address()).get(target);
    let style = get("/style.css");
    assert_eq!(style.status, 200);
    for name in ["http://mx.example.org", "https://elsewhere.example:8443"] {
        let answer = get(&format!("{name}/style.css"));
        assert_eq!(
            (answer.status, answer.text()),
            (200, style.text()),
            "{name}"
        );
    }
}

fn http_1_0_gets_one_answer(server: &Server) {
    let mut client = Http::connect(server.http_address());
    client
        .send(format!("GET {CONFIG} HTTP/1.0\r\n\r\n").as_bytes())
        .expect("the server is there");
    let mut said = String::new();
    let mut stream = client.into_inner();
    std::io::Read::read_to_string(&mut stream, &mut said).expect("an answer and the end");
    assert!(said.starts_with("HTTP/1.0 200 "), "{said}");
    assert!(said.contains("</clientConfig>"), "{said}");
}

fn a_server_that_stops_does_not_wait_for_idle_clients(server: &Server) {
    // Six seconds are what clients may take that are in the middle of something: whoever waits
    // takes them each time, and a machine that is busy with other tests not.
    let stops = std::iter::from_fn(|| {
        let took = stop_with_idle_clients(server);
        server.start_again().expect("it starts again");
        Some(took)
    });
    let times: Vec<Duration> = stops.take(3).collect();
    let soon = Duration::from_secs(5);
    assert!(times.iter().any(|took| *took < soon), "{times:?}");
}

fn stop_with_idle_clients(server: &Server) -> Duration {
    let mut idle: Vec<_> = (0..3)
        .map(|_| Http::connect(server.http_address()))
        .collect();
    for client in &mut idle {
        assert_eq!(client.get("/").status, 200);
    }
    let half = Http::connect(server.http_address());
    let begin = Instant::now();
    server.stop();
    let took = begin.elapsed();
    for client in &mut idle {
        client.closed();
    }
    drop(half);
    took
}

fn the_dns_records_of_a_domain(server: &Server) {
    let run = |domain: &str| {
        let executable = binaries::executable(server.flavour, Profile::SameAsTests);
        let mut command = std::process::Command::new(executable.expect("it was built before"));
        command.args(["dns", domain, "--config"]);
        neighbours::output(command.arg(server.folder().join("restante.toml")))
    };
    let output = run("example.org");
    assert!(output.status.success(), "{output:?}");
    let zone = String::from_utf8_lossy(&output.stdout);
    let port = server.tls_address().port();
    let imaps = format!("IN SRV 0 1 {port} mx.example.org.");
    let find = |name: &str| zone.lines().find(|line| line.starts_with(name));
    let line = find("_imaps._tcp.example.org.").expect("a record");
    assert!(line.ends_with(&imaps), "{line}");
    let line = find("_submissions._tcp.example.org.").expect("a record");
    assert!(line.ends_with("IN SRV 0 1 465 mx.example.org."), "{line}");
    let line = find("autoconfig.example.org.").expect("a record");
    assert!(line.ends_with("IN CNAME mx.example.org."), "{line}");
    for domain in [
        "example.com",
        "b\u{fc}cher.example",
        "a b",
        "-x.org",
        "example.org\n@",
    ] {
        let output = run(domain);
        assert_eq!(
            output.status.code(),
            Some(if domain == "-x.org" { 2 } else { 1 })
        );
        assert!(output.stdout.is_empty(), "{output:?}");
    }
}
