//! Messages to store: small ones, nested ones, and large ones.

/// A short plain message with a subject and a body of one line.
pub fn plain(subject: &str, body: &str) -> Vec<u8> {
    format!(
        "From: Alice <alice@example.org>\r\nTo: Bob <bob@example.net>\r\nSubject: {subject}\r\n\
         Date: Mon, 7 Feb 1994 21:52:25 -0800\r\nMessage-ID: <{}@example.org>\r\n\r\n{body}\r\n",
        subject.replace(' ', ".")
    )
    .into_bytes()
}

/// A message of exactly `octets`, whose text does not compress well and is the
/// same each time.
pub fn large(octets: usize) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut message = Vec::with_capacity(octets);
    message.extend_from_slice(
        b"From: Alice <alice@example.org>\r\nSubject: a large one\r\nMIME-Version: 1.0\r\n\
          Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n",
    );
    // A xorshift generator: enough to defeat a compressor.
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    while message.len() + 78 <= octets {
        for _ in 0..76 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            message.push(ALPHABET[(state >> 58) as usize]);
        }
        message.extend_from_slice(b"\r\n");
    }
    message.resize(octets - 2, b'=');
    message.extend_from_slice(b"\r\n");
    message
}

/// A message with a text, a forwarded message that itself has two parts, and an
/// attachment, together with the exact octets of each of its sections.
pub struct Nested {
    /// The whole message.
    pub message: Vec<u8>,
    /// Section specifications, as in `BODY[2.1.MIME]`, and what they hold.
    pub sections: Vec<(&'static str, Vec<u8>)>,
}

/// Builds the nested message.
pub fn nested() -> Nested {
    let header = "From: Alice <alice@example.org>\r\nTo: Bob <bob@example.net>, carol@example.net\r\n\
                  Subject: Fwd:\r\n folded\r\nDate: Mon, 7 Feb 1994 21:52:25 -0800\r\nMIME-Version: 1.0\r\n\
                  Content-Type: multipart/mixed; boundary=\"outer\"\r\n\r\n";
    let mime1 = "Content-Type: text/plain; charset=utf-8\r\nContent-ID: <one@example.org>\r\n\r\n";
    let text1 = "Grüße, see below.\r\nSecond line.";
    let mime2 = "Content-Type: message/rfc822\r\nContent-Description: forwarded\r\n\r\n";
    let inner_header = "From: Dave <dave@example.com>\r\nSubject: inner\r\nMIME-Version: 1.0\r\n\
                        Content-Type: multipart/alternative; boundary=inner\r\n\r\n";
    let mime21 = "Content-Type: text/plain\r\n\r\n";
    let text21 = "plain inside\r\n";
    let mime22 = "Content-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n";
    let text22 = "<b>html=20inside</b>";
    let inner_text = format!(
        "--inner\r\n{mime21}{text21}\r\n--inner\r\n{mime22}{text22}\r\n--inner--\r\nepilogue inside\r\n"
    );
    let mime3 = "Content-Type: image/png; name=\"dot.png\"\r\nContent-Transfer-Encoding: base64\r\n\
                 Content-Disposition: attachment; filename=\"dot.png\"\r\n\r\n";
    let text3 = "iVBORw0KGgo=\r\n";
    let inner = format!("{inner_header}{inner_text}");
    let text = format!(
        "preamble\r\n--outer\r\n{mime1}{text1}\r\n--outer\r\n{mime2}{inner}\r\n--outer\r\n{mime3}{text3}\r\n--outer--\r\n"
    );
    let message = format!("{header}{text}");
    let sections = [
        ("", message.clone()),
        ("HEADER", header.to_owned()),
        ("TEXT", text),
        ("1", text1.to_owned()),
        ("1.MIME", mime1.to_owned()),
        ("2", inner),
        ("2.MIME", mime2.to_owned()),
        ("2.HEADER", inner_header.to_owned()),
        ("2.TEXT", inner_text),
        ("2.1", text21.to_owned()),
        ("2.1.MIME", mime21.to_owned()),
        ("2.2", text22.to_owned()),
        ("2.2.MIME", mime22.to_owned()),
        ("3", text3.to_owned()),
        ("3.MIME", mime3.to_owned()),
        (
            "HEADER.FIELDS (SUBJECT)",
            "Subject: Fwd:\r\n folded\r\n\r\n".to_owned(),
        ),
        (
            "HEADER.FIELDS.NOT (FROM TO DATE MIME-VERSION CONTENT-TYPE)",
            "Subject: Fwd:\r\n folded\r\n\r\n".to_owned(),
        ),
        ("HEADER.FIELDS (X-ABSENT)", "\r\n".to_owned()),
        (
            "2.HEADER.FIELDS (FROM)",
            "From: Dave <dave@example.com>\r\n\r\n".to_owned(),
        ),
        (
            "2.HEADER.FIELDS.NOT (FROM MIME-VERSION CONTENT-TYPE)",
            "Subject: inner\r\n\r\n".to_owned(),
        ),
    ];
    Nested {
        message: message.into_bytes(),
        sections: sections
            .into_iter()
            .map(|(name, text)| (name, text.into_bytes()))
            .collect(),
    }
}
