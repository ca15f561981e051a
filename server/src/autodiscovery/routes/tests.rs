use super::super::samples::service;
use super::*;

fn ask(method: &str, target: &str, body: &str) -> Answer {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let uri: Uri = target.parse().unwrap();
    match Request::read(&method, &uri) {
        Ok(request) => request.answer(&service(), body.as_bytes()),
        Err(refusal) => refusal,
    }
}

fn get(target: &str) -> (u16, String) {
    let answer = ask("GET", target, "");
    let body = String::from_utf8(answer.body().to_vec()).unwrap();
    (answer.status().as_u16(), body)
}

fn field(answer: &Answer, name: &str) -> Option<String> {
    let value = answer.headers().get(name)?;
    Some(value.to_str().unwrap().to_owned())
}

#[test]
fn every_format_has_its_path_and_its_media_type() {
    for (method, target, content_type, within) in [
        ("GET", "/", "text/html; charset=utf-8", "<form"),
        ("GET", "/style.css", "text/css; charset=utf-8", "body {"),
        (
            "GET",
            "/mail/config-v1.1.xml",
            "text/xml; charset=utf-8",
            "%EMAILADDRESS%",
        ),
        (
            "GET",
            "/.well-known/autoconfig/mail/config-v1.1.xml?emailaddress=a@example.org",
            "text/xml; charset=utf-8",
            "<username>a@example.org<",
        ),
        (
            "POST",
            "/autodiscover/autodiscover.xml",
            "text/xml; charset=utf-8",
            "<ErrorCode>600<",
        ),
        (
            "GET",
            "/autodiscover/autodiscover.json?Email=a@example.org&Protocol=AutodiscoverV1",
            "application/json; charset=utf-8",
            "\"Url\"",
        ),
        (
            "GET",
            "/autodiscover/autodiscover.json/v1.0/a%2Bb%40example.org?protocol=autodiscoverv1",
            "application/json; charset=utf-8",
            "\"Url\"",
        ),
        (
            "GET",
            "/apple.mobileconfig?emailaddress=a@example.org",
            "application/x-apple-aspen-config",
            "<string>a@example.org<",
        ),
    ] {
        for target in [target.to_owned(), {
            let (path, query) = target.split_once('?').unwrap_or((target, ""));
            format!(
                "{}?{query}",
                path.to_ascii_uppercase().replace("%2B", "%2b")
            )
        }] {
            let answer = ask(method, &target, "");
            assert_eq!(answer.status(), 200, "{target}");
            assert_eq!(
                field(&answer, "content-type").as_deref(),
                Some(content_type)
            );
            let body = String::from_utf8_lossy(answer.body());
            assert!(body.contains(within), "{target}: {body}");
        }
    }
}

#[test]
fn answers_load_nothing_are_not_kept_and_set_nothing() {
    for target in ["/", "/nothing", "/?emailaddress=a@example.org", "//"] {
        let answer = ask("GET", target, "");
        assert_eq!(field(&answer, "cache-control").as_deref(), Some("no-store"));
        assert_eq!(
            field(&answer, "x-content-type-options").as_deref(),
            Some("nosniff")
        );
        assert_eq!(
            field(&answer, "referrer-policy").as_deref(),
            Some("no-referrer")
        );
        let policy = field(&answer, "content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; style-src 'self';"));
        assert!(!policy.contains("script") && !policy.contains("unsafe"));
        assert_eq!(field(&answer, "set-cookie"), None);
    }
}

