//! Python's http.client with its parsers of XML and property lists, curl, and openssl.

use restante_tests::{
    Server, Test,
    http::Http,
    neighbours::{self, Program},
    tests,
    trials::Need,
};
use std::fs;

pub(crate) const TESTS: &[Test] = tests![
    python_reads_every_format => needs(&[Need::OwnProcess, Need::Program(Program::PYTHON)]),
    openssl_verifies_the_profile_with_keys_of_every_kind
        => needs(&[Need::OwnProcess, Need::Program(Program::OPENSSL)]),
    curl_gets_and_posts => needs(&[Need::OwnProcess, Need::Program(Program::CURL)]),
];

fn python_reads_every_format(server: &Server) {
    let output = neighbours::success(
        Program::PYTHON
            .command()
            .arg(neighbours::scripts().join("http_session.py"))
            .arg(server.http_address().port().to_string())
            .arg(server.https_address().port().to_string())
            .arg(server.tls_address().port().to_string())
            .arg(server.address().port().to_string()),
    );
    assert!(output.trim_end().ends_with("all done"), "{output}");
}

fn openssl_verifies_the_profile_with_keys_of_every_kind(server: &Server) {
    let file = |name: &str| server.folder().join(name);
    let openssl = || {
        let mut command = Program::OPENSSL.command();
        command.current_dir(server.folder());
        command
    };
    for (kind, is_signed) in [
        (&["rsa:2048"][..], true),
        (&["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], true),
        (&["ec", "-pkeyopt", "ec_paramgen_curve:P-384"], true),
        // No device knows it in a message, so the profile goes without.
        (&["ed25519"], false),
    ] {
        let mut make = openssl();
        make.args([
            "req",
            "-x509",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=mx.example.org",
        ]);
        make.args(["-keyout", "key.pem", "-out", "certificate.pem", "-newkey"]);
        neighbours::success(make.args(kind));
        server.restart();
        let mut client = Http::connect(server.http_address());
        let answer = client.get("/apple.mobileconfig?emailaddress=alice@example.org");
        assert_eq!(answer.status, 200);
        let kind_of_answer = answer.field("content-type");
        assert_eq!(kind_of_answer, Some("application/x-apple-aspen-config"));
        assert_eq!(answer.body.starts_with(b"<?xml"), !is_signed, "{kind:?}");
        let verify = |message: &[u8]| {
            fs::write(file("message"), message).expect("our folder can be written");
            let mut verify = openssl();
            verify.args([
                "cms", "-verify", "-inform", "DER", "-in", "message", "-binary",
            ]);
            neighbours::output(verify.args(["-purpose", "any", "-CAfile", "certificate.pem"]))
        };
        if !is_signed {
            continue;
        }
        let output = verify(&answer.body);
        assert!(output.status.success(), "{kind:?}: {output:?}");
        let profile = String::from_utf8_lossy(&output.stdout);
        assert!(
            profile.starts_with("<?xml") && profile.ends_with("</plist>\n"),
            "{profile}"
        );
        assert!(
            profile.contains("<string>alice@example.org</string>"),
            "{profile}"
        );
        let find = |octets: &[u8]| octets.windows(5).position(|window| window == b"alice");
        let mut forged = answer.body.clone();
        forged[find(&answer.body).expect("the address is inside")] = b'e';
        assert!(!verify(&forged).status.success(), "{kind:?}");
        // What is no profile is not signed.
        let refused = client.get("/apple.mobileconfig?emailaddress=alice");
        assert_eq!(
            (refused.status, refused.text().as_str()),
            (400, "Bad Request\n")
        );
    }
}

fn curl_gets_and_posts(server: &Server) {
    let urls = [
        format!("http://{}", server.http_address()),
        format!("https://{}", server.https_address()),
    ];
    let curl = |arguments: &[&str]| {
        let mut command = Program::CURL.command();
        command.args(["--silent", "--show-error", "--insecure", "--max-time", "60"]);
        neighbours::success(command.args(arguments))
    };
    for url in urls {
        let config = format!("{url}/mail/config-v1.1.xml");
        let xml = curl(&[
            "--fail",
            "--get",
            "--data",
            "emailaddress=a+b@example.org",
            &config,
        ]);
        assert!(
            xml.contains("<username>a+b@example.org</username>"),
            "{xml}"
        );
        let head = curl(&["--head", &url]);
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(
            head.contains("content-security-policy: default-src 'none';"),
            "{head}"
        );
        let post = format!("{url}/Autodiscover/Autodiscover.xml");
        let status = ["--output", "/dev/null", "--write-out", "%{http_code}"];
        let said = curl(&[&status[..], &[&post]].concat());
        // Without TLS it is led to where it may post (`outlook_is_led_from_http_to_https`).
        let refused = ["302", "405"][usize::from(url.starts_with("https"))];
        assert_eq!(said, refused);
        let big = server.folder().join("big");
        fs::write(&big, vec![b' '; 3_000_000]).expect("our folder can be written");
        // Asks first whether it may send so much ("Expect: 100-continue"), and then does not ask.
        let data = format!("@{}", big.display());
        for expect in ["Expect: 100-continue", "Expect:"] {
            let data = ["--data-binary", &data, "--header", expect, &post];
            let said = curl(&[&status[..], &data].concat());
            assert_eq!(said, "413");
        }
        let data = "<EMailAddress>alice@example.org</EMailAddress>";
        let xml = curl(&["--fail", "--data-binary", data, &post]);
        assert!(
            xml.contains("<LoginName>alice@example.org</LoginName>"),
            "{xml}"
        );
    }
}
