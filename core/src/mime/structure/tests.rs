use super::*;
use crate::config::Config;
use crate::mime::Scanner;

/// The example of RFC 3501 §6.4.5, with the numbers of its parts as their text.
const MESSAGE: &str = "Subject: top\r\nContent-Type: multipart/mixed; boundary=top\r\n\r\n\
    --top\r\nContent-Type: text/plain\r\n\r\n1\r\n\
    --top\r\nContent-Type: application/octet-stream\r\n\r\n2\r\n\
    --top\r\nContent-Type: message/rfc822\r\n\r\n\
    Subject: three\r\nContent-Type: multipart/mixed; boundary=three\r\n\r\n\
    --three\r\nContent-Type: text/plain\r\n\r\n3.1\r\n\
    --three\r\nContent-Type: application/octet-stream\r\n\r\n3.2\r\n--three--\r\n\
    --top\r\nContent-Type: multipart/mixed; boundary=four\r\n\r\n\
    --four\r\nContent-Type: image/gif\r\n\r\n4.1\r\n\
    --four\r\nContent-Type: message/rfc822\r\n\r\n\
    Subject: four two\r\nContent-Type: multipart/mixed; boundary=fourtwo\r\n\r\n\
    --fourtwo\r\nContent-Type: text/plain\r\n\r\n4.2.1\r\n\
    --fourtwo\r\nContent-Type: multipart/alternative; boundary=alt\r\n\r\n\
    --alt\r\nContent-Type: text/plain\r\n\r\n4.2.2.1\r\n\
    --alt\r\nContent-Type: text/richtext\r\n\r\n4.2.2.2\r\n--alt--\r\n--fourtwo--\r\n\
    --four--\r\n--top--\r\n";

fn structure(message: &str) -> Structure {
    let mut scanner = Scanner::new(&Config::default());
    scanner.feed(message.as_bytes());
    scanner.finish().structure
}

fn octets(message: &str, span: Span) -> &str {
    &message[span.offset as usize..span.end() as usize]
}

#[test]
fn parts_are_numbered_as_in_rfc_3501() {
    let structure = structure(MESSAGE);
    for path in ["1", "2", "3.1", "3.2", "4.1", "4.2.1", "4.2.2.1", "4.2.2.2"] {
        let numbers: Vec<u32> = path.split('.').map(|it| it.parse().unwrap()).collect();
        let part = structure.resolve(&numbers).unwrap();
        assert_eq!(octets(MESSAGE, part.body), path);
        assert!(octets(MESSAGE, part.mime.unwrap()).starts_with("Content-Type: "));
        assert!(octets(MESSAGE, part.mime.unwrap()).ends_with("\r\n\r\n"));
        assert_eq!((part.header, part.text), (None, None));
    }
    for path in [
        &[0][..],
        &[5],
        &[1, 1],
        &[3, 3],
        &[3, 0],
        &[4, 2, 2, 3],
        &[1, 0],
        &[u32::MAX],
    ] {
        assert!(structure.resolve(path).is_none(), "{path:?}");
    }
}

#[test]
fn messages_have_a_header_and_a_text() {
    let structure = structure(MESSAGE);
    let three = structure.resolve(&[3]).unwrap();
    let header = octets(MESSAGE, three.header.unwrap());
    let text = octets(MESSAGE, three.text.unwrap());
    assert!(header.starts_with("Subject: three\r\n") && header.ends_with("\r\n\r\n"));
    assert!(text.starts_with("--three\r\n") && text.ends_with("--three--\r\n"));
    assert_eq!(octets(MESSAGE, three.body), [header, text].concat());
    let top = structure.resolve(&[]).unwrap();
    assert_eq!(octets(MESSAGE, top.body), MESSAGE);
    assert_eq!(top.mime, None);
    assert!(octets(MESSAGE, top.header.unwrap()).starts_with("Subject: top\r\n"));
    assert!(octets(MESSAGE, top.text.unwrap()).starts_with("--top\r\n"));
    assert!(structure.resolve(&[4]).unwrap().header.is_none());
}

#[test]
fn part_1_of_a_message_that_is_not_a_multipart_is_its_body() {
    let message = "Subject: a\r\n\r\nbody\r\n";
    let plain = structure(message);
    assert_eq!(
        octets(message, plain.resolve(&[1]).unwrap().body),
        "body\r\n"
    );
    assert!(plain.resolve(&[1, 1]).is_none() && plain.resolve(&[2]).is_none());

    let message = "Content-Type: message/rfc822\r\n\r\nContent-Type: message/rfc822\r\n\r\n\
        Subject: in\r\n\r\nbody";
    let nested = structure(message);
    assert_eq!(
        octets(message, nested.resolve(&[1, 1]).unwrap().header.unwrap()),
        "Subject: in\r\n\r\n"
    );
    assert_eq!(
        octets(message, nested.resolve(&[1, 1, 1]).unwrap().body),
        "body"
    );
    assert!(nested.resolve(&[1, 1, 1, 1]).is_none());
}
