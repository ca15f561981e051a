//! As much of Garage's administration API as the fixture needs: plain HTTP, and the
//! few fields of its JSON that matter, none of which holds an escape.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// The token of every node: they listen on the loopback only.
pub(crate) const TOKEN: &str = "fixture";

/// A bound on each read and write.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

/// Whether the node says that it is fully operational.
pub(crate) fn is_healthy(address: SocketAddr) -> bool {
    exchange(address, "GET", "/health", "").is_ok()
}

/// Calls a method of the API and returns the JSON of its answer.
pub(crate) fn call(address: SocketAddr, method: &str, body: &str) -> Result<String, String> {
    let verb = if method.starts_with("Get") {
        "GET"
    } else {
        "POST"
    };
    exchange(address, verb, &format!("/v2/{method}"), body)
}

/// The text of the first field of that name.
pub(crate) fn field<'a>(json: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = json.split_once(&format!("\"{name}\":"))?;
    let (text, _) = rest.trim_start().strip_prefix('"')?.split_once('"')?;
    Some(text)
}

/// HTTP/1.0, so that the end of the connection is the end of the answer.
fn exchange(address: SocketAddr, verb: &str, path: &str, body: &str) -> Result<String, String> {
    let request = format!(
        "{verb} {path} HTTP/1.0\r\nHost: {address}\r\nAuthorization: Bearer {TOKEN}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = send(address, &request).map_err(|error| format!("{verb} {path}: {error}"))?;
    let (head, content) = answer
        .split_once("\r\n\r\n")
        .ok_or_else(|| format!("{verb} {path}: no answer"))?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status.starts_with('2') {
        Ok(content.to_owned())
    } else {
        Err(format!("{verb} {path}: status {status}: {content}"))
    }
}

fn send(address: SocketAddr, request: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_TIME_MAX)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(ANSWER_TIME_MAX))?;
    stream.set_write_timeout(Some(ANSWER_TIME_MAX))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
