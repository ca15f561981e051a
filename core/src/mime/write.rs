//! ENVELOPE, BODY and BODYSTRUCTURE as IMAP sends them (RFC 3501 §7.4.2). Names stand
//! as the message has them; only what the RFC defines is filled in.

use super::structure::{Kind, Part, PartId, Structure};
use super::{Address, Description, Envelope, Octets, Parameter, write_nstring, write_string};

/// Writes the parenthesized `envelope`.
pub fn write_envelope(envelope: &Envelope, out: &mut Vec<u8>) {
    out.push(b'(');
    write_nstring(out, envelope.date.as_deref());
    out.push(b' ');
    write_nstring(out, envelope.subject.as_deref());
    for list in [
        &envelope.from,
        envelope.sender_or_from(),
        envelope.reply_to_or_from(),
        &envelope.to,
        &envelope.cc,
        &envelope.bcc,
    ] {
        out.push(b' ');
        write_addresses(list, out);
    }
    out.push(b' ');
    write_nstring(out, envelope.in_reply_to.as_deref());
    out.push(b' ');
    write_nstring(out, envelope.message_id.as_deref());
    out.push(b')');
}

/// Writes `body`: BODYSTRUCTURE if `extended`, BODY otherwise.
pub fn write_bodystructure(structure: &Structure, extended: bool, out: &mut Vec<u8>) {
    enum Step {
        Open(PartId),
        Close(PartId),
    }
    let mut steps = vec![Step::Open(PartId::ROOT)];
    while let Some(step) = steps.pop() {
        match step {
            Step::Open(id) => {
                let part = structure.part(id);
                out.push(b'(');
                match &part.kind {
                    Kind::Leaf => {
                        write_single(part, out);
                        if part.description.is_type("text") {
                            out.extend_from_slice(format!(" {}", part.body_lines).as_bytes());
                        }
                        close_single(part, extended, out);
                    }
                    Kind::Message { envelope, child } => {
                        write_single(part, out);
                        out.push(b' ');
                        write_envelope(envelope, out);
                        out.push(b' ');
                        steps.extend([Step::Close(id), Step::Open(*child)]);
                    }
                    Kind::Multipart { children } => {
                        if children.is_empty() {
                            write_empty(extended, out);
                        }
                        steps.push(Step::Close(id));
                        steps.extend(children.iter().rev().map(|&child| Step::Open(child)));
                    }
                }
            }
            Step::Close(id) => {
                let part = structure.part(id);
                if let Kind::Message { .. } = part.kind {
                    out.extend_from_slice(format!(" {}", part.body_lines).as_bytes());
                    close_single(part, extended, out);
                } else {
                    close_multipart(&part.description, extended, out);
                }
            }
        }
    }
}

/// `media … body-fields`, without what only some types have.
fn write_single(part: &Part, out: &mut Vec<u8>) {
    let description = &part.description;
    let unopened = matches!(part.kind, Kind::Leaf)
        && (description.is_type("multipart") || description.is_media("message", "rfc822"));
    if unopened {
        // Beyond a limit; the grammar has no way to name the type without its parts.
        out.extend_from_slice(b"\"application\" \"octet-stream\"");
    } else {
        write_string(out, &description.media_type);
        out.push(b' ');
        write_string(out, &description.subtype);
    }
    out.push(b' ');
    write_parameters(&description.parameters, description.is_type("text"), out);
    for text in [&description.id, &description.description] {
        out.push(b' ');
        write_nstring(out, text.as_deref());
    }
    out.push(b' ');
    write_string(out, description.encoding.as_deref().unwrap_or(b"7bit"));
    out.extend_from_slice(format!(" {}", part.body.len).as_bytes());
}

fn close_single(part: &Part, extended: bool, out: &mut Vec<u8>) {
    if extended {
        out.push(b' ');
        write_nstring(out, part.description.md5.as_deref());
        write_extension(&part.description, out);
    }
    out.push(b')');
}

fn close_multipart(description: &Description, extended: bool, out: &mut Vec<u8>) {
    out.push(b' ');
    write_string(out, &description.subtype);
    if extended {
        out.push(b' ');
        write_parameters(&description.parameters, false, out);
        write_extension(description, out);
    }
    out.push(b')');
}

