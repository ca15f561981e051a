//! The page for people: an address in; settings, Apple's profile and a QR code out.
//!
//! It is one form and needs no script. The style sheet is a file of its own, so that the
//! policy of the page can forbid everything that is inside of it.

use super::markup::Escaped;
use super::routes::{APPLE_PATH, PARAMETER, STYLE_PATH};
use super::{Address, Endpoint, Security, Service, limits, qr};
use core::fmt::Write;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// The media type.
pub const CONTENT_TYPE: &str = "text/html; charset=utf-8";
/// The style sheet.
pub const STYLE: &str = include_str!("style.css");
/// Its media type.
pub const STYLE_CONTENT_TYPE: &str = "text/css; charset=utf-8";

/// What a value in a query may hold as it is.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'@');

/// What was asked for.
#[derive(Clone, Copy, Debug)]
pub enum Asked<'a> {
    /// Nothing yet.
    Nothing,
    /// Something that is no address.
    NoAddress(&'a str),
    /// An address whose domain has no mail here.
    Elsewhere(&'a Address),
    /// An address.
    Address(&'a Address),
}

/// The page.
#[must_use]
pub fn html(service: &Service, asked: Asked<'_>) -> String {
    let name = Escaped(&service.name);
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"robots\" content=\"noindex\">\n\
         <title>Mail settings \u{2013} {name}</title>\n\
         <link rel=\"stylesheet\" href=\"{STYLE_PATH}\">\n</head>\n<body>\n\
         <header>\n<p class=\"service\">{name}</p>\n<h1>Set up your mail</h1>\n</header>\n<main>\n"
    );
    let typed = match asked {
        Asked::Nothing => "",
        Asked::NoAddress(text) => text,
        Asked::Elsewhere(address) | Asked::Address(address) => address.text(),
    };
    form(&mut html, typed);
    match asked {
        Asked::Nothing => html.push_str(
            "<p class=\"hint\">Most mail programs need no more than your address and your password. \
             For those that ask for servers and ports, this page shows what to enter, and it \
             has a profile for Apple devices.</p>\n",
        ),
        Asked::NoAddress(_) => notice(&mut html, format_args!("That is no mail address.")),
        Asked::Elsewhere(address) => notice(
            &mut html,
            format_args!(
                "This server has no mail for <b>{}</b>. Is the address spelt right?",
                Escaped(address.domain())
            ),
        ),
        Asked::Address(address) => settings(&mut html, service, address),
    }
    html.push_str(
        "</main>\n<footer><p>This page never asks for your password, and does not look up whether \
         an address exists.</p></footer>\n</body>\n</html>\n",
    );
    html
}

fn form(html: &mut String, typed: &str) {
    let max = limits::ADDRESS_BYTES_MAX;
    add(
        html,
        format_args!(
            "<form method=\"get\" action=\"/\">\n\
             <label for=\"address\">Your mail address</label>\n<div class=\"row\">\n\
             <input id=\"address\" name=\"{PARAMETER}\" type=\"email\" required maxlength=\"{max}\" \
             autocomplete=\"email\" autocapitalize=\"none\" spellcheck=\"false\" \
             placeholder=\"you@example.org\" value=\"{}\">\n\
             <button>Show settings</button>\n</div>\n</form>\n",
            Escaped(typed)
        ),
    );
}

fn notice(html: &mut String, text: core::fmt::Arguments<'_>) {
    add(
        html,
        format_args!("<p class=\"notice\" role=\"alert\">{text}</p>\n"),
    );
}

fn settings(html: &mut String, service: &Service, address: &Address) {
    let query = utf8_percent_encode(address.text(), PLAIN).to_string();
    let here = format!("{}/?{PARAMETER}={query}", service.url);
    add(
        html,
        format_args!(
            "<section>\n<h2>Most mail programs</h2>\n\
             <p>They find the servers by themselves. In Thunderbird, K-9 Mail, FairEmail, Evolution or \
             Outlook, add an account and enter <b class=\"address\">{}</b> \
             and your password.</p>\n</section>\n",
            Escaped(address.text())
        ),
    );
    add(
        html,
        format_args!(
            "<div class=\"pair\">\n<section>\n<h2>iPhone, iPad, Mac</h2>\n\
             <p>Install a profile, then enter your password when the device asks for it.</p>\n\
             <p><a class=\"button\" href=\"{APPLE_PATH}?{PARAMETER}={query}\">Get the profile</a></p>\n\
             <p class=\"hint\">On iPhone and iPad it waits in <i>Settings</i>, <i>Profile \
             Downloaded</i>.</p>\n</section>\n"
        ),
    );
    if let Some(code) = qr::svg(&here, "QR code of this page") {
        add(
            html,
            format_args!(
                "<section>\n<h2>On your phone</h2>\n<p>Point its camera here to open this page \
                 there.</p>\n<div class=\"code\">{code}</div>\n</section>\n"
            ),
        );
    }
    html.push_str("</div>\n<section>\n<h2>Settings by hand</h2>\n<div class=\"pair\">\n");
    let login = service.login_of(address);
    table(html, "Incoming mail (IMAP)", &service.imap, login);
    table(html, "Outgoing mail (SMTP)", &service.submission, login);
    html.push_str("</div>\n</section>\n");
}

fn table(html: &mut String, caption: &str, endpoint: &Endpoint, login: &str) {
    add(
        html,
        format_args!(
            "<table>\n<caption>{caption}</caption>\n<tr><th>Server<td><code>{}</code>\n",
            Escaped(&endpoint.host)
        ),
    );
    for (index, way) in endpoint.ways().enumerate() {
        let security = match way.security {
            Security::Tls => "SSL/TLS",
            Security::StartTls => "STARTTLS",
        };
        let heading = if index == 0 { "Port" } else { "or port" };
        add(
            html,
            format_args!(
                "<tr><th>{heading}<td><code>{}</code> with {security}\n",
                way.port
            ),
        );
    }
    add(
        html,
        format_args!(
            "<tr><th>User name<td><code>{}</code>\n<tr><th>Password<td>yours, sent as \u{201c}normal \
             password\u{201d}\n</table>\n",
            Escaped(login)
        ),
    );
}

fn add(html: &mut String, text: core::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _written = html.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::super::samples::{address, assert_golden, service};
    use super::*;

    #[test]
    fn golden() {
        assert_golden("page-empty.html", &html(&service(), Asked::Nothing));
        assert_golden("page.html", &html(&service(), Asked::Address(&address())));
    }

    #[test]
    fn what_is_typed_stays_text() {
        let typed = "\"><script>alert(1)</script>'\0";
        let html = html(&service(), Asked::NoAddress(typed));
        assert!(!html.contains("<script"), "{html}");
        let value = "value=\"&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;&#39;\u{fffd}\"";
        assert!(html.contains(value), "{html}");
    }

    #[test]
    fn there_is_nothing_that_the_policy_would_forbid() {
        let html = html(&service(), Asked::Address(&address()));
        for forbidden in ["<script", "<style", " style=", " on", "javascript:", "<img"] {
            let found = html.match_indices(forbidden).any(|(at, _)| {
                let open = html[..at].rfind('<') > html[..at].rfind('>');
                open || forbidden.starts_with('<')
            });
            assert!(!found, "{forbidden}");
        }
    }
}
