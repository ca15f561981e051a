//! Python's http.client with its parsers of XML and property lists, and curl.

use restante_tests::{
    Server, Test,
    neighbours::{self, Program},
    tests,
    trials::Need,
};

pub(crate) const TESTS: &[Test] = tests![
    python_reads_every_format => needs(&[Need::OwnProcess, Need::Program(Program::PYTHON)]),
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
        assert_eq!(said, "405");
        let big = server.folder().join("big");
        std::fs::write(&big, vec![b' '; 3_000_000]).expect("our folder can be written");
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