/// A multipart has at least one part by the grammar of RFC 3501 §9.
fn write_empty(extended: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(b"(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 0 0");
    out.extend_from_slice(if extended { b" NIL NIL NIL NIL)" } else { b")" });
}

/// Disposition, language and location.
fn write_extension(description: &Description, out: &mut Vec<u8>) {
    match &description.disposition {
        Some(disposition) => {
            out.extend_from_slice(b" (");
            write_string(out, &disposition.value);
            out.push(b' ');
            write_parameters(&disposition.parameters, false, out);
            out.extend_from_slice(b") ");
        }
        None => out.extend_from_slice(b" NIL "),
    }
    write_list(&description.language, out, |tag, out| {
        write_string(out, tag)
    });
    out.push(b' ');
    write_nstring(out, description.location.as_deref());
}

/// Parameters, or NIL. Text without a charset is us-ascii (RFC 2045 §5.2).
fn write_parameters(parameters: &[Parameter], text: bool, out: &mut Vec<u8>) {
    let is_charset = |it: &Parameter| it.name.eq_ignore_ascii_case(b"charset");
    let assumed = (text && !parameters.iter().any(is_charset)).then(|| Parameter {
        name: Octets::from_static(b"charset"),
        value: Octets::from_static(b"us-ascii"),
    });
    if parameters.is_empty() && assumed.is_none() {
        out.extend_from_slice(b"NIL");
        return;
    }
    let mut open = b'(';
    for parameter in parameters.iter().chain(&assumed) {
        out.push(core::mem::replace(&mut open, b' '));
        write_string(out, &parameter.name);
        out.push(b' ');
        write_string(out, &parameter.value);
    }
    out.push(b')');
}

fn write_addresses(list: &[Address], out: &mut Vec<u8>) {
    if list.is_empty() {
        out.extend_from_slice(b"NIL");
        return;
    }
    out.push(b'(');
    for address in list {
        let mut open = b'(';
        for text in [&address.name, &address.adl, &address.mailbox, &address.host] {
            out.push(core::mem::replace(&mut open, b' '));
            write_nstring(out, text.as_deref());
        }
        out.push(b')');
    }
    out.push(b')');
}

/// Items with spaces between them in parentheses, or NIL.
fn write_list<T>(items: &[T], out: &mut Vec<u8>, write: impl Fn(&T, &mut Vec<u8>)) {
    if items.is_empty() {
        out.extend_from_slice(b"NIL");
        return;
    }
    let mut open = b'(';
    for item in items {
        out.push(core::mem::replace(&mut open, b' '));
        write(item, out);
    }
    out.push(b')');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(header: &[u8]) -> String {
        let mut out = Vec::new();
        write_envelope(&Envelope::from_header(header), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn sender_and_reply_to_default_to_from() {
        assert_eq!(
            written(
                b"Date: Mon, 2 Jan 2023 03:04:05 +0600\r\nSubject: one\r\n two\r\n\
                  From: A \"B\" <a@b>\r\nReply-To: c@d\r\nSender:\r\nTo: x@y\r\nTo: z\r\n\
                  In-Reply-To: <i@j>\r\nMessage-ID: <k@l>\r\n\r\nBcc: no@body\r\n"
            ),
            "(\"Mon, 2 Jan 2023 03:04:05 +0600\" \"one two\" ((\"A B\" NIL \"a\" \"b\")) \
             ((\"A B\" NIL \"a\" \"b\")) ((NIL NIL \"c\" \"d\")) \
             ((NIL NIL \"x\" \"y\")(NIL NIL \"z\" \"MISSING_DOMAIN\")) NIL NIL \"<i@j>\" \"<k@l>\")"
        );
        assert_eq!(written(b""), format!("({})", ["NIL"; 10].join(" ")));
    }

    #[test]
    fn raw_octets_of_a_header_are_literals() {
        assert_eq!(
            written("Subject: é\r\n\r\n".as_bytes()),
            "(NIL {2}\r\né NIL NIL NIL NIL NIL NIL NIL NIL)"
        );
    }
}