#[test]
fn outlook_is_led_from_http_to_https_and_nobody_else() {
    let lead = |service: &Service, method: &str, target: &str| {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        to_https(service, &method, &target.parse().unwrap())
    };
    for method in ["GET", "HEAD"] {
        for target in [
            "/autodiscover/autodiscover.xml",
            "/Autodiscover/Autodiscover.xml?a=b",
        ] {
            let answer = lead(&service(), method, target).unwrap();
            assert_eq!(answer.status(), 302);
            assert_eq!(
                field(&answer, "location").as_deref(),
                Some("https://imap.example.org/autodiscover/autodiscover.xml")
            );
            assert_eq!(field(&answer, "cache-control").as_deref(), Some("no-store"));
        }
    }
    for (method, target) in [
        ("POST", "/autodiscover/autodiscover.xml"),
        ("GET", "/autodiscover/autodiscover.json"),
        ("GET", "/"),
        ("GET", "/mail/config-v1.1.xml"),
        ("GET", "//autodiscover/autodiscover.xml"),
        (
            "GET",
            "ftp://mail.example.org/autodiscover/autodiscover.xml",
        ),
    ] {
        assert!(
            lead(&service(), method, target).is_none(),
            "{method} {target}"
        );
    }
    let plain = Service {
        url: "http://mail.example.org".to_owned(),
        ..service()
    };
    assert!(lead(&plain, "GET", "/autodiscover/autodiscover.xml").is_none());
}

#[test]
fn methods_are_those_that_are_allowed() {
    for (target, allow, refused) in [
        (
            "/",
            "GET, HEAD",
            &["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PROPFIND"][..],
        ),
        ("/mail/config-v1.1.xml", "GET, HEAD", &["POST", "OPTIONS"]),
        (
            "/autodiscover/autodiscover.xml",
            "POST",
            &["GET", "HEAD", "PUT"],
        ),
    ] {
        for method in refused {
            let answer = ask(method, target, "");
            assert_eq!(answer.status(), 405, "{method} {target}");
            assert_eq!(field(&answer, "allow").as_deref(), Some(allow));
        }
    }
    assert_eq!(ask("HEAD", "/", "").status(), 200);
}

#[test]
fn what_is_not_here_and_what_is_up_to_something() {
    for target in [
        "/index.html",
        "/mail/",
        "/mail/config-v1.1.xml/",
        "/autodiscover%2fautodiscover.xml",
        "/autodiscover/autodiscover.json/v1.0/a/b@example.org",
        "/etc/passwd",
        "/favicon.ico",
    ] {
        assert_eq!(get(target).0, 404, "{target}");
    }
    for target in [
        "//",
        "//mail/config-v1.1.xml",
        "/mail//config-v1.1.xml",
        "/mail/../",
        "/mail/%2e%2e/%2E%2e/etc/passwd",
        "/./mail/config-v1.1.xml",
        "/mail/%2fconfig-v1.1.xml",
        "/%00",
        "/mail/config-v1.1.xml%00.html",
        "/%5c..%5c",
        "/%0d%0aSet-Cookie:x",
        "http://mail.example.org/../",
        "http://mail.example.org//mail/config-v1.1.xml",
        "ftp://mail.example.org/mail/config-v1.1.xml",
        "mail.example.org:443",
    ] {
        assert_eq!(get(target).0, 400, "{target}");
    }
}

#[test]
fn a_target_with_the_name_of_a_server_is_answered_as_its_path() {
    let path = "/mail/config-v1.1.xml?emailaddress=alice@example.org";
    for server in [
        "http://mail.example.org",
        "https://autoconfig.example.org:443",
        "http://elsewhere.example",
    ] {
        assert_eq!(get(&format!("{server}{path}")), get(path), "{server}");
    }
    assert_eq!(get("http://mail.example.org"), get("/"));
    assert_eq!(get("http://mail.example.org/etc/passwd").0, 404);
}

#[test]
fn an_address_is_answered_by_its_domain_alone() {
    let config = |address: &str| get(&format!("/mail/config-v1.1.xml?emailaddress={address}"));
    assert_eq!(config("EVOLUTIONUSER@example.org").0, 200);
    let with = |name: &str| config(&format!("{name}@example.org")).1.replace(name, "");
    assert_eq!(with("alice"), with("nobody-of-that-name"));
    assert_eq!(config("alice@elsewhere.example").0, 404);
    for path in ["/apple.mobileconfig", "/"] {
        assert_eq!(
            get(&format!("{path}?emailaddress=a@elsewhere.example")).0,
            404
        );
    }
}

#[test]
fn addresses_as_they_are_written_in_urls() {
    for (written, means) in [
        ("alice+lists@example.org", "alice+lists@example.org"),
        ("alice%2Blists%40example.org", "alice+lists@example.org"),
        ("%20alice@example.org%0d%0a", "alice@example.org"),
        (
            "o'hara%26sons@example.org",
            "o&#39;hara&amp;sons@example.org",
        ),
        ("%C3%BC@example.org", "\u{fc}@example.org"),
        ("a@example.org&emailaddress=b@example.org", "a@example.org"),
    ] {
        let (status, body) = get(&format!("/mail/config-v1.1.xml?emailaddress={written}"));
        assert_eq!(status, 200, "{written}");
        assert!(
            body.contains(&format!("<username>{means}</username>")),
            "{body}"
        );
    }
    for placeholder in ["", "%25EMAILADDRESS%25"] {
        let (status, body) = get(&format!("/mail/config-v1.1.xml?emailaddress={placeholder}"));
        assert_eq!(status, 200);
        assert!(
            body.contains("<username>%EMAILADDRESS%</username>"),
            "{body}"
        );
    }
}

#[test]
fn hostile_addresses_are_refused_everywhere() {
    let long = format!("{}@example.org", "a".repeat(1000));
    for address in [
        "%3Cscript%3E@example.org",
        "%22a%22@example.org",
        "a%00b@example.org",
        "a%0db@example.org",
        "a@example.org%3Cb%3E",
        "a%E2%80%AEb@example.org",
        "a%FF@example.org",
        "alice",
        &long,
    ] {
        for path in ["/mail/config-v1.1.xml", "/apple.mobileconfig", "/"] {
            let (status, body) = get(&format!("{path}?emailaddress={address}"));
            assert_eq!(status, 400, "{path} {address}");
            assert!(!body.contains("<script"), "{body}");
        }
        let json =
            format!("/autodiscover/autodiscover.json/v1.0/{address}?Protocol=AutodiscoverV1");
        assert_eq!(get(&json).0, 400, "{address}");
    }
}

#[test]
fn whatever_is_asked_gets_an_answer() {
    let body = "<?xml version='1.0'?><Autodiscover xmlns='u'><Request><EMailAddress>a&amp;b&#64;example.org\
                </EMailAddress><![CDATA[x]]><!-- y --></Request></Autodiscover>";
    let target = "/mail/config-v1.1.xml?emailaddress=a%40example.org&x=%zz";
    let mut state = 1_u64;
    let mut next = move |max: usize| {
        // Knuth's numbers; any will do.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % max
    };
    let mut answered = 0;
    for _ in 0..20_000 {
        let mut body = body.as_bytes().to_vec();
        let mut target = target.as_bytes().to_vec();
        for _ in 0..=next(4) {
            let at = next(body.len());
            body[at] = b"<>&;![]-'\"/?= \0\xff"[next(16)];
            let at = 1 + next(target.len() - 1);
            target[at] = b"%/.&=?+@\\;0a"[next(11)];
        }
        body.truncate(1 + next(2 * body.len()));
        let xml = outlook::answer(&service(), &body);
        assert!(xml.ends_with("</Autodiscover>\n"));
        let Ok(uri) = Uri::try_from(target) else {
            continue;
        };
        let method = [Method::GET, Method::HEAD, Method::POST][next(3)].clone();
        let status = match Request::read(&method, &uri) {
            Ok(request) => request.answer(&service(), &body).status(),
            Err(refusal) => refusal.status(),
        };
        assert!([200, 400, 404, 405].contains(&status.as_u16()), "{uri}");
        answered += 1;
    }
    assert!(answered > 10_000, "{answered}");
}
